import { splitKey } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createFairQueue, PRIORITIES, type Priority, type Queueable } from '../collections/fairQueue.ts';
import { createTimerHeap, type Timed } from '../collections/timerHeap.ts';
import { type BackoffLimits, backoff } from './backoff.ts';

export type { Priority } from '../collections/fairQueue.ts';

/**
 * What is to become of a key after a run. `again` counts as success and is requeued after `afterMs` (as a `retry` unless
 * said otherwise); `changed`: the run has changed something. `retry` backs off, with each failure longer, between
 * `atLeastMs` and `atMostMs` where given. `park` is requeued when it is woken, as what it was unless said otherwise; it is
 * neither a success nor a failure.
 */
export type Verdict =
  | { kind: 'done' }
  | { kind: 'again'; afterMs: number; priority?: Priority; changed?: boolean }
  | { kind: 'retry'; atLeastMs?: number; atMostMs?: number }
  | { kind: 'park'; park: Park; priority?: Priority };

/** Calls `wake` once, later, unless the function that it answers is called before. */
export type Park = (wake: (granted: Granted) => void) => () => void;

/** What a parked key was woken with. The run that gets it releases it. */
export interface Granted {
  release(): void;
}

export interface RunInfo {
  priority: Priority;
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
  /** Whose runs may hang together: `PROJECT/REGION`. Absent: those of all keys. */
  homeOf?: (key: string) => string;
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

interface Item extends Queueable<Priority>, Timed {
  key: string;
  parked: { priority: Priority; cancel: () => void } | undefined;
  granted: Granted | undefined;
  changes: number;
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
/** With the slow ones, so many times `workers` run at most in one region of a project, and in one project. */
const MOST_TIMES = { home: 2, project: 4 };

/**
 * A work queue of keys: one key never runs twice at once, nothing added is lost, many adds are one run. Resyncs leave a
 * quarter of the workers free, so that an edit finds one however slow they are. A run
 * that waits for a server that does not answer lends its place; how many do is bounded by region and project, not over all
 * of them, so that a project that hangs takes nothing from the others.
 */
export function createQueue(options: QueueOptions): Queue {
  const { runtime, workers, process, hooks = {}, backoffMs = BACKOFF_MS } = options;
  const homeOf = options.homeOf ?? (() => '');
  const mostResyncs = Math.max(1, workers - Math.ceil(workers / 4));
  const items = new Map<string, Item>();
  const ready = createFairQueue<Item, Priority>(PRIORITIES);
  const timers = createTimerHeap<Item>(runtime, item => enqueue(item, item.timer.priority));
  /** In the order in which they began. */
  const running = new Map<Item, Run>();
  /** Those that hold a place, and how many of them are resyncs. */
  let active = 0;
  let resyncs = 0;
  /** How many run, by home and by project. */
  const ofHome = createTally();
  const ofProject = createTally();
  let cancelLending: (() => void) | undefined;
  let burst = 0;
  let state: 'collecting' | 'open' | 'stopped' = 'collecting';
  let pumping = false;
  let cancelPause: (() => void) | undefined;
  const idle = Promise.withResolvers<void>();

  const allowed = (priority: Priority, home: string) =>
    (priority !== 'resync' || resyncs < mostResyncs) &&
    ofHome.of(home) < workers * MOST_TIMES.home &&
    ofProject.of(projectOf(home)) < workers * MOST_TIMES.project;

  function itemOf(key: string): Item {
    const known = items.get(key);
    if (known) return known;
    const item: Item = {
      key,
      lane: ['', splitKey(key).namespace ?? ''],
      queued: undefined,
      parked: undefined,
      granted: undefined,
      changes: 0,
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
    const isIdle = item.queued === undefined && item.parked === undefined && !running.has(item) && item.slot < 0;
    if (isIdle && item.failures === 0 && item.changes === 0) items.delete(item.key);
  }

  function enqueue(item: Item, priority: Priority) {
    if (running.has(item)) {
      item.dirty = higher(item.dirty, priority);
      return;
    }
    if (item.parked) {
      // It runs after it is woken: only what matters more does not wait for that.
      if (higher(item.parked.priority, priority) === item.parked.priority) return;
      unpark(item);
    }
    if (item.queued === undefined) {
      item.queuedAt = runtime.monotonic();
      item.lane = [homeOf(item.key), item.lane[1]];
    }
    ready.push(item, priority);
    pumpSoon();
  }

  function unpark(item: Item) {
    item.parked?.cancel();
    item.parked = undefined;
  }

  function park(item: Item, priority: Priority, how: Park) {
    const cancel = how(granted => {
      item.parked = undefined;
      item.granted = granted;
      enqueue(item, priority);
    });
    item.parked = { priority, cancel };
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
      const next = active < workers ? ready.peek(allowed) : undefined;
      if (!next) return lendLater();
      ready.take(next.item, 1);
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
    const { key, failures, changes, granted } = item;
    const startedAt = runtime.monotonic();
    const home = item.lane[0];
    const current: Run = { startedAt, priority, slow: false };
    item.granted = undefined;
    running.set(item, current);
    active++;
    ofHome.add(home, 1);
    ofProject.add(projectOf(home), 1);
    if (priority === 'resync') resyncs++;
    // What the last run asked for is what this one now does.
    if (item.timer.fromVerdict) timers.remove(item);
    hooks.onStart?.(key, priority, startedAt - item.queuedAt);

    let verdict: Verdict;
    try {
      verdict = await process(key, { priority, failures, changes, granted });
    } catch (error) {
      hooks.onError?.(key, error);
      verdict = { kind: 'retry' };
    }

    running.delete(item);
    ofHome.add(home, -1);
    ofProject.add(projectOf(home), -1);
    if (!current.slow) leave(current);
    hooks.onEnd?.(key, verdict, runtime.monotonic() - startedAt);
    if (state === 'stopped') {
      if (running.size === 0) idle.resolve();
      return;
    }
    settle(item, verdict, priority);
    const { dirty } = item;
    item.dirty = undefined;
    if (dirty) enqueue(item, dirty);
    dropIfIdle(item);
    pump();
  }

  function settle(item: Item, verdict: Verdict, priority: Priority) {
    if (verdict.kind === 'park') return park(item, verdict.priority ?? priority, verdict.park);
    if (verdict.kind !== 'retry') item.failures = 0;
    item.changes = verdict.kind === 'again' && verdict.changed ? item.changes + 1 : 0;
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
      const item = itemOf(key);
      if (priority === 'edit') item.changes = 0;
      enqueue(item, priority);
    },
    addAfter(key, ms, priority = 'retry') {
      if (state === 'stopped') return;
      schedule(itemOf(key), ms, { priority, fromVerdict: false });
    },
    forget(key) {
      const item = items.get(key);
      if (!item) return;
      item.failures = item.changes = 0;
      timers.remove(item);
      unpark(item);
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
      for (const item of items.values()) unpark(item);
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

const projectOf = (home: string): string => home.split('/')[0] ?? '';

/** Counts by name; nothing is kept of what is 0. */
function createTally() {
  const counts = new Map<string, number>();
  return {
    of: (name: string): number => counts.get(name) ?? 0,
    add(name: string, change: 1 | -1): void {
      const count = (counts.get(name) ?? 0) + change;
      if (count === 0) counts.delete(name);
      else counts.set(name, count);
    },
  };
}

function higher(a: Priority | undefined, b: Priority): Priority {
  return a !== undefined && PRIORITIES.indexOf(a) < PRIORITIES.indexOf(b) ? a : b;
}
