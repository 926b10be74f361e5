import { fieldSchema, isObject, readSchema, type Schema } from '../../../schema/model.ts';
import type { PlainObject } from '../../../schema/types.ts';
import { fieldTypes } from '../resources/models.ts';
import type { ResourceVersion } from '../resources/resource.ts';
import { DEDUCED, LEAF, type Type } from './typed.ts';

/** The types that server-side apply needs, read from a CRD's schema or from the models of the built-in kinds. */

/** Lists of built-in kinds whose items have owners of their own. Source: Kubernetes OpenAPI, x-kubernetes-list-type. */
const LISTS: Record<string, { relation: 'set' } | { relation: 'map'; keys: string[] }> = {
  'V1ObjectMeta.finalizers': { relation: 'set' },
  'V1ObjectMeta.ownerReferences': { relation: 'map', keys: ['uid'] },
  'V1NamespaceStatus.conditions': { relation: 'map', keys: ['type'] },
  'V1ServiceAccount.secrets': { relation: 'map', keys: ['name'] },
  'V1CustomResourceDefinitionStatus.conditions': { relation: 'map', keys: ['type'] },
};
/** Source: the same document, x-kubernetes-map-type. */
const ATOMIC = new Set(['V1OwnerReference', 'V1ObjectReference', 'V1LocalObjectReference']);

/**
 * Structs that kube-apiserver's Go types hold by value: they are there in every object, also in one that is only about to be
 * made, so nobody adds them. Source: the types of k8s.io/api.
 */
const BY_VALUE: Record<string, PlainObject> = {
  V1Namespace: { spec: {}, status: {} },
  V1CustomResourceDefinition: {
    spec: { group: '', names: { plural: '', kind: '' }, scope: '', versions: null },
    status: { acceptedNames: { plural: '', kind: '' }, conditions: null, storedVersions: null },
  },
  V1Lease: { spec: {} },
  CoreV1Event: { involvedObject: {}, source: {}, eventTime: null },
  EventsV1Event: { regarding: {}, deprecatedSource: {}, eventTime: null },
};

/** The object with the structs that its Go type always has. */
export function asGoValue({ openAPI }: Pick<ResourceVersion, 'openAPI'>, object: PlainObject): PlainObject {
  const zero = typeof openAPI.model === 'string' ? BY_VALUE[openAPI.model] : undefined;
  return zero ? filled(object, zero) : object;
}

function filled(object: PlainObject, zero: PlainObject): PlainObject {
  const result = { ...object };
  for (const [key, value] of Object.entries(zero)) {
    const own = result[key];
    if (own === undefined) result[key] = value;
    else if (isObject(value) && isObject(own)) result[key] = filled(own, value);
  }
  return result;
}

const types = new WeakMap<object, Type>();

/** The type of a resource's objects. */
export function typeOf({ openAPI }: Pick<ResourceVersion, 'openAPI'>): Type {
  let type = types.get(openAPI);
  if (!type) {
    type = typeof openAPI.model === 'string' ? modelType(openAPI.model) : objectType(readSchema(openAPI));
    types.set(openAPI, type);
  }
  return type;
}

function objectType(schema: Schema): Type {
  const of = schemaType(schema);
  const metadata = modelType('V1ObjectMeta');
  if (of.kind !== 'map') return of;
  return {
    ...of,
    field: name =>
      name === 'metadata' ? metadata : name === 'apiVersion' || name === 'kind' ? leafOf('string') : of.field(name),
  };
}

const LEAVES: Record<string, Type> = {
  string: { kind: 'leaf', of: 'string' },
  boolean: { kind: 'leaf', of: 'boolean' },
  integer: { kind: 'leaf', of: 'number' },
  number: { kind: 'leaf', of: 'number' },
};
/** The leaf for a type of OpenAPI; any other type, such as a date's, is not checked. */
const leafOf = (type: string): Type => LEAVES[type] ?? LEAF;

function schemaType(schema: Schema): Type {
  if (schema.intOrString) return LEAF;
  if (schema.type === 'array') {
    const item = schema.items ? schemaType(schema.items) : LEAF;
    const relation = schema.listType === 'set' || schema.listType === 'map' ? schema.listType : 'atomic';
    const defaults = schema.listMapKeys.map(key => [key, schema.items?.properties[key]?.default] as const);
    const keyDefaults = Object.fromEntries(defaults.filter(([, value]) => value !== undefined));
    return { kind: 'list', relation, keys: schema.listMapKeys, item, keyDefaults };
  }
  if (schema.type !== 'object') return schema.preserveUnknown ? DEDUCED : leafOf(schema.type);
  const fields = new Map<string, Type>();
  const values = typeof schema.additionalProperties === 'object' ? schemaType(schema.additionalProperties) : undefined;
  return {
    kind: 'map',
    atomic: schema.mapType === 'atomic',
    values,
    isOpen:
      schema.preserveUnknown || schema.additionalProperties === true || Object.keys(schema.properties).length === 0,
    field(name) {
      if (!Object.hasOwn(schema.properties, name)) return undefined;
      const of = fields.get(name) ?? schemaType(fieldSchema(schema, name) ?? readSchema({}));
      fields.set(name, of);
      return of;
    },
  };
}

function modelType(model: string): Type {
  const fields = new Map<string, Type>();
  return {
    kind: 'map',
    atomic: ATOMIC.has(model),
    field(name) {
      const known = fields.get(name);
      if (known) return known;
      const declared = fieldTypes(model).get(name);
      if (declared === undefined) return undefined;
      const of = declaredType(declared, LISTS[`${model}.${name}`]);
      fields.set(name, of);
      return of;
    },
  };
}

function declaredType(type: string, list: (typeof LISTS)[string] | undefined): Type {
  const element = /^Array<(.+)>$/.exec(type)?.[1];
  if (element) {
    const keys = list?.relation === 'map' ? list.keys : [];
    // Keys of built-in kinds have the default '' (Kubernetes OpenAPI).
    const keyDefaults = Object.fromEntries(keys.map(key => [key, '']));
    return {
      kind: 'list',
      relation: list?.relation ?? 'atomic',
      keys,
      item: declaredType(element, undefined),
      keyDefaults,
    };
  }
  const values = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  if (values) return { kind: 'map', atomic: false, field: () => undefined, values: declaredType(values, undefined) };
  if (/^(V\d|CoreV1|EventsV1)\w+$/.test(type) && type !== 'V1MicroTime') return modelType(type);
  return type === 'any' ? DEDUCED : leafOf(type);
}
