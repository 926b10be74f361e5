import { readFileSync } from 'node:fs';
import fc, { type Arbitrary } from 'fast-check';
import { parse } from 'yaml';
import type { Json, JsonObject } from '../../../ports/json.ts';

/** As much of an OpenAPI v3 schema as the CRD uses. */
interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: Schema;
  enum?: Json[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-validations'?: { rule: string }[];
}

function specSchema(): Schema {
  const crd = parse(readFileSync(new URL('../../../crds/aitenants.yaml', import.meta.url), 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
  };
  const found = crd.spec.versions[0]?.schema.openAPIV3Schema.properties?.spec;
  if (!found) throw new Error('the CRD has no spec');
  return found;
}

/** By path (list indexes left out): values worth trying more often than chance would. */
export type Hints = Record<string, Json[]>;

/** Specs as the CRD's schema describes them, and specs that it does not: values of another type, shape or size. */
export function randomSpec(hints: Hints): Arbitrary<JsonObject> {
  return object(specSchema(), '', hints) as Arbitrary<JsonObject>;
}

const ODD: Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    '',
    ' ',
    'null',
    '-1',
    '0',
    0,
    -1,
    2 ** 31,
    1.5,
    true,
    [],
    {},
    '日本',
    '../..',
    '%2f',
    '\u0000',
  ),
  fc.string({ maxLength: 12 }),
  fc.integer(),
);

function arbitrary(schema: Schema, path: string, hints: Hints): Arbitrary<Json> {
  const hinted = hints[path];
  const options = [{ arbitrary: bySchema(schema, path, hints), weight: hinted ? 6 : 60 }];
  if (hinted) options.push({ arbitrary: fc.constantFrom(...hinted), weight: 60 });
  options.push({ arbitrary: ODD, weight: 1 });
  return fc.oneof(...options);
}

function bySchema(schema: Schema, path: string, hints: Hints): Arbitrary<Json> {
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema['x-kubernetes-int-or-string']) {
    return fc.oneof(
      fc.integer({ min: 1, max: 9 }),
      fc.stringMatching(/^[0-9]{1,4}(\.[0-9])?(m|k|M|G|Ki|Mi|Gi|e[0-9])?$/),
    );
  }
  switch (schema.type) {
    case 'object':
      if (schema.additionalProperties) {
        const keys = fc.oneof(
          fc.constantFrom('team', 'cost-centre', 'ai-tenant-x', 'example.com/x'),
          fc.string({ maxLength: 70 }),
        );
        return fc.dictionary(keys, arbitrary(schema.additionalProperties, `${path}.KEY`, hints), { maxKeys: 3 });
      }
      return object(schema, path, hints);
    case 'array': {
      const [mapKey] = schema['x-kubernetes-list-map-keys'] ?? [];
      return fc.uniqueArray(arbitrary(schema.items ?? {}, path, hints), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(3, schema.maxItems ?? 3),
        selector: item => (mapKey === undefined ? item : (item as JsonObject | null)?.[mapKey]),
      });
    }
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 50, 5_000) });
    case 'boolean':
      return fc.boolean();
    default:
      return text(schema);
  }
}

/** Each property that is required, and each of the others every third time; of many others about four, or no spec would be valid. */
function object(schema: Schema, path: string, hints: Hints): Arbitrary<Json> {
  const required = schema.required ?? [];
  const absent = Math.max(2, Math.round(Object.keys(schema.properties ?? {}).length / 4));
  const properties = Object.entries(schema.properties ?? {}).map(([name, property]) => {
    const value = arbitrary(property, path === '' ? name : `${path}.${name}`, hints);
    const sometimes = fc.oneof({ arbitrary: value, weight: 1 }, { arbitrary: fc.constant(undefined), weight: absent });
    return [name, required.includes(name) ? value : sometimes] as const;
  });
  return fc
    .record(Object.fromEntries(properties))
    .map(fields => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));
}

/** By the pattern that the schema's CEL rule asks for. */
function text({ minLength = 0, maxLength = 20, ...schema }: Schema): Arbitrary<string> {
  const patterns = (schema['x-kubernetes-validations'] ?? []).flatMap(
    ({ rule }) => /self\.matches\('([^']*)'\)/.exec(rule)?.[1] ?? [],
  );
  const [pattern] = patterns;
  if (pattern === undefined) return fc.string({ minLength, maxLength: Math.min(maxLength, 40) });
  return fc.stringMatching(new RegExp(pattern)).filter(value => value.length >= minLength && value.length <= maxLength);
}
