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
  /** By budget: the calls of the claim with which the reconcile was woken, as far as they are not used yet. */
  const prepaid = new Map<string, number>();
  for (const need of granted?.needs ?? [])
    prepaid.set(budgetKey(need), (prepaid.get(budgetKey(need)) ?? 0) + need.calls);

  /** Takes `need` from the prepaid calls, and answers with what is missing. */
  function missingOf(need: Need): Need[] {
    const paid = Math.min(need.calls, prepaid.get(budgetKey(need)) ?? 0);
    prepaid.set(budgetKey(need), (prepaid.get(budgetKey(need)) ?? 0) - paid);
    return paid === need.calls ? [] : [{ ...need, calls: need.calls - paid }];
  }

  return {
    take(needs, rank, priority) {
      asked.push(...needs);
      const missing = needs.flatMap(missingOf);
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
    },
    release() {
      for (const claim of claims) claim.release();
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
