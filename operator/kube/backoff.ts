import type { Runtime } from '../../ports/runtime.ts';

/** Milliseconds: the first wait and the longest. */
export interface BackoffLimits {
  base: number;
  max: number;
}

/** How far beyond its own backoff the operator honours a delay that a server asks for, milliseconds. */
const LONGEST_EXTRA_MS = 60_000;

/**
 * Milliseconds to wait after `failures` in a row (1: the first). Doubles each time, and is somewhere between half and
 * the whole of it, so that many are not requeued at once. `asked` is the delay of a Retry-After: it is honoured up to one
 * minute beyond the own backoff, because a server, or a proxy in front of it, may ask for a day.
 */
export function backoff(runtime: Runtime, failures: number, { base, max }: BackoffLimits, asked = 0): number {
  const ms = Math.min(max, base * 2 ** (failures - 1)) * (0.5 + runtime.random() / 2);
  return Math.max(ms, Math.min(asked * (1 + runtime.random() / 10), ms + LONGEST_EXTRA_MS));
}
