import type { JsonObject } from '../../ports/json.ts';
import type { Call, Failure, PolicyAddition } from '../tenant/types.ts';

/** How one kind of `Call` is checked and made. */
export interface Write<C extends Call> {
  method: string;
  /** The reason why the call must not be made (an unsafe name, a missing etag, an empty field mask); undefined if it may be made. */
  guard(call: C): Failure | undefined;
  /** The method's request message. */
  request(call: C): JsonObject;
  /** The full name of the resource that the call changes, or whose policy it sets. What was read of it before is stale after the call. */
  changes(call: C): string;
  /** True if the call sets a policy. Its answer is the new policy (google/iam/v1/iam_policy.proto). */
  setsPolicy?: true;
  /**
   * True if the call may be made only after the account, the secrets and the services were read with one GET each. A list is no
   * proof for such a call.
   */
  needsGet?: true;
}

/** A `Call` by its kind. */
export type Calls = { [C in Call as C['kind']]: C };

/** A table of all kinds of calls in `Kinds`. A missing kind is a type error. */
export type Writes<Kinds extends Call['kind'] = Call['kind']> = { readonly [Kind in Kinds]: Write<Calls[Kind]> };

/** A member of a policy that Google Cloud refused while it accepted others. */
export interface RefusedMember {
  addition: PolicyAddition;
  failure: Failure;
}

export type Executed = { ok: true; response: JsonObject; refused?: RefusedMember[] } | { ok: false; failure: Failure };

export const etagMissing = (etag: string | undefined): Failure | undefined =>
  etag ? undefined : { kind: 'Invalid', message: 'Refused to write without the etag that was read.' };
