import type { KubeApi, KubeObject, KubeResource, KubeStatus, KubeWatchEvent } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { type BackoffLimits, backoff } from './backoff.ts';
import { listAll } from './listAll.ts';
import { createReflectorCache, type ReflectorCache, trimmed } from './reflectorCache.ts';
import { isAtMost } from './resourceVersion.ts';
import type { ReadonlyStore } from './store.ts';
import { watchOnce } from './watchOnce.ts';

/**
 * A reflector keeps a cache equal to what the API server holds of one kind. It never assumes that a silent connection is alive, nor
 * that a watch delivers every change:
 *
 * 1. List everything (`listAll.ts`), and make the cache equal to the list.
 * 2. Watch from the resourceVersion of the list, 20 to 25 s at a time (`watchOnce.ts`), and apply each event
 *    (`reflectorCache.ts`). A watch that fails is repeated from the last event, with backoff.
 * 3. List again if the resourceVersion has expired, or if the API server refuses it again and again.
 * 4. After a watch without any event, compare the resourceVersion with a list of one object: the only sign that the server
 *    went back in time. kube-apiserver 1.37 answers a watch from a resourceVersion that it has not reached with HTTP 200 and
 *    sends nothing until it has, which is what happens after etcd was restored from a backup.
 * 5. List again every 6 h: nothing else shows a restored etcd once the server has reached our resourceVersion again.
 */

/** The first wait is short, because an edit must be noticed within 5 s of the API server's return and a failed attempt costs little. */
const RETRY_MS: BackoffLimits = { base: 200, max: 2_500 };
/** The backoff between repeated lists of everything that succeed, because these cost the API server most. */
const RELIST_MS: BackoffLimits = { base: 500, max: 30_000 };
/** For an optional kind that cannot be listed (403, 500). This need not be an outage: it may last as long as the cluster. */
const OPTIONAL_RETRY_MS: BackoffLimits = { base: 500, max: 60_000 };
const ABSENT_KIND_RETRY_MS = 60_000;
/** After this many 5xx answers in a row everything is listed: once etcd was restored, an older resourceVersion is never served again. */
const REFUSALS_BEFORE_RELIST = 5;
/** For how long the cache counts as current without an event: then it is checked by a list of one object, later by a whole list. */
const SILENCE_MS = { check: 20_000, relist: 60_000 };
/** The interval of step 5. Up to a quarter is added at random, so that replicas and kinds do not list at the same time. */
const RENEWAL_MS = 6 * 3_600_000;

