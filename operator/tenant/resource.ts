import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { readFields } from './fields/laid.ts';
import { ENTRY_TYPES, entryKey } from './inventory.ts';
import { readSettings } from './serviceSettings.ts';
import { fieldsOf, oneOf } from './specValues.ts';
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
 * Reads an AiTenant as it came from a watch, and turns a status back into JSON. The API server has validated and defaulted the
 * object, but the object may be older or newer than this version's schema:
 *
 * - A missing field gets the CRD's default.
 * - An unknown value of the spec is reported, and the operator changes nothing for that tenant.
 * - Unknown fields, conditions and inventory entries of the status are kept and written back.
 */

export const FINALIZER = 'ai-platform.dev/finalizer';

/** `T` with every field present, so that a field that is added to `T` and not read here is a type error. */
type Complete<T> = { [K in keyof Required<T>]: T[K] };

type Fields = Record<string, unknown>;
const fields = fieldsOf;
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const nonEmpty = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;
const numeric = (value: unknown, otherwise: number): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise;
/** An int-or-string. */
const scalar = (value: unknown): string | undefined => (typeof value === 'number' ? String(value) : nonEmpty(value));

export function readTenant(object: KubeObject): Tenant {
  const { metadata } = object;
  const unknownValues: string[] = [];
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    generation: metadata.generation ?? 0,
    resourceVersion: metadata.resourceVersion ?? '',
    deletionTimestamp: metadata.deletionTimestamp,
    hasFinalizer: list(metadata.finalizers).includes(FINALIZER),
    annotations: metadata.annotations ?? {},
    spec: readSpec(object.spec, unknownValues),
    unknownValues,
    status: readStatus(object.status),
  };
}

type Access = TenantSpec['access'];
const ACCESS: Record<Access, true> = { Public: true, Authenticated: true };
type Rollout = KeySpec['rollout'];
const ROLLOUT: Record<Rollout, true> = { OnNewVersion: true, OnRestart: true };

function readSpec(value: unknown, unknownValues: string[]): Complete<TenantSpec> {
  const spec = fields(value);
  const scaling = fields(spec.scaling);
  const resources = fields(spec.resources);
  return {
    region: nonEmpty(spec.region) ?? '',
    keys: once(
      list(spec.keys)
        .map(fields)
        .map((key, at) => readKey(key, `spec.keys[${at}]`, unknownValues)),
      ({ name }) => name,
    ),
    image: nonEmpty(spec.image),
    env: once(list(spec.env).map(fields).flatMap(readVariable), ({ name }) => name),
    scaling: {
      minInstances: numeric(scaling.minInstances, 0),
      maxInstances: numeric(scaling.maxInstances, 10),
      concurrency: numeric(scaling.concurrency, 80),
    },
    resources: { cpu: scalar(resources.cpu) ?? '1', memory: scalar(resources.memory) ?? '1Gi' },
    timeoutSeconds: numeric(spec.timeoutSeconds, 300),
    access: oneOf(ACCESS, spec.access, 'spec.access', unknownValues) ?? 'Public',
    invokers: list(spec.invokers).flatMap(member => nonEmpty(member) ?? []),
    suspend: spec.suspend === true,
    fields: readFields(value, unknownValues),
  };
}

function readVariable(item: Fields): TenantSpec['env'] {
  const name = nonEmpty(item.name);
  return name ? [{ name, value: typeof item.value === 'string' ? item.value : '' }] : [];
}

function readKey(key: Fields, path: string, unknownValues: string[]): Complete<KeySpec> {
  const ref = fields(key.secretRef);
  const secretRef: Complete<KeySpec['secretRef']> = { external: nonEmpty(ref.external), name: nonEmpty(ref.name) };
  return {
    name: nonEmpty(key.name) ?? '',
    secretRef,
    env: nonEmpty(key.env),
    file: nonEmpty(key.file),
    version: scalar(key.version) ?? 'latest',
    rollout: oneOf(ROLLOUT, key.rollout, `${path}.rollout`, unknownValues) ?? 'OnNewVersion',
  };
}

// ---------------------------------------------------------------------------------------------------------- status

const CONDITION_TYPES = new Set<string>([
  ...(['Ready', 'Stalled'] satisfies ConditionType[]),
  ...Object.values(ENTRY_TYPES).map(({ keptBy }) => `${keptBy}Ready` satisfies ConditionType),
]);

/**
 * The status, which another version of the operator may have written. Unknown fields stay on their object. Unknown inventory
 * entries and conditions go to `notUnderstood`.
 */
