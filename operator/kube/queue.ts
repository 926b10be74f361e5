import assert from 'node:assert';
import { splitKey } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createFairQueue, type Lane, PRIORITIES, type Priority } from '../collections/fairQueue.ts';
import { createTimerHeap } from '../collections/timerHeap.ts';
import { type BackoffLimits, backoff } from './backoff.ts';
import { createPlaces, type Run } from './places.ts';

export type { Priority } from '../collections/fairQueue.ts';

/**
 * A work queue of keys. No key is ever processed twice at once, no added key is lost, and many adds of a waiting key are one run.
 *
 * 1. A key that is added is queued by its priority (`fairQueue.ts`). While it runs, the add is noted, and the key is queued again
 *    when the run has ended.
 * 2. A queued key starts to run when a place is free for it (`places.ts`).
 * 3. The verdict of the run decides what is next: nothing, a timer, a timer with backoff, or parked until something outside
 *    of the queue (a quota) wakes the key.
 *
 * A key is therefore queued, parked or running, never two of these at once, and it may have a timer as well. The queue drops
 * its record of a key to which none of the four applies.
 */

/** What the queue does with a key after a run. */
export type Verdict =
  /** Nothing until the key is added again. */
  | { kind: 'done' }
  /** A success; the key is requeued after `afterMs`, as a `retry` by default. `changed`: the run has changed something. */
  | { kind: 'again'; afterMs: number; priority?: Priority; changed?: boolean }
  /** A failure; the key backs off, longer with each failure, for at least `atLeastMs` and at most `atMostMs`. */
  | { kind: 'retry'; atLeastMs?: number; atMostMs?: number }
  /** Neither a success nor a failure; the key is requeued when it is woken, with the priority of the run by default. */
  | { kind: 'park'; park: Park; priority?: Priority };

/** Calls `wake` once, later, unless the returned function is called before. */
type Park = (wake: (granted: Granted) => void) => () => void;

/** What a parked key was woken with. The run that gets it must release it. */
interface Granted {
  release(): void;
}

interface RunInfo {
  priority: Priority;
  /** Failed runs in a row. */
  failures: number;
  /** How many runs in a row have changed something without an edit in between. */
  changes: number;
  granted?: Granted;
}

export interface QueueOptions {
  runtime: Runtime;
  /** How many keys run at once. */
  workers: number;
  /** A rejection counts as `retry`. */
  process: (key: string, run: RunInfo) => Promise<Verdict>;
  /** `PROJECT/REGION` of a key's calls, because an outage concerns one region or one project. All keys have the same one by default. */
  destinationOf?: (key: string) => string;
  backoffMs?: BackoffLimits;
  hooks?: QueueHooks;
}

/** For metrics and logs; times are in milliseconds. A hook must not throw. */
export interface QueueHooks {
  onAdd?(priority: Priority): void;
  onStart?(key: string, priority: Priority, waitedMs: number): void;
  onEnd?(key: string, verdict: Verdict, tookMs: number): void;
  onRetry?(key: string, failures: number, delayMs: number): void;
  /** `process` rejected, which is a bug. */
  onError?(key: string, error: unknown): void;
}

export interface Queue {
  /** Guarantees a run that starts after this call. While `key` runs, that is one more run after the present one. */
  add(key: string, priority?: Priority): void;
  /** Adds `key` after `ms`, or earlier if its timer is already set to an earlier time. */
  addAfter(key: string, ms: number, priority?: Priority): void;
  /** For a key whose object is gone: drops its failures and its timer, and unparks it. A queued or running key stays so. */
  forget(key: string): void;
  /** Starts runs. Before this call keys are only collected. */
  start(): void;
  /** Starts no more runs; resolves when the last run has ended. */
  stop(): Promise<void>;
  stats(): ReturnType<typeof statsOf>;
}

const BACKOFF_MS: BackoffLimits = { base: 1_000, max: 60_000 };
/** A run that awaits no timer and no socket ends within the microtask queue. After this many runs the queue pauses for timers and sockets. */
const BURST = 64;

