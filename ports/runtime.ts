/** The port to time, randomness and timers. The simulation has its own, which is computed from a seed. */
export interface Runtime {
  /** The wall clock: milliseconds since the epoch. It may jump forwards or backwards. */
  now(): number;
  /** The monotonic clock: milliseconds that never decrease, from an arbitrary start. */
  monotonic(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void;
}

/** The real clock, timers and randomness. */
export const realRuntime: Runtime = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  random: () => Math.random(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms`, or at once when `signal` aborts (check the signal afterwards). */
export function sleep(runtime: Runtime, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const cancel = runtime.after(ms, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
