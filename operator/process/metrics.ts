import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import packageJson from '../../package.json' with { type: 'json' };
import type { Quota } from '../gcp/quota.ts';
import type { Priority, Queue, QueueHooks } from '../kube/queue.ts';
import type { BugKind } from './bugs.ts';
import { createCallMetrics } from './callMetrics.ts';
import { createTenantMetrics } from './tenantMetrics.ts';

/** Prometheus metrics, with the names that controller-runtime and client-go use where they fit. */
export function createMetrics(
  queueStats: () => ReturnType<Queue['stats']>,
  isLeader: () => boolean,
  now: () => number = Date.now,
  budgets: Quota['budgets'] = () => [],
) {
  const registry = new Registry();
  const registers = [registry];
  const name = { name: 'aitenant' };

  const reconciles = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciliations by result.',
    labelNames: ['controller', 'result'],
    registers,
  });
  const reconcileTime = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Length of a reconciliation.',
    labelNames: ['controller'],
    buckets: [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60],
    registers,
  });
  const adds = new Counter({
    name: 'workqueue_adds_total',
    help: 'Keys added.',
    labelNames: ['name', 'priority'],
    registers,
  });
  const retries = new Counter({ name: 'workqueue_retries_total', help: 'Retries.', labelNames: ['name'], registers });
  const waited = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'How long a key waited for a worker.',
    labelNames: ['name'],
    buckets: [0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300],
    registers,
  });
  new Gauge({
    name: 'workqueue_depth',
    help: 'Keys waiting for a worker.',
    labelNames: ['name', 'priority'],
    registers,
    collect() {
      for (const [priority, depth] of Object.entries(queueStats().depth)) this.set({ ...name, priority }, depth);
    },
  });
  new Gauge({
    name: 'workqueue_longest_running_processor_seconds',
    help: 'How long the oldest reconciliation that has not ended has been running.',
    labelNames: ['name'],
    registers,
    collect() {
      this.set(name, queueStats().longestRunMs / 1000);
    },
  });
  new Gauge({
    name: 'leader_election_master_status',
    help: '1 while this replica acts.',
    labelNames: ['name'],
    registers,
    collect() {
      this.set(name, isLeader() ? 1 : 0);
    },
  });
  const budget = ['api', 'project', 'region', 'kind'] as const;
  new Gauge({
    name: 'aitenant_gcp_budget_left',
    help: 'Calls that may be made now. At 0 every reconcile is parked; retries and resyncs are parked earlier.',
    labelNames: budget,
    registers,
    collect() {
      this.reset();
      for (const { api, project, region, kind, left } of budgets()) this.set({ api, project, region, kind }, left);
    },
  });
  new Gauge({
    name: 'aitenant_gcp_budget_calls_per_minute',
    help: 'The quota within which the operator keeps: the one of --quotas, lowered after Google Cloud has refused calls.',
    labelNames: budget,
    registers,
    collect() {
      this.reset();
      for (const { api, project, region, kind, aMinute } of budgets()) {
        this.set({ api, project, region, kind }, aMinute);
      }
    },
  });
  new Gauge({
    name: 'aitenant_gcp_budget_parked',
    help: 'Reconciles that are parked until this budget has room for them.',
    labelNames: budget,
    registers,
    collect() {
      this.reset();
      for (const { api, project, region, kind, parked } of budgets()) this.set({ api, project, region, kind }, parked);
    },
  });
  new Gauge({
    name: 'aitenant_gcp_budget_parked_seconds',
    help: 'Seconds for which the reconcile that waits longest for this budget has been parked. The intervals of resyncs grow by this time.',
    labelNames: budget,
    registers,
    collect() {
      this.reset();
      for (const { api, project, region, kind, parkedMs } of budgets()) {
        this.set({ api, project, region, kind }, parkedMs / 1000);
      }
    },
  });
  const bugs = new Counter({
    name: 'aitenant_bugs_total',
    help: 'Errors in the code of the operator itself, each with a log line: in a request to its ports, a rejected promise, an exception.',
    labelNames: ['kind'],
    registers,
  });
  for (const kind of ['request', 'unhandledRejection', 'uncaughtException'] as const) bugs.inc({ kind }, 0);
  new Gauge({
    name: 'aitenant_build_info',
    help: 'Always 1. The labels are the versions of the operator and of Node.js.',
    labelNames: ['version', 'node'],
    registers,
  }).set({ version: packageJson.version, node: process.version }, 1);
  for (const result of ['success', 'requeue_after', 'error']) reconciles.inc({ controller: name.name, result }, 0);
  for (const priority of ['edit', 'retry', 'resync']) adds.inc({ ...name, priority }, 0);
  retries.inc(name, 0);

  const queueHooks: QueueHooks = {
    onAdd: (priority: Priority) => adds.inc({ ...name, priority }),
    onStart: (_key, _priority, waitedMs) => waited.observe(name, waitedMs / 1000),
    onEnd: (_key, verdict, tookMs) => {
      const result =
        verdict.kind === 'retry'
          ? 'error'
          : verdict.kind === 'again' || verdict.kind === 'park'
            ? 'requeue_after'
            : 'success';
      reconciles.inc({ controller: name.name, result });
      reconcileTime.observe({ controller: name.name }, tookMs / 1000);
    },
    onRetry: () => retries.inc(name),
  };

  return {
    registry,
    queueHooks,
    onBug: (kind: BugKind) => bugs.inc({ kind }),
    ...createCallMetrics(registry, now),
    ...createTenantMetrics(registry, now),
  };
}
