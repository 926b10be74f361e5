import type { JsonObject } from '../../ports/json.ts';
import type { Call, Failure, PolicyAddition } from '../tenant/types.ts';

/** How one kind of `Call` is checked and made. */
export interface Write<C extends Call> {
  method: string;
  /** The reason why the call must not be made (an unsafe name, a missing etag, an empty field mask); undefined if it may be made. */
  guard(call: C): Failure | undefined;
  /** The method's request message. */
  request(call: C): JsonObject;
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
