import type { PlainObject } from '../../../schema/types.ts';
import { emptySet, type FieldSet, insert, isEmpty, union } from './fieldSet.ts';

/**
 * Values read by their type, as far as server-side apply needs it: whether a map or list is one value (atomic) or made of
 * fields and items that have owners of their own. Source: Kubernetes documentation, "Server-Side Apply", Merge strategy.
 */
export type Type =
  /** Without `of` the value may be of any type. */
  | { kind: 'leaf'; of?: 'string' | 'boolean' | 'number' }
  /** `field` answers undefined where the name is no declared field. `isOpen`: such fields are taken without `values` too. */
  | { kind: 'map'; atomic: boolean; field: (name: string) => Type | undefined; values?: Type; isOpen?: boolean }
  | {
      kind: 'list';
      relation: 'atomic' | 'set' | 'map';
      keys: readonly string[];
      item: Type;
      keyDefaults?: PlainObject;
    };

export const LEAF: Type = { kind: 'leaf' };
/** The type for values without a schema: maps have fields, and a list is one value. */
export const DEDUCED: Type = { kind: 'map', atomic: false, field: () => undefined, isOpen: true };

const isPlain = (value: unknown): value is PlainObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A value whose parts have owners of their own. */
type Parts =
  | { kind: 'map'; entries: [step: string, value: unknown, type: Type, declared: boolean][] }
  | { kind: 'list'; entries: [step: string, value: unknown, type: Type, declared: boolean][] };

/** Undefined: the value is one whole. */
function partsOf(value: unknown, type: Type): Parts | undefined {
  if (isPlain(value)) {
    const map = type.kind === 'map' ? type : undefined;
    if (!map || map.atomic) return undefined;
    return {
      kind: 'map',
      entries: Object.entries(value)
        .filter(([, inner]) => inner !== undefined)
        .map(([name, inner]) => {
          const declared = map.field(name);
          return [`f:${name}`, inner, declared ?? map.values ?? typeOfUnknown(inner), declared !== undefined];
        }),
    };
  }
  if (!Array.isArray(value) || type.kind !== 'list' || type.relation === 'atomic') return undefined;
  return { kind: 'list', entries: value.map(item => [itemStep(item, type), item, type.item, false]) };
}

/** Null stands for a list or map without anything in it where the type has parts. */
const emptyParts = (type: Type): Parts | undefined =>
  type.kind === 'leaf' || (type.kind === 'map' ? type.atomic : type.relation === 'atomic')
    ? undefined
    : { kind: type.kind, entries: [] };

const typeOfUnknown = (value: unknown): Type => (isPlain(value) ? DEDUCED : LEAF);

