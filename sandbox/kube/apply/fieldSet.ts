import type { PlainObject } from '../../../schema/types.ts';

/**
 * Sets of field paths, as server-side apply keeps them in `metadata.managedFields`. A set is a tree: each step is written as
 * in FieldsV1 (`f:name` a field, `k:{…}` an item of a list by its keys, `v:…` an item of a set). Nothing is changed in place
 * once a set has been handed out. Source: Kubernetes API reference, FieldsV1; the structured-merge-diff project.
 */
export interface FieldSet {
  /** True if the path to this node is itself in the set. */
  member: boolean;
  children: Map<string, FieldSet>;
}

export const emptySet = (): FieldSet => ({ member: false, children: new Map() });
export const isEmpty = (set: FieldSet): boolean => !set.member && set.children.size === 0;

/** Adds a path to a set that is still being built. */
export function insert(set: FieldSet, path: readonly string[]): void {
  let node = set;
  for (const step of path) {
    let next = node.children.get(step);
    if (!next) {
      next = emptySet();
      node.children.set(step, next);
    }
    node = next;
  }
  node.member = true;
}

/** Both trees walked together; `keep` decides for each path that is in either. */
function combine(
  a: FieldSet | undefined,
  b: FieldSet | undefined,
  keep: (inA: boolean, inB: boolean) => boolean,
): FieldSet {
  const result = emptySet();
  result.member = keep(a?.member === true, b?.member === true);
  for (const step of new Set([...(a?.children.keys() ?? []), ...(b?.children.keys() ?? [])])) {
    const below = combine(a?.children.get(step), b?.children.get(step), keep);
    if (!isEmpty(below)) result.children.set(step, below);
  }
  return result;
}

export const union = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (inA, inB) => inA || inB);
export const intersection = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (inA, inB) => inA && inB);
/** Path by path: a path below one that is taken away stays. */
export const difference = (a: FieldSet, b: FieldSet): FieldSet => combine(a, b, (inA, inB) => inA && !inB);

/** Takes away the paths of `b` and everything below them. */
export function withoutBelow(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member && !b.member, children: new Map() };
  for (const [step, child] of a.children) {
    const taken = b.children.get(step);
    if (taken?.member) continue;
    const rest = taken ? withoutBelow(child, taken) : child;
    if (!isEmpty(rest)) result.children.set(step, rest);
  }
  return result;
}

/** Every path of the set but its root: at each level first the members, then what is below them, in the order of the steps. */
export function paths(set: FieldSet, above: readonly string[] = []): string[][] {
  const children = [...set.children].sort(([a], [b]) => (a < b ? -1 : 1));
  const members = children.flatMap(([step, { member }]) => (member ? [[...above, step]] : []));
  return [...members, ...children.flatMap(([step, child]) => paths(child, [...above, step]))];
}

/** A path for people: `.spec.keys[name="openai"].env`. */
export function shownPath(path: readonly string[]): string {
  return path
    .map(step => {
      const rest = step.slice(2);
      if (step.startsWith('f:')) return `.${rest}`;
      if (step.startsWith('v:')) return `[=${rest}]`;
      if (step.startsWith('i:')) return `[${rest}]`;
      const keys = Object.entries(JSON.parse(rest) as PlainObject);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');
}

export function toFieldsV1(set: FieldSet): PlainObject {
  const fields: PlainObject = {};
  if (set.member && set.children.size > 0) fields['.'] = {};
  for (const [step, child] of [...set.children].sort(([a], [b]) => (a < b ? -1 : 1))) fields[step] = toFieldsV1(child);
  return fields;
}

/** Undefined where it is no FieldsV1: kube-apiserver then takes no notice of the managedFields of a request. */
export function fromFieldsV1(fields: unknown): FieldSet | undefined {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return undefined;
  const set = emptySet();
  for (const [step, value] of Object.entries(fields)) {
    if (step === '.') {
      set.member = true;
      continue;
    }
    const child = /^[fkvi]:/.test(step) ? fromFieldsV1(value) : undefined;
    if (!child) return undefined;
    // Without a path below it the step itself is meant.
    if (child.children.size === 0) child.member = true;
    set.children.set(step, child);
  }
  return set;
}
