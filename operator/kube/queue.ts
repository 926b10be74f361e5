import type { Runtime } from '../ports.ts';
import { type BackoffLimits, backoff } from './backoff.ts';
import { createFairQueue, PRIORITIES, type Priority, type Queueable } from './fairQueue.ts';
import { splitKey } from './resources.ts';
import { createTimerHeap, type Timed } from './timerHeap.ts';

export type { Priority } from './fairQueue.ts';

/**
 * What is to become of a key after a run. `again` counts as success and comes back after `afterMs` (as a `retry` unless
 * said otherwise). `retry` backs off, with each failure longer, between `atLeastMs` and `atMostMs` where given.
 */
export type Verdict =
  | { kind: 'done' }
  | { kind: 'again'; afterMs: number; priority?: Priority }
  | { kind: 'retry'; atLeastMs?: number; atMostMs?: number };

export interface QueueOptions {
  runtime: Runtime;
  /** How many keys run at once. */
  workers: number;
  /** A rejection counts as `retry`. */
  process: (key: string, run: { priority: Priority; failures: number }) => Promise<Verdict>;
  /** Who takes turns; namespaces unless said otherwise. */
  laneOf?: (key: string) => string;
  backoffMs?: BackoffLimits;
  hooks?: QueueHooks;
}

/** For metrics and logs; milliseconds. A hook must not throw. */
export interface QueueHooks {
  onAdd?(priority: Priority): void;
  onStart?(key: string, priority: Priority, waitedMs: number): void;
  onEnd?(key: string, verdict: Verdict, tookMs: number): void;
  onRetry?(key: string, failures: number, delayMs: number): void;
  /** `process` rejected: a bug. */
  onError?(key: string, error: unknown): void;
}

export interface Queue {
  /** A run that starts after this call is certain. While `key` runs: one more, once that has ended. */
  add(key: string, priority?: Priority): void;
  /** The same, not before `ms`; an earlier one that is already set stays. */
  addAfter(key: string, ms: number, priority?: Priority): void;
  /** No failures on record, and no timer: the object is gone. What is queued or runs is not touched. */
  forget(key: string): void;
  /** Until then keys are only collected. */
  start(): void;
  /** Hands out no more; resolves once what runs has ended. */
  stop(): Promise<void>;
  stats(): QueueStats;
}

export interface QueueStats {
  depth: Record<Priority, number>;
  running: number;
  scheduled: number;
  /** Milliseconds that the longest run has been going on. */
  longestRunMs: number;
}

interface Item extends Queueable, Timed {
  key: string;
  queuedAt: number;
  /** Added while running. */
  dirty: Priority | undefined;
  failures: number;
  /** What the timer in `at` is for. */
  timer: { priority: Priority; fromVerdict: boolean };
}

interface Run {
  /** Monotonic milliseconds. */
  startedAt: number;
  priority: Priority;
  /** It takes so long that its place went to another. */
  slow: boolean;
}

const BACKOFF_MS: BackoffLimits = { base: 1_000, max: 60_000 };
/** No-op runs never leave the microtask queue; after so many, timers and sockets get their turn. */
const BURST = 64;
/** A run that takes longer than this waits for somebody who does not answer: another takes its place meanwhile. */
const SLOW_MS = 2_000;
/** With the slow ones, so many times `workers` run at most. */
const MOST_TIMES = 4;

/**
 * A work queue of keys: one key never runs twice at once, nothing added is lost, many adds are one run. Resyncs leave a
 * quarter of the workers free, so that an edit finds one however slow they are; and whoever waits for a project that does
 * not answer lends its place, so that others are not slowed down.
 */