function itemStep(item: unknown, { relation, keys, keyDefaults }: Type & { kind: 'list' }): string {
  if (relation === 'set') return `v:${JSON.stringify(item)}`;
  const object = isPlain(item) ? item : {};
  const named = keys.flatMap(key => {
    const value = object[key] ?? keyDefaults?.[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return `k:${JSON.stringify(Object.fromEntries(named.sort(([a], [b]) => (a < b ? -1 : 1))))}`;
}

/** An empty list whose items have owners of their own is nobody's. */
const isHollow = (value: unknown): boolean => value === null || (isPlain(value) && Object.keys(value).length === 0);

/** Returns the paths that `value` names: its leaves, and the items of its lists and maps. */
export function fieldSetOf(value: unknown, type: Type): FieldSet {
  const set = emptySet();
  const walk = (inner: unknown, of: Type, path: string[]): void => {
    const parts = partsOf(inner, of);
    if (!parts) {
      if (path.length > 0) insert(set, path);
      return;
    }
    for (const [step, part, partType, declared] of parts.entries) {
      const at = [...path, step];
      walk(part, partType, at);
      if (parts.kind === 'list' || !declared || isHollow(part)) insert(set, at);
    }
  };
  walk(value, type, []);
  return set;
}

export interface Comparison {
  added: FieldSet;
  modified: FieldSet;
  removed: FieldSet;
}

export function compare(before: unknown, after: unknown, type: Type): Comparison {
  const result: Comparison = { added: emptySet(), modified: emptySet(), removed: emptySet() };
  // Both types are the same where the schema has one; a value without a schema has the type that it looks like.
  const walk = (old: unknown, now: unknown, [ofOld, ofNow]: [Type, Type], path: string[]): void => {
    const read = (value: unknown, of: Type) => (value === null ? emptyParts(of) : partsOf(value, of));
    const [oldParts, nowParts] = [read(old, ofOld), read(now, ofNow)];
    const isWhole = (parts: Parts | undefined, value: unknown) => value !== undefined && !parts;
    if (isWhole(oldParts, old) || isWhole(nowParts, now)) {
      if (old === undefined) insert(result.added, path);
      else if (now === undefined) insert(result.removed, path);
      else if (JSON.stringify(sorted(old)) !== JSON.stringify(sorted(now))) {
        insert(result.modified, path);
        // Nobody owns parts of what is one whole now, and nobody has owned those of what was one.
        if (oldParts) result.removed = union(result.removed, below(path, fieldSetOf(old, ofOld)));
        if (nowParts) result.added = union(result.added, below(path, fieldSetOf(now, ofNow)));
      }
      return;
    }
    const [left, right] = [oldParts, nowParts].map(parts => new Map(parts?.entries.map(entry => [entry[0], entry])));
    for (const step of new Set([...(left?.keys() ?? []), ...(right?.keys() ?? [])])) {
      const [a, b] = [left?.get(step), right?.get(step)];
      const types: [Type, Type] = [a?.[2] ?? b?.[2] ?? LEAF, b?.[2] ?? a?.[2] ?? LEAF];
      walk(a?.[1], b?.[1], types, [...path, step]);
    }
    if (path.length === 0) return;
    if (old === undefined) insert(result.added, path);
    if (now === undefined) insert(result.removed, path);
  };
  walk(before, after, [type, type], []);
  return result;
}

const below = (path: readonly string[], set: FieldSet): FieldSet =>
  path.reduceRight((inner, step): FieldSet => ({ member: false, children: new Map([[step, inner]]) }), set);

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  );
}

/** `config` laid over `live`. */
export function merge(live: unknown, config: unknown, type: Type): unknown {
  if (config === undefined) return live;
  // Null stands for nothing in a list or map whose parts have owners of their own, so what others own there stays.
  if (config === null && emptyParts(type) && partsOf(live, type)) return live;
  const [liveParts, configParts] = [partsOf(live, type), partsOf(config, type)];
  if (!configParts || !liveParts) return config;
  if (configParts.kind === 'map') {
    const result: PlainObject = { ...(live as PlainObject) };
    for (const [step, value, of] of configParts.entries) {
      const name = step.slice(2);
      result[name] = merge((live as PlainObject)[name], value, of);
    }
    return result;
  }
  return mergeLists(liveParts, configParts);
}

/** Items of both keep the order of both where these agree; where they don't, the new one's wins. */
function mergeLists(live: Parts, config: Parts): unknown[] {
  const [left, right] = [live.entries, config.entries];
  const [inLeft, inRight] = [new Map(left.map(e => [e[0], e])), new Set(right.map(([step]) => step))];
  const result: unknown[] = [];
  const take = ([step, value, of]: Parts['entries'][number]) => result.push(merge(inLeft.get(step)?.[1], value, of));
  let [l, r] = [0, 0];
  const nextShared = () => right.slice(r).find(([step]) => inLeft.has(step))?.[0];
  while (l < left.length || r < right.length) {
    const [a, b] = [left[l], right[r]];
    if (a && b && a[0] === b[0]) {
      take(b);
      l += 1;
      r += 1;
    } else if (a && b && nextShared() === a[0]) {
      take(b);
      r += 1;
    } else if (a && !inRight.has(a[0])) {
      result.push(a[1]);
      l += 1;
    } else if (a) {
      // The new order has it elsewhere.
      l += 1;
    } else if (b) {
      take(b);
      r += 1;
    }
  }
  return result;
}

/** Without the paths of `gone`, and what stands below them. A map or list of which nothing is left is null. */
export function removeItems(value: unknown, gone: FieldSet, type: Type): unknown {
  const parts = partsOf(value, type);
  if (!parts || gone.children.size === 0) return value;
  const kept = parts.entries.flatMap(([step, inner, of]) => {
    const below = gone.children.get(step);
    if (below?.member) return [];
    return [[step, below ? removeItems(inner, below, of) : inner] as const];
  });
  if (kept.length === 0) return null;
  if (parts.kind === 'list') return kept.map(([, inner]) => inner);
  return Object.fromEntries(kept.map(([step, inner]) => [step.slice(2), inner]));
}

/** The same set, with every declared field that something below is in the set of. */
export function withDeclared(set: FieldSet, type: Type): FieldSet {
  const result: FieldSet = { member: set.member, children: new Map() };
  for (const [step, child] of set.children) {
    const name = step.startsWith('f:') ? step.slice(2) : undefined;
    const declared = name !== undefined && type.kind === 'map' ? type.field(name) : undefined;
    const of = declared ?? (type.kind === 'map' ? (type.values ?? DEDUCED) : type.kind === 'list' ? type.item : LEAF);
    const below = withDeclared(child, of);
    result.children.set(step, { ...below, member: below.member || (declared !== undefined && !isEmpty(child)) });
  }
  return result;
}
