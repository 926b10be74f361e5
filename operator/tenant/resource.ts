import type { KubeObject } from '../ports.ts';
import type {
  Condition,
  ConditionType,
  InventoryEntry,
  InventoryType,
  KeySpec,
  KeyStatus,
  Tenant,
  TenantSpec,
  TenantStatus,
} from './types.ts';

/**
 * Reads an AiTenant as it came from a watch. The API server has validated and defaulted it, but an object may be older
 * than the schema, so nothing is trusted: what is missing gets the CRD's default, what is odd is dropped, and nothing throws.
 */

export const FINALIZER = 'ai-platform.dev/finalizer';

type Fields = Record<string, unknown>;
const fields = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
const numeric = (value: unknown, otherwise: number): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
/** An int-or-string. */
const scalar = (value: unknown): string | undefined => (typeof value === 'number' ? String(value) : text(value));

export function readTenant(object: KubeObject): Tenant {
  const { metadata } = object;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    generation: metadata.generation ?? 0,
    resourceVersion: metadata.resourceVersion ?? '',
    deletionTimestamp: metadata.deletionTimestamp,
    hasFinalizer: list(metadata.finalizers).includes(FINALIZER),
    annotations: metadata.annotations ?? {},
    spec: readSpec(object.spec),
    status: readStatus(object.status),
  };
}

function readSpec(value: unknown): TenantSpec {
  const spec = fields(value);
  const scaling = fields(spec.scaling);
  const resources = fields(spec.resources);
  return {
    region: text(spec.region) ?? '',
    keys: once(list(spec.keys).map(fields).map(readKey), ({ name }) => name),
    image: text(spec.image),
    env: once(list(spec.env).map(fields).flatMap(readVariable), ({ name }) => name),
    scaling: {
      minInstances: numeric(scaling.minInstances, 0),
      maxInstances: numeric(scaling.maxInstances, 10),
      concurrency: numeric(scaling.concurrency, 80),
    },
    resources: { cpu: scalar(resources.cpu) ?? '1', memory: scalar(resources.memory) ?? '1Gi' },
    timeoutSeconds: numeric(spec.timeoutSeconds, 300),
    access: spec.access === 'Authenticated' ? 'Authenticated' : 'Public',
    invokers: list(spec.invokers).flatMap(member => text(member) ?? []),
    suspend: spec.suspend === true,
  };
}

function readVariable(item: Fields): TenantSpec['env'] {
  const name = text(item.name);
  return name ? [{ name, value: typeof item.value === 'string' ? item.value : '' }] : [];
}

function readKey(key: Fields): KeySpec {
  const ref = fields(key.secretRef);
  return {
    name: text(key.name) ?? '',
    secretRef: { external: text(ref.external), name: text(ref.name) },
    env: text(key.env),
    version: scalar(key.version) ?? 'latest',
    rollout: key.rollout === 'OnRestart' ? 'OnRestart' : 'OnNewVersion',
  };
}

const INVENTORY_TYPES: readonly string[] = [
  'ServiceAccount',
  'SecretAccess',
  'Service',
  'Invoker',
  'Variable',
] satisfies InventoryType[];
const CONDITION_TYPES: readonly string[] = [
  'Ready',
  'ServiceAccountReady',
  'SecretAccessReady',
  'ServiceReady',
  'Stalled',
] satisfies ConditionType[];

function readStatus(value: unknown): TenantStatus {
  const status = fields(value);
  return {
    observedGeneration: typeof status.observedGeneration === 'number' ? status.observedGeneration : undefined,
    conditions: once(list(status.conditions).map(fields).flatMap(readCondition), ({ type }) => type),
    url: text(status.url),
    serviceAccountEmail: text(status.serviceAccountEmail),
    impersonatedServiceAccount: text(status.impersonatedServiceAccount),
    latestReadyRevision: text(status.latestReadyRevision),
    projectId: text(status.projectId),
    region: text(status.region),
    keys: once(list(status.keys).map(fields).flatMap(readKeyStatus), ({ name }) => name),
    lastHandledReconcileAt: text(status.lastHandledReconcileAt),
    reconciledHash: text(status.reconciledHash),
    image: text(status.image),
    inventory: list(status.inventory).map(fields).flatMap(readEntry),
  };
}

/** The first of each: these lists are maps to the API server, which refuses a status with two of one key. */
const once = <T>(items: T[], key: (item: T) => string): T[] =>
  items.filter((item, at) => items.findIndex(other => key(other) === key(item)) === at);

function readCondition(item: Fields): Condition[] {
  const type = text(item.type);
  if (type === undefined || !CONDITION_TYPES.includes(type)) return [];
  return [
    {
      type: type as ConditionType,
      status: item.status === 'True' || item.status === 'False' ? item.status : 'Unknown',
      reason: text(item.reason) ?? '',
      message: typeof item.message === 'string' ? item.message : '',
      lastTransitionTime: text(item.lastTransitionTime) ?? '',
      observedGeneration: numeric(item.observedGeneration, 0),
    },
  ];
}

function readKeyStatus(item: Fields): KeyStatus[] {
  const name = text(item.name);
  return name
    ? [{ name, version: scalar(item.version), secret: text(item.secret), granted: item.granted === true }]
    : [];
}

function readEntry(item: Fields): InventoryEntry[] {
  const [type, name] = [text(item.type), text(item.name)];
  if (!name || !type || !INVENTORY_TYPES.includes(type)) return [];
  const entry: InventoryEntry = { type: type as InventoryType, name, time: text(item.time) ?? '' };
  for (const field of ['member', 'variable', 'uniqueId', 'retireAt', 'deletedAt'] as const) {
    const found = text(item[field]);
    if (found !== undefined) entry[field] = found;
  }
  return [entry];
}
