import assert from 'node:assert';
import type { GcpCall, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createFairQueue, type FairQueue, type Queueable } from '../collections/fairQueue.ts';
import { createRecent } from '../collections/recent.ts';
import { APIS, type Api, METHODS } from './methods.ts';
import { objects } from './parse.ts';
import { placeOf } from './resourceNames.ts';
import {
  capacity,
  hasForClosing,
  isUnused,
  learnRefusal,
  msUntil,
  newTokenBucket,
  refill,
  type TokenBucket,
} from './tokenBucket.ts';

/**
 * Budgets of calls to Google Cloud: a token bucket for each API, project (and region, for Cloud Run) and kind of call.
 *
 * 1. Before its first call, a reconcile says how many calls of each bucket it needs, and claims either all of them or none. A claim
 *    reserves the calls until it is released, so that no other reconcile can claim them. Only the calls themselves take tokens.
 * 2. A reconcile whose claim cannot be granted is parked at the bucket that takes longest to refill. While it is parked, no worker waits
 *    for it, nothing polls, and it makes no call. Each bucket has a fair queue: higher ranks come first; within a rank projects take
 *    turns, and namespaces within a project.
 * 3. Each bucket has one timer, set to the time at which the first reconcile in its queue can be served. The timer grants that claim and
 *    wakes the reconcile. If another bucket lacks calls by then, the reconcile is parked there instead.
 * 4. A call without a claim is made at once, and may leave a negative number of tokens.
 */

export const KINDS = ['read', 'write'] as const;
export type Kind = (typeof KINDS)[number];
/** Calls per minute in one project (for Cloud Run: in one project and region). 0 means no limit. */
export type Limits = Record<`${Api}.${Kind}`, number>;

export const PUBLISHED = Object.fromEntries(
  Object.entries(APIS).flatMap(([api, limits]) => KINDS.map(kind => [`${api}.${kind}`, limits[kind]])),
) as Limits;

export const UNLIMITED = Object.fromEntries(Object.keys(PUBLISHED).map(budget => [budget, 0])) as Limits;

/**
 * The order in which claims are granted. `close`: steps that revoke or limit access; they may use half of a bucket. `edit`: edits,
 * deletions, and waiting for an operation. `retry`: the last attempt failed. `resync`: the periodic check.
 */
const RANKS = ['close', 'edit', 'retry', 'resync'] as const;
export type Rank = (typeof RANKS)[number];
/** The part of a full bucket that a rank leaves for higher ranks, unless its own turn in the fair queue has come. */
const RESERVE: Record<Rank, number> = { close: 0, edit: 0, retry: 0.25, resync: 0.5 };

interface Place {
  api: Api;
  kind: Kind;
  /** The project's id, or its number, which Secret Manager uses in its answers. */
  project: string;
  /** The region for Cloud Run; '' for the other APIs. */
  region: string;
}

/** A number of calls of one budget. */
export interface Need extends Place {
  calls: number;
}

/** What one reconcile needs. Within a rank, projects take turns according to what they have used, and so do namespaces within a project. */
export interface Demand {
  rank: Rank;
  project: string;
  namespace: string;
  needs: readonly Need[];
  /** Called when the reconcile is parked for this budget, which will have refilled enough after `ms` milliseconds. */
  onParked?(budget: Place & { left: number }, ms: number): void;
}

/** Calls that are reserved for one reconcile until it releases them. */
export interface Claim {
  needs: readonly Need[];
  release(): void;
}

interface Budget extends Place {
  /** Calls that are left; negative after calls without a claim. */
  left: number;
  /** The limit that counts now, in calls per minute. */
  aMinute: number;
  /** How many reconciles are parked for this budget. */
  parked: number;
  /** For how long the first of them has been parked. */
  parkedMs: number;
}

