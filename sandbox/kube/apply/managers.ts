import { isDeepStrictEqual } from 'node:util';
import type { PlainObject } from '../../../schema/types.ts';
import type { ManagedFieldsEntry } from '../resources/resource.ts';
import {
  difference,
  emptySet,
  type FieldSet,
  fromFieldsV1,
  insert,
  intersection,
  isEmpty,
  paths,
  shownPath,
  toFieldsV1,
  union,
  withoutBelow,
} from './fieldSet.ts';
import { compare, fieldSetOf, merge, removeItems, type Type, withDeclared } from './typed.ts';

/**
 * The ownership of fields, as kube-apiserver records it in `metadata.managedFields` (Kubernetes documentation, "Server-Side Apply"):
 * 1. Every write makes its manager an owner of the fields that it changes, and ends other managers' ownership of these.
 * 2. An apply lists all fields that its manager wants. It conflicts with managers that own one of them with another value.
 * 3. An apply removes the fields that its manager's last apply listed, this one does not list, and no other manager owns.
 */

export interface Writer {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  subresource?: string;
}

interface Managed {
  writer: Writer;
  fields: FieldSet;
  time?: string;
}
/** The managers by `identity`. */
type Managers = Map<string, Managed>;

export interface Conflict {
  writer: Writer;
  path: string;
}

/** The most managers with operation Update. The oldest beyond it become one entry (kube-apiserver, managedfields, capmanagers). */
const MOST_UPDATERS = 10;

/** Fields without an owner: those that the server sets, and those that identify the object. */
const UNOWNED = (() => {
  const set = emptySet();
  const meta = 'name namespace creationTimestamp selfLink uid clusterName generation managedFields resourceVersion';
  for (const path of [['f:apiVersion'], ['f:kind'], ['f:metadata']]) insert(set, path);
  for (const name of meta.split(' ')) insert(set, ['f:metadata', `f:${name}`]);
  return set;
})();

/** The identity of an applier has no API version, so that an apply in a newer version replaces the entry of the older one. */
const identity = ({ manager, operation, apiVersion, subresource }: Writer): string =>
  JSON.stringify([manager, operation, operation === 'Apply' ? '' : apiVersion, subresource ?? '']);

/** Returns undefined if an entry is not valid. */
function decode(entries: ManagedFieldsEntry[]): Managers | undefined {
  const managers: Managers = new Map();
  for (const { manager = '', operation, apiVersion = '', subresource, fieldsType, fieldsV1, time } of entries) {
    const fields = fromFieldsV1(fieldsV1 ?? {});
    if ((operation !== 'Apply' && operation !== 'Update') || fieldsType !== 'FieldsV1' || !fields) return undefined;
    const writer: Writer = { manager, operation, apiVersion, ...(subresource ? { subresource } : {}) };
    managers.set(identity(writer), { writer, fields, time });
  }
  return managers;
}

/** Sorts the entries: operation Apply first, then by time, then by name. */
function encode(managers: Managers): ManagedFieldsEntry[] {
  const entries = [...managers.values()].map(
    ({ writer, fields, time }): ManagedFieldsEntry => ({
      manager: writer.manager,
      operation: writer.operation,
      apiVersion: writer.apiVersion,
      ...(time ? { time } : {}),
      fieldsType: 'FieldsV1',
      fieldsV1: toFieldsV1(fields),
      ...(writer.subresource ? { subresource: writer.subresource } : {}),
    }),
  );
  const rank = ({ operation, time = '', manager, apiVersion, subresource = '' }: ManagedFieldsEntry) => [
    operation ?? '',
    time,
    manager ?? '',
    apiVersion ?? '',
    subresource,
  ];
  return entries.sort((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    const at = left.findIndex((word, index) => word !== right[index]);
    return at < 0 ? 0 : (left[at] ?? '') < (right[at] ?? '') ? -1 : 1;
  });
}

