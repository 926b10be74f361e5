import type { RefusedMember } from '../gcp/write.ts';
import { refusalKey } from '../tenant/invokers.ts';
import type { PolicyAddition, Refusal, Refusals } from '../tenant/types.ts';

/**
 * Members of services' policies that Google Cloud has refused, by tenant: they are not tried again with every reconcile, and
 * what replaces an older service does not wait for them. Only in memory: a new process tries each once more.
 */
export interface RefusalMemory {
  of(key: string): Refusals;
  /** A write of these additions has ended, with these of them refused. */
  note(key: string, service: string, tried: PolicyAddition[], refused: RefusedMember[], generation: number): void;
  forget(key: string): void;
}

const NONE: Refusals = new Map();

export function createRefusalMemory(now: () => number): RefusalMemory {
  const known = new Map<string, Map<string, Refusal>>();
  return {
    of: key => known.get(key) ?? NONE,
    note(key, service, tried, refused, generation) {
      const mine = new Map(known.get(key));
      for (const addition of tried) {
        const id = refusalKey(service, addition);
        const failure = refused.find(other => other.addition === addition)?.failure;
        if (!failure) {
          mine.delete(id);
          continue;
        }
        const before = mine.get(id);
        const same = before?.message === failure.message && before.generation === generation;
        mine.set(id, {
          message: failure.message,
          ...(failure.kind === 'Invalid' && failure.advice !== undefined && { advice: failure.advice }),
          propagating: failure.kind === 'Propagating',
          since: same ? before.since : now(),
          at: now(),
          generation,
        });
      }
      if (mine.size > 0) known.set(key, mine);
      else known.delete(key);
    },
    forget: key => void known.delete(key),
  };
}
