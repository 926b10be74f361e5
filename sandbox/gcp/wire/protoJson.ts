import protobuf from 'protobufjs/light.js';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { invalid } from '../errors.ts';
import { type FieldShape, shapeOf } from './protoShape.ts';
import { WELL_KNOWN } from './wellKnown.ts';

/**
 * proto3 JSON by reflection (https://protobuf.dev/programming-guides/json/). Both directions bring a message into one
 * canonical form: lowerCamelCase, enums by name, int64 as string, default values left out where the proto has no explicit
 * presence. What comes in is checked as Google's front end does, with its messages; what goes out is held to the proto.
 */

/** A message type by its full name, for what an Any carries; undefined: not known here, passed on as it is. */
export type TypeLookup = (typeName: string) => protobuf.Type | undefined;

interface Walk {
  direction: 'in' | 'out';
  /** The message's own fields are query parameters: strings, and a list of one is no list. */
  fromQuery: boolean;
  enumsAsNumbers: boolean;
  /** JSON paths (`secret.name`) kept although output only: the request's route is bound to them. */
  keep: ReadonlySet<string>;
  violations: { field?: string; description: string }[];
  lookup: TypeLookup;
}

export interface ParseOptions {
  fromQuery?: boolean;
  keep?: ReadonlySet<string>;
  lookup: TypeLookup;
}

/** Checks a request and brings it into canonical form. Throws INVALID_ARGUMENT with every violation, as the real front end. */
export function parseMessage(type: protobuf.Type, json: JsonObject, options: ParseOptions): JsonObject {
  const walk: Walk = {
    direction: 'in',
    fromQuery: false,
    enumsAsNumbers: false,
    keep: new Set(),
    ...options,
    violations: [],
  };
  const message = walkMessage(walk, type, json, '', '');
  for (const field of new Set(shapeOf(type).values())) {
    if (field.behavior === 'REQUIRED' && message[field.jsonName] === undefined && walk.violations.length === 0) {
      throw invalid(`Required field '${field.protoName}' not specified.`, {
        field: field.protoName,
        description: 'Required field not specified.',
      });
    }
  }
  if (walk.violations.length > 0) {
    throw invalid(walk.violations.map(violation => violation.description).join('\n'), ...walk.violations);
  }
  return message;
}

const stable = new WeakMap<object, Map<boolean, JsonObject>>();

/** A message that will not be changed any more: where it is part of an answer, its canonical form is made only once. */
export function unchanging(message: JsonObject): JsonObject {
  stable.set(message, new Map());
  return message;
}

/** The known form of an unchanging message, frozen, as all who get it share it. */
function walkOnce(walk: Walk, type: protobuf.Type, value: Json, path: string, jsonPath: string): JsonObject {
  const forms = walk.direction === 'out' && typeof value === 'object' && value !== null ? stable.get(value) : undefined;
  const known = forms?.get(walk.enumsAsNumbers);
  if (known) return known;
  const message = walkMessage(walk, type, value, path, jsonPath);
  forms?.set(walk.enumsAsNumbers, frozen(message));
  return message;
}

function frozen<T extends Json>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    Object.freeze(value);
    for (const part of Object.values(value)) if (part !== undefined) frozen(part);
  }
  return value;
}

/** Brings an answer into canonical form. Throws on what the proto does not have: that is a bug of the emulator. */
export function formatMessage(
  type: protobuf.Type,
  json: JsonObject,
  options: { enumsAsNumbers?: boolean; lookup: TypeLookup },
): JsonObject {
  const walk: Walk = {
    direction: 'out',
    fromQuery: false,
    keep: new Set(),
    enumsAsNumbers: options.enumsAsNumbers ?? false,
    violations: [],
    lookup: options.lookup,
  };
  const message = walkMessage(walk, type, json, '', '');
  if (walk.violations.length > 0) throw new Error(`${type.fullName}: ${walk.violations[0]?.description}`);
  return message;
}

function walkMessage(walk: Walk, type: protobuf.Type, value: Json, path: string, jsonPath: string): JsonObject {
  const message: JsonObject = {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    wrongValue(walk, path, `type.googleapis.com${type.fullName.replace(/^\./, '/')}`, value);
    return message;
  }
  const shape = shapeOf(type);
  const taken = new Map<string, string>();
  for (const [name, given] of Object.entries(value)) {
    if (given === undefined || given === null) continue;
    const field = shape.get(name);
    if (!field) {
      unknownName(walk, name, path);
      continue;
    }
    const here = path ? `${path}.${field.protoName}` : field.protoName;
    const hereJson = jsonPath ? `${jsonPath}.${field.jsonName}` : field.jsonName;
    if (walk.direction === 'in' && field.behavior === 'OUTPUT_ONLY' && !walk.keep.has(hereJson)) continue;
    if (walk.direction === 'out' && field.behavior === 'INPUT_ONLY') continue;
    if (field.oneof) {
      const other = taken.get(field.oneof);
      if (other) {
        walk.violations.push({
          field: path,
          description: `Invalid value at '${path}' (oneof), oneof field '${field.oneof}' is already set. Cannot set '${field.jsonName}'`,
        });
        continue;
      }
      taken.set(field.oneof, field.jsonName);
    }
    const canonical = walkField(walk, field, given, here, hereJson);
    if (canonical !== undefined) message[field.jsonName] = canonical;
  }
  return message;
}

