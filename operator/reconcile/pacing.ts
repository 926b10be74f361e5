import { hash } from 'node:crypto';
import { keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { Ages } from '../gcp/lists.ts';
import type { Verdict } from '../kube/queue.ts';
import { untilSlot } from '../tenant/slot.ts';
import type { Again, Settings, Tenant } from '../tenant/types.ts';
import { grantsOf } from '../tenant/withdrawnConsent.ts';
import type { ReconcilerOptions, Run } from './reconcilerOptions.ts';

/** Decides when a tenant is reconciled again, and how old an answer of Google Cloud a reconcile accepts. */

const RECONCILE_REQUEST = 'ai-platform.dev/reconcile-requested-at';
const INTERVAL = 'ai-platform.dev/reconcile-interval-in-seconds';

/**
 * After a reconcile that changed something, the tenant is reconciled again after 250 ms. From the seventh such reconcile in a row
 * (without an edit in between) each one doubles the wait, up to 5 min, because something else then probably reverts the changes.
 */
const SOON_MS = 250;
const CHANGES_BEFORE_BACKOFF = 6;
const SLOWEST_MS = 300_000;
const waitAfterChangeMs = (changes: number): number =>
  Math.min(SLOWEST_MS, SOON_MS * 2 ** Math.max(0, changes - CHANGES_BEFORE_BACKOFF));

/**
 * A tenant that has waited for something for a time `t` is reconciled again after `t` / 10 at the earliest. So a wait that the operator
 * cannot end itself (a grant that a broken revision keeps in use, a deletion that hangs) costs fewer and fewer calls. The operator
 * then notices the end of the wait at most `t` / 10 too late.
 */
const WAIT_PART = 0.1;

/**
 * How fresh the answers of Google Cloud must be on which a reconcile decides. The ages are in `AGES`.
 *
 * | freshness | reconcile | reason |
 * |---|---|---|
 * | `now` | of an edit or of a requested check; any other one too before it writes | The user expects the current state. A write must not rest on a stale answer. |
 * | `new` | of a tenant without a status | It owns nothing yet, so a list up to 10 s old is safe: if the resource exists after all, the create fails with ALREADY_EXISTS. This saves one list call per second while thousands of tenants are created. |
 * | `retry` | after a failure; also the resync of a tenant with a longer interval, or 0 | All retrying tenants share one list per second. |
 * | `waiting` | while an operation is in progress and Ready has another reason than Updating | Only the service is expected to change, so everything else may be 30 s old. This halves the reads of Secret Manager, whose quota bounds how many tenants a project creates per minute. |
 * | `rollout` | while an operation is in progress and Ready is Updating | The same; policies and versions may be 3 min old, because a rollout behind ten thousand new tenants takes long. |
 * | `periodic` | the resync of a tenant whose interval is not longer than `--sync-interval` | A list may be half an interval old. |
 */
export type Freshness = 'now' | 'new' | 'retry' | 'waiting' | 'rollout' | 'periodic';

const AGES: Record<Freshness, (intervalMs: number) => Ages> = {
  now: () => ({ listed: 0, single: 0 }),
  new: () => ({ listed: 10_000, single: 0 }),
  retry: () => ({ listed: 1_000, single: 0 }),
  waiting: () => ({ listed: 30_000, services: 1_000, single: 30_000 }),
  rollout: () => ({ listed: 30_000, services: 1_000, single: 180_000 }),
  periodic: intervalMs => ({ listed: intervalMs / 2, single: 0 }),
};

/** How old an answer may be, in milliseconds. */
export const agesOf = (
  freshness: Freshness,
  tenant: Pick<Tenant, 'annotations'>,
  settings: Pick<Settings, 'syncIntervalMs'>,
): Ages => AGES[freshness](intervalMs(tenant, settings));

export interface Pacing {
  /** True at the first call for this key since the process started (or since `forget`). */
  isFirst(key: string): boolean;
  forget(key: string): void;
  /** The freshness that the first read of this reconcile needs. */
  freshness(tenant: Tenant, run: Run): Freshness;
  /** True for the resync of a tenant whose interval is not longer than `--sync-interval`. */
  isRegular(tenant: Pick<Tenant, 'annotations'>, run: Run): boolean;
  /**
   * True if this reconcile checks everything. A tenant with grants whose own interval is longer than `--sync-interval`, or 0, is
   * still reconciled every `--sync-interval`; between the checks of its own interval only the consent for its grants is read.
   */
  isFullCheck(key: string, tenant: Tenant, run: Run): boolean;
  /**
   * When the tenant is reconciled again: when the report asks for it, but not later than the tenant's slot in its interval.
   * `listEveryMs`: milliseconds between two lists of services while tenants wait for an operation.
   */
  verdict(tenant: Tenant, again: Again, run: Run, listEveryMs?: number): Verdict;
  /** The same for a regular tenant that is up to date: its next slot. */
  atSlot(tenant: Pick<Tenant, 'namespace' | 'name' | 'uid' | 'annotations'>): Verdict;
}

export function createPacing({ runtime, settings }: Pick<ReconcilerOptions, 'runtime' | 'settings'>): Pacing {
  /**
   * Keys that this process has reconciled. The first resync of any other key may be skipped if its status already says that the
   * tenant is up to date.
   */
  const reconciled = new Set<string>();
  /** By key: when the next full check is due (monotonic milliseconds), for tenants whose interval is longer than `--sync-interval`, or 0. */
  const fullCheckAt = new Map<string, number>();
  const waits = createWaits(runtime);

  /** Milliseconds until the tenant's next slot in its interval; infinite if it is reconciled only on changes. */
  function untilNext(tenant: Tenant): number {
    const own = intervalMs(tenant, settings);
    if (own > 0 && own <= settings.syncIntervalMs) return untilSlot(tenant.uid, own, runtime.now());
    const untilOwn = own === 0 ? Number.POSITIVE_INFINITY : untilSlot(tenant.uid, own, runtime.now());
    const key = keyOf(tenant);
    if ((fullCheckAt.get(key) ?? 0) <= runtime.monotonic()) fullCheckAt.set(key, runtime.monotonic() + untilOwn);
    if (grantsOf(tenant).length === 0) return untilOwn;
    return Math.min(untilOwn, untilSlot(tenant.uid, settings.syncIntervalMs, runtime.now()));
  }

  /** Only such a tenant may use an old shared list, because it reads again before the list leaves the cache. */
  function isRegular(tenant: Pick<Tenant, 'annotations'>, run: Run): boolean {
    const own = intervalMs(tenant, settings);
    return run.priority === 'resync' && own > 0 && own <= settings.syncIntervalMs;
  }

  return {
    isFirst(key) {
      const first = !reconciled.has(key);
      reconciled.add(key);
      return first;
    },

    forget(key) {
      reconciled.delete(key);
      fullCheckAt.delete(key);
      waits.end(key);
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

    atSlot(tenant) {
      waits.end(keyOf(tenant));
      const afterMs = untilSlot(tenant.uid, intervalMs(tenant, settings), runtime.now());
      return { kind: 'again', afterMs, priority: 'resync', changed: false };
    },

    verdict(tenant, again, run, listEveryMs = 0) {
      if (again.kind !== 'after') waits.end(keyOf(tenant));
      if (again.kind === 'backoff') return { kind: 'retry', atMostMs: again.capMs, atLeastMs: again.atLeastMs };
      const slot = untilNext(tenant);
      const asked =
        again.kind === 'changed'
          ? waitAfterChangeMs(run.changes + 1)
          : again.kind === 'after'
            ? waits.next(keyOf(tenant), again.ms, run)
            : slot;
      const changed = again.kind === 'changed';
      if (asked < slot)
        return { kind: 'again', afterMs: changed ? asked : aligned(asked, listEveryMs, runtime.monotonic()), changed };
      return slot === Number.POSITIVE_INFINITY
        ? { kind: 'done' }
        : { kind: 'again', afterMs: slot, priority: 'resync', changed };
    },
  };
}

/**
 * Rounds the wait up to a multiple of `listEveryMs` on the monotonic clock. So all tenants that wait for an operation in one
 * project and region are requeued for the same times, and one list serves them all.
 */
const aligned = (afterMs: number, listEveryMs: number, now: number): number =>
  listEveryMs <= SOON_MS ? afterMs : Math.ceil((now + afterMs) / listEveryMs) * listEveryMs - now;

/** Remembers since when each tenant has been waiting without an edit and without a change. */
function createWaits(runtime: Runtime) {
  const since = new Map<string, number>();
  return {
    /** Milliseconds until the next reconcile: what the report asks for, or more if the tenant has been waiting for long. */
    next(key: string, askedMs: number, { priority }: Run): number {
      const now = runtime.monotonic();
      const from = (priority === 'edit' ? undefined : since.get(key)) ?? now;
      since.set(key, from);
      return Math.max(askedMs, (now - from) * WAIT_PART);
    },
    end: (key: string): void => void since.delete(key),
  };
}

/** True if the annotation asks for a full check and the status has not confirmed it yet. */
export const isRequested = ({ annotations, status }: Tenant): boolean => {
  const answer = requestAnswer(annotations);
  return answer !== undefined && answer !== status.lastHandledReconcileAt;
};

/** A value of the annotation that is longer than 256 characters is confirmed by its hash, because the CRD bounds the field of the status. */
const LONGEST_REQUEST = 256;

/** The value of `status.lastHandledReconcileAt` that confirms the annotation; undefined without the annotation. */
export function requestAnswer(annotations: Record<string, string>): string | undefined {
  const asked = annotations[RECONCILE_REQUEST];
  return asked === undefined || asked.length <= LONGEST_REQUEST ? asked : `sha256:${hash('sha256', asked)}`;
}

/** The tenant's resync interval in milliseconds; 0: it is reconciled only on changes. */
export function intervalMs(tenant: Pick<Tenant, 'annotations'>, settings: Pick<Settings, 'syncIntervalMs'>): number {
  const asked = tenant.annotations[INTERVAL];
  if (asked === undefined || !/^\d{1,9}$/.test(asked)) return settings.syncIntervalMs;
  const seconds = Number(asked);
  return seconds === 0 ? 0 : Math.max(60, seconds) * 1000;
}
