import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { absenceCounts, entriesOfType, iso } from '../inventory.ts';
import { fieldsOf, jsonObject, valueAt } from '../specValues.ts';
import type { FieldKeys } from '../template.ts';
import type { Change, FieldEntry, FieldValues, InventoryEntry, TenantSpec } from '../types.ts';
import type { Field, Place } from './field.ts';
import { SERVICE_FIELDS } from './serviceFields.ts';
import { SIDECAR_FIELDS } from './sidecarFields.ts';
import { SIDECARS } from './sidecarSpec.ts';
import { TEMPLATE_FIELDS } from './templateFields.ts';
import { FILES, VOLUME_FIELDS } from './volumeFields.ts';

/** What follows from the table of fields: how a spec is read, what a service must get, and what stays on record. */

export const FIELDS: readonly Field[] = [...SERVICE_FIELDS, ...TEMPLATE_FIELDS, ...VOLUME_FIELDS, ...SIDECAR_FIELDS];
const ROWS = FIELDS.map(field => ({ field, names: field.path.split('.') }));
const PLAIN = new Map(FIELDS.filter(({ keyed }) => !keyed).map(field => [field.path, field]));
const KEYED = FIELDS.filter(({ keyed }) => keyed);

/** A field that the operator writes. With `keyed`, `key` is the key in the map. */
export interface WantedField {
  /** As in the inventory: `ingress`, `labels.team`. */
  path: string;
  field: Field;
  key: string;
  value: Json | undefined;
  /** The spec names it. Otherwise it has left the spec and goes back to Google's default. */
  isNamed: boolean;
  /** The field of the spec that has no value for the service's region. Nothing is written. */
  missing?: string;
  /** The form that the value of `missing` for the region should have. Absent: there is no value. */
  form?: string;
}

// ------------------------------------------------------------------------------------------------------------ read

/** The fields that the spec names, by their path. Undefined: it names none. */
export function readFields(spec: unknown, unknownValues: string[]): FieldValues | undefined {
  const named: FieldValues = {};
  for (const { field, names } of ROWS) {
    const given = field.fromSpec ? field.fromSpec(spec) : valueAt(spec, names);
    if (given === undefined) continue;
    const value = field.parse(given, `spec.${field.path}`, unknownValues);
    if (value === undefined) continue;
    if (!field.keyed) named[field.path] = value;
    else for (const [key, one] of Object.entries(fieldsOf(value))) named[`${field.path}.${key}`] = one as Json;
  }
  return Object.keys(named).length > 0 ? named : undefined;
}

/** The field of a path in the inventory. Undefined: this version does not know it. */
function fieldAt(path: string): { field: Field; key: string } | undefined {
  const plain = PLAIN.get(path);
  if (plain) return { field: plain, key: '' };
  const field = KEYED.find(other => path.startsWith(`${other.path}.`));
  const key = path.slice((field?.path.length ?? 0) + 1);
  return field?.keyed?.allows(key) ? { field, key } : undefined;
}

/**
 * What the operator writes on a service of this place: the fields of the spec, and those on record that have left it and do not stay.
 * The fields are in the order of the table, because a later one may depend on an earlier one.
 */
export function wantedFields(
  { fields: named = {} }: TenantSpec,
  recorded: InventoryEntry[],
  place: Place,
  keys: FieldKeys,
): WantedField[] {
  const ofFiles = keys.files.map(({ path, key }) => [`${FILES}.${path}`, { ...key }] as const);
  const all: FieldValues = { ...named, ...(Object.fromEntries(ofFiles) as FieldValues), ...withKeys(named, keys) };
  const inSpec = Object.entries(all).flatMap(([path, given]): WantedField[] => {
    const found = fieldAt(path);
    if (!found) return [];
    const resolved = found.field.inRegion?.(given, place) ?? { value: given };
    return [{ ...found, path, value: undefined, isNamed: true, ...resolved }];
  });
  const left = leftFields(all, recorded).filter(({ field }) => field.leaves === 'default');
  const dropped = left.map(one => ({ ...one, value: one.field.standard, isNamed: false }));
  return [...inSpec, ...dropped].sort((a, b) => FIELDS.indexOf(a.field) - FIELDS.indexOf(b.field));
}

/** The sidecars that use keys, with the secret and the version of each key in place of its name. */
function withKeys(named: FieldValues, { ofSidecars }: FieldKeys): FieldValues {
  const users = Object.entries(named).filter(([path]) => path.startsWith(`${SIDECARS}.`));
  return Object.fromEntries(
    users.map(([path, value]) => {
      const { keys: _names, ...sidecar } = jsonObject(value);
      const own = ofSidecars.filter(key => `${SIDECARS}.${key.sidecar}` === path);
      return [path, { ...sidecar, keys: Object.fromEntries(own.map(({ at, key }) => [at, { ...key }])) as JsonObject }];
    }),
  );
}