function walkField(walk: Walk, field: FieldShape, value: Json, path: string, jsonPath: string): Json | undefined {
  if (field.map) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      wrongValue(walk, path, 'Map', value);
      return undefined;
    }
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== null);
    if (entries.length === 0) return undefined;
    return Object.fromEntries(
      entries.map(([key, entry]) => [key, walkValue(walk, field, entry ?? null, `${path}[${key}].value`, jsonPath)]),
    );
  }
  if (field.repeated) {
    const list = walk.fromQuery && !path.includes('.') && !Array.isArray(value) ? [value] : value;
    if (!Array.isArray(list)) {
      wrongValue(walk, path, typeLabel(field), value);
      return undefined;
    }
    if (list.length === 0) return undefined;
    return list.map((entry, index) => walkValue(walk, field, entry, `${path}[${index}]`, jsonPath) ?? null);
  }
  if (Array.isArray(value)) {
    walk.violations.push({
      field: path,
      description: `Invalid JSON payload received. Unknown name "${field.protoName}" at '${parentOf(path)}': Proto field is not repeating, cannot start list.`,
    });
    return undefined;
  }
  const canonical = walkValue(walk, field, value, path, jsonPath);
  return field.explicitPresence || !isDefault(field, canonical) ? canonical : undefined;
}

function isDefault(field: FieldShape, value: Json | undefined): boolean {
  if (field.resolved instanceof protobuf.Enum) return value === 0 || field.resolved.values[String(value)] === 0;
  return value === undefined || value === '' || value === 0 || value === false || value === '0';
}

const INTEGER_LIMITS: Record<string, [bigint, bigint]> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

/** One value, of a singular field, a list or a map; undefined after a violation. */
function walkValue(walk: Walk, field: FieldShape, value: Json, path: string, jsonPath: string): Json | undefined {
  const wrong = (): undefined => wrongValue(walk, path, typeLabel(field), value);
  if (field.resolved instanceof protobuf.Enum) return enumValue(walk, field.resolved, value) ?? wrong();
  if (field.resolved instanceof protobuf.Type) {
    const wellKnown = WELL_KNOWN[field.resolved.fullName];
    if (wellKnown) return wellKnown(value) ?? wrong();
    if (field.resolved.fullName === '.google.protobuf.Any') return anyValue(walk, value, path);
    return walkOnce(walk, field.resolved, value, path, jsonPath);
  }
  const limits = INTEGER_LIMITS[field.type];
  if (limits) {
    if (!/^-?\d+(\.0+)?$/.test(String(value)) || typeof value === 'boolean' || typeof value === 'object')
      return wrong();
    const integer = BigInt(String(value).replace(/\..*/, ''));
    if (integer < limits[0] || integer > limits[1]) return wrong();
    return field.type.endsWith('64') ? String(integer) : Number(integer);
  }
  switch (field.type) {
    case 'string':
      return typeof value === 'string' ? value : wrong();
    case 'bool':
      if (typeof value === 'boolean') return value;
      return value === 'true' || value === 'false' ? value === 'true' : wrong();
    case 'bytes':
      if (typeof value !== 'string' || !/^[A-Za-z0-9+/_-]*={0,2}$/.test(value)) {
        // The real message repeats the value; here it may be a key's.
        return wrongValue(walk, path, 'TYPE_BYTES', 'Base64 decoding failed');
      }
      return Buffer.from(value, 'base64').toString('base64');
    default: {
      const number =
        typeof value === 'number' ? value : typeof value === 'string' && value !== '' ? Number(value) : Number.NaN;
      return Number.isNaN(number) ? wrong() : number;
    }
  }
}

function enumValue(walk: Walk, type: protobuf.Enum, value: Json): Json | undefined {
  const isNumber = typeof value === 'number' || (typeof value === 'string' && /^-?\d+$/.test(value));
  const name = isNumber
    ? type.valuesById[Number(value)]
    : type.values[String(value)] === undefined
      ? undefined
      : String(value);
  if (name === undefined) return undefined;
  return walk.enumsAsNumbers ? (type.values[name] ?? 0) : name;
}

function anyValue(walk: Walk, value: Json, path: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrongValue(walk, path, 'type.googleapis.com/google.protobuf.Any', value);
  }
  const { '@type': url, ...rest } = value;
  if (walk.direction === 'in' || typeof url !== 'string') return value;
  const type = walk.lookup(url.replace(/^.*\//, ''));
  return type ? { '@type': url, ...walkMessage(walk, type, rest, path, path) } : value;
}

function typeLabel(field: FieldShape): string {
  if (field.resolved) return `type.googleapis.com/${field.resolved.fullName.slice(1)}`;
  return `TYPE_${field.type.toUpperCase()}`;
}

const parentOf = (path: string) => path.replace(/\.?[^.]*$/, '');

function wrongValue(walk: Walk, path: string, label: string, value: Json): undefined {
  walk.violations.push({ field: path, description: `Invalid value at '${path}' (${label}), ${JSON.stringify(value)}` });
}

function unknownName(walk: Walk, name: string, path: string): void {
  const where = path ? ` at '${path}'` : '';
  const why =
    walk.fromQuery && !path
      ? `Cannot bind query parameter. Field '${name}' could not be found in request message.`
      : 'Cannot find field.';
  walk.violations.push({
    ...(path && { field: path }),
    description: `Invalid JSON payload received. Unknown name "${name}"${where}: ${why}`,
  });
}
