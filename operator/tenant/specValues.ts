import type { Json, JsonObject } from '../../ports/json.ts';
import { quoted } from './printable.ts';

/**
 * Reads values of a spec without trusting them: a value of the wrong type counts as absent. An unknown word of an enum is reported in
 * `unknownValues`, and the operator then changes nothing for the tenant (`desired.ts`).
 */

export type Parse = (value: unknown, path: string, unknownValues: string[]) => Json | undefined;

type Fields = Record<string, unknown>;
export const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};

/** A JSON value as an object. Anything else counts as an empty one. */
export const jsonObject = (value: Json | undefined): JsonObject => fieldsOf(value) as JsonObject;

/** A JSON list of objects. Anything else counts as an empty list, and an item that is no object as an empty object. */
export const jsonObjects = (value: Json | undefined): JsonObject[] =>
  Array.isArray(value) ? value.map(jsonObject) : [];

/** A JSON list of texts. Anything else counts as an empty list. */
export const jsonTexts = (value: Json | undefined): string[] => (Array.isArray(value) ? value.map(String) : []);

/** A text or a number as text. Anything else, and the empty text, counts as absent. */
export const scalarText = (value: unknown): string | undefined =>
  typeof value === 'number' ? String(value) : typeof value === 'string' && value !== '' ? value : undefined;

/**
 * A value of an enum. An unknown value is not replaced by the default, because the default might open what the spec closes.
 * `known`: every word of this version.
 */
export function oneOf<T extends string>(
  known: Record<T, unknown>,
  value: unknown,
  path: string,
  unknownValues: string[],
): T | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && Object.hasOwn(known, value)) return value as T;
  const shown = quoted(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
  unknownValues.push(`${path} is ${shown}, which is not among ${Object.keys(known).join(', ')}`);
  return undefined;
}

export const text: Parse = value => (typeof value === 'string' ? value : undefined);

export const wholeNumber: Parse = value => (Number.isSafeInteger(value) ? (value as number) : undefined);

export const flag: Parse = value => (typeof value === 'boolean' ? value : undefined);

/** The value at a path such as `['scaling', 'manualInstances']`. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const name of path) {
    if (found === undefined) return undefined;
    found = fieldsOf(found)[name];
  }
  return found;
}

export const listOf =
  (item: Parse): Parse =>
  (value, path, unknownValues) => {
    if (!Array.isArray(value)) return undefined;
    const items: Json[] = [];
    for (const [at, one] of value.entries()) {
      const read = item(one, `${path}[${at}]`, unknownValues);
      if (read !== undefined) items.push(read);
    }
    return items;
  };

export const word =
  (known: Record<string, unknown>): Parse =>
  (value, path, unknownValues) =>
    oneOf(known, value, path, unknownValues);