function readStatus(value: unknown): Complete<TenantStatus> {
  const status = fields(value);
  const notUnderstood: TenantStatus['notUnderstood'] = { conditions: [], inventory: [] };
  return {
    ...status,
    observedGeneration: typeof status.observedGeneration === 'number' ? status.observedGeneration : undefined,
    conditions: once(
      list(status.conditions).flatMap(item => readCondition(fields(item)) ?? setApart(item, notUnderstood.conditions)),
      ({ type }) => type,
    ),
    url: nonEmpty(status.url),
    serviceAccountEmail: nonEmpty(status.serviceAccountEmail),
    impersonatedServiceAccount: nonEmpty(status.impersonatedServiceAccount),
    latestReadyRevision: nonEmpty(status.latestReadyRevision),
    projectId: nonEmpty(status.projectId),
    region: nonEmpty(status.region),
    keys: once(list(status.keys).map(fields).flatMap(readKeyStatus), ({ name }) => name),
    lastHandledReconcileAt: nonEmpty(status.lastHandledReconcileAt),
    reconciledHash: nonEmpty(status.reconciledHash),
    image: nonEmpty(status.image),
    serviceSettings: readSettings(status.serviceSettings),
    inventory: list(status.inventory).flatMap(
      item => readEntry(fields(item)) ?? setApart(item, notUnderstood.inventory),
    ),
    notUnderstood,
  };
}

function setApart(item: unknown, apart: JsonObject[]): [] {
  if (Object.keys(fields(item)).length > 0) apart.push(item as JsonObject);
  return [];
}

/** The first item of each key. The API server treats these lists as maps and refuses a status with two items of one key. */
const once = <T>(items: T[], key: (item: T) => string): T[] =>
  items.filter((item, at) => items.findIndex(other => key(other) === key(item)) === at);

function readCondition(item: Fields): Condition | undefined {
  const type = nonEmpty(item.type);
  if (type === undefined || !CONDITION_TYPES.has(type)) return undefined;
  return {
    ...item,
    type: type as ConditionType,
    status: item.status === 'True' || item.status === 'False' ? item.status : 'Unknown',
    reason: nonEmpty(item.reason) ?? '',
    message: typeof item.message === 'string' ? item.message : '',
    lastTransitionTime: nonEmpty(item.lastTransitionTime) ?? '',
    observedGeneration: numeric(item.observedGeneration, 0),
  };
}

function readKeyStatus(item: Fields): KeyStatus[] {
  const name = nonEmpty(item.name);
  return name
    ? [{ ...item, name, version: scalar(item.version), secret: nonEmpty(item.secret), granted: item.granted === true }]
    : [];
}

/** Undefined for an entry that this version does not understand: it is of another type, or a field that it needs is missing. */
function readEntry(item: Fields): InventoryEntry | undefined {
  const [type, name] = [nonEmpty(item.type), nonEmpty(item.name)];
  if (!name || !type || !Object.hasOwn(ENTRY_TYPES, type)) return undefined;
  const entry: Fields = { ...item, type, name, time: nonEmpty(item.time) ?? '' };
  for (const [field, presence] of Object.entries(ENTRY_TYPES[type as InventoryType].fields)) {
    if (nonEmpty(item[field]) !== undefined) continue;
    if (presence === 'required') return undefined;
    delete entry[field];
  }
  return entry as unknown as InventoryEntry;
}

/** The CRD's bounds of values that are copied from elsewhere into the status. A longer value is left out, not cut. */
export const LONGEST = { url: 2048, latestReadyRevision: 256, image: 2048, lastHandledReconcileAt: 1024 } as const;

/** The status as it is written: without undefined fields, and with the conditions and entries of a newer version. */
export function statusJson({ notUnderstood, ...status }: TenantStatus): JsonObject {
  const tooLong = (Object.keys(LONGEST) as (keyof typeof LONGEST)[]).filter(
    field => (status[field]?.length ?? 0) > LONGEST[field],
  );
  const whole = {
    ...status,
    ...Object.fromEntries(tooLong.map(field => [field, undefined])),
    conditions: [...status.conditions, ...notUnderstood.conditions],
    inventory: [...status.inventory, ...notUnderstood.inventory],
  };
  return JSON.parse(JSON.stringify(whole)) as JsonObject;
}

/**
 * The status with a newer version's fields on its inventory entries. A plan makes a new entry for a resource that it creates
 * again, so the unknown fields of such an entry are copied from `before`, the stored status.
 */
export function keepingUnknown(before: TenantStatus, status: TenantStatus): TenantStatus {
  const former = new Map(before.inventory.map(entry => [entryKey(entry), entry]));
  const inventory = status.inventory.map(entry => {
    const known = { type: true, name: true, time: true, ...ENTRY_TYPES[entry.type].fields };
    const others = Object.entries(former.get(entryKey(entry)) ?? {}).filter(
      ([field]) => !Object.hasOwn(known, field) && !Object.hasOwn(entry, field),
    );
    return others.length === 0 ? entry : { ...entry, ...Object.fromEntries(others) };
  });
  return { ...status, inventory };
}
