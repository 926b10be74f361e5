import type { Json, JsonObject } from '../../../../ports/json.ts';
import { invalid } from '../../errors.ts';

/**
 * A translation between two messages as a table: a row for each setting. Both directions read the same rows, so a setting that
 * one direction knows is never lost by the other.
 */

/** The names of the fields that lead to a value. A name may contain dots: an annotation's key is one name. */
type Path = readonly string[];

/** How one value is written in each API. Undefined: the value is not one of this setting (`toV2`), or is left out. */
export interface Codec {
  toV2(value: Json, at: string): Json | undefined;
  toV1(value: Json): Json | undefined;
}

export interface Row {
  v1: Path;
  v2: Path;
  codec: Codec;
}

/** The v2 message of a v1 one. `at` is where the v1 message stands, for errors. Throws INVALID_ARGUMENT. */
export function rowsToV2(rows: readonly Row[], v1: JsonObject, at: string): JsonObject {
  const v2: JsonObject = {};
  for (const row of rows) {
    const value = valueAt(v1, row.v1);
    if (value === undefined) continue;
    const here = pathText(at, row.v1);
    const written = row.codec.toV2(value, here);
    if (written === undefined) throw invalid(`${here}: invalid value ${JSON.stringify(value)}.`);
    place(v2, row.v2, written);
  }
  return v2;
}

/** The v1 message of a v2 one. */
export function rowsToV1(rows: readonly Row[], v2: JsonObject): JsonObject {
  const v1: JsonObject = {};
  for (const row of rows) {
    const value = valueAt(v2, row.v2);
    const written = value === undefined ? undefined : row.codec.toV1(value);
    if (written !== undefined) place(v1, row.v1, written);
  }
  return v1;
}

/**
 * Refuses fields that no row takes, because they would be lost. `ignored` are fields that real clients send and Cloud Run does not
 * use.
 */
export function refuseUnknown(rows: readonly Row[], v1: JsonObject, at: string, ignored: readonly string[] = []): void {
  const known = new Set([...rows.map(row => row.v1[0]), ...ignored]);
  const unknown = Object.keys(v1).filter(key => v1[key] !== undefined && !known.has(key));
  if (unknown.length === 0) return;
  throw invalid(`must not set the field(s): ${unknown.map(key => pathText(at, [key])).join(', ')}`);
}

/** A message below a field, by its own rows. `constant` are fields that v1 has in addition, `ignored` ones without a meaning. */
export function nested(rows: readonly Row[], constant: JsonObject = {}, ignored: readonly string[] = []): Codec {
  return {
    toV2(value, at) {
      if (!isObject(value)) return undefined;
      refuseUnknown(rows, value, at, [...Object.keys(constant), ...ignored]);
      const wrong = Object.entries(constant).find(([key, expected]) => value[key] !== expected);
      if (wrong) throw invalid(`${at}.${wrong[0]}: only '${wrong[1]}' is supported here.`);
      return rowsToV2(rows, value, at);
    },
    toV1: value => (isObject(value) ? { ...constant, ...rowsToV1(rows, value) } : undefined),
  };
}

/** A list of messages, each by `codec`. */
export function each(codec: Codec): Codec {
  return {
    toV2: (value, at) =>
      Array.isArray(value) ? value.map((item, index) => codec.toV2(item, `${at}[${index}]`) ?? null) : undefined,
    toV1: value => (Array.isArray(value) ? value.map(item => codec.toV1(item) ?? null) : undefined),
  };
}

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function valueAt(message: JsonObject, path: Path): Json | undefined {
  let value: Json | undefined = message;
  for (const name of path) {
    if (!isObject(value)) return undefined;
    value = value[name];
  }
  return value;
}

function place(message: JsonObject, path: Path, value: Json): void {
  let into = message;
  for (const name of path.slice(0, -1)) {
    const inner = into[name];
    const next = isObject(inner) ? inner : {};
    into[name] = next;
    into = next;
  }
  into[path.at(-1) ?? ''] = value;
}

/** Such as `spec.template.metadata.annotations[run.googleapis.com/ingress]`. */
function pathText(at: string, path: Path): string {
  return path.reduce((text, name) => (/[./]/.test(name) ? `${text}[${name}]` : text ? `${text}.${name}` : name), at);
}