export function createQueue(options: QueueOptions): Queue {
  const queue = createState(options);
  const { hooks } = queue;
  return {
    add(key, priority = 'edit') {
      if (queue.phase === 'stopped') return;
      hooks.onAdd?.(priority);
      const item = itemOf(queue, key);
      if (priority === 'edit') item.changes = 0;
      enqueue(queue, item, priority);
    },
    addAfter(key, ms, priority = 'retry') {
      if (queue.phase === 'stopped') return;
      schedule(queue, itemOf(queue, key), ms, { priority, fromVerdict: false });
    },
    forget(key) {
      const item = queue.items.get(key);
      if (!item) return;
      item.failures = item.changes = 0;
      queue.timers.remove(item);
      unpark(item);
      dropIfIdle(queue, item);
    },
    start() {
      if (queue.phase !== 'collecting') return;
      queue.phase = 'open';
      startRunsSoon(queue);
    },
    stop: () => stop(queue),
    stats: () => statsOf(queue),
  };
}

function createState(options: QueueOptions) {
  const { runtime, workers, hooks = {} } = options;
  const timers = createTimerHeap<Item>(runtime, item => enqueue(queue, item, item.timer.priority));
  const queue = {
    options,
    hooks,
    /** Every key that is queued, parked or running or has a timer. */
    items: new Map<string, Item>(),
    ready: createFairQueue<Item, Priority>(PRIORITIES),
    timers,
    places: createPlaces(runtime, workers),
    phase: 'collecting' as 'collecting' | 'open' | 'stopped',
    /** A microtask that starts runs is due. */
    willStartRuns: false,
    /** Runs started since timers and sockets had their last turn. */
    burst: 0,
    /** Set while no run starts, so that timers and sockets get their turn. */
    cancelPause: undefined as (() => void) | undefined,
    /** Resolved when the queue is stopped and no run is left. */
    idle: Promise.withResolvers<void>(),
  };
  return queue;
}
type State = ReturnType<typeof createState>;

function itemOf({ items }: State, key: string): Item {
  const item = items.get(key) ?? createItem(key);
  items.set(key, item);
  return item;
}

/** One key. `queued` belongs to the fair queue, `at` and `slot` to the timer heap. */
function createItem(key: string) {
  return {
    key,
    lane: ['', splitKey(key).namespace ?? ''] as Lane,
    queued: undefined as Priority | undefined,
    parked: undefined as { priority: Priority; cancel: () => void } | undefined,
    running: undefined as Run | undefined,
    /** What the key was woken with, for its next run. */
    granted: undefined as Granted | undefined,
    failures: 0,
    changes: 0,
    /** Monotonic milliseconds. */
    queuedAt: 0,
    /** The highest priority with which the key was added while it was running. */
    addedMeanwhile: undefined as Priority | undefined,
    at: 0,
    slot: -1,
    /** The priority of the timer at `at`, and whether a verdict has set it. A new run removes only a timer of a verdict. */
    timer: { priority: 'resync' as Priority, fromVerdict: false },
  };
}
type Item = ReturnType<typeof createItem>;

function enqueue(queue: State, item: Item, priority: Priority): void {
  if (item.running) {
    item.addedMeanwhile = higher(item.addedMeanwhile, priority);
    return;
  }
  if (item.parked) {
    // The key runs anyway once it is woken. Only an add of a higher priority does not wait for that.
    if (higher(item.parked.priority, priority) === item.parked.priority) return;
    unpark(item);
  }
  if (item.queued === undefined) {
    const { runtime, destinationOf } = queue.options;
    item.queuedAt = runtime.monotonic();
    item.lane = [destinationOf?.(item.key) ?? '', item.lane[1]];
  }
  queue.ready.push(item, priority);
  startRunsSoon(queue);
}

/** Starts runs in a microtask, so that all keys of a list are queued before the first one is chosen, and no run starts within `add`. */
function startRunsSoon(queue: State): void {
  if (queue.willStartRuns || queue.phase !== 'open') return;
  queue.willStartRuns = true;
  queueMicrotask(() => startRuns(queue));
}

function startRuns(queue: State): void {
  const { ready, places } = queue;
  queue.willStartRuns = false;
  while (queue.phase === 'open' && queue.cancelPause === undefined) {
    const next = places.isAnyFree() ? ready.peek(places.allows) : undefined;
    if (!next) {
      const isAnyWaiting = PRIORITIES.some(priority => ready.depth(priority) > 0);
      if (isAnyWaiting) places.lendLater(() => startRuns(queue));
      return;
    }
    ready.take(next.item, 1);
    run(queue, next.item, next.priority).catch(endProcess);
    if (++queue.burst >= BURST) pause(queue);
  }
}