export interface Quota {
  /** Makes the call, and takes a token from its bucket. It never waits for a token. */
  call: GcpCall;
  /** Grants the claim if the buckets have enough now and no reconcile of the same or a higher rank is parked at one of them. */
  claim(demand: Demand): Claim | undefined;
  /** Parks a reconcile: `wake` is called when the claim is granted, never before this call has returned. Answers with a function that cancels this. */
  park(demand: Demand, wake: (claim: Claim) => void): () => void;
  /** Declares that a project's number and id are one project. This is a guess; an answer of Google Cloud overrides it. */
  alias(number: string, project: string): void;
  /** The budgets of projects in which tenants live, for metrics. */
  budgets(): Budget[];
}

/**
 * The most buckets, because a spec may name any project. Beyond this number, and after an hour without use, full buckets are dropped: a
 * full bucket is the same as a new one.
 */
const MOST_BUCKETS = 256;
const MOST_PROJECTS = 1_000;

interface Bucket extends Place, TokenBucket {
  /** True if a tenant lives in this project, so that the metrics show the bucket. */
  hasTenants: boolean;
  waiting: FairQueue<Waiter, Rank>;
  /** When the first reconcile in the queue is considered again. */
  timer?: { at: number; cancel: () => void };
}

/** How many calls a demand needs of each bucket. */
type Shares = ReadonlyMap<Bucket, number>;

interface Waiter extends Queueable<Rank> {
  demand: Demand;
  since: number;
  bucket: Bucket;
  wake: (claim: Claim) => void;
}

export function createQuota(call: GcpCall, runtime: Runtime, limits: Limits): Quota {
  const isKept = (bucket: Bucket) => isWaitedFor(bucket) || !isUnused(refill(bucket, runtime.monotonic()));
  const buckets = createRecent<Bucket>(runtime, { most: MOST_BUCKETS, isKept });
  const projects = createProjects(runtime);
  const parking = createParking(runtime, sharesOf);

  function bucketOf({ api, kind, project: name, region }: Place): Bucket | undefined {
    const limit = limits[`${api}.${kind}`];
    if (limit === 0) return undefined;
    const project = projects.idOf(name);
    const key = `${project} ${api} ${kind} ${region}`;
    const now = runtime.monotonic();
    const bucket = buckets.get(key) ?? {
      ...newTokenBucket(limit, now),
      ...{ api, kind, project, region, hasTenants: false, waiting: createFairQueue<Waiter, Rank>(RANKS) },
    };
    buckets.set(key, bucket);
    return refill(bucket, now);
  }

  /** The calls that the demand needs of each bucket. They are cut to what a full bucket holds, because a demand for more would wait for ever. */
  function sharesOf({ needs, project }: Demand): Shares {
    const shares = new Map<Bucket, number>();
    for (const need of needs) {
      const bucket = bucketOf(need);
      if (!bucket) continue;
      if (need.project === project) bucket.hasTenants = true;
      shares.set(bucket, Math.min(capacity(bucket), (shares.get(bucket) ?? 0) + need.calls));
    }
    return shares;
  }

  return {
    async call(method, request, options) {
      const need = needOf(method, request);
      const bucket = need && bucketOf(need);
      if (bucket) bucket.left--;
      const result = await call(method, request, options);
      if (result.ok) projects.learn(request, result.response);
      else if (bucket && isRateLimit(bucket.kind, result.status)) {
        learnRefusal(bucket, runtime.monotonic(), result.status.retryAfterMs);
      }
      return result;
    },
    claim(demand) {
      const shares = sharesOf(demand);
      const rank = rankOf(demand, shares);
      const before = RANKS.slice(0, RANKS.indexOf(rank) + 1);
      for (const { waiting } of shares.keys()) if (before.some(other => waiting.depth(other) > 0)) return undefined;
      return slowest(shares, rank, false) ? undefined : parking.grant(demand, rank, shares);
    },
    park: parking.park,
    alias: projects.guess,
    budgets() {
      const ofTenants = buckets.values().filter(({ hasTenants }) => hasTenants);
      return ofTenants.map(bucket => {
        const { api, project, region, kind, left, limit, trust } = refill(bucket, runtime.monotonic());
        const waiters = parking.waitersAt(bucket);
        const parkedMs = waiters[0] ? runtime.monotonic() - waiters[0].since : 0;
        return { api, project, region, kind, left, aMinute: limit * trust, parked: waiters.length, parkedMs };
      });
    },
  };
}

