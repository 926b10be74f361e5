/**
 * The schemas of the built-in kinds, read from the declarations that @kubernetes/client-node ships (generated from
 * Kubernetes' own OpenAPI document): no copy of them is kept here.
 */
import { readFileSync } from 'node:fs';
import type { PlainObject } from '../../../schema/types.ts';

interface Field {
  name: string;
  description: string;
  required: boolean;
  /** Such as `string`, `Array<V1OwnerReference>`, `{ [key: string]: string; }`. */
  type: string;
  format: string;
}

interface Model {
  description: string;
  fields: Map<string, Field>;
}

const models = new Map<string, Model>();
const folder = new URL('./gen/models/', import.meta.resolve('@kubernetes/client-node'));

function model(name: string): Model {
  let found = models.get(name);
  if (!found) {
    found = read(name);
    models.set(name, found);
  }
  return found;
}

function read(name: string): Model {
  const declaration = readFileSync(new URL(`${name}.d.ts`, folder), 'utf8');
  const code = readFileSync(new URL(`${name}.js`, folder), 'utf8');
  const attributes = JSON.parse(/attributeTypeMap = (\[[\s\S]*?\n\]);/.exec(code)?.[1] ?? '[]') as {
    name: string;
    baseName: string;
    type: string;
    format: string;
  }[];
  const [head = '', body = ''] = declaration.split(/export declare class \w+ \{/);
  const described = new Map<string, { description: string; required: boolean }>();
  for (const [, comment = '', key = '', optional] of body.matchAll(
    /(?:\/\*\*\s*\*\s?([^\n]*)\s*\*\/\s*)?'([\w$]+)'(\?)?:/g,
  )) {
    described.set(key, { description: paragraphs(comment), required: !optional });
  }
  const fields = attributes.map(({ name, baseName, type, format }): [string, Field] => {
    const more = described.get(name) ?? { description: '', required: false };
    return [baseName, { name: baseName, type, format, ...more }];
  });
  const description = paragraphs(/\/\*\*\n\* ([^\n]*)\n\*\/\s*$/.exec(head)?.[1] ?? '');
  return { description, fields: new Map(fields) };
}

/** The generator writes the end of a paragraph as two spaces, and escapes quotes. */
const paragraphs = (text: string) =>
  text
    .trim()
    .replace(/\\(['"\\])/g, '$1')
    .replaceAll('  ', '\n\n');

/** The field's description in the Kubernetes API. */
export const fieldDescription = (modelName: string, field: string) =>
  model(modelName).fields.get(field)?.description ?? '';

/** The fields of a kind with their types, as client-node writes them: `string`, `Array<V1OwnerReference>`, … */
export const fieldTypes = (modelName: string): ReadonlyMap<string, string> =>
  new Map([...model(modelName).fields.values()].map(({ name, type }) => [name, type]));

const element = (type: string) => /^Array<(.+)>$/.exec(type)?.[1];
const mapValue = (type: string) => /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
const isModel = (type: string) => /^(V\d|CoreV1|EventsV1)\w+$/.test(type) && type !== 'V1MicroTime';

/** Kinds whose OpenAPI name does not follow from the document they are read for. */
const META_KINDS = new Set(['V1ObjectMeta', 'V1ListMeta', 'V1OwnerReference', 'V1ManagedFieldsEntry']);
const CORE_KINDS = new Set(['V1ObjectReference', 'V1EventSource', 'V1LocalObjectReference']);
const GO_NAMES: Record<string, string> = { CoreV1Event: 'Event', EventsV1Event: 'Event' };

const schemaName = (modelName: string, goPackage: string) => {
  const name = GO_NAMES[modelName] ?? modelName.replace(/^(CoreV1|EventsV1|V1)/, '');
  if (META_KINDS.has(modelName)) return `io.k8s.apimachinery.pkg.apis.meta.v1.${name}`;
  return `${CORE_KINDS.has(modelName) ? 'io.k8s.api.core.v1' : goPackage}.${name}`;
};

/** Adds the OpenAPI v3 schema of `modelName` and of all it refers to; answers the schema's own name. */
export function addSchemas(schemas: PlainObject, modelName: string, goPackage: string): string {
  const name = schemaName(modelName, goPackage);
  if (schemas[name]) return name;
  const { description, fields } = model(modelName);
  const schema: PlainObject = { description, type: 'object' };
  schemas[name] = schema;
  const properties: PlainObject = {};
  for (const field of fields.values()) {
    const type = typeSchema(schemas, field.type, field.format, goPackage);
    properties[field.name] =
      '$ref' in type
        ? { description: field.description, default: {}, allOf: [type] }
        : { description: field.description, ...type };
  }
  schema.properties = properties;
  const required = [...fields.values()].filter(field => field.required).map(field => field.name);
  if (required.length) schema.required = required;
  return name;
}

function typeSchema(schemas: PlainObject, type: string, format: string, goPackage: string): PlainObject {
  const item = element(type);
  if (item) return { type: 'array', items: typeSchema(schemas, item, '', goPackage) };
  const value = mapValue(type);
  if (value) return { type: 'object', additionalProperties: typeSchema(schemas, value, format, goPackage) };
  if (isModel(type)) return { $ref: `#/components/schemas/${addSchemas(schemas, type, goPackage)}` };
  switch (type) {
    case 'Date':
    case 'V1MicroTime':
      return { type: 'string', format: 'date-time' };
    case 'number':
      return format.startsWith('int') ? { type: 'integer', format } : { type: 'number', format: format || 'double' };
    case 'any':
      return {};
    default:
      return format ? { type, format } : { type };
  }
}

export interface Shaped {
  object: PlainObject;
  /** Paths that the kind does not have, sorted by where they stand. */
  unknown: string[];
  /** The error message of Go's encoding/json for the first value of a wrong type. */
  typeError?: string;
}

/** Fits `object` to the kind: unknown fields and nulls go, wrong types are told. */
export function shape(modelName: string, kind: string, object: PlainObject): Shaped {
  const unknown: string[] = [];
  let typeError: string | undefined;

  function conform(type: string, value: unknown, path: string, struct: string): unknown {
    const mismatch = (goType: string) => {
      typeError ??= `json: cannot unmarshal ${jsonKind(value)} into Go struct field ${struct}.${path} of type ${goType}`;
      return undefined;
    };
    const item = element(type);
    if (item) {
      if (!Array.isArray(value)) return mismatch(`[]${goName(item)}`);
      return value.map((inner, index) => conform(item, inner, `${path}[${index}]`, struct));
    }
    const inner = mapValue(type);
    if (inner) {
      if (!isPlain(value)) return mismatch(`map[string]${goName(inner)}`);
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, each === null ? '' : conform(inner, each, path, struct)]),
      );
    }
    if (isModel(type)) return isPlain(value) ? fitModel(type, value, path) : mismatch(goName(type));
    switch (type) {
      case 'Date':
      case 'V1MicroTime':
        if (typeof value !== 'string') return mismatch('string');
        typeError ??= timeError(value, type === 'V1MicroTime');
        return value;
      case 'string':
        return typeof value === 'string' ? value : mismatch('string');
      case 'boolean':
        return typeof value === 'boolean' ? value : mismatch('bool');
      case 'number':
        return typeof value === 'number' ? value : mismatch('int32');
      default:
        return value;
    }
  }

  function fitModel(name: string, value: PlainObject, path: string): PlainObject {
    const result: PlainObject = {};
    const { fields } = model(name);
    for (const [key, inner] of Object.entries(value)) {
      const field = fields.get(key);
      const at = path ? `${path}.${key}` : key;
      if (!field) unknown.push(at);
      // An optional map that is empty is left out, as encoding/json does.
      else if (isPlain(inner) && Object.keys(inner).length === 0 && mapValue(field.type)) continue;
      else if (inner !== null && inner !== undefined) result[key] = conform(field.type, inner, at, kind);
    }
    return result;
  }

  const shaped = fitModel(modelName, object, '');
  return { object: shaped, unknown, typeError };
}

/** metav1.Time and metav1.MicroTime take RFC 3339, the latter with just six digits of a second. */
function timeError(value: string, micro: boolean): string | undefined {
  const parts = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(value);
  const layout = micro ? '2006-01-02T15:04:05.000000Z07:00' : '2006-01-02T15:04:05Z07:00';
  if (!parts) return `parsing time "${value}" as "${layout}": cannot parse "${value}" as "2006"`;
  const [, fraction = '', zone = ''] = parts;
  if (!micro || fraction.length === 7) return undefined;
  return `parsing time "${value}" as "${layout}": cannot parse "${fraction}${zone}" as ".000000"`;
}

const isPlain = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const jsonKind = (value: unknown) =>
  Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
const goName = (type: string) =>
  type === 'boolean' ? 'bool' : isModel(type) ? `v1.${GO_NAMES[type] ?? type.replace(/^\w*?V1/, '')}` : type;
