import { Counter, Histogram, type Registry } from 'prom-client';
import type { CallEnd } from '../gcp/callHooks.ts';
import { METHODS } from '../gcp/methods.ts';
import { createRefusedProjects } from '../gcp/refusedProjects.ts';
import { OUTAGE_CODES } from '../gcp/status.ts';
import type { RequestEnd } from '../kube/instrumentKube.ts';
import { gauge } from './gauge.ts';

/** If an API was not called for this long, its last failure no longer counts (15 min, in milliseconds). */
const FORGOTTEN_MS = 900_000;

/** Metrics of the calls of Google Cloud and of the requests to the Kubernetes API server. */
export function createCallMetrics(registry: Registry, now: () => number) {
  const registers = [registry];
  const calls = new Counter({
    name: 'aitenant_gcp_calls_total',
    help: 'Calls to Google Cloud.',
    labelNames: ['api', 'method', 'code'],
    registers,
  });
  // Counters start at 0, because Prometheus sees no increase in a counter whose first sample is already 1.
  for (const [method, { api }] of METHODS) {
    for (const code of ['OK', ...OUTAGE_CODES]) calls.inc({ api, method: shortName(method), code }, 0);
  }
  const callTime = new Histogram({
    name: 'aitenant_gcp_call_duration_seconds',
    help: 'Seconds until Google Cloud answered a call.',
    labelNames: ['api', 'method'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 30],
    registers,
  });
  /** By API, in milliseconds: the time of the first failure since the last success (`since`), and of the last failure (`at`). */
  const failing = new Map<string, { since: number; at: number }>();
  const refused = createRefusedProjects(now);
  const failingFor =
    'Seconds for which every call of this API (with `project`: in this project, for more than one tenant) has failed for reasons that are not the tenants’; 0: the last call succeeded.';
  gauge(registry, 'aitenant_gcp_api_failing_seconds', ['api', 'project'], failingFor, set => {
    for (const { api, project, forMs } of refused.list()) set({ api, project }, forMs / 1000);
    for (const api of new Set([...METHODS.values()].map(({ api }) => api))) {
      const series = failing.get(api);
      set({ api }, series && now() - series.at < FORGOTTEN_MS ? (now() - series.since) / 1000 : 0);
    }
  });
  const requests = new Counter({
    name: 'rest_client_requests_total',
    help: 'Requests to the Kubernetes API server.',
    labelNames: ['verb', 'resource', 'code'],
    registers,
  });
  for (const verb of ['list', 'watch', 'get', 'patch'] as const) {
    for (const code of ['200', '0']) requests.inc({ verb, resource: 'aitenants', code }, 0);
  }

  return {
    onCall(end: CallEnd): void {
      const { api, method, code, durationMs } = end;
      refused.onCall(end);
      calls.inc({ api, method: shortName(method), code });
      callTime.observe({ api, method: shortName(method) }, durationMs / 1000);
      if (!OUTAGE_CODES.has(code)) failing.delete(api);
      else failing.set(api, { since: failing.get(api)?.since ?? now(), at: now() });
    },
    onRequest({ verb, resource, code }: RequestEnd): void {
      requests.inc({ verb, resource, code: String(code) });
    },
  };
}

const shortName = (method: string): string => method.split('.').at(-1) ?? method;
