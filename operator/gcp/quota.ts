import assert from 'node:assert';
import type { GcpCall, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createFairQueue, type FairQueue, type Queueable } from '../collections/fairQueue.ts';
import { createRecent } from '../collections/recent.ts';
import { type Api, METHODS } from './methods.ts';
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
 * 1. A reconcile says what it needs of each bucket before its first call, and claims all of it at once or nothing. A claim
 *    reserves the calls until it is released, so that no other reconcile counts on them; the calls themselves take tokens.
 * 2. A reconcile that cannot have its claim is parked at the bucket that takes longest to refill. No worker waits, nothing polls
 *    and no call is made. Each bucket has a fair queue: higher ranks first, then projects and namespaces in turn.
 * 3. Each bucket has one timer, for the time at which the first in its queue can be served. It grants that claim and wakes
 *    the reconcile; if another bucket is short by then, the reconcile is parked there instead.
 * 4. A call that no claim covers is made at once and leaves the bucket with fewer tokens than none.
 */

export const KINDS = ['read', 'write'] as const;
export type Kind = (typeof KINDS)[number];
/** Calls a minute in one project (Cloud Run: and region); 0: no limit. */
export type Limits = Record<`${Api}.${Kind}`, number>;

/**
 * The published quotas of a project and minute: Secret Manager https://cloud.google.com/secret-manager/quotas, IAM
 * https://cloud.google.com/iam/quotas, Cloud Run (of a region) https://cloud.google.com/run/quotas.
 */
export const PUBLISHED: Limits = {
  'secretmanager.read': 600,
  'secretmanager.write': 600,
  'iam.read': 6_000,
  'iam.write': 600,
  'run.read': 3_000,
  'run.write': 180,
};

export const UNLIMITED = Object.fromEntries(Object.keys(PUBLISHED).map(budget => [budget, 0])) as Limits;

/**
 * In which order budgets are given: `close` (what closes access or revokes; at most half of a budget), `edit` (edits,
 * deletions and waiting for an operation), `retry` (what has failed), `resync` (the periodic check).
 */
const RANKS = ['close', 'edit', 'retry', 'resync'] as const;
export type Rank = (typeof RANKS)[number];
/** The part of a full bucket that a rank leaves to higher ones, unless it is its turn. */
const RESERVE: Record<Rank, number> = { close: 0, edit: 0, retry: 0.25, resync: 0.5 };

interface Place {
  api: Api;
  kind: Kind;
  /** An id, or the number that Secret Manager answers with. */
  project: string;
  /** Of Cloud Run; '' of the other APIs. */
  region: string;
}

/** So many calls of one budget. */
export interface Need extends Place {
  calls: number;
}

/** What one reconcile needs. Within a rank projects take turns, and in each project namespaces, by what they have used. */
export interface Demand {
  rank: Rank;
  project: string;
  namespace: string;
  needs: readonly Need[];
  /** Called when it is parked for this budget, which lacks so many milliseconds of what it needs. */
  onParked?(budget: Place & { left: number }, ms: number): void;
}

/** Calls that are reserved for one reconcile until it releases them. */
export interface Claim {
  needs: readonly Need[];
  release(): void;
}

interface Budget extends Place {
  /** Negative where more was asked for than there was. */
  left: number;
  aMinute: number;
  /** How many reconciles are parked for it, and for how long the first of them has been. */
  parked: number;
  parkedMs: number;
}

export interface Quota {
  /** The same call, which takes a token of its bucket. Never waits. */
  call: GcpCall;
  /** The claim, if it can be had now and no reconcile of the same or a higher rank waits for one of its buckets. */
  claim(demand: Demand): Claim | undefined;
  /** Calls `wake` once the claim can be had, not before this call has returned. The answer is a function that takes that back. */
  park(demand: Demand, wake: (claim: Claim) => void): () => void;
  /** Says that a project's number and id are one project. What an answer of Google Cloud shows overrides it. */
  alias(number: string, project: string): void;
  /** The budgets of projects that tenants are in. */
  budgets(): Budget[];
}

/**
 * A spec may name any project. Buckets that are full are dropped beyond this number, and after an hour without use: a full
 * one is the same as a new one.
 */
const MOST_BUCKETS = 256;
const MOST_PROJECTS = 1_000;

interface Bucket extends Place, TokenBucket {
  /** A tenant is in this project, so the metrics show it. */
  isHome: boolean;
  waiting: FairQueue<Waiter, Rank>;
  /** When the first in the queue is considered again. */
  timer?: { at: number; cancel: () => void };
}

