/** JSON values. Both ports pass only these, so that the rest of the operator does not depend on types of a vendor's library. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}
