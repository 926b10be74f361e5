import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createRecent, type Recent } from '../collections/recent.ts';
import type { Call, Read } from '../tenant/types.ts';
import { writeOf } from './execute.ts';
import { getResource, type Resource } from './getOne.ts';
import { parsePolicy } from './iamPolicy.ts';
import { listAll } from './pages.ts';
import { createReads, forEachResource, type Reads } from './reads.ts';
import { parentAndId, type Shape } from './resourceNames.ts';
import { RESOURCES } from './resources.ts';
import { createSharedList, type SharedList } from './sharedList.ts';
import type { Executed } from './write.ts';

/**
 * Reads whose answers all tenants share. Services come from one ListServices per project and region; service accounts and secrets come
 * from one list per project. Policies and versions are in no list, so they are read one by one and cached. Each identity that the
 * operator impersonates has its own lists and its own cache, because different identities may see different resources.
 */

/** The greatest age of an answer, in milliseconds since its call began. */
export interface Ages {
  /** For accounts, secrets and services, which come from lists. "Not found" is trusted for 10 s at most, and for secrets not at all. */
  listed: number;
  /** For services, if they must be newer than accounts and secrets. */
  services?: number;
  /** For policies and versions, which are read one by one. "Not found" is never cached. */
  single: number;
  /** True: accounts, secrets and services are read with one GET each instead of from lists. */
  alone?: boolean;
}

export interface SharedReads {
  /**
   * Answers with reads whose results are not older than `ages`, and never older than the operator's own last write of the resource.
   * `onChanged` is for a caller that reads again every `2 * ages.listed`. It is called when a later list shows that an answer which
   * that caller got has changed.
   */
  at(ages: Ages, onChanged?: () => void): Reads;
  /** To be called when a step's call has ended, whether it succeeded or failed. */
  wrote(call: Call, outcome: Executed, options?: GcpCallOptions): void;
  /** Milliseconds between two lists of a region's services while a tenant waits for one of them to become ready. */
  paceMs(project: string, region: string, options?: GcpCallOptions): number;
}

/**
 * How long "not found" is trusted for resources that the operator creates, milliseconds. A stale "not found" only costs an
 * ALREADY_EXISTS.
 */
const OURS_ABSENT_MS = 10_000;
/** "Not found" of a secret is not trusted at all: users create secrets, and wait until the operator uses them. */
const THEIRS_ABSENT_MS = 0;
/**
 * Milliseconds of the wait between two lists for each service beyond `FEW`, because a longer list takes longer. A region with 1,000
 * services, the most that it can hold, is listed every 4.5 s.
 */
const PACE_MS = 5;
/** A list of up to this many services takes no longer than reading one service, so it needs no wait. */
const FEW = 100;
/** Milliseconds for which policies and versions are cached at most. It equals the longest `single` age that a reconcile accepts. */
const SINGLES_MS = 180_000;
/** Milliseconds after which a list that no tenant has read is dropped, unless the sync interval is longer. */
const IDLE_MS = 3_600_000;
/** The most lists of one type. A spec may name any project, even one that does not exist; beyond this number the least recently used lists are dropped. */
const MOST_LISTS = 500;

/** `intervalMs`: `--sync-interval`, the longest time between two reads of a tenant that does not change. */
export function createSharedReads(call: GcpCall, runtime: Runtime, intervalMs = 0): SharedReads {
  const uncached = createReads(call);
  const forMs = Math.max(IDLE_MS, intervalMs);
  const identities = createRecent<Caches>(runtime, { forMs });

  function cachesOf({ actAs }: GcpCallOptions = {}): Caches {
    // A list is called without the reader's signal and tenant: all readers share it, so no single reader may cancel it.
    const known =
      identities.get(actAs ?? '') ??
      createCaches((method, request) => call(method, request, { actAs }), runtime, forMs);
    identities.set(actAs ?? '', known);
    return known;
  }

  function at({ listed, services = listed, single, alone }: Ages, onChanged?: () => void): Reads {
    const cached = <T>(key: string, get: () => Promise<Read<T>>, options?: GcpCallOptions): Promise<Read<T>> =>
      cachesOf(options).singles.read(key, single, get);
    return {
      // Reads from the list of the name's parent. A malformed name has no parent; the GET then fails and says why.
      ...forEachResource((resource, name, options) => {
        const get = () => getResource(call, resource, name, options);
        const place = alone ? undefined : parentAndId(resource.shape, name);
        if (!place) return get();
        const age = resource.shape === RESOURCES.service.shape ? services : listed;
        return cachesOf(options).listOf(resource, place.parent).read(place.id, age, get, onChanged);
      }),
      secretPolicy: (name, options) => cached(policyKey(name), () => uncached.secretPolicy(name, options), options),
      servicePolicy: (name, options) => cached(policyKey(name), () => uncached.servicePolicy(name, options), options),
      secretVersion: (secret, want, options) =>
        cached(`version ${secret} ${want}`, () => uncached.secretVersion(secret, want, options), options),
    };
  }

  return {
    at,
    wrote: (step, outcome, options) => noteWrite(cachesOf(options), step, outcome),
    paceMs(project, region, options) {
      const list = cachesOf(options).listOf(RESOURCES.service, `projects/${project}/locations/${region}`);
      return PACE_MS * Math.max(0, list.size() - FEW);
    },
  };
}