export interface ReflectorOptions {
  api: KubeApi;
  runtime: Runtime;
  resource: KubeResource;
  /** All namespaces by default. */
  namespace?: string;
  /** The kind may be absent (it counts as empty) or not readable: nothing waits for it, and it is tried again once a minute. */
  optional?: boolean;
  /** Reduces an object to what the cache keeps; `trimmed` by default. */
  transform?: (object: KubeObject) => KubeObject;
  /** Called for each change, after the cache has it; `undefined` is an object that does not exist. May throw. */
  onChange?: (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void;
  /** Called for a failure from which the reflector recovers by itself. */
  onProblem?: (message: string, status?: KubeStatus) => void;
}

export interface Reflector extends ReadonlyStore {
  /**
   * Resolves when the cache holds a whole list, or when the reflector is stopped before that. For an optional kind it also resolves
   * when the first list is refused.
   */
  synced: Promise<void>;
  /** Whether the cache has held a whole list. Until then an object that it does not hold may exist all the same. */
  isSynced(): boolean;
  /** Calls no handler any more, and resolves when no request is under way. */
  stop(): Promise<void>;
  readonly counters: Readonly<ReflectorCounters>;
}

const NO_COUNTS = {
  /** Pages read. */
  lists: 0,
  watches: 0,
  events: 0,
  bookmarks: 0,
  /** Events no newer than what the watch had already delivered. */
  repeats: 0,
  /** Lists and watches that ended in an error; `silent` and some of `expired` are among them. */
  failures: 0,
  /** Lists of one object, for the server's resourceVersion. */
  checks: 0,
  silent: 0,
  expired: 0,
  malformed: 0,
  handlerErrors: 0,
};
type ReflectorCounters = typeof NO_COUNTS;

function createState(
  options: ReflectorOptions,
  stopped: AbortSignal,
  counters: ReflectorCounters,
  cache: ReflectorCache,
) {
  return {
    options,
    stopped,
    counters,
    cache,
    /** Where the next watch starts; undefined: list first. */
    version: undefined as string | undefined,
    /** When a list or a new event last showed that the cache is current, and when that was last checked; monotonic. */
    currentAt: 0,
    checkedAt: 0,
    /** When everything is listed anew (step 5); monotonic. */
    renewalAt: Number.POSITIVE_INFINITY,
    isSynced: false,
    firstList: Promise.withResolvers<void>(),
  };
}
type State = ReturnType<typeof createState>;

/** Numbers in a row: of failed attempts, of 5xx answers to watches, and of lists because of an expired resourceVersion. */
interface Tries {
  failures: number;
  refusals: number;
  relists: number;
}

export function startReflector(options: ReflectorOptions): Reflector {
  const stopping = new AbortController();
  const stopped = stopping.signal;
  const counters = { ...NO_COUNTS };
  const cache = createReflectorCache({
    transform: options.transform ?? trimmed,
    onChange(...change) {
      if (!stopped.aborted) options.onChange?.(...change);
    },
    onProblem: message => problem(options, message),
    counters,
  });
  const state = createState(options, stopped, counters, cache);
  const running = runForever(state);
  const { store } = cache;
  return {
    get: store.get,
    list: store.list,
    keys: store.keys,
    get size() {
      return store.size;
    },
    synced: state.firstList.promise,
    isSynced: () => state.isSynced,
    stop() {
      stopping.abort();
      return running;
    },
    counters,
  };
}

/** The port rejects only because of a bug. Even then the reflector continues, because nobody would notice a cache that is no longer updated. */
async function runForever(state: State): Promise<void> {
  const { options, stopped, counters } = state;
  while (!stopped.aborted) {
    try {
      await run(state);
    } catch (error) {
      counters.failures++;
      state.version = undefined;
      problem(options, `a bug in the operator, please report it with this line: ${String(error)}`);
      await sleep(options.runtime, RELIST_MS.max, stopped);
    }
  }
  state.firstList.resolve();
}

async function run(state: State): Promise<void> {
  const { options, cache, stopped } = state;
  const tries: Tries = { failures: 0, refusals: 0, relists: 0 };
  while (!stopped.aborted) {
    if (options.runtime.monotonic() >= state.renewalAt) {
      cache.distrust();
      state.version = undefined;
    }
    if (state.version === undefined) await list(state, tries);
    else await watch(state, state.version, tries);
  }
}

async function list(state: State, tries: Tries): Promise<void> {
  const { options, cache, counters, stopped } = state;
  const { api, runtime, resource, namespace, optional = false } = options;
  const found = new Map<string, KubeObject>();
  const result = await listAll(
    api,
    resource,
    { namespace, signal: stopped },
    () => counters.lists++,
    item => {
      const object = cache.kept(item);
      if (object) found.set(keyOf(object.metadata), cache.storedOr(object));
    },
  );
  if (stopped.aborted) return;
  if (result.ok) {
    replace(state, found);
    state.version = result.value;
    tries.failures = 0;
    return;
  }
  const { status } = result;
  counters.failures++;
  if (optional && status.code === 404) {
    replace(state, new Map());
    await sleep(runtime, ABSENT_KIND_RETRY_MS * (1 + runtime.random() / 10), stopped);
    return;
  }
  problem(options, `listing failed: ${status.message}`, status);
  if (optional) state.firstList.resolve();
  await backOff(state, ++tries.failures, optional ? OPTIONAL_RETRY_MS : RETRY_MS, status);
}

function replace(state: State, listed: ReadonlyMap<string, KubeObject>): void {
  const { runtime } = state.options;
  state.cache.replace(listed);
  state.isSynced = true;
  state.currentAt = runtime.monotonic();
  state.renewalAt = state.currentAt + RENEWAL_MS * (1 + runtime.random() / 4);
  state.firstList.resolve();
}

async function watch(state: State, from: string, tries: Tries): Promise<void> {
  const { options, counters, stopped } = state;
  const { api, runtime, resource, namespace } = options;
  const onEvent = (event: KubeWatchEvent): void => apply(state, event);
  const result = await watchOnce({
    api,
    runtime,
    resource,
    namespace,
    resourceVersion: from,
    signal: stopped,
    onEvent,
  });
  counters.watches++;
  if (stopped.aborted) return;
  if (result.ok || result.received > 0) tries.failures = tries.refusals = 0;
  const isSilent = result.received === 0 && (result.ok || result.status.reason === 'Silent');
  if (isSilent && (await mustListAnew(state, from))) {
    counters.expired++;
    state.version = undefined;
    return;
  }
  if (result.ok) {
    tries.relists = 0;
    return;
  }
  const { status } = result;
  counters.failures++;
  if (status.reason === 'Silent') counters.silent++;
  if (status.code >= 500) tries.refusals++;
  problem(options, `watching failed: ${status.message}`, status);
  if (isExpired(status) || tries.refusals >= REFUSALS_BEFORE_RELIST) {
    counters.expired++;
    tries.refusals = 0;
    state.version = undefined;
    await backOff(state, ++tries.relists, RELIST_MS, status);
  } else {
    await backOff(state, ++tries.failures, RETRY_MS, status);
  }
}

function apply(state: State, event: KubeWatchEvent): void {
  const at = event.object?.metadata?.resourceVersion;
  const isRepeat = state.cache.apply(event, state.version);
  if (!at || isRepeat) return;
  state.version = at;
  state.currentAt = state.options.runtime.monotonic();
}

/** Step 4: true if everything must be listed after a watch from `from` without an event or a bookmark, which a quiet cluster has too. */
async function mustListAnew(state: State, from: string): Promise<boolean> {
  const { options, counters, stopped } = state;
  const { api, runtime, resource, namespace } = options;
  const now = runtime.monotonic();
  if (now - Math.max(state.currentAt, state.checkedAt) < SILENCE_MS.check) return false;
  state.checkedAt = now;
  const page = await api.list(resource, { namespace, limit: 1, signal: stopped });
  counters.checks++;
  const at = page.ok ? page.value.metadata.resourceVersion : undefined;
  if (at === from) {
    state.currentAt = now;
    return false;
  }
  if (at === undefined || !isAtMost(at, from)) return now - state.currentAt >= SILENCE_MS.relist;
  state.cache.distrust();
  const message = `the API server is at resourceVersion ${at}, before ${from}: etcd was restored, so everything is listed anew`;
  problem(options, message);
  return true;
}

function backOff({ options, stopped }: State, tries: number, limits: BackoffLimits, { retryAfterMs }: KubeStatus) {
  return sleep(options.runtime, backoff(options.runtime, tries, limits, retryAfterMs), stopped);
}

function problem({ resource, onProblem }: ReflectorOptions, message: string, status?: KubeStatus): void {
  try {
    onProblem?.(`${resource.plural}: ${message}`, status);
  } catch {
    // A log that fails must not stop the cache.
  }
}

/** The resourceVersion is too old, or the server no longer knows the kind or refuses the request itself. */
function isExpired({ code, reason }: KubeStatus): boolean {
  return [400, 404, 410].includes(code) || reason === 'Expired' || reason === 'Gone';
}
