import { invalidValue } from '../../../schema/metadata.ts';
import type { CompileCrd, CompiledCrd, CompiledVersion, FieldCause, PlainObject } from '../../../schema/types.ts';
import { JSON_PATCH, MERGE_PATCH } from '../verbs/patch.ts';
import { builtIn } from './builtins.ts';
import { jsonPath } from './jsonPath.ts';
import { unknownMetaFields } from './meta.ts';
import type { DraftObject, ResourceDef, ResourceVersion, StoredObject } from './resource.ts';
import { column, creationDescription, nameColumn, printerCell } from './table.ts';

export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';

export interface CrdCondition {
  type: string;
  status: 'True' | 'False';
  reason: string;
  message: string;
  lastTransitionTime: string;
}
interface CrdVersion {
  name: string;
  served: boolean;
  storage: boolean;
  selectableFields?: { jsonPath: string }[];
}
export interface CrdObject extends StoredObject {
  spec: {
    group: string;
    scope: string;
    names: {
      plural: string;
      singular?: string;
      kind: string;
      listKind?: string;
      shortNames?: string[];
      categories?: string[];
    };
    versions: CrdVersion[];
  };
  status: { conditions?: CrdCondition[]; acceptedNames: object; storedVersions: string[] };
}

export const hasCondition = (crd: CrdObject, type: string) =>
  crd.status.conditions?.some(condition => condition.type === type && condition.status === 'True') ?? false;

function withCrdDefaults(object: DraftObject): DraftObject {
  const spec = { ...(object.spec as PlainObject | undefined) };
  const names = { ...(spec.names as PlainObject | undefined) };
  names.singular ||= String(names.kind ?? '').toLowerCase();
  if (names.kind) names.listKind ||= `${names.kind}List`;
  spec.names = withoutEmpty(names);
  if (Array.isArray(spec.versions)) spec.versions = spec.versions.map(withoutEmpty);
  spec.conversion ??= { strategy: 'None' };
  return { ...object, spec };
}

/** The object without its empty lists. */
const withoutEmpty = (value: PlainObject): PlainObject =>
  Object.fromEntries(Object.entries(value).filter(([, inner]) => !Array.isArray(inner) || inner.length > 0));

/** The status of a CRD before its controller has processed it. With `old`, the old status with the new storage versions added. */
export function newCrdStatus(object: DraftObject, old?: PlainObject): PlainObject {
  const versions = ((object.spec as PlainObject | undefined)?.versions ?? []) as CrdVersion[];
  const stored = versions.filter(version => version.storage).map(version => version.name);
  if (!old) return { conditions: null, acceptedNames: { plural: '', kind: '' }, storedVersions: stored };
  return { ...old, storedVersions: [...new Set([...((old.storedVersions ?? []) as string[]), ...stored])] };
}

function crdCells(crd: CrdObject): unknown[] {
  const { group, scope, names, versions } = crd.spec;
  const served = versions.filter(version => version.served);
  return [
    crd.metadata.name,
    scope,
    served
      .map(({ name, storage }) => (storage ? `${name}(storage)` : name))
      .sort()
      .join(','),
    crd.metadata.creationTimestamp,
    group,
    names.kind,
    names.shortNames?.join(',') ?? '',
    hasCondition(crd, 'Established'),
  ];
}

/** The CRD with changed conditions. `lastTransitionTime` changes only if the status of a condition does. `now`: RFC 3339. */
export function withConditions(
  crd: CrdObject,
  now: string,
  changes: Omit<CrdCondition, 'lastTransitionTime'>[],
): CrdObject {
  const conditions = [...(crd.status.conditions ?? [])];
  for (const { message, reason, status, type } of changes) {
    const index = conditions.findIndex(condition => condition.type === type);
    const old = conditions[index];
    const lastTransitionTime = old?.status === status ? old.lastTransitionTime : now;
    const condition = { lastTransitionTime, message, reason, status, type };
    if (index < 0) conditions.push(condition);
    else conditions[index] = condition;
  }
  return { ...crd, status: { ...crd.status, conditions } };
}

/** Marks a CRD for deletion. kube-apiserver's own finalizer keeps it until all its objects are deleted. */
export function markedForCleanup(crd: CrdObject, now: string): CrdObject {
  const finalizers = [...new Set([...(crd.metadata.finalizers ?? []), CLEANUP_FINALIZER])];
  const metadata = { ...crd.metadata, deletionTimestamp: now, finalizers };
  const message = 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon';
  return withConditions({ ...crd, metadata }, now, [
    { type: 'Terminating', status: 'True', reason: 'InstanceDeletionPending', message },
  ]);
}

/**
 * Refuses a change of the fields that determine the objects' storage key and, once the CRD is served, of the names that clients
 * use.
 */
function crdUpdateErrors({ spec }: CrdObject, old: CrdObject): FieldCause[] {
  const fixed: [field: string, now: unknown, before: unknown][] = [
    ['spec.group', spec.group, old.spec.group],
    ['spec.names.plural', spec.names.plural, old.spec.names.plural],
  ];
  if (hasCondition(old, 'Established')) {
    fixed.push(['spec.scope', spec.scope, old.spec.scope], ['spec.names.kind', spec.names.kind, old.spec.names.kind]);
  }
  return fixed
    .filter(([, now, before]) => now !== before)
    .map(([field, now]) => invalidValue(field, now, 'field is immutable'));
}