/** Holds the parked reconciles, and sets the timers that wake them. */
function createParking(runtime: Runtime, sharesOf: (demand: Demand) => Shares) {
  /** In the order in which they were parked. */
  const parked = new Set<Waiter>();

  const grant = (demand: Demand, rank: Rank, shares: Shares): Claim =>
    reserve(demand, rank, shares, bucket => isWaitedFor(bucket) && serveIn(bucket, 0));

  function queueAt(bucket: Bucket, waiter: Waiter, rank: Rank, ms: number): void {
    waiter.bucket = bucket;
    bucket.waiting.push(waiter, rank);
    waiter.demand.onParked?.(bucket, ms);
    serveIn(bucket, ms);
  }

  const serveIn = (bucket: Bucket, ms: number): void => setTimer(runtime, bucket, ms, () => serve(bucket));

  /** Wakes parked reconciles in turn while the bucket has enough. A reconcile that has to wait for another bucket is parked there instead. */
  function serve(bucket: Bucket): void {
    for (let head = bucket.waiting.peek(); head; head = bucket.waiting.peek()) {
      const { item, priority, isFirst } = head;
      const shares = sharesOf(item.demand);
      if (priority === 'close' && rankOf(item.demand, shares) !== 'close') {
        bucket.waiting.remove(item);
        bucket.waiting.push(item, 'edit');
        continue;
      }
      const short = slowest(shares, priority, isFirst);
      if (short?.bucket === bucket) {
        serveIn(bucket, Math.max(1, short.ms));
        return;
      }
      bucket.waiting.take(item, 0);
      if (short) {
        queueAt(short.bucket, item, rankOf(item.demand, shares), Math.max(1, short.ms));
        continue;
      }
      const wasParked = parked.delete(item);
      assert(wasParked, 'a reconcile was woken that is not parked');
      item.wake(grant(item.demand, priority, shares));
    }
  }

  function park(demand: Demand, wake: (claim: Claim) => void): () => void {
    const shares = sharesOf(demand);
    const rank = rankOf(demand, shares);
    const crowded = [...shares.keys()].find(isWaitedFor);
    const { bucket, ms } = slowest(shares, rank, false) ?? { bucket: crowded, ms: 1 };
    if (!bucket) {
      // The buckets have enough by now, and no other reconcile is parked at them.
      const claim = grant(demand, rank, shares);
      const cancel = runtime.after(0, () => wake(claim));
      return () => {
        cancel();
        claim.release();
      };
    }
    const lane = [demand.project, demand.namespace] as const;
    const waiter: Waiter = { lane, queued: undefined, demand, since: runtime.monotonic(), bucket, wake };
    parked.add(waiter);
    queueAt(bucket, waiter, rank, ms);
    return () => {
      parked.delete(waiter);
      waiter.bucket.waiting.remove(waiter);
      if (!isWaitedFor(waiter.bucket)) stopTimer(waiter.bucket);
    };
  }

  return { grant, park, waitersAt: (bucket: Bucket) => [...parked].filter(waiter => waiter.bucket === bucket) };
}

/** Makes a claim: reserves its calls, and charges the lane of the project and namespace. */
function reserve(demand: Demand, rank: Rank, shares: Shares, onRelease: (bucket: Bucket) => void): Claim {
  for (const [bucket, calls] of shares) {
    bucket.claimed += calls;
    if (demand.rank === 'close') bucket.closing -= calls;
    bucket.waiting.charge(rank, [demand.project, demand.namespace], calls);
  }
  let isClaimed = true;
  return {
    needs: demand.needs,
    release() {
      if (!isClaimed) return;
      isClaimed = false;
      for (const [bucket, calls] of shares) {
        bucket.claimed -= calls;
        assert(bucket.claimed > -0.5, 'more calls were released than were claimed');
        onRelease(bucket);
      }
    },
  };
}

