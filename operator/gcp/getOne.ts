import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Failure, Read } from '../tenant/types.ts';
import { failureOf } from './errors.ts';
import type { ListOf } from './pages.ts';
import { badName, type Shape, sameButProject } from './resourceNames.ts';

export interface Get<T> {
  method: string;
  shape: Shape;
  name: string;
  /** The method's request message. Absent: a message with the name only. */
  request?: JsonObject;
  /** Undefined if the answer lacks something that the operator needs, or is about another resource. */
  parse(answer: JsonObject): T | undefined;
}

/**
 * Reads one resource with one call. `absent` means that Google Cloud itself answered NOT_FOUND. An answer that cannot be parsed is
 * `failed`, so that no decision is based on it. A malformed name fails without a call, because it must not become part of a URL.
 */
export async function getOne<T>(call: GcpCall, get: Get<T>, options?: GcpCallOptions): Promise<Read<T>> {
  const { method, shape, name, request = { name } } = get;
  const bad = badName(shape, name);
  if (bad) return failed(bad);
  const result = await call(method, request, options);
  if (!result.ok) return absentOrFailed(failureOf(method, result.status, request));
  const value = get.parse(result.response);
  return value === undefined ? notUnderstood(method, name) : { state: 'present', value };
}

/** A type of resource that is read alone with one GET, or together with all others of its parent by a list. */
export interface Resource<T extends { name: string }> {
  shape: Shape;
  /** Reads one resource by its name. */
  get: { method: string; request(name: string): JsonObject };
  /** True if the answer is about the resource of that name. Absent: the names may differ in the project only. */
  isAbout?(value: T, name: string): boolean;
  list: ListOf<T>;
  /** The number by which a call may name the resource instead of by the list's key. */
  uniqueId?(value: T): string;
  /** True if the operator creates resources of this type, so that "not found" may be trusted for a short time. */
  isOurs: boolean;
}

/** Reads a resource with one GET. An answer about another resource than `name` is `failed`. */
export function getResource<T extends { name: string }>(
  call: GcpCall,
  { shape, get, isAbout = (value, asked) => sameButProject(shape, value.name, asked), list }: Resource<T>,
  name: string,
  options?: GcpCallOptions,
): Promise<Read<T>> {
  const parse = (answer: JsonObject): T | undefined => {
    const value = list.parse(answer);
    return value && isAbout(value, name) ? value : undefined;
  };
  return getOne(call, { method: get.method, shape, name, request: get.request(name), parse }, options);
}

export const failed = (failure: Failure): { state: 'failed'; failure: Failure } => ({ state: 'failed', failure });

export const absentOrFailed = (failure: Failure): Read<never> =>
  failure.kind === 'NotFound' ? { state: 'absent' } : failed(failure);

export const notUnderstood = (method: string, name: string): Read<never> =>
  failed({ kind: 'Transient', message: `${method} answered for ${name} with something that can't be understood.` });
