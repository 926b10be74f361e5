import { Counter, Histogram, type Registry } from 'prom-client';
import { PRIORITIES } from '../collections/fairQueue.ts';
import type { Queue, QueueHooks, Verdict } from '../kube/queue.ts';
import { gauge } from './gauge.ts';

type Result = 'success' | 'requeue_after' | 'error';
const RESULT_OF: Record<Verdict['kind'], Result> = {
  done: 'success',
  again: 'requeue_after',
  park: 'requeue_after',
  retry: 'error',
};

/** Metrics of the queue and of reconciles, with the names of controller-runtime and client-go. */
export function createQueueMetrics(registry: Registry, stats: Queue['stats']): QueueHooks {
  const registers = [registry];
  const name = 'aitenant';
  const reconciles = new Counter({
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciles by result.',
    labelNames: ['controller', 'result'],
    registers,
  });
  const reconcileTime = new Histogram({
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'How long a reconcile took.',
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
  gauge(registry, 'workqueue_depth', ['name', 'priority'], 'Keys that wait for a worker.', set => {
    for (const [priority, depth] of Object.entries(stats().depth)) set({ name, priority }, depth);
  });
  const longest = 'How long the oldest reconcile that has not ended has been running.';
  gauge(registry, 'workqueue_longest_running_processor_seconds', ['name'], longest, set =>
    set({ name }, stats().longestRunMs / 1000),
  );
  // Counters start at 0, because Prometheus sees no increase in a counter whose first sample is already 1.
  for (const result of new Set(Object.values(RESULT_OF))) reconciles.inc({ controller: name, result }, 0);
  for (const priority of PRIORITIES) adds.inc({ name, priority }, 0);
  retries.inc({ name }, 0);
  return {
    onAdd: priority => adds.inc({ name, priority }),
    onStart: (_key, _priority, waitedMs) => waited.observe({ name }, waitedMs / 1000),
    onEnd(_key, { kind }, tookMs) {
      reconciles.inc({ controller: name, result: RESULT_OF[kind] });
      reconcileTime.observe({ controller: name }, tookMs / 1000);
    },
    onRetry: () => retries.inc({ name }),
  };
}
