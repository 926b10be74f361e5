import { isDeepStrictEqual } from 'node:util';
import { badRequest, failure, unprocessable } from '../status.ts';

/**
 * JSON patch as kube-apiserver applies it (gopkg.in/evanphx/json-patch.v4), which differs from RFC 6902: a pointer's part before the first
 * slash does not count, an index may be negative or start with a zero, replacing what an object does not have adds it, copying what is not
 * there adds null, and a test without a value is one for null.
 */

type Plain = Record<string, unknown>;
type Container = Plain | unknown[];

interface Operation {
  op: string;
  path: unknown;
  from: unknown;
  value: unknown;
}

interface Root {
  document: unknown;
  /** Characters of JSON. */
  copied: number;
}

/**
 * The bytes that all `copy` operations of a patch may add, as in kube-apiserver (JSONPatchMaxCopyBytes). Without a limit, 40
 * operations that each double the object would need a terabyte.
 */
const MAX_COPIED = 3 * 1024 * 1024;
const MAX_OPERATIONS = 10_000;

export function jsonPatch(object: Plain, patch: unknown): Plain {
  if (!Array.isArray(patch)) {
    throw badRequest(
      'error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp',
    );
  }
  if (patch.length > MAX_OPERATIONS) {
    const message = `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`;
    throw failure(413, 'RequestEntityTooLarge', message);
  }
  // One failed operation undoes all: the copy is thrown away.
  const root: Root = { document: structuredClone(object), copied: 0 };
  for (const operation of patch) {
    const { op, path, from, value = null } = (operation ?? {}) as Operation;
    const apply = Object.hasOwn(OPERATIONS, op) ? OPERATIONS[op] : undefined;
    if (!apply) throw unprocessable();
    apply(root, { op, path, from, value: structuredClone(value) });
  }
  const result = root.document;
  if (typeof result !== 'object' || result === null || Array.isArray(result)) throw unprocessable();
  return result as Plain;
}

const OPERATIONS: Record<string, (root: Root, operation: Operation) => void> = {
  add: (root, { path, value }) => add(...find(root, path), value),
  remove: (root, { path }) => remove(...find(root, path)),
  replace(root, { path, value }) {
    if (path !== '') replace(...find(root, path), value);
    else if (typeof value !== 'object' || value === null) throw unprocessable();
    else root.document = value;
  },
  test(root, { path, value }) {
    const found = path === '' ? root.document : get(...find(root, path));
    if (!isDeepStrictEqual(found, value)) throw unprocessable();
  },
  move(root, { path, from }) {
    const [parent, key] = find(root, from);
    const moved = get(parent, key);
    remove(parent, key);
    add(...find(root, path), moved);
  },
  copy(root, { path, from }) {
    const copied = get(...find(root, from));
    const target = find(root, path);
    root.copied += copied === null ? 0 : JSON.stringify(copied).length;
    if (root.copied > MAX_COPIED) throw unprocessable();
    add(...target, structuredClone(copied));
  },
};

/** Returns the container that the pointer's last segment indexes, and that segment. */
function find(root: Root, pointer: unknown): [Container, string] {
  if (typeof pointer !== 'string' || !pointer.includes('/')) throw unprocessable();
  const steps = pointer.split('/').slice(1).map(decodeStep);
  const last = steps.pop() as string;
  let at = root.document;
  for (const step of steps) at = get(container(at), step);
  return [container(at), last];
}

const decodeStep = (step: string) => step.replaceAll('~1', '/').replaceAll('~0', '~');

function container(value: unknown): Container {
  if (typeof value !== 'object' || value === null) throw unprocessable();
  return value as Container;
}

/** The place in a list of `length`; the end itself counts only for adding. */
function indexIn(length: number, step: string): number {
  if (!/^[-+]?\d+$/.test(step)) throw unprocessable();
  const index = Number(step);
  if (index >= length || index < -length) throw unprocessable();
  return index < 0 ? index + length : index;
}

function get(parent: Container, step: string): unknown {
  if (Array.isArray(parent)) return parent[indexIn(parent.length, step)];
  return Object.hasOwn(parent, step) ? parent[step] : null;
}

function add(parent: Container, step: string, value: unknown): void {
  if (!Array.isArray(parent)) set(parent, step, value);
  else parent.splice(step === '-' ? parent.length : indexIn(parent.length + 1, step), 0, value);
}

function replace(parent: Container, step: string, value: unknown): void {
  if (Array.isArray(parent)) parent[indexIn(parent.length, step)] = value;
  else set(parent, step, value);
}

function remove(parent: Container, step: string): void {
  if (Array.isArray(parent)) parent.splice(indexIn(parent.length, step), 1);
  else if (!Object.hasOwn(parent, step)) throw unprocessable();
  else delete parent[step];
}

/** Also where the key is `__proto__`. */
function set(parent: Plain, key: string, value: unknown): void {
  Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
}
