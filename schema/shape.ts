import { fieldSchema, isObject, put, type Schema } from './model.ts';
import type { PlainObject } from './types.ts';

/**
 * Defaulting and pruning, as kube-apiserver does them to every custom resource that comes in.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apiserver/schema/{defaulting,pruning}.
 */

const META = new Set(['apiVersion', 'kind', 'metadata']);

/** Fills in the defaults; null counts as absent where the schema is not nullable. */
export function applyDefaults(value: unknown, schema: Schema | undefined): unknown {
  if (!schema) return value;
  if (Array.isArray(value)) {
    const { items } = schema;
    return value.map(item =>
      applyDefaults(item === null && items && !items.nullable ? copy(items.default ?? null) : item, items),
    );
  }
  if (!isObject(value)) return value;
  const result: PlainObject = {};
  for (const [name, item] of Object.entries(value)) if (item !== undefined) put(result, name, item);
  for (const [name, property] of Object.entries(schema.properties)) {
    if (property.default === undefined) continue;
    if (!Object.hasOwn(result, name) || (result[name] === null && !property.nullable))
      put(result, name, copy(property.default));
  }
  for (const name of Object.keys(result)) put(result, name, applyDefaults(result[name], fieldSchema(schema, name)));
  return result;
}

const copy = (value: unknown): unknown => structuredClone(value);

/**
 * Drops what the schema does not know, and nulls that are neither allowed nor defaulted. `onUnknown` gets the path of
 * each field dropped for being unknown. `root`: the object's own apiVersion, kind and metadata stay.
 */
export function prune(
  value: unknown,
  schema: Schema,
  root: boolean,
  onUnknown: (path: string) => void = () => {},
): unknown {
  return pruneNulls(pruneAt(value, schema, root || schema.embedded, '', onUnknown), schema);
}

function pruneAt(
  value: unknown,
  schema: Schema | undefined,
  isResource: boolean,
  path: string,
  onUnknown: (path: string) => void,
): unknown {
  const keepUnknown = schema?.preserveUnknown === true;
  if (Array.isArray(value)) {
    const { items } = schema ?? {};
    // Inside an array whose items say nothing, what is kept above stays kept; anywhere else it is unknown.
    return value.map((item, i) =>
      keepUnknown && items && !items.preserveUnknown
        ? pruneAt(item, { ...items, preserveUnknown: true }, items.embedded, `${path}[${i}]`, onUnknown)
        : keepUnknown && !items
          ? item
          : pruneAt(item, items, items?.embedded ?? false, `${path}[${i}]`, onUnknown),
    );
  }
  if (!isObject(value)) return value;
  const result: PlainObject = {};
  for (const [name, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const below = path === '' ? name : `${path}.${name}`;
    const known = schema !== undefined && Object.hasOwn(schema.properties, name);
    const { additionalProperties } = schema ?? {};
    if (isResource && META.has(name)) put(result, name, item);
    else if (known || additionalProperties !== undefined) {
      const property = fieldSchema(schema, name);
      // additionalProperties: true says nothing of the value, so of an object in it nothing is known.
      put(
        result,
        name,
        keepUnknown && !property ? item : pruneAt(item, property, property?.embedded ?? false, below, onUnknown),
      );
    } else if (keepUnknown) put(result, name, item);
    else if (!META.has(name) || path !== '') onUnknown(below);
  }
  return result;
}

function pruneNulls(value: unknown, schema: Schema | undefined): unknown {
  if (Array.isArray(value)) return value.map(item => pruneNulls(item, schema?.items));
  if (!isObject(value)) return value;
  const result: PlainObject = {};
  for (const [name, item] of Object.entries(value)) {
    const property = fieldSchema(schema, name);
    if (item === null && property && !property.nullable && property.default === undefined) continue;
    put(result, name, pruneNulls(item, property));
  }
  return result;
}
