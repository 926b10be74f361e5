import type { Json, JsonObject } from '../../../ports/json.ts';
import { jsonObject, type Parse } from '../specValues.ts';

/** The probes of a container, in the words of the spec and in Cloud Run's JSON. */

/** The numbers of a probe, with Google's defaults. Source: k8s.min.proto, Probe. */
const NUMBERS = { initialDelaySeconds: 0, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };
const KINDS = ['httpGet', 'tcpSocket', 'grpc'] as const;

/** In the words of the spec. `probeAt` says what it means beside the container's port. */
export const parseProbe: Parse = value => {
  const probe = jsonObject(value as Json);
  const numbers = Object.keys(NUMBERS).flatMap(name =>
    Number.isSafeInteger(probe[name]) ? [[name, probe[name]] as const] : [],
  );
  const kind = {
    ...(typeof probe.path === 'string' && { path: probe.path }),
    ...(probe.tcp === true && { tcp: true }),
    ...(typeof probe.grpc === 'string' && { grpc: probe.grpc }),
  };
  if (Object.keys(kind).length === 0) return undefined;
  return {
    ...kind,
    ...(typeof probe.port === 'number' && { port: probe.port }),
    ...Object.fromEntries(numbers),
  } as JsonObject;
};

/** In the words of the spec. `port`: the one that the probe goes to without a port of its own. */
export function readProbe(probe: JsonObject, port: Json): Json | undefined {
  const kind = KINDS.find(name => probe[name] !== undefined);
  if (kind === undefined) return undefined;
  const target = jsonObject(probe[kind]);
  const numbers = Object.entries(NUMBERS).flatMap(([name, usual]) =>
    (probe[name] ?? usual) === usual ? [] : [[name, probe[name]] as const],
  );
  const what = {
    httpGet: { path: target.path ?? '/' },
    tcpSocket: { tcp: true },
    grpc: { grpc: target.service ?? '' },
  }[kind];
  return { ...what, port: target.port || port, ...Object.fromEntries(numbers) } as JsonObject;
}

/** The probe of a spec as it is read once it is written: with a port, without Google's defaults, its members in the same order. */
export const probeAt = (value: Json, port: Json): Json =>
  readProbe(writtenProbe({}, { port, ...jsonObject(value) }), port) ?? value;

/** The probe to write. What the operator does not know of the present one, such as HTTP headers, survives if the kind is the same. */
export function writtenProbe(before: JsonObject, value: JsonObject): JsonObject {
  const kind = value.path !== undefined ? 'httpGet' : value.tcp === true ? 'tcpSocket' : 'grpc';
  const others = Object.entries(before).filter(([name]) => !KINDS.some(one => one === name) && !(name in NUMBERS));
  const numbers = Object.keys(NUMBERS).flatMap(name =>
    value[name] === undefined ? [] : [[name, value[name]] as const],
  );
  const target: JsonObject = { ...jsonObject(before[kind]), port: value.port };
  if (kind === 'httpGet') target.path = value.path;
  if (kind === 'grpc') target.service = value.grpc;
  return Object.fromEntries([...others, ...numbers, [kind, target]]) as JsonObject;
}
