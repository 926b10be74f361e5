import type { Runtime } from '../../ports/runtime.ts';

/** The first wait and the longest one, in milliseconds. */
export interface BackoffLimits {
  base: number;
  max: number;
}

/** The longest time by which a server may prolong the operator's own backoff. */
const LONGEST_EXTRA_MS = 60_000;

/**
 * Milliseconds to wait after `failures` in a row (1: the first). The wait doubles with each failure, and a random part of up to half
 * is left out, so that keys which failed together are not requeued together. `asked` is the delay of a Retry-After header. It is
 * honoured up to one minute beyond the own backoff, because a server, or a proxy in front of it, may ask for a day.
 */
export function backoff(runtime: Runtime, failures: number, { base, max }: BackoffLimits, asked = 0): number {
  const ms = Math.min(max, base * 2 ** (failures - 1)) * (0.5 + runtime.random() / 2);
  return Math.max(ms, Math.min(asked * (1 + runtime.random() / 10), ms + LONGEST_EXTRA_MS));
}
