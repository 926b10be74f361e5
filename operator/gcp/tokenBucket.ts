import assert from 'node:assert';

/**
 * A token bucket for one quota, which becomes smaller after refusals.
 *
 * A quota of `limit` calls per minute becomes a bucket that holds 25 % of the limit and refills by 65 % of it per minute. So at most 90 %
 * of the limit is used in any minute; 10 % is left for people who use the project, and for calls without a claim. A refusal shows that
 * other clients use the quota too, or that it is smaller than published. It empties the bucket, closes it for 5 s or longer, and
 * multiplies `trust`, the part of the limit that the operator uses, by 0.7. `trust` grows by 0.1 per minute, up to 1.
 */
export interface TokenBucket {
  /** Calls a minute. */
  readonly limit: number;
  /** The part of `limit` that the operator uses, from 0.1 to 1. */
  trust: number;
  /** Calls that are left; negative after calls without a claim. */
  left: number;
  /** Calls that rank `close` may still claim with precedence. */
  closing: number;
  /** Calls that are reserved by claims which are not released yet. */
  claimed: number;
  /** Monotonic milliseconds: when `left` was counted, when `trust` was last cut, and until when no call may be made. */
  at: number;
  cutAt: number;
  closedUntil: number;
}

const MINUTE_MS = 60_000;
const BURST = 0.25;
const FLOW = 0.65;
/** The part of a bucket that rank `close` may use. */
const CLOSING = 0.5;
const LEARN = { cut: 0.7, least: 0.1, regainAMinute: 0.1 };
/** How long a refusal closes the bucket, and how much longer at most if the answer has a longer `Retry-After`. */
const PAUSE_MS = 5_000;
const LONGEST_EXTRA_MS = 60_000;

export function newTokenBucket(limit: number, now: number): TokenBucket {
  const left = limit * BURST;
  return { limit, trust: 1, left, closing: left * CLOSING, claimed: 0, at: now, cutAt: now, closedUntil: now };
}

/** The most calls that the bucket holds. */
export const capacity = ({ limit, trust }: TokenBucket): number => Math.max(2, limit * trust * BURST);
const flowPerMinute = ({ limit, trust }: TokenBucket): number => limit * trust * FLOW;

export function refill<B extends TokenBucket>(bucket: B, now: number): B {
  assert(now >= bucket.at, 'the monotonic clock went backwards');
  const minutes = (now - bucket.at) / MINUTE_MS;
  bucket.at = now;
  bucket.trust = Math.min(1, bucket.trust + minutes * LEARN.regainAMinute);
  bucket.left = Math.min(capacity(bucket), bucket.left + minutes * flowPerMinute(bucket));
  bucket.closing = Math.min(capacity(bucket) * CLOSING, bucket.closing + minutes * flowPerMinute(bucket) * CLOSING);
  return bucket;
}

/** True for a bucket that is the same as a new one. */
export const isUnused = (bucket: TokenBucket): boolean =>
  bucket.claimed === 0 && bucket.trust === 1 && bucket.left >= capacity(bucket);

/** Milliseconds until the bucket has `calls` and still keeps the part `reserve` of a full bucket. Zero or negative: it has them now. */
export function msUntil(bucket: TokenBucket, calls: number, reserve: number): number {
  const short = Math.min(capacity(bucket), calls + reserve * capacity(bucket)) + bucket.claimed - bucket.left;
  return Math.max(bucket.closedUntil - bucket.at, (short / flowPerMinute(bucket)) * MINUTE_MS);
}

/** True if `calls` of rank `close` fit into its half of the bucket. */
export const hasForClosing = (bucket: TokenBucket, calls: number): boolean =>
  bucket.closing >= Math.min(calls, capacity(bucket) * CLOSING);

/** Adapts the bucket to a call that Google Cloud refused. One shortage refuses many calls at once, so `trust` is cut at most once per minute. */
export function learnRefusal(bucket: TokenBucket, now: number, retryAfterMs = 0): void {
  const pause = Math.max(PAUSE_MS, Math.min(retryAfterMs, PAUSE_MS + LONGEST_EXTRA_MS));
  bucket.left = Math.min(bucket.left, 0);
  bucket.closedUntil = Math.max(bucket.closedUntil, now + pause);
  if (bucket.trust < 1 && now - bucket.cutAt < MINUTE_MS) return;
  bucket.cutAt = now;
  bucket.trust = Math.max(LEARN.least, bucket.trust * LEARN.cut);
}
