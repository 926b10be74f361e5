import type { Claim, Demand, Need, Quota, Rank } from '../gcp/quota.ts';
import type { Priority, Verdict } from '../kube/queue.ts';
import type { Tenant } from '../tenant/types.ts';
import type { ReconcileLog, Run } from './reconcilerOptions.ts';

/** The calls that one reconcile has claimed from the quota of Google Cloud's APIs. */
export interface RunBudget {
  /**
   * Reserves `needs` until the reconcile ends, and answers with undefined. If the quota has not enough, it answers with the verdict that
   * parks the key until everything that this reconcile has asked for can be claimed at once; the reconcile then starts again, with
   * `priority` if that is given.
   */
  take(needs: Need[], rank: Rank, priority?: Priority): Verdict | undefined;
  /** Reserves `needs` before anything is read. The writes among them are a guess: a later `take` of writes uses them before it claims more. */
  reserve(needs: Need[], rank: Rank): Verdict | undefined;
  release(): void;
}

const budgetKey = ({ api, kind, project, region }: Need): string => `${project} ${api} ${kind} ${region}`;

export function createRunBudget(
  quota: Pick<Quota, 'claim' | 'park'>,
  lane: { project: string; namespace: string },
  granted: Claim | undefined,
  log: ReconcileLog,
): RunBudget {
  const claims: Claim[] = granted ? [granted] : [];
  const asked: Need[] = [];
  /** Calls that the reconcile was granted when it was woken and that no `take` has used yet. */
  const prepaid = createBalance(granted?.needs ?? []);
  /** Writes that `reserve` has claimed and that no `take` has used yet. */
  const expected = createBalance([]);

  function take(needs: Need[], rank: Rank, priority?: Priority): Verdict | undefined {
    const unexpected = expected.without(needs);
    asked.push(...unexpected);
    const missing = prepaid.without(unexpected);
    if (missing.length === 0) return undefined;
    const claim = quota.claim({ ...lane, rank, needs: missing });
    if (claim) {
      claims.push(claim);
      return undefined;
    }
    const onParked: Demand['onParked'] = ({ api, kind, project, region, left }, ms) => {
      const budget = `${api} ${kind} ${project} ${region}`.trim();
      log('debug', 'parked for a budget', { rank, budget, left: Math.floor(left), ms: Math.ceil(ms) });
    };
    const park = (wake: (claim: Claim) => void) =>
      quota.park({ ...lane, rank, needs: asked, onParked }, claim => {
        log('debug', 'woken with its budget', {
          rank,
          calls: claim.needs.reduce((sum, { calls }) => sum + calls, 0),
        });
        wake(claim);
      });
    return { kind: 'park', park, ...(priority && { priority }) };
  }

  return {
    take,
    reserve(needs, rank) {
      const later = take(needs, rank);
      if (!later) expected.add(needs.filter(({ kind }) => kind === 'write'));
      return later;
    },
    release() {
      for (const claim of claims) claim.release();
    },
  };
}

/** Numbers of calls, by budget. */
function createBalance(of: readonly Need[]) {
  const left = new Map<string, number>();
  const leftOf = (need: Need): number => left.get(budgetKey(need)) ?? 0;
  const add = (needs: readonly Need[]): void => {
    for (const need of needs) left.set(budgetKey(need), leftOf(need) + need.calls);
  };
  add(of);
  return {
    add,
    /** Takes the calls of `needs` from the balance, and answers with those that it lacks. */
    without(needs: Need[]): Need[] {
      if (left.size === 0) return needs;
      return needs.flatMap(need => {
        const paid = Math.min(need.calls, leftOf(need));
        left.set(budgetKey(need), leftOf(need) - paid);
        return paid === need.calls ? [] : [{ ...need, calls: need.calls - paid }];
      });
    },
  };
}

/** A reconcile that waits for an operation ranks as an edit; only one that follows a failure ranks as a retry. */
export function rankOf({ priority, failures }: Run, tenant: Tenant): Rank {
  if (priority === 'resync') return 'resync';
  if (mayClose(tenant)) return 'close';
  return priority === 'retry' && failures > 0 ? 'retry' : 'edit';
}

/**
 * True if an edit that was not reconciled yet may limit access or revoke a key: it sets `access: Authenticated`, or a key has left the
 * spec. Such a reconcile ranks as `close` before anything is read.
 */
export function mayClose({ spec, status, generation }: Tenant): boolean {
  if (status.observedGeneration === undefined || status.observedGeneration === generation) return false;
  const keys = new Set(spec.keys.map(({ name }) => name));
  return spec.access === 'Authenticated' || status.keys.some(({ name }) => !keys.has(name));
}
