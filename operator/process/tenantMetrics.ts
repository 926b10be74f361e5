import { Counter, type Registry } from 'prom-client';
import { ENTRY_TYPES } from '../tenant/inventory.ts';
import type { Tenant, TenantStatus } from '../tenant/types.ts';
import { gauge } from './gauge.ts';

/**
 * The most series of `aitenant_not_ready`. Without a limit a user could fill Prometheus by creating tenants that are never
 * Ready.
 */
const MOST_NOT_READY = 1_000;

/** The types of inventory entries that are counted when they are abandoned. */
const ABANDONED = new Set(Object.entries(ENTRY_TYPES).flatMap(([type, { isCounted }]) => (isCounted ? type : [])));

interface Known {
  namespace: string;
  name: string;
  reason: string;
  ready: boolean;
  /** When Ready last changed according to the status, in milliseconds since the epoch. */
  since: number;
  reportedAt: number;
  /** The interval of the periodic check in milliseconds. 0: the tenant is reconciled only after changes. */
  interval: number;
}

/** Metrics of tenants: counts by reason for all, and one series for each tenant that is not Ready. */
export function createTenantMetrics(registry: Registry, now: () => number) {
  const tenants = new Map<string, Known>();
  createTenantGauges(registry, now, tenants);
  const abandoned = new Counter({
    name: 'aitenant_abandoned_total',
    help: 'Resources that stayed in Google Cloud when their AiTenant was abandoned, by kind. No quota of the cluster counts them any more.',
    labelNames: ['kind'],
    registers: [registry],
  });
  for (const kind of ABANDONED) abandoned.inc({ kind }, 0);

  return {
    onAbandoned(inventory: readonly { type: string }[]): void {
      for (const { type } of inventory) if (ABANDONED.has(type)) abandoned.inc({ kind: type });
    },
    /** A reconcile has ended with this status. `interval`: the interval of the periodic check, in milliseconds. */
    onReport(
      { namespace, name }: Pick<Tenant, 'namespace' | 'name'>,
      status: Pick<TenantStatus, 'conditions'>,
      interval = 0,
    ): void {
      const ready = status.conditions.find(({ type }) => type === 'Ready');
      const since = Date.parse(ready?.lastTransitionTime ?? '');
      tenants.set(`${namespace}/${name}`, {
        namespace,
        name,
        reason: ready?.reason ?? '',
        ready: ready?.status === 'True',
        since: Number.isNaN(since) ? now() : since,
        reportedAt: now(),
        interval,
      });
    },
    onGone(key: string): void {
      tenants.delete(key);
    },
  };
}

function createTenantGauges(registry: Registry, now: () => number, tenants: ReadonlyMap<string, Known>): void {
  gauge(registry, 'aitenant_tenants', ['reason'], 'Tenants by the reason of their Ready condition.', set => {
    const byReason = Map.groupBy(tenants.values(), ({ reason }) => reason);
    for (const [reason, some] of byReason) set({ reason }, some.length);
  });
  const notReady =
    'Seconds for which this tenant has not been Ready. At most 1,000 tenants, those that have not been Ready for the longest time.';
  gauge(registry, 'aitenant_not_ready', ['namespace', 'name', 'reason'], notReady, set => {
    const longest = [...tenants.values()].filter(({ ready }) => !ready).sort((a, b) => a.since - b.since);
    for (const { namespace, name, reason, since } of longest.slice(0, MOST_NOT_READY)) {
      set({ namespace, name, reason }, Math.max(0, now() - since) / 1000);
    }
  });
  const outOfSync =
    'For each reason of Ready, how long ago the tenant that has not been Ready for the longest time was Ready last.';
  gauge(registry, 'aitenant_out_of_sync_seconds', ['reason'], outOfSync, set => {
    const longest = new Map<string, number>();
    for (const { reason, since } of tenants.values()) {
      longest.set(reason, Math.max(longest.get(reason) ?? 0, (now() - since) / 1000));
    }
    longest.delete('UpToDate');
    for (const [reason, seconds] of longest) set({ reason }, seconds);
  });
  const late = 'How much later than its interval the most overdue check of a tenant is.';
  gauge(registry, 'aitenant_resync_late_seconds', [], late, set => {
    let latest = 0;
    for (const { reportedAt, interval } of tenants.values()) {
      if (interval > 0) latest = Math.max(latest, now() - reportedAt - interval);
    }
    set({}, latest / 1000);
  });
}