export function createQueue(options: QueueOptions): Queue {
  const { runtime, workers, process, hooks = {}, backoffMs = BACKOFF_MS } = options;
  const laneOf = options.laneOf ?? (key => splitKey(key).namespace ?? '');
  const mostResyncs = Math.max(1, workers - Math.ceil(workers / 4));
  const items = new Map<string, Item>();
  const ready = createFairQueue<Item>();
  const timers = createTimerHeap<Item>(runtime, item => enqueue(item, item.timer.priority));
  /** In the order in which they began. */
  const running = new Map<Item, Run>();
  /** Those that hold a place, and how many of them are resyncs. */
  let active = 0;
  let resyncs = 0;
  let cancelLending: (() => void) | undefined;
  let burst = 0;
  let state: 'collecting' | 'open' | 'stopped' = 'collecting';
  let pumping = false;
  let cancelPause: (() => void) | undefined;
  const idle = Promise.withResolvers<void>();

  const allowed = (priority: Priority) => priority !== 'resync' || resyncs < mostResyncs;

  function itemOf(key: string): Item {
    const known = items.get(key);
    if (known) return known;
    const item: Item = {
      key,
      lane: laneOf(key),
      queued: undefined,
      queuedAt: 0,
      dirty: undefined,
      failures: 0,
      at: 0,
      slot: -1,
      timer: { priority: 'resync', fromVerdict: false },
    };
    items.set(key, item);
    return item;
  }

  function dropIfIdle(item: Item) {
    if (item.queued === undefined && !running.has(item) && item.slot < 0 && item.failures === 0) items.delete(item.key);
  }

  function enqueue(item: Item, priority: Priority) {
    if (running.has(item)) {
      item.dirty = higher(item.dirty, priority);
      return;
    }
    if (item.queued === undefined) item.queuedAt = runtime.monotonic();
    ready.push(item, priority);
    pumpSoon();
  }

  function schedule(item: Item, ms: number, timer: Item['timer']) {
    const at = runtime.monotonic() + Math.max(0, ms);
    if (item.slot >= 0) {
      const fromVerdict = timer.fromVerdict && item.timer.fromVerdict;
      const priority = higher(item.timer.priority, timer.priority);
      item.timer = { priority, fromVerdict };
      if (item.at <= at) return;
    } else {
      item.timer = timer;
    }
    timers.set(item, at);
  }

  // Not at once: a list's worth of adds is in the queue before the first is picked, and no caller is re-entered.
  function pumpSoon() {
    if (pumping || state !== 'open') return;
    pumping = true;
    queueMicrotask(pump);
  }

  function pump() {
    pumping = false;
    while (state === 'open' && cancelPause === undefined) {
      const room = active < workers && running.size < workers * MOST_TIMES;
      const next = room ? ready.pop(allowed) : undefined;
      if (!next) return lendLater();
      void run(next.item, next.priority);
      if (++burst < BURST) continue;
      cancelPause = runtime.after(0, () => {
        cancelPause = undefined;
        burst = 0;
        pumpSoon();
      });
    }
  }

  /** If somebody waits for a place: when the oldest run that holds one has become slow. */
  function lendLater() {
    if (cancelLending || PRIORITIES.every(priority => ready.depth(priority) === 0)) return;
    for (const { slow, startedAt } of running.values()) {
      if (slow) continue;
      cancelLending = runtime.after(Math.max(0, startedAt + SLOW_MS - runtime.monotonic()), lend);
      return;
    }
  }

  function lend() {
    cancelLending = undefined;
    const now = runtime.monotonic();
    for (const run of running.values()) {
      if (run.slow) continue;
      if (now - run.startedAt < SLOW_MS) break;
      run.slow = true;
      leave(run);
    }
    pump();
  }

  function leave({ priority }: Run) {
    active--;
    if (priority === 'resync') resyncs--;
  }

  async function run(item: Item, priority: Priority) {
    const { key, failures } = item;
    const startedAt = runtime.monotonic();
    const current: Run = { startedAt, priority, slow: false };
    running.set(item, current);
    active++;
    if (priority === 'resync') resyncs++;
    // What the last run asked for is what this one now does.
    if (item.timer.fromVerdict) timers.remove(item);
    hooks.onStart?.(key, priority, startedAt - item.queuedAt);

    let verdict: Verdict;
    try {
      verdict = await process(key, { priority, failures });
    } catch (error) {
      hooks.onError?.(key, error);
      verdict = { kind: 'retry' };
    }

    running.delete(item);
    if (!current.slow) leave(current);
    hooks.onEnd?.(key, verdict, runtime.monotonic() - startedAt);
    if (state === 'stopped') {
      if (running.size === 0) idle.resolve();
      return;
    }
    settle(item, verdict);
    const { dirty } = item;
    item.dirty = undefined;
    if (dirty) enqueue(item, dirty);
    dropIfIdle(item);
    pump();
  }

  function settle(item: Item, verdict: Verdict) {
    if (verdict.kind !== 'retry') item.failures = 0;
    if (verdict.kind === 'again') {
      schedule(item, verdict.afterMs, { priority: verdict.priority ?? 'retry', fromVerdict: true });
    } else if (verdict.kind === 'retry') {
      item.failures++;
      const max = verdict.atMostMs ?? backoffMs.max;
      const delay = backoff(runtime, item.failures, { ...backoffMs, max }, verdict.atLeastMs);
      hooks.onRetry?.(item.key, item.failures, delay);
      schedule(item, delay, { priority: 'retry', fromVerdict: true });
    }
  }

  return {
    add(key, priority = 'edit') {
      if (state === 'stopped') return;
      hooks.onAdd?.(priority);
      enqueue(itemOf(key), priority);
    },
    addAfter(key, ms, priority = 'retry') {
      if (state === 'stopped') return;
      schedule(itemOf(key), ms, { priority, fromVerdict: false });
    },
    forget(key) {
      const item = items.get(key);
      if (!item) return;
      item.failures = 0;
      timers.remove(item);
      dropIfIdle(item);
    },
    start() {
      if (state !== 'collecting') return;
      state = 'open';
      pumpSoon();
    },
    stop() {
      state = 'stopped';
      cancelPause?.();
      cancelLending?.();
      timers.clear();
      ready.clear();
      if (running.size === 0) idle.resolve();
      return idle.promise;
    },
    stats() {
      const now = runtime.monotonic();
      let longestRunMs = 0;
      for (const { startedAt } of running.values()) longestRunMs = Math.max(longestRunMs, now - startedAt);
      const depth = { edit: ready.depth('edit'), retry: ready.depth('retry'), resync: ready.depth('resync') };
      return { depth, running: running.size, scheduled: timers.size, longestRunMs };
    },
  };
}

function higher(a: Priority | undefined, b: Priority): Priority {
  return a !== undefined && PRIORITIES.indexOf(a) < PRIORITIES.indexOf(b) ? a : b;
}