/** Sets the bucket's timer, unless it is set to an earlier time already. */
function setTimer(runtime: Runtime, bucket: Bucket, ms: number, run: () => void): void {
  const at = runtime.monotonic() + Math.ceil(ms);
  if (bucket.timer && bucket.timer.at <= at) return;
  stopTimer(bucket);
  const cancel = runtime.after(Math.ceil(ms), () => {
    bucket.timer = undefined;
    run();
  });
  bucket.timer = { at, cancel };
}

function stopTimer(bucket: Bucket): void {
  bucket.timer?.cancel();
  bucket.timer = undefined;
}

const isWaitedFor = ({ waiting }: Bucket): boolean => RANKS.some(rank => waiting.depth(rank) > 0);

/** The bucket that takes longest to refill; undefined if all buckets have enough. `mayTake`: nothing has to be left for higher ranks. */
function slowest(shares: Shares, rank: Rank, mayTake: boolean): { bucket: Bucket; ms: number } | undefined {
  let worst: { bucket: Bucket; ms: number } | undefined;
  for (const [bucket, calls] of shares) {
    const ms = msUntil(bucket, calls, mayTake ? 0 : RESERVE[rank]);
    if (ms > 0 && (!worst || ms > worst.ms)) worst = { bucket, ms };
  }
  return worst;
}

/** The rank that counts now: `close` ranks as `edit` once the half of a bucket that is reserved for it is used up. */
const rankOf = ({ rank }: Demand, shares: Shares): Rank =>
  rank === 'close' && ![...shares].every(([bucket, calls]) => hasForClosing(bucket, calls)) ? 'edit' : rank;

/** The need of one call; undefined for an unknown method, and for a request that names no project. */
export function needOf(method: string, request: JsonObject): Need | undefined {
  const known = METHODS.get(method);
  const place = placeOf(request);
  if (!known || !place) return undefined;
  const region = APIS[known.api].isRegional ? place.region : '';
  return { api: known.api, kind: known.write ? 'write' : 'read', project: place.project, region, calls: 1 };
}

/**
 * True for a refusal because of too many calls; false for one because of too many resources, such as service accounts in a project. After
 * the latter, other calls are still answered, so the bucket must not be closed.
 */
function isRateLimit(kind: Kind, { code, message, retryAfterMs, details = [] }: GcpStatus): boolean {
  if (code !== 'RESOURCE_EXHAUSTED') return false;
  const limited = objects(details).some(({ reason }) => reason === 'RATE_LIMIT_EXCEEDED');
  return (
    kind === 'read' || limited || retryAfterMs !== undefined || /per (?:minute|second|day)|\brate\b/i.test(message)
  );
}

/** Maps project numbers to project ids, so that one project has one budget although Secret Manager answers with the number. */
function createProjects(runtime: Runtime) {
  const learned = createRecent<string>(runtime, { most: MOST_PROJECTS });
  const guessed = createRecent<string>(runtime, { most: MOST_PROJECTS });
  return {
    idOf: (name: string): string => learned.get(name) ?? guessed.get(name) ?? name,
    guess(number: string, project: string): void {
      if (learned.get(number) === undefined) guessed.set(number, project);
    },
    /** Learns from a request that names the project's id and an answer that names its number. */
    learn(request: JsonObject, response: JsonObject): void {
      const [first = response] = objects(response.secrets);
      const asked = placeOf(request)?.project;
      const answered = placeOf({ name: first.name })?.project;
      if (asked && answered && asked !== answered && /^\d+$/.test(answered)) learned.set(answered, asked);
    },
  };
}
