import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { entryKey } from './inventory.ts';
import { quoted } from './printable.ts';
import type {
  Condition,
  ConditionType,
  EntryOf,
  InventoryEntry,
  InventoryType,
  KeySpec,
  KeyStatus,
  ServiceSettings,
  Tenant,
  TenantSpec,
  TenantStatus,
} from './types.ts';

/**
 * Reads an AiTenant as it came from a watch, and turns a status back into JSON. The API server has validated and defaulted
 * the object, but it may be older or newer than this version's schema: what is missing gets the CRD's default, a value of
 * the spec that this version does not know is reported, what it does not know in the status is kept, and nothing throws.
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

/**
 * A value of an enum. One that this version does not know is never read as the default, which could open what the spec
 * closes: it is added to `unknownValues`, and a tenant with one of those is not touched (`desired.ts`).
 */
function oneOf<T extends string>(
  known: Record<T, true>,
  value: unknown,
  otherwise: T,
  path: string,
  unknownValues: string[],
): T {
  if (value === undefined || value === null) return otherwise;
  if (typeof value === 'string' && Object.hasOwn(known, value)) return value as T;
  const shown = quoted(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  unknownValues.push(`${path} is ${shown}, which is not among ${Object.keys(known).join(', ')}`);
  return otherwise;
}

function readSpec(value: unknown, unknownValues: string[]): TenantSpec {
  const spec = fields(value);
  const scaling = fields(spec.scaling);
  const resources = fields(spec.resources);
  return {
    region: text(spec.region) ?? '',
    keys: once(
      list(spec.keys)
        .map(fields)
        .map((key, at) => readKey(key, `spec.keys[${at}]`, unknownValues)),
      ({ name }) => name,
    ),
    image: text(spec.image),
    env: once(list(spec.env).map(fields).flatMap(readVariable), ({ name }) => name),
    scaling: {
      minInstances: numeric(scaling.minInstances, 0),
      maxInstances: numeric(scaling.maxInstances, 10),
      concurrency: numeric(scaling.concurrency, 80),
    },
    resources: { cpu: scalar(resources.cpu) ?? '1', memory: scalar(resources.memory) ?? '1Gi' },
    timeoutSeconds: numeric(spec.timeoutSeconds, 300),
    access: oneOf(ACCESS, spec.access, 'Public', 'spec.access', unknownValues),
    invokers: list(spec.invokers).flatMap(member => text(member) ?? []),
    suspend: spec.suspend === true,
  };
}

function readVariable(item: Fields): TenantSpec['env'] {
  const name = text(item.name);
  return name ? [{ name, value: typeof item.value === 'string' ? item.value : '' }] : [];
}

function readKey(key: Fields, path: string, unknownValues: string[]): KeySpec {
  const ref = fields(key.secretRef);
  return {
    name: text(key.name) ?? '',
    secretRef: { external: text(ref.external), name: text(ref.name) },
    env: text(key.env),
    version: scalar(key.version) ?? 'latest',
    rollout: oneOf(ROLLOUT, key.rollout, 'OnNewVersion', `${path}.rollout`, unknownValues),
  };
}

// ---------------------------------------------------------------------------------------------------------- status

const CONDITION_TYPES: Record<ConditionType, true> = {
  Ready: true,
  ServiceAccountReady: true,
  SecretAccessReady: true,
  ServiceReady: true,
  Stalled: true,
};

/**
 * A status, perhaps of another version of the operator. Fields that this version does not know stay on the object that they
 * stand on; inventory entries and conditions that it does not know are set apart, in `notUnderstood`.
 */
function readStatus(value: unknown): TenantStatus {
  const status = fields(value);
  const notUnderstood: TenantStatus['notUnderstood'] = { conditions: [], inventory: [] };
  return {
    ...status,
    observedGeneration: typeof status.observedGeneration === 'number' ? status.observedGeneration : undefined,
    conditions: once(
      list(status.conditions).flatMap(item => readCondition(fields(item)) ?? setApart(item, notUnderstood.conditions)),
      ({ type }) => type,
    ),
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

/** What is not what it should be is left out; what a newer version has written stays. */
function readSettings(value: unknown): ServiceSettings | undefined {
  if (value === undefined) return undefined;
  const settings = fields(value);
  const { useDefault, policy } = fields(settings.binaryAuthorization);
  const audiences = list(settings.customAudiences).flatMap(audience => text(audience) ?? []);
  return {
    ...settings,
    ingress: text(settings.ingress),
    iapEnabled: settings.iapEnabled === true || undefined,
    defaultUriDisabled: settings.defaultUriDisabled === true || undefined,
    customAudiences: audiences.length > 0 ? audiences : undefined,
    binaryAuthorization:
      useDefault === true ? { useDefault } : text(policy) !== undefined ? { policy: text(policy) } : undefined,
  };
}

/** The first of each: these lists are maps to the API server, which refuses a status with two of one key. */
const once = <T>(items: T[], key: (item: T) => string): T[] =>
  items.filter((item, at) => items.findIndex(other => key(other) === key(item)) === at);

function readCondition(item: Fields): Condition | undefined {
  const type = text(item.type);
  if (type === undefined || !Object.hasOwn(CONDITION_TYPES, type)) return undefined;
  return {
    ...item,
    type: type as ConditionType,
    status: item.status === 'True' || item.status === 'False' ? item.status : 'Unknown',
    reason: text(item.reason) ?? '',
    message: typeof item.message === 'string' ? item.message : '',
    lastTransitionTime: text(item.lastTransitionTime) ?? '',
    observedGeneration: numeric(item.observedGeneration, 0),
  };
}

function readKeyStatus(item: Fields): KeyStatus[] {
  const name = text(item.name);
  return name
    ? [{ ...item, name, version: scalar(item.version), secret: text(item.secret), granted: item.granted === true }]
    : [];
}

/** The fields that an entry of each type has besides its type, name and time. */
type EntryFields = { [T in InventoryType]: Record<Exclude<keyof EntryOf<T>, CommonField>, 'required' | 'optional'> };
type CommonField = 'type' | 'name' | 'time';
const ENTRY_FIELDS: EntryFields = {
  ServiceAccount: { uniqueId: 'optional' },
  SecretAccess: { uniqueId: 'optional' },
  Service: { retireAt: 'optional', deletedAt: 'optional' },
  Invoker: { member: 'required' },
  Variable: { variable: 'required' },
};

/** Undefined for an entry that this version does not understand: it is of another type, or a field that it needs is missing. */
function readEntry(item: Fields): InventoryEntry | undefined {
  const [type, name] = [text(item.type), text(item.name)];
  if (!name || !type || !Object.hasOwn(ENTRY_FIELDS, type)) return undefined;
  const entry: Fields = { ...item, type, name, time: text(item.time) ?? '' };
  for (const [field, presence] of Object.entries(ENTRY_FIELDS[type as InventoryType])) {
    if (text(item[field]) !== undefined) continue;
    if (presence === 'required') return undefined;
    delete entry[field];
  }
  return entry as unknown as InventoryEntry;
}

/** The CRD's bounds of what is copied from elsewhere into the status. What is longer is left out, not cut. */
export const LONGEST = { url: 2048, latestReadyRevision: 256, image: 2048, lastHandledReconcileAt: 1024 } as const;

/** The status as it is written: without empty fields, and with what this version does not understand put back. */
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
 * The status with the fields of a newer version on its inventory entries. A plan makes the entries of what it creates again
 * anew, so what such an entry had besides is taken from `before`, the status that stands.
 */
export function keepingUnknown(before: TenantStatus, status: TenantStatus): TenantStatus {
  const former = new Map(before.inventory.map(entry => [entryKey(entry), entry]));
  const inventory = status.inventory.map(entry => {
    const known = { type: true, name: true, time: true, ...ENTRY_FIELDS[entry.type] };
    const others = Object.entries(former.get(entryKey(entry)) ?? {}).filter(
      ([field]) => !Object.hasOwn(known, field) && !Object.hasOwn(entry, field),
    );
    return others.length === 0 ? entry : { ...entry, ...Object.fromEntries(others) };
  });
  return { ...status, inventory };
}

/** The stored status as this version would write it: compared with another one, the order of its lists does not count. */
export const statusOf = (object: KubeObject): JsonObject => statusJson(readStatus(object.status));
