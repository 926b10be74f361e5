import { isIPv6 } from 'node:net';
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

/**
 * Whom a rate limit counts an address as. An IPv6 caller has at least a /64 of addresses to choose from (RFC 6177), so its first 64
 * bits count; an IPv4 address that is written as IPv6 counts as that IPv4 address.
 */
export function callerKey(given: string): string {
  // Some proxies write the port too, which each connection of one caller has anew.
  const address = given.replace(/^\[([^\]]*)\](:\d+)?$|^([^:]*):\d+$/, '$1$3');
  const [plain = ''] = address.split('%');
  if (!isIPv6(plain)) return address.slice(0, 64);
  // URL writes an address in its one canonical form (RFC 5952; an embedded IPv4 address as two groups).
  const canonical = new URL(`http://[${plain}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(canonical) ?? [];
  if (high && low) {
    const bits = [high, low].map(group => Number.parseInt(group, 16));
    return bits.flatMap(group => [group >> 8, group & 255]).join('.');
  }
  const [left = [], right] = canonical.split('::').map(half => half.split(':').filter(Boolean));
  const groups = right ? [...left, ...Array(8 - left.length - right.length).fill('0'), ...right] : [...left];
  return `${groups.slice(0, 4).join(':')}::/64`;
}

/**
 * The caller's address. Each proxy appends the address that it was called from to `X-Forwarded-For`: with `proxies` trusted ones
 * the entry at that place from the end was written by the outermost of them; what stands before it is the caller's own claim.
 */
export function callerAddress(forwardedFor: string, peer: string, proxies: number): string {
  if (proxies === 0) return peer;
  const entries = forwardedFor.split(',').map(entry => entry.trim());
  return entries.at(-proxies) || entries.at(-1) || peer;
}
