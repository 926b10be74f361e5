import type { Runtime } from '../ports.ts';

/** Milliseconds: the first wait and the longest. */
export interface BackoffLimits {
  base: number;
  max: number;
}

/**
 * Milliseconds to wait after `failures` in a row (1: the first). Doubles each time, and is somewhere between half and
 * the whole of it, so that many don't come back at once. Not before `atLeast`, which a Retry-After may ask for.
 */
export function backoff(runtime: Runtime, failures: number, { base, max }: BackoffLimits, atLeast = 0): number {
  const ms = Math.min(max, base * 2 ** (failures - 1)) * (0.5 + runtime.random() / 2);
  return Math.max(ms, atLeast * (1 + runtime.random() / 10));
}
