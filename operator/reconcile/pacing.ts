import { hash } from 'node:crypto';
import type { Ages } from '../gcp/lists.ts';
import type { Verdict } from '../kube/queue.ts';
import { untilSlot } from '../tenant/slot.ts';
import type { Again, Settings, Tenant } from '../tenant/types.ts';
import { grantsOf } from '../tenant/withdrawnConsent.ts';
import type { ReconcilerOptions, Run } from './reconcilerOptions.ts';

/** When a tenant is reconciled again, and how old an answer a reconcile accepts. */

const RECONCILE_REQUEST = 'ai-platform.dev/reconcile-requested-at';
const INTERVAL = 'ai-platform.dev/reconcile-interval-in-seconds';

/** After a change the tenant is reconciled again this soon; each further one in a row beyond a few doubles the wait. */
const SOON_MS = 250;
const CALM_STREAK = 6;
const SLOWEST_MS = 300_000;
const paceMs = (changes: number): number => Math.min(SLOWEST_MS, SOON_MS * 2 ** Math.max(0, changes - CALM_STREAK));

/**
 * How fresh the answers of Google Cloud must be that a reconcile decides on.
 *
 * | | the reconcile | |
 * |---|---|---|
 * | `now` | of an edit or a request, and before a write | the present state |
 * | `new` | of a new tenant | It owns nothing yet, so a list up to 10 s old is safe: if the resource exists after all, the create fails with ALREADY_EXISTS. This saves one list call per second while thousands of tenants are created. |
 * | `retry` | after a failure | All retrying tenants share one list a second. |
 * | `waiting` | while an operation is in progress | What a policy or a version says does not matter to it. |
 * | `rollout` | the same, while nothing has failed | Behind ten thousand new tenants a wait is long. |
 * | `periodic` | the resync at the tenant's interval | A list may be half an interval old. |
 */
export type Freshness = 'now' | 'new' | 'retry' | 'waiting' | 'rollout' | 'periodic';

const AGES: Record<Freshness, (intervalMs: number) => Ages> = {
  now: () => ({ listed: 0, single: 0 }),
  new: () => ({ listed: 10_000, single: 0 }),
  retry: () => ({ listed: 1_000, single: 0 }),
  waiting: () => ({ listed: 1_000, single: 30_000 }),
  rollout: () => ({ listed: 1_000, single: 180_000 }),
  periodic: intervalMs => ({ listed: intervalMs / 2, single: 0 }),
};

/** How old an answer may be, in milliseconds. */
export const agesOf = (freshness: Freshness, tenant: Tenant, settings: Pick<Settings, 'syncIntervalMs'>): Ages =>
  AGES[freshness](intervalMs(tenant, settings));

export interface Pacing {
  /** True at the first call for this key in the life of the process. */
  isFirst(key: string): boolean;
  forget(key: string): void;
  freshness(tenant: Tenant, run: Run): Freshness;
  /** The periodic check of a tenant that is checked again within `--sync-interval`. */
  isRegular(tenant: Tenant, run: Run): boolean;
  /**
   * Whether a run checks everything. A tenant whose own interval is longer than `--sync-interval`, or 0, is reconciled at
   * `--sync-interval` all the same, and between its own checks only the consent of its grants is read.
   */
  isFullCheck(key: string, tenant: Tenant, run: Run): boolean;
  /**
   * When the tenant is reconciled again: what the report asks for, but never later than its place in the interval. `pace`:
   * milliseconds between two lists for those that wait for an operation.
   */
  verdict(tenant: Tenant, again: Again, run: Run, pace?: number): Verdict;
}

