import type { KubeApi, KubeObject, KubeResource, KubeResult, KubeStatus, KubeWatchEvent } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { backoff } from './backoff.ts';
import { PAGE_TOO_LARGE } from './client.ts';
import { createStore, type ReadonlyStore } from './store.ts';
import { watchOnce } from './watchOnce.ts';
import { sameJson } from './writes.ts';

const PAGE = 500;
/**
 * Of a page as it comes over the wire; parsed it takes a few times that. etcd takes objects of up to 1.5 MiB, so a page of 500 could have
 * 750 MiB. A page that is larger is asked for again with a quarter of the objects, and one object alone is always taken.
 */
const PAGE_BYTES = 12 * 2 ** 20;
/** Short, as an edit must be noticed within 5 s of the API server's return, and a failed attempt costs little. */
const RETRY_MS = { base: 200, max: 2_500 };
/** Lists that succeed, of everything, again and again, are what would hurt the API server. */
const RELIST_MS = { base: 500, max: 30_000 };
/** So many 5xx in a row, and the resourceVersion is suspect (one from before etcd was restored is never served). */
const REFUSALS_BEFORE_RELIST = 5;
/** A watch that brought nothing for so long is checked against a list of one object, and after so long by a whole list. */
const SILENCE_MS = { check: 20_000, relist: 60_000 };
/**
 * Everything is listed anew and compared by content this seldom (up to a quarter later, so that replicas and kinds do not do
 * it together). Nothing else shows that etcd was restored once the server has reached our resourceVersion again.
 */
const RENEWAL_MS = 6 * 3_600_000;
const ABSENT_KIND_RETRY_MS = 60_000;
/** An optional kind that can't be listed (403, 500) is no outage: it may stay like that for as long as the cluster lives. */
const OPTIONAL_RETRY_MS = { base: 500, max: 60_000 };

