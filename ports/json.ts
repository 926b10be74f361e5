/** JSON as it comes over a wire: what both ports carry, so that nothing of a vendor's library is visible above them. */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}
