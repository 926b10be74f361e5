import type { Json, JsonObject } from '../../../ports/json.ts';
import { invalid } from '../errors.ts';

/** Fields of a Service that a client may set; below those with a list, what may be named one by one. */
const fields: Record<string, readonly string[] | null> = {
  description: null,
  labels: null,
  annotations: null,
  client: null,
  clientVersion: null,
  ingress: null,
  launchStage: null,
  binaryAuthorization: ['useDefault', 'policy', 'breakglassJustification'],
  template: [
    'revision',
    'labels',
    'annotations',
    'scaling',
    'scaling.minInstanceCount',
    'scaling.maxInstanceCount',
    'scaling.cpuUtilization',
    'scaling.concurrencyUtilization',
    'vpcAccess',
    'vpcAccess.connector',
    'vpcAccess.egress',
    'vpcAccess.networkInterfaces',
    'timeout',
    'serviceAccount',
    'containers',
    'volumes',
    'executionEnvironment',
    'encryptionKey',
    'maxInstanceRequestConcurrency',
    'serviceMesh',
    'encryptionKeyRevocationAction',
    'encryptionKeyShutdownDuration',
    'sessionAffinity',
    'healthCheckDisabled',
    'nodeSelector',
    'gpuZonalRedundancyDisabled',
    'ambientNetworking',
    'client',
    'clientVersion',
    'sandboxes',
    'workloadIdentityConfig',
  ],
  traffic: null,
  scaling: ['minInstanceCount', 'maxInstanceCount', 'scalingMode', 'manualInstanceCount'],
  invokerIamDisabled: null,
  defaultUriDisabled: null,
  iapEnabled: null,
  multiRegionSettings: ['regions'],
  customAudiences: null,
  buildConfig: null,
  functionalType: null,
  sshEnabled: null,
};

/** In a mask they change nothing: the server's own, or not part of the desired state. */
const ignored = [
  'name',
  'uid',
  'generation',
  'createTime',
  'updateTime',
  'deleteTime',
  'expireTime',
  'creator',
  'lastModifier',
  'urls',
  'observedGeneration',
  'terminalCondition',
  'conditions',
  'latestReadyRevision',
  'latestCreatedRevision',
  'trafficStatuses',
  'uri',
  'satisfiesPzs',
  'threatDetectionEnabled',
  'reconciling',
  'etag',
];

/** Keeps only what a client may set. */
export const settable = (service: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(service).filter(([key]) => Object.hasOwn(fields, key)));

/**
 * The stored service as an update leaves it: `mask` (a FieldMask's JSON) names what is taken from `given`, where what is
 * absent is cleared; a map or list is replaced as a whole. No mask: every field that `given` sets. `*`: all of them.
 */
export function applyMask(stored: JsonObject, given: JsonObject, mask: string | undefined): JsonObject {
  const paths = (mask ?? '').split(',').filter(path => path !== '');
  const wanted = settable(given);
  if (paths.includes('*')) return structuredClone(wanted);
  const result = structuredClone(stored);
  if (paths.length === 0) return Object.assign(result, structuredClone(wanted));
  for (const path of paths) copy(path, wanted, result);
  return result;
}

function copy(path: string, from: JsonObject, to: JsonObject): void {
  const [head = '', ...tail] = path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()).split('.');
  if (ignored.includes(head)) return;
  const below = Object.hasOwn(fields, head) ? fields[head] : undefined;
  if (below === undefined || (tail.length > 0 && !below?.includes(tail.join('.')))) {
    throw invalid(`Invalid field mask: '${path}' is no field that can be updated.`, {
      field: 'update_mask',
      description: `'${path}' is no field that can be updated`,
    });
  }
  set(to, [head, ...tail], valueAt(from, [head, ...tail]));
}

const valueAt = (from: Json | undefined, keys: string[]): Json | undefined =>
  keys.reduce<Json | undefined>((value, key) => (isObject(value) ? value[key] : undefined), from);

/** Sets a field, or clears it. A message that has no field left is cleared too: in v1, these settings are annotations, which exist or not. */
function set(target: JsonObject, [key = '', ...rest]: string[], value: Json | undefined): void {
  if (rest.length === 0) {
    if (value === undefined) delete target[key];
    else target[key] = structuredClone(value);
    return;
  }
  const message = isObject(target[key]) ? target[key] : {};
  set(message, rest, value);
  if (value === undefined && Object.keys(message).length === 0) delete target[key];
  else target[key] = message;
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
