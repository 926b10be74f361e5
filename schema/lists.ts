import { at, child, duplicate, invalid } from './causes.ts';
import { fieldSchema, isObject, type Schema } from './model.ts';
import { json } from './text.ts';
import type { FieldCause } from './types.ts';

/** Objects in which all is there once: they are not changed once they are stored. */
const sound = new WeakMap<Schema, WeakSet<object>>();

/**
 * Items of a list of type set, and the keys of a list of type map, are there once.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apiserver/schema/listtype.
 */
export function validateLists(schema: Schema, value: unknown, path: string): FieldCause[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    const below = items ? value.flatMap((item, i) => validateLists(items, item, at(path, i))) : [];
    return [...checkList(schema, value, path), ...below];
  }
  if (!isObject(value)) return [];
  const known = sound.get(schema) ?? new WeakSet();
  if (known.has(value)) return [];
  const found = Object.entries(value).flatMap(([name, item]) => {
    const property = fieldSchema(schema, name);
    if (!property) return [];
    return validateLists(property, item, Object.hasOwn(schema.properties, name) ? child(path, name) : at(path, name));
  });
  if (found.length === 0) sound.set(schema, known.add(value));
  return found;
}

function checkList(schema: Schema, list: unknown[], path: string): FieldCause[] {
  if (schema.listType === 'set') return repeated(list).map(i => duplicate(at(path, i), list[i]));
  if (schema.listType !== 'map') return [];
  const odd = list.findIndex(item => item !== null && !isObject(item));
  if (odd >= 0) return [invalid(at(path, odd), list[odd], 'must be an object for an array of list-type map')];
  const keys = list.map(item =>
    Object.fromEntries(
      schema.listMapKeys.flatMap(key => (isObject(item) && Object.hasOwn(item, key) ? [[key, item[key]]] : [])),
    ),
  );
  return repeated(keys).map(i => duplicate(at(path, i), keys[i]));
}

/** The second of each group of equal items; further ones are not reported. */
function repeated(list: unknown[]): number[] {
  if (list.length < 2) return [];
  const seen = new Map<string, number>();
  return list.flatMap((item, i) => {
    const text = json(item);
    const times = (seen.get(text) ?? 0) + 1;
    seen.set(text, times);
    return times === 2 ? [i] : [];
  });
}
