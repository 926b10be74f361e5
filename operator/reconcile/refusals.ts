import type { RefusedMember } from '../gcp/write.ts';
import { refusalKey } from '../tenant/invokers.ts';
import type { PolicyAddition, Refusal, Refusals } from '../tenant/types.ts';

/**
 * Keeps, for each tenant, the members of services' policies that Google Cloud has refused. A refused member is not sent again with
 * every reconcile, and a service that replaces an older one does not wait for it. This is in memory only, so a new process
 * sends each refused member once more.
 */
export interface RefusalMemory {
  of(key: string): Refusals;
  /** Notes the result of a policy write: the members in `tried` were sent, and Google Cloud refused those in `refused`. */
  note(key: string, service: string, tried: PolicyAddition[], refused: RefusedMember[], generation: number): void;
  forget(key: string): void;
}

const NONE: Refusals = new Map();

export function createRefusalMemory(now: () => number): RefusalMemory {
  const known = new Map<string, Map<string, Refusal>>();
  return {
    of: key => known.get(key) ?? NONE,
    note(key, service, tried, refused, generation) {
      const ofTenant = new Map(known.get(key));
      for (const addition of tried) {
        const id = refusalKey(service, addition);
        const failure = refused.find(other => other.addition === addition)?.failure;
        if (!failure) {
          ofTenant.delete(id);
          continue;
        }
        const before = ofTenant.get(id);
        const isSame = before?.message === failure.message && before.generation === generation;
        ofTenant.set(id, {
          message: failure.message,
          ...(failure.kind === 'Invalid' && failure.advice !== undefined && { advice: failure.advice }),
          propagating: failure.kind === 'Propagating',
          since: isSame ? before.since : now(),
          at: now(),
          generation,
        });
      }
      if (ofTenant.size > 0) known.set(key, ofTenant);
      else known.delete(key);
    },
    forget: key => void known.delete(key),
  };
}