/** Turns a bug of the queue into an uncaught exception, which ends the process. A new process is safer than a queue that starts no runs. */
function endProcess(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Starts no run until timers and sockets have had their turn. */
function pause(queue: State): void {
  queue.cancelPause = queue.options.runtime.after(0, () => {
    queue.cancelPause = undefined;
    queue.burst = 0;
    startRunsSoon(queue);
  });
}

async function run(queue: State, item: Item, priority: Priority): Promise<void> {
  const { options, hooks, places, timers } = queue;
  const { key, failures, changes, granted } = item;
  assert(!item.running && !item.parked && item.queued === undefined, `${key} starts to run while it runs or waits`);
  const started = places.start(priority, item.lane[0]);
  item.running = started;
  item.granted = undefined;
  // This run replaces the one that the last verdict asked for.
  if (item.timer.fromVerdict) timers.remove(item);
  hooks.onStart?.(key, priority, started.startedAt - item.queuedAt);

  let verdict: Verdict;
  try {
    verdict = await options.process(key, { priority, failures, changes, granted });
  } catch (error) {
    hooks.onError?.(key, error);
    verdict = { kind: 'retry' };
  }

  item.running = undefined;
  places.end(started);
  hooks.onEnd?.(key, verdict, options.runtime.monotonic() - started.startedAt);
  if (queue.phase === 'stopped') {
    if (places.running() === 0) queue.idle.resolve();
    return;
  }
  settle(queue, item, verdict, priority);
  const { addedMeanwhile } = item;
  item.addedMeanwhile = undefined;
  if (addedMeanwhile) enqueue(queue, item, addedMeanwhile);
  dropIfIdle(queue, item);
  startRuns(queue);
}

function settle(queue: State, item: Item, verdict: Verdict, priority: Priority): void {
  if (verdict.kind === 'park') {
    park(queue, item, verdict.priority ?? priority, verdict.park);
    return;
  }
  item.failures = verdict.kind === 'retry' ? item.failures + 1 : 0;
  item.changes = verdict.kind === 'again' && verdict.changed ? item.changes + 1 : 0;
  if (verdict.kind === 'again') {
    schedule(queue, item, verdict.afterMs, { priority: verdict.priority ?? 'retry', fromVerdict: true });
  } else if (verdict.kind === 'retry') {
    const { runtime, backoffMs = BACKOFF_MS } = queue.options;
    const max = verdict.atMostMs ?? backoffMs.max;
    const delay = backoff(runtime, item.failures, { ...backoffMs, max }, verdict.atLeastMs);
    queue.hooks.onRetry?.(item.key, item.failures, delay);
    schedule(queue, item, delay, { priority: 'retry', fromVerdict: true });
  }
}

function park(queue: State, item: Item, priority: Priority, how: Park): void {
  const cancel = how(granted => {
    item.parked = undefined;
    item.granted = granted;
    enqueue(queue, item, priority);
  });
  item.parked = { priority, cancel };
}

function unpark(item: Item): void {
  item.parked?.cancel();
  item.parked = undefined;
}

/** Sets the key's timer. Of two timers the earlier time and the higher priority count. */
function schedule({ options, timers }: State, item: Item, ms: number, timer: Item['timer']): void {
  const at = options.runtime.monotonic() + Math.max(0, ms);
  if (item.slot < 0) {
    item.timer = timer;
    timers.set(item, at);
    return;
  }
  const fromVerdict = timer.fromVerdict && item.timer.fromVerdict;
  item.timer = { priority: higher(item.timer.priority, timer.priority), fromVerdict };
  if (at < item.at) timers.set(item, at);
}

function dropIfIdle({ items }: State, item: Item): void {
  if (item.queued !== undefined || item.parked || item.running || item.slot >= 0) return;
  assert(item.failures === 0 && item.changes === 0, `${item.key} is to be retried, but nothing would requeue it`);
  items.delete(item.key);
}

function stop(queue: State): Promise<void> {
  queue.phase = 'stopped';
  queue.cancelPause?.();
  queue.places.cancelLending();
  queue.timers.clear();
  queue.ready.clear();
  for (const item of queue.items.values()) unpark(item);
  if (queue.places.running() === 0) queue.idle.resolve();
  return queue.idle.promise;
}

function statsOf({ ready, places, timers }: State) {
  return {
    depth: { edit: ready.depth('edit'), retry: ready.depth('retry'), resync: ready.depth('resync') },
    running: places.running(),
    scheduled: timers.size,
    longestRunMs: places.longestRunMs(),
  };
}

function higher(a: Priority | undefined, b: Priority): Priority {
  return a !== undefined && PRIORITIES.indexOf(a) < PRIORITIES.indexOf(b) ? a : b;
}
