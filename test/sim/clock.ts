import type { Runtime } from '../../ports/runtime.ts';

/** Chance from a seed: the same seed gives the same draws. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform over the whole numbers from `least` to `most`. */
  int(least: number, most: number): number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32 (Tommy Ettinger, public domain)
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    next,
    int: (least, most) => least + Math.floor(next() * (most - least + 1)),
    chance: probability => next() < probability,
    pick(items) {
      if (items.length === 0) throw new Error('nothing to pick from');
      return items[Math.floor(next() * items.length)] as (typeof items)[number];
    },
  };
}

/** One process's view of the clock: killed, none of its timers ever fires again. */
export interface ProcessRuntime extends Runtime {
  kill(): void;
  /** Timers that have not fired and were not cancelled. */
  pending(): number;
  /** Its wall clock is off by so many milliseconds from now on. */
  skew(ms: number): void;
}

/** Virtual time: passes only when told, and never on its own. */
export interface Clock extends Runtime {
  /** Lets `ms` pass: timers fire in order, each one's consequences before the next. Rejects with `StandsStill`. */
  advance(ms: number): Promise<void>;
  process(random: Random): ProcessRuntime;
}

interface Timer {
  at: number;
  order: number;
  /** Undefined: cancelled, or fired. */
  fn: (() => void) | undefined;
}

/** Somebody is busy without end: so many timers have fired, and no time has passed. */
export class StandsStill extends Error {}

const MOST_AT_ONCE = 20_000;

const EPOCH = Date.UTC(2030, 0, 1);

export function createClock(random: Random): Clock {
  const heap: Timer[] = [];
  let time = 0;
  let order = 0;
  /** Timers that have fired since time last moved. */
  let atOnce = 0;

  function after(ms: number, fn: () => void): () => void {
    const timer: Timer = { at: time + Math.max(0, ms), order: order++, fn };
    push(heap, timer);
    return () => {
      timer.fn = undefined;
    };
  }

  return {
    now: () => EPOCH + time,
    monotonic: () => time,
    random: random.next,
    after,
    async advance(ms) {
      const until = time + ms;
      await settle();
      for (let first = heap[0]; first && first.at <= until; first = heap[0]) {
        pop(heap);
        const { fn } = first;
        if (!fn) continue;
        first.fn = undefined;
        atOnce = first.at > time ? 0 : atOnce + 1;
        if (atOnce > MOST_AT_ONCE)
          throw new StandsStill(`${MOST_AT_ONCE} timers fired at ${time} ms: a loop without end`);
        time = first.at;
        fn();
        await settle();
      }
      time = until;
    },
    process(own) {
      const timers = new Set<() => void>();
      let dead = false;
      let skewed = 0;
      return {
        now: () => EPOCH + time + skewed,
        monotonic: () => time,
        random: own.next,
        after(ms, fn) {
          if (dead) return () => {};
          const stop = () => {
            timers.delete(stop);
            cancel();
          };
          const cancel = after(ms, () => {
            timers.delete(stop);
            fn();
          });
          timers.add(stop);
          return stop;
        },
        kill() {
          dead = true;
          for (const stop of [...timers]) stop();
        },
        pending: () => timers.size,
        skew(ms) {
          skewed = ms;
        },
      };
    },
  };
}

/** Node.js runs the ticks only once no microtask is left, so whatever needs no time to pass has then come to rest. */
const settle = (): Promise<void> => new Promise(resolve => process.nextTick(resolve));

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

function push(heap: Timer[], timer: Timer): void {
  let slot = heap.length;
  heap.push(timer);
  while (slot > 0) {
    const parent = (slot - 1) >> 1;
    const above = heap[parent];
    if (!above || !before(timer, above)) break;
    heap[slot] = above;
    heap[parent] = timer;
    slot = parent;
  }
}

function pop(heap: Timer[]): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let slot = 0;
  heap[0] = last;
  for (;;) {
    const [left, right] = [heap[2 * slot + 1], heap[2 * slot + 2]];
    const useRight = left !== undefined && right !== undefined && before(right, left);
    const child = useRight ? right : left;
    if (!child || !before(child, last)) break;
    heap[slot] = child;
    slot = 2 * slot + (useRight ? 2 : 1);
    heap[slot] = last;
  }
}
