import { at, invalid, notSupported, required, tooLong, tooMany, typeInvalid } from './causes.ts';
import { formatCheck } from './formats.ts';
import { equal, fieldSchema, isObject, type Schema } from './model.ts';
import { compilePattern } from './patterns.ts';
import { number, quote } from './text.ts';
import type { FieldCause } from './types.ts';

/**
 * Validation against the schema, without CEL. Words, order and oddities are kube-apiserver's.
 * Source: k8s.io/kube-openapi, pkg/validation/{validate,errors}; k8s.io/apiextensions-apiserver v0.37.2, validation.go.
 */

/** The value that stood here before, where old and new can be told to be the same thing. */
export interface Old {
  value: unknown;
}

interface Result {
  errors: FieldCause[];
  /** How much of the schema applied; of several failures the one with most is reported. */
  matches: number;
}

type Kind = 'null' | 'boolean' | 'string' | 'integer' | 'number' | 'array' | 'object';

function kindOf(value: unknown): Kind {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  if (typeof value === 'string') return 'string';
  return typeof value === 'boolean' ? 'boolean' : 'object';
}

function merge(into: Result, ...others: Result[]): Result {
  for (const other of others) {
    for (const error of other.errors)
      if (!into.errors.some(known => known.field === error.field && known.message === error.message))
        into.errors.push(error);
    into.matches += other.matches;
  }
  return into;
}
const result = (matches: number, ...errors: FieldCause[]): Result => ({ errors, matches });

/** Errors of a value that has not changed are not reported (ratcheting). */
export function validateValue(schema: Schema, value: unknown, path: string, old?: Old): FieldCause[] {
  return ratcheted(schema, value, path, old).errors;
}

function ratcheted(schema: Schema, value: unknown, path: string, old: Old | undefined): Result {
  if (old && isObject(value) && value === old.value) return result(1);
  const found = validateNode(schema, value, path, old);
  return found.errors.length > 0 && old && equal(value, old.value) ? result(found.matches) : found;
}

function validateNode(schema: Schema, value: unknown, path: string, old: Old | undefined): Result {
  const kind = kindOf(value);
  const types = typesOf(schema);
  const format = formatOf(schema, types);
  const whole = result(0);
  if (kind === 'null') {
    const refused = types.length > 0 && !schema.nullable;
    if (refused) merge(whole, result(1, wrongType(path, types.join(','), 'null')));
    return merge(whole, checkEnum(schema, value, path));
  }
  if (types.length > 0 || format !== '') merge(whole, result(1), checkType(types, format, kind, path));
  merge(whole, result(1), checkJunctors(schema, value, path, old));
  if (kind === 'string') {
    const text = value as string;
    merge(whole, result(1), checkString(schema, text, path));
    const check = formatCheck(format);
    if (check) merge(whole, result(1, ...(check(text) ? [] : [wrongType(path, format, text)])));
  }
  if (kind === 'integer' || kind === 'number')
    merge(whole, result(1), checkNumber(schema, types, format, value as number, path));
  if (Array.isArray(value)) merge(whole, result(1), checkArray(schema, value, path, old));
  merge(whole, result(1), checkEnum(schema, value, path));
  if (isObject(value)) merge(whole, result(1), checkObject(schema, value, path, old));
  whole.matches += 1;
  return whole;
}

const typesOf = (schema: Schema): string[] =>
  schema.intOrString ? ['integer', 'string'] : schema.type === '' ? [] : [schema.type];

/** The format, where the server knows it for this type. */
function formatOf(schema: Schema, types: string[]): string {
  const type = types.length === 1 ? types[0] : 'string';
  if (type === 'integer') return ['int32', 'int64'].includes(schema.format) ? schema.format : '';
  if (type === 'number') return ['float', 'double'].includes(schema.format) ? schema.format : '';
  return type === 'string' && formatCheck(schema.format) ? schema.format : '';
}

const wrongType = (path: string, expected: string, actual: string): FieldCause =>
  typeInvalid(path, actual, `${path} in body must be of type ${expected}: ${quote(actual)}`);

function checkType(types: string[], format: string, kind: Kind, path: string): Result {
  const fits = types.includes(kind) || (kind === 'integer' && types.includes('number'));
  const numeric = types.includes('number') || types.includes('integer');
  if (format !== '' && kind !== 'string' && kind !== 'array' && !fits) {
    const actual = kind === 'integer' ? 'int64' : kind === 'number' ? 'float64' : '';
    return result(1, wrongType(path, format, actual));
  }
  if (format !== '' && !numeric && (kind === 'string' || kind === 'array')) return result(1);
  return result(1, ...(fits || types.length === 0 ? [] : [wrongType(path, types.join(','), kind)]));
}

function checkEnum(schema: Schema, value: unknown, path: string): Result {
  const values = schema.enum ?? [];
  if (values.length === 0 || values.some(item => equal(item, value))) return result(0);
  return result(0, notSupported(path, value, values));
}

function checkString(schema: Schema, value: string, path: string): Result {
  const length = [...value].length;
  if (schema.maxLength !== undefined && length > schema.maxLength) return result(0, tooLong(path, schema.maxLength));
  if (schema.minLength !== undefined && length < schema.minLength)
    return result(0, invalid(path, value, `${path} in body should be at least ${schema.minLength} chars long`));
  if (schema.pattern !== undefined && !compilePattern(schema.pattern)(value))
    return result(0, invalid(path, value, `${path} in body should match '${schema.pattern}'`));
  return result(0);
}

