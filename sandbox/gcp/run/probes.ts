import type { JsonObject } from '../../../ports/json.ts';
import { invalid } from '../errors.ts';
import type { ContainerTemplate } from './messages.ts';

/** The startup and liveness probe of a container (https://docs.cloud.google.com/run/docs/configuring/healthchecks; k8s.min.proto, Probe). */

const KINDS = ['httpGet', 'tcpSocket', 'grpc'] as const;
/** The longest period of each probe, in seconds. */
const LONGEST = { startupProbe: 240, livenessProbe: 3600 } as const;

/** Fills in the numbers and the port that the client left out. */
export function probeDefaults(probe: JsonObject, port: number): JsonObject {
  const kind = KINDS.find(name => probe[name] !== undefined);
  const target =
    kind === undefined ? {} : { [kind]: { ...(probe[kind] as JsonObject), port: portIn(probe, kind) ?? port } };
  const { timeoutSeconds = 1, periodSeconds = 10, failureThreshold = 3 } = probe;
  return { ...probe, timeoutSeconds, periodSeconds, failureThreshold, ...target };
}

const portIn = (probe: JsonObject, kind: (typeof KINDS)[number]) =>
  (probe[kind] as { port?: number }).port || undefined;

export function checkProbes(path: string, container: ContainerTemplate): void {
  for (const name of ['startupProbe', 'livenessProbe'] as const) {
    const probe = container[name];
    if (probe) checkProbe(`${path}.${name === 'startupProbe' ? 'startup_probe' : 'liveness_probe'}`, name, probe);
  }
}

function checkProbe(path: string, name: keyof typeof LONGEST, probe: JsonObject): void {
  const kinds = KINDS.filter(kind => probe[kind] !== undefined);
  if (kinds.length !== 1) throw invalid(`${path}: exactly one of http_get, tcp_socket and grpc must be set.`);
  if (name === 'livenessProbe' && kinds[0] === 'tcpSocket') throw invalid(`${path}.tcp_socket: not supported.`);
  const number = (field: string, usual: number) => Number(probe[field] ?? usual);
  const [delay, period] = [number('initialDelaySeconds', 0), number('periodSeconds', 10)];
  const [timeout, failures] = [number('timeoutSeconds', 1), number('failureThreshold', 3)];
  const longest = LONGEST[name];
  if (delay < 0 || delay > 240) throw invalid(`${path}.initial_delay_seconds: expected 0 <= ${delay} <= 240`);
  if (period < 1 || period > longest) throw invalid(`${path}.period_seconds: expected 1 <= ${period} <= ${longest}`);
  if (timeout < 1 || timeout > period) throw invalid(`${path}.timeout_seconds: expected 1 <= ${timeout} <= ${period}`);
  if (failures < 1) throw invalid(`${path}.failure_threshold: must be at least 1.`);
  if (name === 'startupProbe' && period * failures > 240) {
    throw invalid(`${path}: period_seconds * failure_threshold must not exceed 240, got ${period * failures}.`);
  }
}
