import { hash } from 'node:crypto';
import type { Ages } from '../gcp/lists.ts';
import { KINDS } from '../gcp/quota.ts';
import type { Priority, Verdict } from '../kube/queue.ts';
import type { Again } from '../tenant/report.ts';
import { untilSlot } from '../tenant/slot.ts';
import type { Settings, Tenant } from '../tenant/types.ts';
import type { ReconcilerOptions } from './types.ts';

/** When a tenant is reconciled again, how old an answer a reconcile accepts, and when it waits for quota. */

const RECONCILE_REQUEST = 'ai-platform.dev/reconcile-requested-at';
const INTERVAL = 'ai-platform.dev/reconcile-interval-in-seconds';

/** What one reconcile is for. */
export interface Run {
  priority: Priority;
  failures: number;
}

/** After a change the tenant is reconciled again this soon; each further one in a row beyond a few doubles the wait. */
const SOON_MS = 250;
const CALM_STREAK = 6;
const SLOWEST_MS = 300_000;
/** An edit of a tenant that keeps changing waits no longer than this. */
const EDIT_WAITS_MS = 3_000;
const paceMs = (changes: number): number => SOON_MS * 2 ** Math.max(0, changes - CALM_STREAK);

/** An edit, a request and the step before a write need the present state: no cached answer is accepted. */
export const EDIT_AGES: Ages = { listed: 0, single: 0 };
/**
 * A new tenant owns nothing yet, so a list up to 10 s old is safe: if the resource exists after all, the create fails with
 * ALREADY_EXISTS. This saves one list call per second while thousands of tenants are created.
 */
export const NEW_AGES: Ages = { listed: 10_000, single: 0 };
/** Retries accept a list up to 1 s old, so all retrying tenants share one call. */
const RETRY_AGES: Ages = { listed: 1_000, single: 0 };
/** A tenant that waits for an operation does not depend on what a policy or a version says. */
const WAIT_AGES: Ages = { listed: 1_000, single: 30_000 };
/** The same while nothing has failed: behind ten thousand new tenants a wait is long. */
const CALM_AGES: Ages = { listed: 1_000, single: 180_000 };

export interface Pacing {
  /** True at the first call for this key in the life of the process. */
  isFirst(key: string): boolean;
  forget(key: string): void;
  ages(tenant: Tenant, run: Run): Ages;
  /** How long the edit of a tenant that keeps changing has to wait still, in milliseconds. */
  restMs(key: string, tenant: Tenant): number;
  /** The verdict of a reconcile that cannot have its budget now; undefined: it may go on. */
  waitForQuota(key: string, tenant: Tenant, project: string, run: Run): Verdict | undefined;
  verdict(tenant: Tenant, again: Again, project?: string, pace?: number): Verdict;
  /** The verdict of a tenant that is up to date: its own place in the interval. */
  atSlot(tenant: Tenant, project: string): Verdict;
}

export function createPacing({ runtime, settings, quota, stretch }: ReconcilerOptions): Pacing {
  /**
   * Keys that this process has reconciled. The first resync of any other key may be skipped, because its status already
   * says that it is up to date.
   */
  const met = new Set<string>();
  /** Since when resyncs wait for a budget, by key. */
  const lateSince = new Map<string, number>();
  /** How many reconciles in a row have changed something: a tenant that never comes to rest is slowed down. */
  const streaks = new Map<string, { changes: number; generation: number; at: number }>();

  /** All tenants that wait for an operation in one place are requeued for the same moments: one list serves them all. */
  function together(afterMs: number, pace: number): number {
    if (pace <= SOON_MS) return afterMs;
    const now = runtime.monotonic();
    return Math.ceil((now + afterMs) / pace) * pace - now;
  }

  function atSlot(tenant: Tenant, project: string): Verdict {
    const interval = intervalMs(tenant, settings);
    if (interval === 0) return { kind: 'done' };
    const more = (stretch.of(project) - 1) * interval;
    const afterMs = untilSlot(tenant.uid, interval, runtime.now()) + more;
    return { kind: 'again', afterMs, priority: 'resync' };
  }

  return {
    isFirst(key) {
      const first = !met.has(key);
      met.add(key);
      return first;
    },

    forget(key) {
      streaks.delete(key);
      met.delete(key);
      lateSince.delete(key);
    },

    ages(tenant, run) {
      const isNew = tenant.status.conditions.length === 0;
      if (run.priority === 'resync') return { listed: intervalMs(tenant, settings) / 2, single: 0 };
      if (run.priority === 'retry' && run.failures > 0) return RETRY_AGES;
      if (run.priority === 'retry') {
        const ready = tenant.status.conditions.find(({ type }) => type === 'Ready');
        return ready?.reason === 'Updating' ? CALM_AGES : WAIT_AGES;
      }
      return isNew ? NEW_AGES : EDIT_AGES;
    },

    restMs(key, tenant) {
      const streak = streaks.get(key);
      if (!streak || streak.changes <= CALM_STREAK || streak.generation === tenant.generation) return 0;
      return Math.min(EDIT_WAITS_MS, paceMs(streak.changes)) - (runtime.monotonic() - streak.at);
    },

    waitForQuota(key, tenant, project, { priority, failures }) {
      const failing = priority === 'retry' && failures > 0;
      const need = priority === 'edit' ? 'edit' : failing ? 'retry' : 'check';
      const ms = quota.waitMs(project, need, priority === 'resync' ? ['read'] : KINDS);
      if (ms <= 0) {
        lateSince.delete(key);
        return undefined;
      }
      const afterMs = Math.ceil(ms * (1 + runtime.random()));
      if (failing) return { kind: 'retry', atLeastMs: afterMs };
      if (priority === 'resync') {
        const since = lateSince.get(key) ?? runtime.monotonic();
        lateSince.set(key, since);
        if (runtime.monotonic() - since > intervalMs(tenant, settings) / 4) stretch.short(project);
      }
      return { kind: 'again', afterMs, priority };
    },

    verdict(tenant, again, project = '', pace = 0) {
      const key = `${tenant.namespace}/${tenant.name}`;
      if (again.kind === 'changed') {
        const { changes = 0, generation } = streaks.get(key) ?? {};
        streaks.set(key, { changes: changes + 1, generation: tenant.generation, at: runtime.monotonic() });
        const edited = generation !== tenant.generation;
        return { kind: 'again', afterMs: Math.min(edited ? EDIT_WAITS_MS : SLOWEST_MS, paceMs(changes + 1)) };
      }
      streaks.delete(key);
      if (again.kind === 'after') {
        const atSlotAt = atSlot(tenant, project);
        const interval = atSlotAt.kind === 'again' ? atSlotAt.afterMs : Number.POSITIVE_INFINITY;
        return again.ms < interval ? { kind: 'again', afterMs: together(again.ms, pace) } : atSlotAt;
      }
      if (again.kind === 'backoff') return { kind: 'retry', atMostMs: again.capMs, atLeastMs: again.atLeastMs };
      return atSlot(tenant, project);
    },

    atSlot,
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
function intervalMs(tenant: Tenant, settings: Settings): number {
  const asked = tenant.annotations[INTERVAL];
  if (asked === undefined || !/^\d{1,9}$/.test(asked)) return settings.syncIntervalMs;
  const seconds = Number(asked);
  return seconds === 0 ? 0 : Math.max(60, seconds) * 1000;
}
