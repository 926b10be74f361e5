import assert from 'node:assert';
import type { Json, JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource, KubeResult, KubeStatus } from '../../ports/kube.ts';

/**
 * The outcome of a write. `conflict`: the object has changed since it was read, so the caller must read it again and start anew.
 * `gone`: the object no longer exists.
 */
export type WriteOutcome =
  | { kind: 'updated'; object: KubeObject }
  | { kind: 'unchanged'; object: KubeObject }
  | { kind: 'conflict' }
  | { kind: 'gone' }
  | { kind: 'error'; status: KubeStatus };

/**
 * Makes the status of `object` equal to `status` by one merge patch that holds only the differences and the resourceVersion of `object`.
 * Without a difference no call is made. A field that is absent, undefined or null in `status` is removed.
 */
export async function patchStatus(
  api: KubeApi,
  resource: KubeResource,
  object: KubeObject,
  status: JsonObject,
): Promise<WriteOutcome> {
  const patch = mergeDiff(isObject(object.status) ? object.status : {}, status);
  if (!patch) return { kind: 'unchanged', object };
  return patchAt(api, resource, object, { status: patch }, {}, 'status');
}

/** Adds `finalizer` if the object does not have it. */
export async function addFinalizer(
  api: KubeApi,
  resource: KubeResource,
  object: KubeObject,
  finalizer: string,
): Promise<WriteOutcome> {
  const finalizers = object.metadata.finalizers ?? [];
  if (finalizers.includes(finalizer)) return { kind: 'unchanged', object };
  return patchAt(api, resource, object, {}, { finalizers: [...finalizers, finalizer] });
}

/** Removes `finalizer` and no other one. */
export async function removeFinalizer(
  api: KubeApi,
  resource: KubeResource,
  object: KubeObject,
  finalizer: string,
): Promise<WriteOutcome> {
  const finalizers = object.metadata.finalizers ?? [];
  if (!finalizers.includes(finalizer)) return { kind: 'unchanged', object };
  return patchAt(api, resource, object, {}, { finalizers: finalizers.filter(other => other !== finalizer) });
}

async function patchAt(
  api: KubeApi,
  resource: KubeResource,
  object: KubeObject,
  patch: JsonObject,
  metadata: JsonObject,
  subresource?: 'status',
): Promise<WriteOutcome> {
  const { namespace, name, resourceVersion } = object.metadata;
  assert(resourceVersion, `${resource.kind} ${name} has no resourceVersion, so it was never read`);
  const body = { ...patch, metadata: { ...metadata, resourceVersion } };
  return outcome(await api.patch(resource, namespace, name, body, subresource ? { subresource } : undefined));
}

function outcome(result: KubeResult<KubeObject>): WriteOutcome {
  if (result.ok) return { kind: 'updated', object: result.value };
  if (result.status.code === 409) return { kind: 'conflict' };
  if (result.status.code === 404) return { kind: 'gone' };
  return { kind: 'error', status: result.status };
}

/**
 * The JSON merge patch (RFC 7386) that turns `from` into `to`; undefined if they are equal. Lists are replaced whole.
 * Such a patch can't write null, so null counts as absent.
 */
export function mergeDiff(from: Record<string, unknown>, to: JsonObject): JsonObject | undefined {
  const patch: JsonObject = {};
  for (const key of Object.keys(from)) {
    if (from[key] != null && to[key] == null) patch[key] = null;
  }
  for (const [key, value] of Object.entries(to)) {
    if (value == null) continue;
    const old = from[key];
    if (isObject(old) && isObject(value)) {
      const inner = mergeDiff(old, value);
      if (inner) patch[key] = inner;
    } else if (!sameJson(old, value)) {
      patch[key] = withoutNulls(value);
    }
  }
  return Object.keys(patch).length > 0 ? patch : undefined;
}

/** Deep equality of JSON: the order of keys does not matter, a null or undefined field is the same as none. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return a == null && b == null;
  for (const key of Object.keys(a)) if (a[key] !== b[key] && !sameJson(a[key], b[key])) return false;
  for (const key of Object.keys(b)) if (b[key] != null && a[key] == null) return false;
  return true;
}

// RFC 7386 drops the nulls in nested objects of a patch whose target is not an object. Without them here, a second diff is empty.
function withoutNulls(value: Json): Json {
  if (Array.isArray(value) || !isObject(value)) return value;
  const kept: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) if (inner != null) kept[key] = withoutNulls(inner);
  return kept;
}

function isObject<T>(value: T): value is T & JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
