import type { Runtime } from '../../ports/runtime.ts';

/** Real time that can be moved on: an interval of ten minutes need not be sat out. */
export interface Timeline extends Runtime {
  /** Sets all clocks forward; what falls due fires in the order of its time, from the next turn of the event loop on. */
  skip(ms: number): void;
}

export function createTimeline(): Timeline {
  const timers = new Set<{ at: number; arm: () => void }>();
  let skipped = 0;
  const monotonic = () => performance.now() + skipped;
  return {
    now: () => Date.now() + skipped,
    monotonic,
    random: () => Math.random(),
    after(ms, fn) {
      let handle: NodeJS.Timeout | undefined;
      const timer = {
        at: monotonic() + ms,
        arm() {
          clearTimeout(handle);
          // setTimeout takes no more than 31 bits.
          handle = setTimeout(
            () => {
              if (timer.at - monotonic() > 1) return timer.arm();
              timers.delete(timer);
              fn();
            },
            Math.min(2 ** 30, Math.max(0, timer.at - monotonic())),
          );
        },
      };
      timers.add(timer);
      timer.arm();
      return () => {
        timers.delete(timer);
        clearTimeout(handle);
      };
    },
    skip(ms) {
      skipped += ms;
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) timer.arm();
    },
  };
}