/** The calls that a demand takes of each bucket. */
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
      ...{ api, kind, project, region, isHome: false, waiting: createFairQueue<Waiter, Rank>(RANKS) },
    };
    buckets.set(key, bucket);
    return refill(bucket, now);
  }

  /** At most what a full bucket holds: a demand for more would wait for ever. */
  function sharesOf({ needs, project }: Demand): Shares {
    const shares = new Map<Bucket, number>();
    for (const need of needs) {
      const bucket = bucketOf(need);
      if (!bucket) continue;
      if (need.project === project) bucket.isHome = true;
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
      else if (bucket && isRate(bucket.kind, result.status)) {
        learnRefusal(bucket, runtime.monotonic(), result.status.retryAfterMs);
      }
      return result;
    },
    claim(demand) {
      const shares = sharesOf(demand);
      const rank = rankOf(demand, shares);
      const before = RANKS.slice(0, RANKS.indexOf(rank) + 1);
      for (const { waiting } of shares.keys()) if (before.some(other => waiting.depth(other) > 0)) return undefined;
      return shortest(shares, rank, false) ? undefined : parking.grant(demand, rank, shares);
    },
    park: parking.park,
    alias: projects.guess,
    budgets() {
      const ofTenants = buckets.values().filter(({ isHome }) => isHome);
      return ofTenants.map(bucket => {
        const { api, project, region, kind, left, limit, trust } = refill(bucket, runtime.monotonic());
        const waiters = parking.waitersAt(bucket);
        const parkedMs = waiters[0] ? runtime.monotonic() - waiters[0].since : 0;
        return { api, project, region, kind, left, aMinute: limit * trust, parked: waiters.length, parkedMs };
      });
    },
  };
}

/** The reconciles that wait for a bucket, and the timers that wake them. */
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

  /** Wakes reconciles in turn while the bucket has enough. One that another bucket delays longer is queued there instead. */
  function serve(bucket: Bucket): void {
    for (let head = bucket.waiting.peek(); head; head = bucket.waiting.peek()) {
      const { item, priority, isFirst } = head;
      const shares = sharesOf(item.demand);
      if (priority === 'close' && rankOf(item.demand, shares) !== 'close') {
        bucket.waiting.remove(item);
        bucket.waiting.push(item, 'edit');
        continue;
      }
      const short = shortest(shares, priority, isFirst);
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
      assert(wasParked, 'a reconcile that is woken was parked, and is woken once');
      item.wake(grant(item.demand, priority, shares));
    }
  }

  function park(demand: Demand, wake: (claim: Claim) => void): () => void {
    const shares = sharesOf(demand);
    const rank = rankOf(demand, shares);
    const crowded = [...shares.keys()].find(isWaitedFor);
    const { bucket, ms } = shortest(shares, rank, false) ?? { bucket: crowded, ms: 1 };
    if (!bucket) {
      // There is enough by now, and no other reconcile waits.
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
        assert(bucket.claimed > -0.5, 'no more is released than was claimed');
        onRelease(bucket);
      }
    },
  };
}

/** Keeps an earlier timer. */
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

/** The bucket that takes longest to refill far enough, if any is short. `mayTake`: nothing has to be left to higher ranks. */
function shortest(shares: Shares, rank: Rank, mayTake: boolean): { bucket: Bucket; ms: number } | undefined {
  let worst: { bucket: Bucket; ms: number } | undefined;
  for (const [bucket, calls] of shares) {
    const ms = msUntil(bucket, calls, mayTake ? 0 : RESERVE[rank]);
    if (ms > 0 && (!worst || ms > worst.ms)) worst = { bucket, ms };
  }
  return worst;
}

/** `close` ranks as an edit once it has used its half. */
const rankOf = ({ rank }: Demand, shares: Shares): Rank =>
  rank === 'close' && ![...shares].every(([bucket, calls]) => hasForClosing(bucket, calls)) ? 'edit' : rank;

/** What one call needs; undefined for an unknown method, and for a request that names no project. */
export function needOf(method: string, request: JsonObject): Need | undefined {
  const known = METHODS.get(method);
  const place = placeOf(request);
  if (!known || !place) return undefined;
  const region = known.api === 'run' ? place.region : '';
  return { api: known.api, kind: known.write ? 'write' : 'read', project: place.project, region, calls: 1 };
}

/** True for too many calls, false for too many resources: a project that may hold no more accounts still answers calls. */
function isRate(kind: Kind, { code, message, retryAfterMs, details = [] }: GcpStatus): boolean {
  if (code !== 'RESOURCE_EXHAUSTED') return false;
  const limited = objects(details).some(({ reason }) => reason === 'RATE_LIMIT_EXCEEDED');
  return (
    kind === 'read' || limited || retryAfterMs !== undefined || /per (?:minute|second|day)|\brate\b/i.test(message)
  );
}

/** Ids of projects by their numbers, so that one project has one budget although Secret Manager answers with its number. */
function createProjects(runtime: Runtime) {
  const learned = createRecent<string>(runtime, { most: MOST_PROJECTS });
  const guessed = createRecent<string>(runtime, { most: MOST_PROJECTS });
  return {
    idOf: (name: string): string => learned.get(name) ?? guessed.get(name) ?? name,
    guess(number: string, project: string): void {
      if (learned.get(number) === undefined) guessed.set(number, project);
    },
    /** From a request that names the project's id, and its answer, which names the number. */
    learn(request: JsonObject, response: JsonObject): void {
      const [first = response] = objects(response.secrets);
      const asked = placeOf(request)?.project;
      const answered = placeOf({ name: first.name })?.project;
      if (asked && answered && asked !== answered && /^\d+$/.test(answered)) learned.set(answered, asked);
    },
  };
}
