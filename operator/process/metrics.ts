import { Counter, Registry } from 'prom-client';
import packageJson from '../../package.json' with { type: 'json' };
import type { Quota } from '../gcp/quota.ts';
import type { Queue } from '../kube/queue.ts';
import type { BugKind } from './bugs.ts';
import { createCallMetrics } from './callMetrics.ts';
import { gauge } from './gauge.ts';
import { createQueueMetrics } from './queueMetrics.ts';
import { createTenantMetrics } from './tenantMetrics.ts';

/** All metrics of the process, for Prometheus. */
export function createMetrics(
  queueStats: Queue['stats'],
  isLeader: () => boolean,
  now: () => number = Date.now,
  budgets: Quota['budgets'] = () => [],
) {
  const registry = new Registry();
  gauge(registry, 'leader_election_master_status', ['name'], '1 while this replica leads, else 0.', set =>
    set({ name: 'aitenant' }, isLeader() ? 1 : 0),
  );
  createBudgetMetrics(registry, budgets);
  const bugs = new Counter({
    name: 'aitenant_bugs_total',
    help: 'Errors in the code of the operator itself, each with a log line: in a request to its ports, a rejected promise, an exception.',
    labelNames: ['kind'],
    registers: [registry],
  });
  for (const kind of ['request', 'unhandledRejection', 'uncaughtException'] as const) bugs.inc({ kind }, 0);
  const versions = 'Always 1. The labels are the versions of the operator and of Node.js.';
  gauge(registry, 'aitenant_build_info', ['version', 'node'], versions, set =>
    set({ version: packageJson.version, node: process.version }, 1),
  );

  return {
    registry,
    queueHooks: createQueueMetrics(registry, queueStats),
    onBug: (kind: BugKind) => bugs.inc({ kind }),
    ...createCallMetrics(registry, now),
    ...createTenantMetrics(registry, now),
  };
}

function createBudgetMetrics(registry: Registry, budgets: Quota['budgets']): void {
  const each = (name: string, help: string, value: (budget: ReturnType<Quota['budgets']>[number]) => number) =>
    gauge(registry, `aitenant_gcp_budget_${name}`, ['api', 'project', 'region', 'kind'], help, set => {
      for (const budget of budgets()) {
        const { api, project, region, kind } = budget;
        set({ api, project, region, kind }, value(budget));
      }
    });
  each(
    'left',
    'Calls that may be made now. At 0 every reconcile is parked; retries and resyncs are parked earlier.',
    b => b.left,
  );
  const perMinute =
    'The quota within which the operator keeps: the one of --quotas, lowered after Google Cloud has refused calls.';
  each('calls_per_minute', perMinute, ({ aMinute }) => aMinute);
  each('parked', 'Reconciles that are parked until this budget has room for them.', ({ parked }) => parked);
  const parkedFor =
    'Seconds for which the reconcile that waits longest for this budget has been parked. The intervals of resyncs grow by this time.';
  each('parked_seconds', parkedFor, ({ parkedMs }) => parkedMs / 1000);
}
