import type { CelInput } from '@bufbuild/cel';
import { create } from '@bufbuild/protobuf';
import { DurationSchema, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { fieldSchema, isObject, type Schema } from '../model.ts';

/**
 * JSON as CEL sees it: typed by the schema, what the schema does not name is invisible.
 * Source: k8s.io/apiserver v0.37.2, pkg/cel/common and pkg/cel/escaping.go.
 */

const RESERVED = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);
const ESCAPES: Record<string, string> = { __: '__underscores__', '.': '__dot__', '-': '__dash__', '/': '__slash__' };

const escaped = new WeakMap<Schema, Map<string, string | undefined>>();

/** The name of a schema's field in a rule; undefined: a rule cannot name it. */
function fieldName(schema: Schema, name: string): string | undefined {
  let names = escaped.get(schema);
  if (!names) {
    names = new Map(Object.keys(schema.properties).map(field => [field, escapeName(field)]));
    escaped.set(schema, names);
  }
  return names.get(name);
}

/** The name of a field in a rule; undefined: a rule cannot name it. */
export function escapeName(name: string): string | undefined {
  if (!/^[A-Za-z_./-][\w./-]*$/.test(name)) return undefined;
  return RESERVED.has(name) ? `__${name}__` : name.replace(/__|[-./]/g, found => ESCAPES[found] ?? found);
}

const text = { type: 'string' };
const META = {
  kind: text,
  apiVersion: text,
  metadata: { type: 'object', properties: { name: text, generateName: text } },
};

/** The schema of a resource's root: type and name are always visible, the rest of the metadata never. */
export function withMeta(schema: Schema, read: (raw: unknown) => Schema): Schema {
  return { ...schema, properties: { ...schema.properties, ...read({ properties: META }).properties } };
}

/** Objects as a schema has them seen: many rules look at one, and it is not changed once it is stored. */
const seen = new WeakMap<Schema, WeakMap<object, CelInput>>();

export function toCel(value: unknown, schema: Schema | undefined): CelInput {
  if (value === null || value === undefined || !schema) return null;
  if (typeof value === 'string') return fromText(value, schema);
  if (typeof value === 'number') {
    const isInt = schema.type === 'integer' || (schema.intOrString && Number.isInteger(value));
    return isInt && Number.isInteger(value) ? BigInt(value) : value;
  }
  if (typeof value === 'boolean') return value;
  if (Array.isArray(value)) return value.map(item => toCel(item, schema.items));
  if (!isObject(value)) return null;
  let views = seen.get(schema);
  if (!views) {
    views = new WeakMap();
    seen.set(schema, views);
  }
  const known = views.get(value);
  if (known) return known;
  const isMap = typeof schema.additionalProperties === 'object';
  const entries = Object.entries(value).flatMap(([name, item]): [string, CelInput][] => {
    const property = fieldSchema(schema, name);
    const key = isMap ? name : fieldName(schema, name);
    return property && key !== undefined ? [[key, toCel(item, property)]] : [];
  });
  const view = new Map(entries);
  views.set(value, view);
  return view;
}

function fromText(value: string, schema: Schema): CelInput {
  if (schema.type !== 'string') return value;
  if (schema.format === 'byte') return Uint8Array.from(Buffer.from(value, 'base64'));
  if (schema.format === 'date' || schema.format === 'date-time') return timestampFromMs(Date.parse(value));
  return schema.format === 'duration' ? durationOf(value) : value;
}

const UNITS: Record<string, number> = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 };

function durationOf(value: string): CelInput {
  const sign = value.startsWith('-') ? -1 : 1;
  const parts = [...value.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  const nanos =
    sign * Math.round(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (UNITS[unit ?? ''] ?? 0), 0));
  return create(DurationSchema, { seconds: BigInt(Math.trunc(nanos / 1e9)), nanos: nanos % 1e9 });
}