/** The resource `customresourcedefinitions`. */
export function crdResource(compile: CompileCrd): ResourceDef {
  return builtIn({
    group: 'apiextensions.k8s.io',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    model: 'V1CustomResourceDefinition',
    goPackage: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1',
    shortNames: ['crd', 'crds'],
    namespaced: false,
    defaults: withCrdDefaults,
    version: {
      hasStatus: true,
      columns: () => [
        nameColumn(),
        column('Scope', 'string', 'Cluster/Namespaced'),
        column('Versions', 'string', 'Served versions'),
        column('Created At', 'date', creationDescription()),
        column('Group', 'string', 'API group', 1),
        column('Kind', 'string', 'CustomResource kind', 1),
        column('ShortNames', 'string', 'Short names', 1),
        column('Established', 'boolean', 'Established status', 1),
      ],
      cells: object => crdCells(object as CrdObject),
      validate(object, old): FieldCause[] {
        const result = compile(object);
        return [
          ...(result.ok ? [] : result.causes),
          ...(old ? crdUpdateErrors(object as CrdObject, old as CrdObject) : []),
        ];
      },
    },
    def: { categories: ['api-extensions'], allowUnconditionalUpdate: false, hasGeneration: true },
  });
}

/** The resource that an established CRD defines. */
export function customResource(crd: CrdObject, compiled: CompiledCrd): ResourceDef {
  const { group } = compiled;
  const served = compiled.versions.filter(version => version.served).sort((a, b) => byPriority(a.name, b.name));
  const storedAs = `${group}/${compiled.versions.find(version => version.storage)?.name}`;
  const selectable = crd.spec.versions.flatMap(version => version.selectableFields ?? []);
  return {
    group,
    plural: compiled.plural,
    singular: compiled.singular,
    kind: compiled.kind,
    listKind: compiled.listKind,
    shortNames: compiled.shortNames,
    categories: compiled.categories,
    namespaced: compiled.namespaced,
    storage: `${group}/${compiled.plural}`,
    custom: true,
    versions: served.map(version => customVersion(group, version, storedAs)),
    hasGeneration: true,
    allowUnconditionalUpdate: false,
    allowCreateOnUpdate: false,
    verbs: ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'],
    patchTypes: [JSON_PATCH, MERGE_PATCH],
    selectable: Object.fromEntries(
      selectable.map(({ jsonPath: path }) => [
        path.replace(/^\./, ''),
        (object: StoredObject) => {
          const [value] = jsonPath(path, object);
          return value === undefined || value === null ? '' : String(value);
        },
      ]),
    ),
    nameRule: 'subdomain',
    terminating: !!crd.metadata.deletionTimestamp,
  };
}

function customVersion(group: string, compiled: CompiledVersion, storedAs: string): ResourceVersion {
  const apiVersion = `${group}/${compiled.name}`;
  // If the CRD defines no printer columns, kube-apiserver prints the age.
  const printed = compiled.printerColumns.length
    ? compiled.printerColumns
    : [
        {
          name: 'Age',
          type: 'date',
          jsonPath: '.metadata.creationTimestamp',
          get description() {
            return creationDescription();
          },
        },
      ];
  return {
    name: compiled.name,
    hasStatus: compiled.hasStatus,
    columns: () => [
      nameColumn(),
      ...printed.map(({ name, type, description, jsonPath: path, ...rest }) =>
        column(
          name,
          type,
          description || `Custom resource definition column (in JSONPath format): ${path}`,
          'priority' in rest ? rest.priority : 0,
          'format' in rest ? rest.format : '',
        ),
      ),
    ],
    cells: (object, now) => [
      object.metadata.name,
      ...printed.map(({ type, jsonPath: path }) => printerCell(type, path, object, now)),
    ],
    // Conversion webhooks are not supported, so a conversion only changes apiVersion and applies the version's defaults.
    fromStored: object =>
      object.apiVersion === apiVersion ? object : (compiled.applyDefaults({ ...object, apiVersion }) as StoredObject),
    toStored: object => ({ ...object, apiVersion: storedAs }),
    typeError: () => undefined,
    unknownFields: object =>
      [...unknownMetaFields(object.metadata), ...compiled.unknownFields(object)].filter(
        (path, index, all) => all.indexOf(path) === index,
      ),
    admit: object => compiled.applyDefaults(compiled.prune(object)) as DraftObject,
    validate: (object, old, wrong) => compiled.validate(object, old, wrong),
    openAPI: compiled.openAPIV3Schema,
    patchMergeKeys: {},
  };
}

/** Sorts versions by Kubernetes' priority: GA before beta before alpha, and in each stage from high to low. */
function byPriority(a: string, b: string): number {
  const rank = (name: string) => {
    const [, major = '', stage, minor = '0'] = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(name) ?? [];
    if (!major) return [0, 0, 0];
    return [stage === 'alpha' ? 1 : stage === 'beta' ? 2 : 3, Number(major), Number(minor)];
  };
  const [left, right] = [rank(a), rank(b)];
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? 0;
    if (value !== other) return other - value;
  }
  return a < b ? -1 : 1;
}