/** The object without `managedFields`. */
function bare(object: PlainObject): PlainObject {
  const { managedFields: _, ...metadata } = (object.metadata ?? {}) as PlainObject;
  return { ...object, metadata };
}

/** The managers in the request's body or, without any there, the recorded ones. A list of one empty entry clears them. */
function managersOf(sent: ManagedFieldsEntry[] | undefined, recorded: ManagedFieldsEntry[] | undefined): Managers {
  if (sent?.length === 1 && Object.keys(sent[0] ?? {}).length === 0) return new Map();
  const own = sent && sent.length > 0 ? decode(sent) : undefined;
  return own ?? decode(recorded ?? []) ?? new Map();
}

/** Returns the fields that the write from `before` to `after` takes from every manager except `self`. */
function takeFromOthers(managers: Managers, self: string, before: PlainObject, after: PlainObject, type: Type) {
  const { added, modified, removed } = compare(before, after, type);
  const conflicts: Conflict[] = [];
  const rest: Managers = new Map();
  for (const [id, managed] of managers) {
    if (id === self) {
      rest.set(id, managed);
      continue;
    }
    const taken = intersection(managed.fields, union(modified, added));
    for (const path of paths(taken)) conflicts.push({ writer: managed.writer, path: shownPath(path) });
    const fields = difference(difference(managed.fields, taken), removed);
    if (!isEmpty(fields)) rest.set(id, { ...managed, fields });
  }
  return { rest, conflicts, added, modified, removed };
}

const stripped = (fields: FieldSet, ignored: FieldSet): FieldSet => difference(withoutBelow(fields, ignored), UNOWNED);

export interface Written {
  /** Undefined if no manager owns a field. */
  managedFields: ManagedFieldsEntry[] | undefined;
}

/**
 * Returns the entries after a create, replace or patch. `before` is empty for a create. `ignored` are the fields that this endpoint
 * cannot change: `status` for the resource itself, all other fields for the status subresource. `now`: RFC 3339.
 */
export function recordUpdate(
  before: PlainObject,
  after: PlainObject,
  recorded: ManagedFieldsEntry[] | undefined,
  writer: Writer,
  type: Type,
  ignored: FieldSet,
  now: string,
): Written {
  const sent = ((after.metadata ?? {}) as { managedFields?: ManagedFieldsEntry[] }).managedFields;
  const managers = managersOf(sent, recorded);
  const self = identity(writer);
  const { rest, added, modified, removed } = takeFromOthers(managers, '', bare(before), bare(after), type);
  const took = stripped(union(added, modified), ignored);
  const earlier = rest.get(self);
  if (!isEmpty(took)) {
    const fields = earlier ? union(earlier.fields, took) : took;
    rest.set(self, { writer, fields: difference(fields, removed), time: now });
  }
  const all = encode(capped(rest));
  return { managedFields: all.length > 0 ? all : undefined };
}

/** Merges the oldest managers beyond `MOST_UPDATERS` into one, `ancient-changes`, which owns all their fields. */
function capped(managers: Managers): Managers {
  const updaters = [...managers].filter(([, { writer }]) => writer.operation === 'Update');
  if (updaters.length <= MOST_UPDATERS) return managers;
  const oldest = updaters.sort(([, a], [, b]) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1));
  const result = new Map(managers);
  for (const [id, { writer, fields, time }] of oldest.slice(0, updaters.length - MOST_UPDATERS + 1)) {
    result.delete(id);
    const sum: Writer = { manager: 'ancient-changes', operation: 'Update', apiVersion: writer.apiVersion };
    const earlier = result.get(identity(sum));
    result.set(identity(sum), { writer: sum, fields: earlier ? union(earlier.fields, fields) : fields, time });
  }
  return result;
}

export type Applied =
  | { ok: false; conflicts: Conflict[] }
  | { ok: true; object: PlainObject; managedFields: ManagedFieldsEntry[] | undefined };

