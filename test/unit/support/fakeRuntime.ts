import type { Runtime } from '../../../ports/runtime.ts';

export interface FakeRuntime extends Runtime {
  /** Lets `ms` of virtual time pass: every timer due fires in order, and what it set going runs before the next one. */
  advance(ms: number): Promise<void>;
  /** Lets everything run that needs no time to pass. */
  settle(): Promise<void>;
  /** The wall clock jumps by `ms`; timers and the monotonic clock don't notice. */
  jump(ms: number): void;
  /** The process stands still for `ms`: no timer fires, time passes, then everything overdue fires at once. */
  freeze(ms: number): void;
  /** Timers not yet fired or cancelled. */
  pending(): number;
}

/** A Runtime whose time passes only when told and whose chance comes from `seed`. */
export function fakeRuntime(seed = 1): FakeRuntime {
  let time = 0;
  let skew = Date.UTC(2030, 0, 1);
  let order = 0;
  let state = seed >>> 0;
  const timers = new Set<{ at: number; order: number; fn: () => void }>();

  // setImmediate runs once no microtask is left: whatever needs no timer or socket has then come to rest.
  const settle = () => new Promise<void>(resolve => setImmediate(resolve));

  function next(until: number) {
    let first: { at: number; order: number; fn: () => void } | undefined;
    for (const timer of timers) {
      if (timer.at > until) continue;
      if (!first || timer.at < first.at || (timer.at === first.at && timer.order < first.order)) first = timer;
    }
    return first;
  }

  return {
    now: () => skew + time,
    monotonic: () => time,
    random() {
      // mulberry32 (Tommy Ettinger, public domain)
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    },
    after(ms, fn) {
      const timer = { at: time + Math.max(0, ms), order: order++, fn };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const until = time + ms;
      await settle();
      for (let timer = next(until); timer; timer = next(until)) {
        timers.delete(timer);
        time = Math.max(time, timer.at);
        timer.fn();
        await settle();
      }
      time = until;
    },
    settle,
    jump(ms) {
      skew += ms;
    },
    freeze(ms) {
      time += ms;
    },
    pending: () => timers.size,
  };
}