type Caches = ReturnType<typeof createCaches>;

/** The lists and the cache of one identity. */
function createCaches(call: GcpCall, runtime: Runtime, forMs: number) {
  const lists = new Map<Shape, Recent<SharedList<unknown>>>();
  return {
    singles: createSingles(runtime),
    /** Answers with the list of a parent, and creates it when it is first read. */
    listOf<T extends { name: string }>({ shape, list, isOurs }: Resource<T>, parent: string): SharedList<T> {
      const ofShape = lists.get(shape) ?? createRecent<SharedList<unknown>>(runtime, { forMs, most: MOST_LISTS });
      lists.set(shape, ofShape);
      const absentMs = isOurs ? OURS_ABSENT_MS : THEIRS_ABSENT_MS;
      const known = ofShape.get(parent) ?? createSharedList(runtime, () => listAll(call, list, parent), absentMs);
      ofShape.set(parent, known);
      // All lists of one shape have the same `Resource`, so their values are of its type.
      return known as SharedList<T>;
    },
  };
}

const policyKey = (resource: string): string => `policy ${resource}`;

/** Marks what a call made stale in the lists, or puts the new policy into the cache. After a failure the cached policy is removed. */
function noteWrite({ listOf, singles }: Caches, step: Call, outcome: Executed): void {
  const { changes, setsPolicy } = writeOf(step);
  const name = changes(step);
  if (setsPolicy) {
    singles.put(policyKey(name), outcome.ok ? parsePolicy(outcome.response) : undefined);
    return;
  }
  for (const resource of Object.values(RESOURCES) as Resource<{ name: string }>[]) {
    const place = parentAndId(resource.shape, name);
    if (!place) continue;
    const list = listOf(resource, place.parent);
    // The keys of the list of accounts are e-mail addresses, but a deletion names the account by its unique id.
    const isNumber = /^\d+$/.test(place.id) && resource.uniqueId !== undefined;
    const keys = isNumber ? list.keysOf(value => resource.uniqueId?.(value) === place.id) : [place.id];
    for (const key of keys) list.wrote(key, outcome.ok);
  }
}

/** A cache for policies and versions, which are read one by one. */
function createSingles(runtime: Runtime) {
  const answers = createRecent<{ value: unknown; asOf: number }>(runtime, { forMs: SINGLES_MS });

  /** Caches `value`, unless a newer one is cached. `undefined` removes the cached value. `asOf`: when the call began. */
  function put(key: string, value: unknown, asOf = runtime.monotonic()): void {
    if ((answers.get(key)?.asOf ?? asOf) > asOf) return;
    answers.delete(key);
    if (value !== undefined) answers.set(key, { value, asOf });
  }

  return {
    put,
    async read<T>(key: string, maxAgeMs: number, get: () => Promise<Read<T>>): Promise<Read<T>> {
      const asOf = runtime.monotonic();
      const known = answers.get(key);
      // A key stands for one method and resource, so the cached value came from the same `get` and is a `T`.
      if (known && maxAgeMs > 0 && asOf - known.asOf <= maxAgeMs) return { state: 'present', value: known.value as T };
      const read = await get();
      put(key, read.state === 'present' ? read.value : undefined, asOf);
      return read;
    },
  };
}
