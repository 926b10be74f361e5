import type { Json, JsonObject } from '../../ports/json.ts';
import { shareStrings } from '../collections/commonStrings.ts';

/** Reads fields of Google Cloud's answers, which may have any type. Nothing here throws. */

/**
 * An answer with the field names that the vendor's package declares for the message `T`, so that a misspelt field is a type
 * error. Values may be anything. Only types are imported; the packages are not loaded.
 */
export type Message<T> = { readonly [field in keyof T]?: Json };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A string field; `''`, proto3's default, for anything else. */
export const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** A string that is not empty. */
export const filled = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

export const flag = (value: unknown): boolean => value === true;

/** An int64, which proto3 JSON writes as a string and some servers as a number; `'0'` if it is neither. */
export function int64(value: unknown): string {
  if (typeof value === 'string' && /^-?[0-9]{1,19}$/.test(value)) return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : '0';
}

export const object = (value: unknown): JsonObject => (isObject(value) ? value : {});

export const objects = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);

export const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];

/** A `map<string, string>`. It has no prototype, because a label may be called `__proto__`. */
export function stringMap(value: unknown): Record<string, string> {
  const map: Record<string, string> = Object.create(null);
  if (isObject(value)) for (const [key, item] of Object.entries(value)) if (typeof item === 'string') map[key] = item;
  return map;
}

/** Undefined for text that is not JSON. */
export function json(source: string): Json | undefined {
  try {
    const parsed: Json = JSON.parse(source);
    return shareStrings(parsed);
  } catch {
    return undefined;
  }
}