export function createPacing({ runtime, settings }: Pick<ReconcilerOptions, 'runtime' | 'settings'>): Pacing {
  /**
   * Keys that this process has reconciled. The first resync of any other key may be skipped, because its status already
   * says that it is up to date.
   */
  const met = new Set<string>();
  /** When the next full check of a tenant with a rarer interval of its own is due, by key. */
  const fullCheckAt = new Map<string, number>();

  /** Milliseconds until the tenant's next place in the interval; infinite: only on change. */
  function untilNext(tenant: Tenant): number {
    const own = intervalMs(tenant, settings);
    if (own > 0 && own <= settings.syncIntervalMs) return untilSlot(tenant.uid, own, runtime.now());
    const untilOwn = own === 0 ? Number.POSITIVE_INFINITY : untilSlot(tenant.uid, own, runtime.now());
    const key = `${tenant.namespace}/${tenant.name}`;
    if ((fullCheckAt.get(key) ?? 0) <= runtime.monotonic()) fullCheckAt.set(key, runtime.monotonic() + untilOwn);
    if (grantsOf(tenant).length === 0) return untilOwn;
    return Math.min(untilOwn, untilSlot(tenant.uid, settings.syncIntervalMs, runtime.now()));
  }

  /** Shared lists are kept for those that return while they are kept. A tenant whose own interval is a day does not. */
  function isRegular(tenant: Tenant, run: Run): boolean {
    const own = intervalMs(tenant, settings);
    return run.priority === 'resync' && own > 0 && own <= settings.syncIntervalMs;
  }

  /** All tenants that wait for an operation in one place are requeued for the same moments: one list serves them all. */
  function together(afterMs: number, pace: number): number {
    if (pace <= SOON_MS) return afterMs;
    const now = runtime.monotonic();
    return Math.ceil((now + afterMs) / pace) * pace - now;
  }

  return {
    isFirst(key) {
      const first = !met.has(key);
      met.add(key);
      return first;
    },

    forget(key) {
      met.delete(key);
      fullCheckAt.delete(key);
    },

    isRegular,

    isFullCheck(key, tenant, run) {
      if (run.priority !== 'resync' || isRegular(tenant, run)) return true;
      return (fullCheckAt.get(key) ?? 0) <= runtime.monotonic();
    },

    freshness(tenant, run) {
      const isNew = tenant.status.conditions.length === 0;
      if (isRegular(tenant, run)) return 'periodic';
      if (run.priority === 'resync') return 'retry';
      if (run.priority === 'retry' && run.failures > 0) return 'retry';
      if (run.priority === 'retry') {
        const ready = tenant.status.conditions.find(({ type }) => type === 'Ready');
        return ready?.reason === 'Updating' ? 'rollout' : 'waiting';
      }
      return isNew ? 'new' : 'now';
    },

    verdict(tenant, again, run, pace = 0) {
      if (again.kind === 'backoff') return { kind: 'retry', atMostMs: again.capMs, atLeastMs: again.atLeastMs };
      const slot = untilNext(tenant);
      const asked = again.kind === 'changed' ? paceMs(run.changes + 1) : again.kind === 'after' ? again.ms : slot;
      const changed = again.kind === 'changed';
      if (asked < slot) return { kind: 'again', afterMs: changed ? asked : together(asked, pace), changed };
      return slot === Number.POSITIVE_INFINITY
        ? { kind: 'done' }
        : { kind: 'again', afterMs: slot, priority: 'resync', changed };
    },
  };
}

/** The annotation asks for a full check that the status has not answered yet. */
export const isRequested = ({ annotations, status }: Tenant): boolean => {
  const answer = requestAnswer(annotations);
  return answer !== undefined && answer !== status.lastHandledReconcileAt;
};

/** A longer value of the annotation is answered by its hash, because the field of the status has a bound. */
const LONGEST_REQUEST = 256;

/** What `status.lastHandledReconcileAt` says once the annotation is answered; undefined: nothing is asked. */
export function requestAnswer(annotations: Record<string, string>): string | undefined {
  const asked = annotations[RECONCILE_REQUEST];
  return asked === undefined || asked.length <= LONGEST_REQUEST ? asked : `sha256:${hash('sha256', asked)}`;
}

/** Milliseconds; 0: only on change. */
export function intervalMs(tenant: Tenant, settings: Pick<Settings, 'syncIntervalMs'>): number {
  const asked = tenant.annotations[INTERVAL];
  if (asked === undefined || !/^\d{1,9}$/.test(asked)) return settings.syncIntervalMs;
  const seconds = Number(asked);
  return seconds === 0 ? 0 : Math.max(60, seconds) * 1000;
}