function checkNumber(schema: Schema, types: string[], format: string, value: number, path: string): Result {
  const found = result(1);
  const refuse = (words: string): number =>
    found.errors.push(invalid(path, value, `${path} in body should be ${words}`));
  const tooWide = format === 'int32' && (value > 2 ** 31 - 1 || value < -(2 ** 31));
  if (types.length === 1 && types[0] === 'integer' && (tooWide || !Number.isInteger(value)))
    found.errors.push(
      invalid(
        '',
        '',
        `Checked value must be of type integer ${format === '' ? '(default format)' : `with format ${format}`} in ${path}`,
      ),
    );
  const { multipleOf, exclusiveMaximum, exclusiveMinimum } = schema;
  // The server compares an integer with what is left of the bound as an int64.
  const bound = (limit?: number): number | undefined =>
    limit !== undefined && Number.isInteger(value) ? Math.trunc(limit) : limit;
  const [maximum, minimum] = [bound(schema.maximum), bound(schema.minimum)];
  if (multipleOf !== undefined) {
    const times = multipleOf < 1 ? (1 / multipleOf) * value : value / multipleOf;
    if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times)))
      refuse(`a multiple of ${number(multipleOf)}`);
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    refuse(`less than ${exclusiveMaximum ? '' : 'or equal to '}${number(maximum)}`);
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    refuse(`greater than ${exclusiveMinimum ? '' : 'or equal to '}${number(minimum)}`);
  return found;
}

function checkArray(schema: Schema, value: unknown[], path: string, old: Old | undefined): Result {
  const found = result(1);
  const { items, minItems, maxItems } = schema;
  if (items)
    value.forEach((item, i) => {
      merge(found, ratcheted(items, item, at(path, i), oldItem(schema, item, old)));
    });
  if (minItems !== undefined && value.length < minItems)
    found.errors.push(invalid(path, value.length, `${path} in body should have at least ${minItems} items`));
  if (maxItems !== undefined && value.length > maxItems) found.errors.push(tooMany(path, value.length, maxItems));
  return found;
}

/** Only items of a list of type map can be recognised after a change: by their keys. */
export function oldItem(schema: Schema, item: unknown, old: Old | undefined): Old | undefined {
  if (schema.listType !== 'map' || !Array.isArray(old?.value) || !isObject(item)) return undefined;
  const value = old.value.find(
    other => isObject(other) && schema.listMapKeys.every(key => equal(other[key], item[key])),
  );
  return value === undefined ? undefined : { value };
}

export function oldField(name: string, old: Old | undefined): Old | undefined {
  return isObject(old?.value) && Object.hasOwn(old.value, name) ? { value: old.value[name] } : undefined;
}

function checkObject(schema: Schema, value: Record<string, unknown>, path: string, old: Old | undefined): Result {
  const found = result(0);
  const names = Object.keys(value);
  const { minProperties, maxProperties } = schema;
  if (minProperties !== undefined && names.length < minProperties)
    found.errors.push(invalid(path, names.length, `${path} in body should have at least ${minProperties} properties`));
  if (maxProperties !== undefined && names.length > maxProperties)
    found.errors.push(tooMany(path, names.length, maxProperties));
  for (const name of names) {
    const property = fieldSchema(schema, name);
    if (!property) continue;
    // apiVersion and kind are those of the request, whatever was stored.
    const before = path === '' && (name === 'apiVersion' || name === 'kind') ? undefined : oldField(name, old);
    merge(found, ratcheted(property, value[name], path === '' ? name : `${path}.${name}`, before));
  }
  for (const name of schema.required)
    if (!Object.hasOwn(value, name)) found.errors.push(required(path === '' ? name : `${path}.${name}`));
  return found;
}

function checkJunctors(schema: Schema, value: unknown, path: string, old: Old | undefined): Result {
  const found = result(1);
  const name = quote(path);
  const run = (branch: Schema): Result => validateNode(branch, value, path, old);
  const best = (failures: Result[]): Result[] =>
    failures
      .slice(0, 1)
      .map(first => failures.reduce((most, next) => (next.matches > most.matches ? next : most), first));
  const refuse = (words: string): number => found.errors.push(invalid('', '', `${name} must ${words}`));
  if (schema.anyOf.length > 0) {
    const runs = schema.anyOf.map(run);
    const success = runs.find(item => item.errors.length === 0);
    if (!success) refuse('validate at least one schema (anyOf)');
    merge(found, ...(success ? [success] : best(runs)));
  }
  if (schema.oneOf.length > 0) {
    const runs = schema.oneOf.map(run);
    const successes = runs.filter(item => item.errors.length === 0);
    if (successes.length === 1) merge(found, ...successes);
    else {
      const words = successes.length === 0 ? 'Found none valid' : `Found ${successes.length} valid alternatives`;
      refuse(`validate one and only one schema (oneOf). ${words}`);
      if (successes.length === 0) merge(found, ...best(runs));
    }
  }
  if (schema.allOf.length > 0) {
    const runs = schema.allOf.map(run);
    merge(found, ...runs);
    const passed = runs.filter(item => item.errors.length === 0).length;
    if (passed < runs.length) refuse(`validate all the schemas (allOf)${passed === 0 ? '. None validated' : ''}`);
  }
  if (schema.not && run(schema.not).errors.length === 0) refuse('not validate the schema (not)');
  return found;
}