/** Applies `config` to `live`, which is empty for an object that does not exist yet. `now`: RFC 3339. */
export function applyConfig(
  live: PlainObject,
  config: PlainObject,
  writer: Writer,
  type: Type,
  ignored: FieldSet,
  { force, now }: { force: boolean; now: string },
): Applied {
  const self = identity(writer);
  const before = bare(live);
  const managers = managersOf(undefined, ownersBefore(live, writer, type, ignored, now));
  const last = managers.get(self);
  const listed = fieldSetOf(config, type);
  const wanted = stripped(listed, ignored);
  // With the fields that identify the object, so that no map of which they are a part is taken for gone.
  managers.set(self, { writer, fields: listed, time: last?.time });
  const merged = merge(before, config, type) as PlainObject;
  const after = last ? pruned(merged, last.fields, managers, type) : merged;
  const { rest, conflicts } = takeFromOthers(managers, self, before, after, type);
  if (conflicts.length > 0 && !force) return { ok: false, conflicts };
  // True if the apply changes anything, including the order of lists.
  const unchanged = isDeepStrictEqual(before, after);
  if (isEmpty(wanted)) rest.delete(self);
  else rest.set(self, { writer, fields: wanted, time: unchanged ? last?.time : now });
  const entries = encode(rest);
  return { ok: true, object: after, managedFields: entries.length > 0 ? entries : undefined };
}

/** The entries of an object. One that has none and is applied for the first time gets an owner of all that it has (kube-apiserver, skipnonapplied). */
function ownersBefore(live: PlainObject, { apiVersion }: Writer, type: Type, ignored: FieldSet, now: string) {
  const { managedFields = [], uid } = (live.metadata ?? {}) as { managedFields?: ManagedFieldsEntry[]; uid?: string };
  if (uid === undefined || managedFields.length > 0) return managedFields;
  const first: Writer = { manager: 'before-first-apply', operation: 'Update', apiVersion };
  return recordUpdate({}, live, undefined, first, type, ignored, now).managedFields;
}

/** Removes the fields that the manager's last apply listed and that no manager, itself included, owns now. */
function pruned(merged: PlainObject, last: FieldSet, managers: Managers, type: Type): PlainObject {
  const without = removeItems(merged, withDeclared(last, type), type) ?? {};
  const here = withDeclared(fieldSetOf(merged, type), type);
  const left = withDeclared(fieldSetOf(without, type), type);
  let owned = emptySet();
  for (const { fields } of managers.values()) owned = union(owned, fields);
  const backed = (removeItems(merged, difference(here, union(left, withDeclared(owned, type))), type) ??
    {}) as PlainObject;
  // Fields that no manager owns stay if the manager's last apply did not list them. A map that it listed goes whole, with the defaults in it.
  const now = withDeclared(fieldSetOf(backed, type), type);
  const gone = intersection(difference(here, now), withDeclared(last, type));
  return (removeItems(merged, gone, type) ?? {}) as PlainObject;
}

/** The conflicts in kube-apiserver's wording. */
export function conflictMessage(conflicts: Conflict[]): string {
  const [first] = conflicts;
  if (conflicts.length === 1 && first) {
    return `Apply failed with 1 conflict: conflict with ${shownWriter(first.writer)}: ${first.path}`;
  }
  const byWriter = new Map<string, string[]>();
  for (const { writer, path } of conflicts) {
    const who = shownWriter(writer);
    byWriter.set(who, [...(byWriter.get(who) ?? []), path]);
  }
  const lines = [...byWriter]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([who, found]) => `conflicts with ${who}:\n${found.map(path => `- ${path}`).join('\n')}`);
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}

export function shownWriter({ manager, operation, apiVersion, subresource }: Writer): string {
  const who = JSON.stringify(manager) + (subresource ? ` with subresource ${JSON.stringify(subresource)}` : '');
  return operation === 'Update' ? `${who} using ${apiVersion}` : who;
}
