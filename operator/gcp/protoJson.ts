import type { protobuf } from 'google-gax/fallback';
import { fromProto3JSON, toProto3JSON } from 'proto3-json-serializer';
import type { Json, JsonObject } from '../ports.ts';
import { isObject } from './parse.ts';

/**
 * proto3 JSON ↔ the objects of google-gax. Fields and enum values by the client package's own message types: fields
 * that those don't know are lost on the way, unknown enum values stay numbers.
 */

/** The message that proto3 JSON stands for. Throws if a field is of another kind than its message says. */
export function toMessage(type: protobuf.Type, request: JsonObject): object {
  return fromProto3JSON(type, clean(request)) ?? {};
}

/** The proto3 JSON of what gax decoded, without the fields that hold their default value. */
export function fromMessage(type: protobuf.Type, decoded: object): JsonObject {
  const json: unknown = toProto3JSON(type.fromObject(decoded));
  return isObject(json) ? withoutDefaults(type, json) : {};
}

/** `undefined` means absent to us, and is refused by the serializer. */
function clean(value: JsonObject): { [key: string]: never } {
  return JSON.parse(JSON.stringify(value));
}

function withoutDefaults(type: protobuf.Type, value: JsonObject): JsonObject {
  const anyType = value['@type'];
  if (typeof anyType === 'string') return unpacked(type, anyType, value);
  const kept: JsonObject = {};
  for (const [key, item] of Object.entries(value)) {
    const field = type.fields[key];
    if (item === undefined || item === null) continue;
    const inner = field?.resolvedType && 'fields' in field.resolvedType ? field.resolvedType : undefined;
    const stripped = inner ? strip(inner, item, field?.map === true) : item;
    // A member of a oneof (an optional field is one) is there because somebody set it, whatever its value.
    if (!field || (inner && !field.map && !field.repeated) || field.partOf || !isDefault(field, stripped)) {
      kept[key] = stripped;
    }
  }
  return kept;
}

function strip(type: protobuf.Type, item: Json, map: boolean): Json {
  if (Array.isArray(item)) return item.map(element => strip(type, element, false));
  if (!isObject(item)) return item;
  if (!map)
    return type.fullName.startsWith('.google.protobuf.') && !('@type' in item) ? item : withoutDefaults(type, item);
  return Object.fromEntries(Object.entries(item).map(([key, each]) => [key, each && strip(type, each, false)]));
}

/** What an Any holds, its type named beside it. */
function unpacked(near: protobuf.Type, url: string, value: JsonObject): JsonObject {
  const held = near.root.lookup(url.replace(/^.*\//, ''));
  if (!held || !('fields' in held)) return value;
  const { '@type': _, ...rest } = value;
  return { '@type': url, ...withoutDefaults(held as protobuf.Type, rest) };
}

function isDefault(field: protobuf.Field, value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (isObject(value)) return Object.keys(value).length === 0;
  if (field.resolvedType && 'values' in field.resolvedType) return field.resolvedType.values[String(value)] === 0;
  return value === false || value === 0 || value === '' || (value === '0' && field.type !== 'string');
}
