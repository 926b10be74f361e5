import type { PlainObject } from './types.ts';

/** A structural schema, read from the JSON of a CustomResourceDefinition. What is of the wrong type is left out. */
export interface Schema {
  type: string;
  format: string;
  nullable: boolean;
  description: boolean;
  title: boolean;
  default?: unknown;
  enum?: unknown[];
  required: string[];
  properties: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  allOf: Schema[];
  anyOf: Schema[];
  oneOf: Schema[];
  not?: Schema;
  pattern?: string;
  maxLength?: number;
  minLength?: number;
  maxItems?: number;
  minItems?: number;
  maxProperties?: number;
  minProperties?: number;
  maximum?: number;
  minimum?: number;
  exclusiveMaximum: boolean;
  exclusiveMinimum: boolean;
  multipleOf?: number;
  intOrString: boolean;
  preserveUnknown: boolean;
  embedded: boolean;
  listType?: string;
  listMapKeys: string[];
  mapType?: string;
  rules: Rule[];
  /** As written, for what is only refused. */
  raw: PlainObject;
}

/** One entry of x-kubernetes-validations. */
export interface Rule {
  rule: string;
  message: string;
  messageExpression: string;
  reason?: string;
  fieldPath: string;
  optionalOldSelf?: boolean;
}

export const isObject = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const objectOf = (value: unknown): PlainObject => (isObject(value) ? value : {});
export const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const textsOf = (value: unknown): string[] => listOf(value).filter(item => typeof item === 'string');
const numberOf = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);

export function readSchema(value: unknown): Schema {
  const raw = objectOf(value);
  const schemas = (list: unknown): Schema[] => listOf(list).map(readSchema);
  const optional = (item: unknown): Schema | undefined => (isObject(item) ? readSchema(item) : undefined);
  const format = textOf(raw.format);
  return {
    type: textOf(raw.type),
    format,
    nullable: raw.nullable === true,
    description: textOf(raw.description) !== '',
    title: textOf(raw.title) !== '',
    default: raw.default ?? undefined,
    enum: Array.isArray(raw.enum) ? raw.enum : undefined,
    required: textsOf(raw.required),
    properties: Object.fromEntries(
      Object.entries(objectOf(raw.properties)).map(([name, item]) => [name, readSchema(item)]),
    ),
    additionalProperties:
      typeof raw.additionalProperties === 'boolean' ? raw.additionalProperties : optional(raw.additionalProperties),
    items: optional(raw.items),
    allOf: schemas(raw.allOf),
    anyOf: schemas(raw.anyOf),
    oneOf: schemas(raw.oneOf),
    not: optional(raw.not),
    pattern: textOf(raw.pattern) || undefined,
    maxLength: numberOf(raw.maxLength),
    minLength: numberOf(raw.minLength),
    maxItems: numberOf(raw.maxItems),
    minItems: numberOf(raw.minItems),
    maxProperties: numberOf(raw.maxProperties),
    minProperties: numberOf(raw.minProperties),
    maximum: numberOf(raw.maximum),
    minimum: numberOf(raw.minimum),
    exclusiveMaximum: raw.exclusiveMaximum === true,
    exclusiveMinimum: raw.exclusiveMinimum === true,
    multipleOf: numberOf(raw.multipleOf),
    intOrString: raw['x-kubernetes-int-or-string'] === true,
    preserveUnknown: raw['x-kubernetes-preserve-unknown-fields'] === true,
    embedded: raw['x-kubernetes-embedded-resource'] === true,
    listType: textOf(raw['x-kubernetes-list-type']) || undefined,
    listMapKeys: textsOf(raw['x-kubernetes-list-map-keys']),
    mapType: textOf(raw['x-kubernetes-map-type']) || undefined,
    rules: listOf(raw['x-kubernetes-validations']).map(objectOf).map(readRule),
    raw,
  };
}

function readRule(raw: PlainObject): Rule {
  return {
    rule: textOf(raw.rule),
    message: textOf(raw.message),
    messageExpression: textOf(raw.messageExpression),
    reason: textOf(raw.reason) || undefined,
    fieldPath: textOf(raw.fieldPath),
    optionalOldSelf: typeof raw.optionalOldSelf === 'boolean' ? raw.optionalOldSelf : undefined,
  };
}

/** The schema of a field, or of a map's value. Own properties only: names come from outside. */
export function fieldSchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (!schema) return undefined;
  if (Object.hasOwn(schema.properties, name)) return schema.properties[name];
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
}

/** Deep equality of JSON values. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

/** Sets an own property, whatever its name (`__proto__` too). */
export function put(target: PlainObject, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value;
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
}
