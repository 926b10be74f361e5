import { badRequest, failure, unsupportedMediaType } from '../status.ts';
import { jsonPatch } from './jsonPatch.ts';

type Plain = Record<string, unknown>;
const isPlain = (value: unknown): value is Plain =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const JSON_PATCH = 'application/json-patch+json';
export const MERGE_PATCH = 'application/merge-patch+json';
export const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
export const APPLY_PATCH = 'application/apply-patch+yaml';

/** Throws the 415 Status if a resource takes no patches of media type `type`. kube-apiserver checks this before it reads the body. */
export function checkPatchType({ custom, patchTypes }: { custom: boolean; patchTypes: string[] }, type: string): void {
  if (type === APPLY_PATCH || patchTypes.includes(type)) return;
  throw custom
    ? unsupportedMediaType([...patchTypes, APPLY_PATCH])
    : failure(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});
}

/** Applies `patch` of media type `type`; the arguments stay as they are. Throws a 400 or 422 Status. */
export function patched(object: Plain, type: string, patch: unknown, mergeKeys: Record<string, string>): Plain {
  if (type === JSON_PATCH) return jsonPatch(object, patch);
  if (patch === null) {
    if (type === STRATEGIC_PATCH) return object;
    throw badRequest('Invalid JSON Patch');
  }
  if (!isPlain(patch)) {
    const found = Array.isArray(patch) ? 'array' : typeof patch;
    const where = type === STRATEGIC_PATCH ? '' : 'error decoding patch: ';
    throw badRequest(`${where}json: cannot unmarshal ${found} into Go value of type map[string]interface {}`);
  }
  const result = type === STRATEGIC_PATCH ? strategicMerge(object, patch, '', mergeKeys) : mergePatch(object, patch);
  return result as Plain;
}

/** RFC 7396; beyond it, kube-apiserver's library also drops the nulls of objects in lists. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isPlain(patch)) return withoutNulls(patch);
  const result: Plain = isPlain(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isPlain(value)) return value;
  const kept = Object.entries(value).filter(([, inner]) => inner !== null);
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutNulls(inner)]));
}

/**
 * Kubernetes' strategic merge patch: lists whose path is in `mergeKeys` merge by that key (`''`: a list of plain
 * values); all other lists are replaced. Directives: `$patch`, `$retainKeys`, `$deleteFromPrimitiveList`,
 * `$setElementOrder` (order is left as it comes).
 */
function strategicMerge(target: unknown, patch: Plain, path: string, mergeKeys: Record<string, string>): Plain {
  const directive = patch.$patch;
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') {
    throw failure(500, '', `unknown patch type: ${directive} in map: map[$patch:${directive}]`);
  }
  let result: Plain = isPlain(target) ? { ...target } : {};
  const retain = patch.$retainKeys;
  if (Array.isArray(retain))
    result = Object.fromEntries(Object.entries(result).filter(([key]) => retain.includes(key)));
  for (const [key, value] of Object.entries(patch)) {
    const removal = /^\$deleteFromPrimitiveList\/(.+)$/.exec(key)?.[1];
    if (removal && Array.isArray(value) && Array.isArray(result[removal])) {
      result[removal] = result[removal].filter(item => !value.includes(item));
    }
    if (key.startsWith('$')) continue;
    const at = path ? `${path}.${key}` : key;
    const mergeKey = mergeKeys[at];
    if (value === null) delete result[key];
    else if (Array.isArray(value) && mergeKey !== undefined) {
      result[key] = mergeList(Array.isArray(result[key]) ? result[key] : [], value, at, mergeKey, mergeKeys);
    } else if (isPlain(value)) result[key] = strategicMerge(result[key], value, at, mergeKeys);
    else result[key] = value;
  }
  return result;
}

function mergeList(
  target: unknown[],
  patch: unknown[],
  path: string,
  key: string,
  mergeKeys: Record<string, string>,
): unknown[] {
  if (key === '') return [...target, ...patch.filter(item => !target.includes(item))];
  if (patch.some(item => isPlain(item) && item.$patch === 'replace')) {
    return patch.filter(item => !(isPlain(item) && '$patch' in item));
  }
  const result = [...target];
  for (const item of patch) {
    if (!isPlain(item)) continue;
    if (item[key] === undefined) throw badRequest(`map: map[] does not contain declared merge key: ${key}`);
    const index = result.findIndex(other => isPlain(other) && other[key] === item[key]);
    if (item.$patch === 'delete') {
      if (index >= 0) result.splice(index, 1);
    } else if (index >= 0) result[index] = strategicMerge(result[index], item, path, mergeKeys);
    else result.push(withoutDirectives(item));
  }
  return result;
}

function withoutDirectives(value: Plain): Plain {
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => !key.startsWith('$') && inner !== null)
      .map(([key, inner]) => [key, isPlain(inner) ? withoutDirectives(inner) : inner]),
  );
}
