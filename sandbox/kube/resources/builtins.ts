import { invalidValue } from '../../../schema/metadata.ts';
import type { FieldCause, PlainObject } from '../../../schema/types.ts';
import { JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH } from '../verbs/patch.ts';
import {
  asCoreV1,
  asEventsV1,
  eventCells,
  eventColumns,
  eventErrors,
  eventFields,
  withEventDefaults,
} from './events.ts';
import { fieldDescription, shape } from './models.ts';
import type { DraftObject, ResourceDef, ResourceVersion, StoredObject, TableColumn } from './resource.ts';
import { age, column } from './table.ts';

const ALL_VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

interface BuiltIn {
  group?: string;
  plural: string;
  kind: string;
  /** The class of @kubernetes/client-node that describes it. */
  model: string;
  goPackage: string;
  shortNames?: string[];
  namespaced?: boolean;
  storage?: string;
  version?: Partial<ResourceVersion>;
  def?: Partial<ResourceDef>;
  /** Columns between Name and Age. */
  columns?: () => TableColumn[];
  cells?: (object: StoredObject) => unknown[];
  defaults?: (object: DraftObject) => DraftObject;
}

/** The OpenAPI component of a built-in kind is made from these by `openapi.ts`. */
export interface ModelRef extends PlainObject {
  model: string;
  goPackage: string;
}

/** A plain built-in resource: schema by client-node's model, Name and Age columns. */
export function builtIn(spec: BuiltIn): ResourceDef {
  const { group = '', kind, plural, model } = spec;
  const shaped = (object: DraftObject) => shape(model, kind, object);
  const version: ResourceVersion = {
    name: 'v1',
    hasStatus: false,
    columns() {
      const meta = (field: string) => fieldDescription('V1ObjectMeta', field);
      return [
        column('Name', 'string', meta('name'), 0, 'name'),
        ...(spec.columns?.() ?? []),
        column('Age', 'string', meta('creationTimestamp')),
      ];
    },
    cells: (object, now) => [
      object.metadata.name,
      ...(spec.cells?.(object) ?? []),
      age(object.metadata.creationTimestamp, now),
    ],
    fromStored: object => object,
    toStored: object => object,
    unknownFields: object => shaped(object).unknown,
    typeError: object => shape(model, kind, { ...object, metadata: undefined }).typeError,
    admit(object) {
      const draft = { ...shaped(object).object, metadata: object.metadata } as DraftObject;
      return spec.defaults?.(draft) ?? draft;
    },
    validate: () => [],
    openAPI: { model, goPackage: spec.goPackage } satisfies ModelRef,
    ...spec.version,
    patchMergeKeys: {
      'metadata.finalizers': '',
      'metadata.ownerReferences': 'uid',
      ...spec.version?.patchMergeKeys,
    },
  };
  return {
    group,
    plural,
    kind,
    singular: kind.toLowerCase(),
    listKind: `${kind}List`,
    shortNames: spec.shortNames ?? [],
    categories: [],
    namespaced: spec.namespaced ?? true,
    storage: spec.storage ?? `${group}/${plural}`,
    custom: false,
    versions: [version],
    hasGeneration: false,
    allowUnconditionalUpdate: true,
    allowCreateOnUpdate: false,
    verbs: ALL_VERBS,
    patchTypes: [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH],
    selectable: {},
    nameRule: 'subdomain',
    terminating: false,
    ...spec.def,
  };
}

const CORE = 'io.k8s.api.core.v1';
const size = (value: unknown) => (typeof value === 'object' && value ? Object.keys(value).length : 0);
const phase = (object: StoredObject) => String((object.status as { phase?: string } | undefined)?.phase ?? '');

function keyErrors(object: DraftObject, field: string): FieldCause[] {
  const bad = Object.keys((object[field] as object | undefined) ?? {}).filter(key => !/^[-._a-zA-Z0-9]+$/.test(key));
  return bad.map(key =>
    invalidValue(
      `${field}[${key}]`,
      key,
      "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ),
  );
}

function immutableErrors(object: DraftObject, old?: StoredObject): FieldCause[] {
  if (!old?.immutable) return [];
  const changed = ['data', 'binaryData'].filter(key => JSON.stringify(object[key]) !== JSON.stringify(old[key]));
  return changed.map(field => ({
    reason: 'FieldValueForbidden',
    message: 'Forbidden: field is immutable when `immutable` is set',
    field,
  }));
}

function leaseErrors({ spec }: DraftObject): FieldCause[] {
  const { leaseDurationSeconds, leaseTransitions } = spec as {
    leaseDurationSeconds?: number;
    leaseTransitions?: number;
  };
  const causes: FieldCause[] = [];
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    causes.push(invalidValue('spec.leaseDurationSeconds', leaseDurationSeconds, 'must be greater than 0'));
  }
  if (leaseTransitions !== undefined && leaseTransitions < 0) {
    causes.push(invalidValue('spec.leaseTransitions', leaseTransitions, 'must be greater than or equal to 0'));
  }
  return causes;
}