export interface ReflectorOptions {
  api: KubeApi;
  runtime: Runtime;
  resource: KubeResource;
  /** Absent: all namespaces. */
  namespace?: string;
  /** The kind may not be installed (it counts as empty) or not readable: nobody waits for it, and it is tried once a minute. */
  optional?: boolean;
  /** What to keep of an object; `trimmed` unless said otherwise. */
  transform?: (object: KubeObject) => KubeObject;
  /** Called for each change, after the store has it; `undefined` for an object that is not there. May throw. */
  onChange?: (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void;
  /** Something failed that the reflector gets over by itself. */
  onProblem?: (message: string, status?: KubeStatus) => void;
}

export interface Reflector extends ReadonlyStore {
  /**
   * Resolves once the store holds a whole list, or the reflector was stopped before that; of an optional kind already when
   * its first list was answered at all.
   */
  synced: Promise<void>;
  /** Whether the store has held a whole list. Until then an object that it does not hold may exist all the same. */
  isSynced(): boolean;
  /** No handler is called any more; resolves when nothing of it runs. */
  stop(): Promise<void>;
  readonly counters: Readonly<ReflectorCounters>;
}

export interface ReflectorCounters {
  /** Pages read. */
  lists: number;
  watches: number;
  events: number;
  bookmarks: number;
  /** Events that had been seen before. */
  repeats: number;
  /** Lists and watches that ended in an error, those of the next two lines among them. */
  failures: number;
  /** Lists of one object, which only tell the server's resourceVersion. */
  checks: number;
  silent: number;
  expired: number;
  malformed: number;
  handlerErrors: number;
}

/** Keeps a store equal to what the API server holds of one kind: list, then watch from there, for as long as it lives. */
export function startReflector(options: ReflectorOptions): Reflector {
  const { api, runtime, resource, namespace, optional = false, transform = trimmed } = options;
  const store = createStore();
  const counters = noCounts();
  const stopping = new AbortController();
  const stopped = stopping.signal;
  const firstList = Promise.withResolvers<void>();
  let synced = false;
  /** Where to go on watching; undefined: list first. */
  let version: string | undefined;
  /** When a list or a new event last showed that the cache is current, and when that was last checked; monotonic. */
  let currentAt = 0;
  let checkedAt = 0;
  /** The server may have gone back in time: a resourceVersion that is in the store may mean something else now. */
  let restored = false;
  /** When everything is listed anew, though nothing is known to be wrong; monotonic. */
  let renewalAt = Number.POSITIVE_INFINITY;

  function problem(message: string, status?: KubeStatus) {
    try {
      options.onProblem?.(`${resource.plural}: ${message}`, status);
    } catch {
      // A log that fails must not stop the cache.
    }
  }

  function change(key: string, object: KubeObject | undefined) {
    const old = store.get(key);
    if (object) store.set(object);
    else store.delete(key);
    const same = object && old && isSame(object, old) && !(restored && !sameJson(object, old));
    if (stopped.aborted || same || (!object && !old)) return;
    try {
      options.onChange?.(key, object, old);
    } catch (error) {
      counters.handlerErrors++;
      problem(`the handler failed on ${key}: ${String(error)}`);
    }
  }

  function kept(object: KubeObject): KubeObject | undefined {
    try {
      if (typeof object.metadata.name !== 'string') throw new Error('it has no name');
      return transform(object);
    } catch (error) {
      counters.malformed++;
      problem(`an object was left out: ${String(error)}`);
      return undefined;
    }
  }

  /** The stored copy of an unchanged object, so that a list beside the store does not take the memory twice. */
  function storedOr(object: KubeObject): KubeObject {
    const old = store.get(keyOf(object.metadata));
    return old && isSame(object, old) && sameJson(object, old) ? old : object;
  }

  async function list(): Promise<KubeResult<string>> {
    const found = new Map<string, KubeObject>();
    let next: string | undefined;
    let limit = PAGE;
    for (;;) {
      // No resourceVersion: a consistent read, so never older than what was seen before.
      const maxBytes = limit > 1 ? PAGE_BYTES : undefined;
      const page = await api.list(resource, { namespace, limit, maxBytes, continue: next, signal: stopped });
      counters.lists++;
      if (!page.ok && page.status.reason === PAGE_TOO_LARGE && limit > 1) {
        limit = Math.max(1, Math.floor(limit / 4));
        continue;
      }
      if (!page.ok) return page;
      for (const item of page.value.items) {
        const object = kept(item);
        if (object) found.set(keyOf(object.metadata), storedOr(object));
      }
      next = page.value.metadata.continue;
      if (!next) {
        replace(found);
        return { ok: true, value: page.value.metadata.resourceVersion };
      }
    }
  }

  function replace(found: ReadonlyMap<string, KubeObject>) {
    if (stopped.aborted) return;
    for (const key of [...store.keys()]) if (!found.has(key)) change(key, undefined);
    for (const [key, object] of found) change(key, object);
    synced = true;
    restored = false;
    currentAt = runtime.monotonic();
    renewalAt = currentAt + RENEWAL_MS * (1 + runtime.random() / 4);
    firstList.resolve();
  }

  /**
   * After a watch that brought nothing, not even a bookmark. On a quiet cluster that is as it should be. It is also what a
   * dead connection looks like, and a watch from a resourceVersion that the server has not reached: kube-apiserver 1.37
   * answers HTTP 200 and sends nothing until it has, which is what happens after etcd was restored from a backup.
   */
  async function mustListAnew(from: string): Promise<boolean> {
    const now = runtime.monotonic();
    if (now - Math.max(currentAt, checkedAt) < SILENCE_MS.check) return false;
    checkedAt = now;
    const page = await api.list(resource, { namespace, limit: 1, signal: stopped });
    counters.checks++;
    const at = page.ok ? page.value.metadata.resourceVersion : undefined;
    if (at === from) {
      currentAt = now;
      return false;
    }
    if (at === undefined || !isAtMost(at, from)) return now - currentAt >= SILENCE_MS.relist;
    restored = true;
    problem(
      `the API server is at resourceVersion ${at}, before ${from}: etcd was restored, so everything is listed anew`,
    );
    return true;
  }

  function onEvent({ type, object }: KubeWatchEvent) {
    const at = object?.metadata?.resourceVersion;
    const repeated = version !== undefined && isAtMost(at, version);
    if (type === 'BOOKMARK') {
      counters.bookmarks++;
    } else {
      counters.events++;
      const now = kept(object);
      const key = now && keyOf(now.metadata);
      if (key && type === 'DELETED') {
        // A uid never comes back, so this holds even for an event that is late.
        if (store.get(key)?.metadata.uid === now.metadata.uid) change(key, undefined);
      } else if (key && repeated) {
        counters.repeats++;
      } else if (key) {
        change(key, now);
      }
    }
    if (at && !repeated) {
      version = at;
      currentAt = runtime.monotonic();
    }
  }

  async function run() {
    let failures = 0;
    let refusals = 0;
    let relists = 0;
    const pause = (ms: number) => sleep(runtime, ms, stopped);

    while (!stopped.aborted) {
      if (runtime.monotonic() >= renewalAt) {
        restored = true;
        version = undefined;
      }
      if (version === undefined) {
        const listed = await list();
        if (stopped.aborted) return;
        if (listed.ok) {
          version = listed.value;
          failures = 0;
          continue;
        }
        const { status } = listed;
        counters.failures++;
        if (optional && status.code === 404) {
          replace(new Map());
          await pause(ABSENT_KIND_RETRY_MS * (1 + runtime.random() / 10));
        } else {
          problem(`listing failed: ${status.message}`, status);
          if (optional) firstList.resolve();
          await pause(backoff(runtime, ++failures, optional ? OPTIONAL_RETRY_MS : RETRY_MS, status.retryAfterMs));
        }
        continue;
      }

      const watch = await watchOnce({
        api,
        runtime,
        resource,
        namespace,
        resourceVersion: version,
        signal: stopped,
        onEvent,
      });
      counters.watches++;
      if (stopped.aborted) return;
      if (watch.ok || watch.received > 0) failures = refusals = 0;
      const silent = watch.received === 0 && (watch.ok || watch.status.reason === 'Silent');
      if (silent && (await mustListAnew(version))) {
        counters.expired++;
        version = undefined;
        continue;
      }
      if (watch.ok) {
        relists = 0;
        continue;
      }
      const { status } = watch;
      counters.failures++;
      if (status.reason === 'Silent') counters.silent++;
      if (status.code >= 500) refusals++;
      problem(`watching failed: ${status.message}`, status);
      if (isExpired(status) || refusals >= REFUSALS_BEFORE_RELIST) {
        counters.expired++;
        refusals = 0;
        version = undefined;
        await pause(backoff(runtime, ++relists, RELIST_MS, status.retryAfterMs));
      } else {
        await pause(backoff(runtime, ++failures, RETRY_MS, status.retryAfterMs));
      }
    }
  }

  async function runForever() {
    while (!stopped.aborted) {
      try {
        await run();
      } catch (error) {
        // The port rejects only for a bug; even that must not leave a cache that stands still and looks alive.
        counters.failures++;
        version = undefined;
        problem(`a bug: ${String(error)}`);
        await sleep(runtime, RELIST_MS.max, stopped);
      }
    }
    firstList.resolve();
  }
  const running = runForever();

  return {
    get: store.get,
    list: store.list,
    keys: store.keys,
    get size() {
      return store.size;
    },
    synced: firstList.promise,
    isSynced: () => synced,
    stop() {
      stopping.abort();
      return running;
    },
    counters,
  };
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Drops what no controller reads and what can be larger than all the rest: managedFields, and kubectl's copy. */
export function trimmed(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown };
  if (metadata.annotations?.[LAST_APPLIED] !== undefined) {
    const { [LAST_APPLIED]: _, ...annotations } = metadata.annotations;
    metadata.annotations = annotations;
  }
  return { ...object, metadata };
}

function noCounts(): ReflectorCounters {
  return {
    lists: 0,
    watches: 0,
    events: 0,
    bookmarks: 0,
    repeats: 0,
    failures: 0,
    checks: 0,
    silent: 0,
    expired: 0,
    malformed: 0,
    handlerErrors: 0,
  };
}

function isSame(a: KubeObject, b: KubeObject): boolean {
  return a.metadata.uid === b.metadata.uid && a.metadata.resourceVersion === b.metadata.resourceVersion;
}

/**
 * Whether resourceVersion `a` is `b` or older; false where that can't be told. Events of one kind come in the order of
 * their resourceVersions, which are decimal numbers to be compared as such (KEP-5504, Kubernetes 1.35).
 */
function isAtMost(a: string | undefined, b: string): boolean {
  const decimal = /^[1-9]\d*$/;
  if (a === undefined || !decimal.test(a) || !decimal.test(b)) return false;
  return a.length === b.length ? a <= b : a.length < b.length;
}

/** The resourceVersion is too old, or the server knows no such kind or request (any more). */
function isExpired(status: KubeStatus): boolean {
  return [400, 404, 410].includes(status.code) || status.reason === 'Expired' || status.reason === 'Gone';
}
