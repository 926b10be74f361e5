import { Problem } from './problem.ts';

/** Counts what is under way, and refuses what would be too much at once. */
export interface Gate {
  /** Takes a place, to be given back once with the function returned. Throws 503 `overloaded` when there is none. */
  enter(): () => void;
}

export function createGate(places: number): Gate {
  let taken = 0;
  return {
    enter() {
      if (taken >= places) {
        throw new Problem(503, 'overloaded', `More than ${places} requests at once: try again.`, {
          'Retry-After': '1',
        });
      }
      taken += 1;
      return () => {
        taken -= 1;
      };
    },
  };
}

/** Throws 429 `rate_limited` when a caller has used up its share. */
export type RateLimit = (caller: string) => void;

// Bounds the memory that strangers can take; beyond it the caller that was idle longest is forgotten.
const rememberedCallers = 10_000;

/**
 * A token bucket for each caller: `perMinute` requests in a burst, refilled evenly. `perMinute` 0: no limit. `now` is in
 * milliseconds and only grows.
 */
export function createRateLimit(perMinute: number, now: () => number = () => performance.now()): RateLimit {
  if (perMinute === 0) return () => {};
  const buckets = new Map<string, { tokens: number; at: number }>();
  const msPerToken = 60_000 / perMinute;
  return caller => {
    const at = now();
    const last = buckets.get(caller);
    const tokens = last ? Math.min(perMinute, last.tokens + (at - last.at) / msPerToken) : perMinute;
    const allowed = tokens >= 1;
    // Set anew, so that the map's order is that of the last use.
    buckets.delete(caller);
    buckets.set(caller, { tokens: allowed ? tokens - 1 : tokens, at });
    const oldest = buckets.keys().next();
    if (buckets.size > rememberedCallers && !oldest.done) buckets.delete(oldest.value);
    if (!allowed) {
      const seconds = Math.ceil(((1 - tokens) * msPerToken) / 1000);
      const text = `More than ${perMinute} requests a minute: try again in ${seconds} s.`;
      throw new Problem(429, 'rate_limited', text, { 'Retry-After': String(seconds) });
    }
  };
}
