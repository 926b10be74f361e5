import type { PlainObject } from '../../../schema/types.ts';
import { DEDUCED, type Type } from './typed.ts';

/**
 * Checks an applied object against its type, as kube-apiserver does before it merges anything: a field that the schema does not
 * declare, a value of another type, or an item of a keyed list without its key or with another's is refused, whatever
 * `fieldValidation` says. Null is a value of every type. Returns the first fault in kube-apiserver's words, for example
 * `.spec.foo: field not declared in schema`. Source: observed answers of kube-apiserver 1.37, which the conformance tests repeat.
 */
export function typeFault(value: unknown, type: Type, path = ''): string | undefined {
  if (value === null || value === undefined || type === DEDUCED) return undefined;
  switch (type.kind) {
    case 'leaf':
      return leafFault(value, type, path);
    case 'map':
      return isPlain(value) ? mapFault(value, type, path) : `${path}: expected map, got &{${goValue(value)}}`;
    case 'list':
      return Array.isArray(value) ? listFault(value, type, path) : `${path}: expected list, got &{${goValue(value)}}`;
  }
}

const isPlain = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function leafFault(value: unknown, { of }: Type & { kind: 'leaf' }, path: string): string | undefined {
  if (of === undefined || typeof value === of) return undefined;
  switch (of) {
    case 'string':
      return `${path}: expected string, got &value.valueUnstructured{Value:${goSyntax(value)}}`;
    case 'boolean':
      return `${path}: expected boolean, got &{${goValue(value)}}`;
    case 'number':
      return `${path}: expected numeric (int or float), got ${goType(value)}`;
  }
}

function mapFault(value: PlainObject, type: Type & { kind: 'map' }, path: string): string | undefined {
  for (const [name, inner] of Object.entries(value)) {
    const of = type.field(name) ?? type.values;
    const at = `${path}.${name}`;
    if (!of && !type.isOpen) return `${at}: field not declared in schema`;
    const fault = of && typeFault(inner, of, at);
    if (fault) return fault;
  }
  return undefined;
}

function listFault(items: unknown[], type: Type & { kind: 'list' }, path: string): string | undefined {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    if (type.relation === 'atomic') {
      const fault = typeFault(item, type.item, `${path}[${index}]`);
      if (fault) return fault;
      continue;
    }
    const noKey = keyFault(item, type);
    if (noKey) return `${path}: element ${index}: ${noKey}`;
    const key = keyText(item, type);
    if (seen.has(key)) return `${path}: duplicate entries for key ${key}`;
    seen.add(key);
    const fault = typeFault(item, type.item, path + key);
    if (fault) return fault;
  }
  return undefined;
}

function keyFault(item: unknown, { relation, keys, keyDefaults }: Type & { kind: 'list' }): string | undefined {
  if (relation === 'set') {
    return item === null ? "associative list without keys has an element that's an explicit null" : undefined;
  }
  if (item === null) return 'associative list with keys may not have a null element';
  if (!isPlain(item)) return 'associative list with keys may not have non-map elements';
  if (keys.some(key => item[key] !== undefined || keyDefaults?.[key] !== undefined)) return undefined;
  const listed = keys.map(key => JSON.stringify(key)).join(' ');
  return `associative list with keys has an element that omits all key fields [${listed}] (and doesn't have default values for any key fields)`;
}

function keyText(item: unknown, { relation, keys, keyDefaults }: Type & { kind: 'list' }): string {
  if (relation === 'set') return `[=${JSON.stringify(item)}]`;
  const fields = keys.map(key => [key, (item as PlainObject)[key] ?? keyDefaults?.[key]] as const);
  return `[${fields.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}

/** As Go prints a value with `%v`. */
function goValue(value: unknown): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goValue).join(' ')}]`;
  if (!isPlain(value)) return String(value);
  return `map[${sortedEntries(value)
    .map(([key, inner]) => `${key}:${goValue(inner)}`)
    .join(' ')}]`;
}

/** As Go prints a value with `%#v`. */
function goSyntax(value: unknown): string {
  if (value === null) return 'interface {}(nil)';
  if (Array.isArray(value)) return `[]interface {}{${value.map(goSyntax).join(', ')}}`;
  if (!isPlain(value)) return JSON.stringify(value);
  return `map[string]interface {}{${sortedEntries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}:${goSyntax(inner)}`)
    .join(', ')}}`;
}

/** As Go prints a value's type with `%T`. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return '[]interface {}';
  return isPlain(value) ? 'map[string]interface {}' : typeof value === 'boolean' ? 'bool' : typeof value;
}

const sortedEntries = (value: PlainObject) => Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