/** The message if the spec has no value of a field for the region. Undefined: it has all of them. */
export function missingAnswer(wanted: WantedField[], { region }: Place): string | undefined {
  const wrong = wanted.flatMap(({ missing, form }) =>
    form === undefined
      ? []
      : `spec.${missing} has an entry for ${region} that cannot be a name there. Write ${region}: ${form}.`,
  );
  const missing = wanted.flatMap(one => (one.form === undefined ? (one.missing ?? []) : []));
  if (missing.length === 0) return wrong.join(' ') || undefined;
  const fields = missing.map(field => `spec.${field}`).join(' and ');
  const have = missing.length > 1 ? 'have' : 'has';
  const advice = `Write a map from region to name there, with an entry ${region}: NAME.`;
  return [`${fields} ${have} no name for ${region}. ${advice}`, ...wrong].join(' ');
}

/** The fields on record that the spec does not name any more. */
function leftFields(named: FieldValues, recorded: InventoryEntry[]) {
  return entriesOfType('Field', recorded).flatMap(entry => {
    const found = fieldAt(entry.field);
    return found && !Object.hasOwn(named, entry.field) ? [{ ...found, path: entry.field, entry }] : [];
  });
}

// ------------------------------------------------------------------------------------------------------------- lay

const same = (field: Field, a: Json | undefined, b: Json | undefined): boolean =>
  field.same?.(a, b) ?? isDeepStrictEqual(a, b);

/** JSON over which fields were laid, those that differed, and the changes for messages. */
export interface Laid {
  json: JsonObject;
  fields: WantedField[];
  changes: Change[];
}

/** Lays the fields of one level over the JSON, one after another. */
export function layFields(level: Field['level'], before: JsonObject, wanted: WantedField[]): Laid {
  const laid: Laid = { json: before, fields: [], changes: [] };
  for (const one of wanted) {
    const { path, field, key } = one;
    if (field.level !== level || one.missing !== undefined) continue;
    const found = field.read(laid.json, key);
    const value = one.value === undefined ? undefined : (field.inJson?.(one.value, laid.json) ?? one.value);
    if (same(field, found, value)) continue;
    const shown = field.shown ?? shownValue;
    laid.changes.push(
      ...(field.changes?.(path, found, value) ?? [{ field: path, from: shown(found), to: shown(value) }]),
    );
    laid.fields.push(one);
    laid.json = field.write(laid.json, value, key);
  }
  return laid;
}

/** The fields of the service that only limit access or what may run, each laid alone. */
export const narrowing = (service: JsonObject, wanted: WantedField[]): Laid[] =>
  wanted
    .filter(({ field, key, value }) => field.narrows?.(field.read(service, key), value))
    .map(one => layFields('service', service, [one]))
    .filter(({ fields }) => fields.length > 0);

function shownValue(value: Json | undefined): string | undefined {
  if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The fields of a service that differ from Google's defaults. `names`: the path with each key of a map as one name. */
export function fieldsToImport(
  json: Required<ServiceJson>,
): { path: string; names: string[]; value: Json; item?: JsonObject }[] {
  return FIELDS.flatMap(field => {
    const current = json[field.level];
    const path = field.path.split('.');
    return (field.keyed?.keysOf(current) ?? ['']).flatMap(key => {
      const value = field.read(current, key);
      if (value === undefined || isStandard(field, current, key)) return [];
      const item = field.keyed?.item?.(key, value);
      return [{ path: field.path, names: field.keyed && !item ? [...path, key] : path, value, ...(item && { item }) }];
    });
  });
}

// -------------------------------------------------------------------------------------------------------- on record

/** The service and its template, in which fields are read. `template` is absent while it is not as the spec says or does not serve. */
export interface ServiceJson {
  service: JsonObject;
  template?: JsonObject;
}

/**
 * The inventory entries of a service's fields. `written`: the fields that this plan writes, whose entries get the time of the call.
 * The entry of a field that has left the spec stays until the field has Google's default.
 */
export function fieldEntries(
  name: string,
  json: ServiceJson,
  wanted: WantedField[],
  recorded: InventoryEntry[],
  written: WantedField[],
  now: number,
): FieldEntry[] {
  const known = new Map(entriesOfType('Field', recorded).map(entry => [entry.field, { ...entry, name }]));
  const isWritten = new Set(written.map(({ path }) => path));
  const named = wanted.filter(({ isNamed }) => isNamed);
  const entries = named.map(({ path }): FieldEntry => {
    const fresh: FieldEntry = { type: 'Field', name, field: path, time: iso(now) };
    return isWritten.has(path) ? fresh : (known.get(path) ?? fresh);
  });
  for (const { path } of named) known.delete(path);
  const leaving = [...known.values()].filter(entry => {
    const found = fieldAt(entry.field);
    const current = found && json[found.field.level];
    if (!current) return true;
    return !isStandard(found.field, current, found.key) || !absenceCounts(entry, now);
  });
  return [...entries, ...leaving];
}

/** Whether the field has Google's default. */
const isStandard = (field: Field, json: JsonObject, key: string): boolean =>
  same(field, field.read(json, key), field.standard);

/** A note for each field that has left the spec and limits access or what may run: it stays. */
export function stayingNotes(
  { fields: named = {} }: TenantSpec,
  json: Required<ServiceJson>,
  recorded: InventoryEntry[],
): string[] {
  return leftFields(named, recorded).flatMap(({ field, key, path }) => {
    const current = json[field.level];
    if (field.leaves !== 'stays' || isStandard(field, current, key)) return [];
    return [`spec.${path} is no longer set and stays ${shownValue(field.read(current, key))}; ${field.opens}.`];
  });
}