const eventDef: Partial<ResourceDef> = { allowCreateOnUpdate: true, selectable: eventFields };
const eventVersion = (newStyle: boolean): Partial<ResourceVersion> => ({
  columns: eventColumns,
  cells: eventCells,
  validate: object => eventErrors(object, newStyle),
});

/** The built-in resources, but for CustomResourceDefinitions. */
export const builtIns: ResourceDef[] = [
  builtIn({
    plural: 'namespaces',
    kind: 'Namespace',
    model: 'V1Namespace',
    goPackage: CORE,
    shortNames: ['ns'],
    namespaced: false,
    columns: () => [column('Status', 'string', 'The status of the namespace')],
    cells: object => [phase(object)],
    version: { hasStatus: true, patchMergeKeys: { 'status.conditions': 'type' } },
    def: {
      nameRule: 'label',
      verbs: ALL_VERBS.filter(verb => verb !== 'deletecollection'),
      selectable: { 'status.phase': phase, name: object => object.metadata.name },
    },
    defaults: object => ({
      ...object,
      metadata: {
        ...object.metadata,
        labels: { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name },
      },
    }),
  }),
  builtIn({
    plural: 'configmaps',
    kind: 'ConfigMap',
    model: 'V1ConfigMap',
    goPackage: CORE,
    shortNames: ['cm'],
    columns: () => [column('Data', 'string', fieldDescription('V1ConfigMap', 'data'))],
    cells: object => [size(object.data) + size(object.binaryData)],
    version: { validate: (object, old) => [...keyErrors(object, 'data'), ...immutableErrors(object, old)] },
  }),
  builtIn({
    plural: 'secrets',
    kind: 'Secret',
    model: 'V1Secret',
    goPackage: CORE,
    columns: () => [
      column('Type', 'string', fieldDescription('V1Secret', 'type')),
      column('Data', 'string', fieldDescription('V1Secret', 'data')),
    ],
    cells: object => [object.type, size(object.data)],
    version: { validate: (object, old) => [...keyErrors(object, 'data'), ...immutableErrors(object, old)] },
    def: { selectable: { type: object => String(object.type ?? '') } },
    defaults({ stringData, ...object }) {
      const encoded = Object.entries((stringData as Record<string, string> | undefined) ?? {}).map(
        ([key, value]): [string, string] => [key, Buffer.from(value).toString('base64')],
      );
      const data = { ...(object.data as object | undefined), ...Object.fromEntries(encoded) };
      return { ...object, type: object.type || 'Opaque', ...(size(data) ? { data } : {}) };
    },
  }),
  builtIn({
    plural: 'serviceaccounts',
    kind: 'ServiceAccount',
    model: 'V1ServiceAccount',
    goPackage: CORE,
    shortNames: ['sa'],
    version: { patchMergeKeys: { secrets: 'name', imagePullSecrets: 'name' } },
  }),
  builtIn({
    // None can be made; they are served for `kubectl get all` and `kubectl cluster-info`, which ask for them.
    plural: 'services',
    kind: 'Service',
    model: 'V1Service',
    goPackage: CORE,
    shortNames: ['svc'],
    def: { verbs: ['get', 'list', 'watch'], categories: ['all'] },
  }),
  builtIn({
    plural: 'events',
    kind: 'Event',
    model: 'CoreV1Event',
    goPackage: CORE,
    shortNames: ['ev'],
    storage: 'events',
    version: eventVersion(false),
    def: eventDef,
    defaults: withEventDefaults,
  }),
  builtIn({
    group: 'events.k8s.io',
    plural: 'events',
    kind: 'Event',
    model: 'EventsV1Event',
    goPackage: 'io.k8s.api.events.v1',
    shortNames: ['ev'],
    storage: 'events',
    version: {
      ...eventVersion(true),
      cells: (object, now) => eventCells(asCoreV1(object) as StoredObject, now),
      fromStored: asEventsV1,
      toStored: object => withEventDefaults(asCoreV1(object)),
    },
    def: eventDef,
  }),
  builtIn({
    group: 'coordination.k8s.io',
    plural: 'leases',
    kind: 'Lease',
    model: 'V1Lease',
    goPackage: 'io.k8s.api.coordination.v1',
    columns: () => [column('Holder', 'string', fieldDescription('V1LeaseSpec', 'holderIdentity'))],
    cells: object => [(object.spec as { holderIdentity?: string } | undefined)?.holderIdentity ?? ''],
    version: { validate: leaseErrors },
    def: { allowCreateOnUpdate: true, allowUnconditionalUpdate: false },
    defaults: object => ({ ...object, spec: object.spec ?? {} }),
  }),
];
