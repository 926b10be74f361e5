import type { GcpCall, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createFairQueue, type FairQueue, type Queueable } from '../collections/fairQueue.ts';
import { createRecent, type Recent } from '../collections/recent.ts';
import { type Api, METHODS } from './methods.ts';
import { objects } from './parse.ts';
import { placeOf } from './resourceNames.ts';

/**
 * Budgets of calls to Google Cloud. A reconcile says what it needs before its first call, and is parked while it cannot have
 * that: nothing polls, no worker waits, no call is made. It is woken once the budget is reserved for it.
 */

/** What is asked of an API, as its quotas count it. */
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
 * deletions and what waits for an operation), `retry` (what has failed), `resync` (the periodic check).
 */
export const RANKS = ['close', 'edit', 'retry', 'resync'] as const;
export type Rank = (typeof RANKS)[number];

/** So many calls of one budget. `project`: an id, or the number that Secret Manager answers with. */
export interface Need {
  api: Api;
  kind: Kind;
  project: string;
  /** Of Cloud Run; '' of the other APIs. */
  region: string;
  calls: number;
}

/** What one reconcile needs. Within a rank projects take turns, and in each project namespaces, by what they have used. */
export interface Demand {
  rank: Rank;
  project: string;
  namespace: string;
  needs: readonly Need[];
  /** It is parked for this budget, which lacks so many milliseconds of what it needs. */
  onParked?(budget: Pick<Budget, 'api' | 'kind' | 'project' | 'region' | 'left'>, ms: number): void;
}

/** A budget that nobody else gets until it is released: the reconcile that has it makes its calls meanwhile. */
export interface Claim {
  needs: readonly Need[];
  release(): void;
}

export interface Budget {
  api: Api;
  project: string;
  region: string;
  kind: Kind;
  /** Negative where more was asked for than there was. */
  left: number;
  aMinute: number;
  /** How many reconciles are parked for it, and for how long the first of them has been. */
  parked: number;
  parkedMs: number;
}

export interface Quota {
  /** The same call, paid for from its budget. Never waits. */
  call: GcpCall;
  /** The budget, if it can be had now and nobody of the same or a higher rank waits for it. */
  claim(demand: Demand): Claim | undefined;
  /** Calls `wake` once the budget can be had, not before this call has returned. The function that it answers takes that back. */
  park(demand: Demand, wake: (claim: Claim) => void): () => void;
  /** A project that is known by both its names: one budget for both. What an answer of Google Cloud has shown wins. */
  alias(number: string, project: string): void;
  /** The budgets of projects that tenants are in. */
  budgets(): Budget[];
}

const MINUTE_MS = 60_000;
/**
 * Parts of a minute's quota: what may go at once, and what flows in. Together less than all of it: a tenth is left to
 * people, and to calls that were not foreseen.
 */
const BURST = 0.25;
const FLOW = 0.65;
/** The part of a full budget that a rank leaves to higher ones, unless it is its turn. */
const LEFT: Record<Rank, number> = { close: 0, edit: 0, retry: 0.25, resync: 0.5 };
/** The part of a budget that may go to what closes and revokes. */
const CLOSING = 0.5;
/** What a refusal teaches: others use the quota too, or it is smaller than published. A calm minute gives a part back. */
const LEARN = { cut: 0.7, least: 0.1, regainAMinute: 0.1 };
/** How long a budget is closed after a refusal, and how much longer at most where the answer asks for that. */
const PAUSE_MS = 5_000;
const LONGEST_EXTRA_MS = 60_000;
/**
 * A spec may name any project. Budgets that are full are dropped beyond this number, and after an hour without use: a full
 * one is the same as a new one.
 */
const MOST_BUDGETS = 256;
const MOST_PROJECTS = 1_000;

interface Bucket extends Omit<Budget, 'aMinute' | 'parked' | 'parkedMs'> {
  limit: number;
  /** The part of the limit that refusals have left to us. */
  trust: number;
  /** What `close` may still use. */
  closing: number;
  /** Reserved by claims that are not released. */
  claimed: number;
  /** A tenant is in this project, so the metrics have it. */
  isHome: boolean;
  /** Monotonic milliseconds: when `left` was counted, the last cut of `trust`, and until when nothing is to be asked. */
  at: number;
  cutAt: number;
  closedUntil: number;
  waiting: FairQueue<Waiter, Rank>;
  /** When the first of those who wait is considered again. */
  timer?: { at: number; cancel: () => void };
}

/** The budget that is short, and for how long. */
interface Shortage {
  bucket: Bucket;
  ms: number;
}

interface Waiter extends Queueable<Rank> {
  demand: Demand;
  since: number;
  bucket: Bucket;
  wake: (claim: Claim) => void;
}

/** A token bucket for each API, project (and region, for Cloud Run) and kind of call. */
export function createQuota(call: GcpCall, runtime: Runtime, limits: Limits): Quota {
  const buckets = createRecent<Bucket>(runtime, { most: MOST_BUDGETS, isKept: bucket => !isFull(bucket) });
  /** In the order in which they were parked. */
  const parked = new Set<Waiter>();
  /** Secret Manager answers with a project's number. */
  const idOf = createRecent<string>(runtime, { most: MOST_PROJECTS });
  const guessed = createRecent<string>(runtime, { most: MOST_PROJECTS });

  function bucketOf({ api, kind, project: name, region }: Omit<Need, 'calls'>): Bucket | undefined {
    const limit = limits[`${api}.${kind}`];
    if (limit === 0) return undefined;
    const project = idOf.get(name) ?? guessed.get(name) ?? name;
    const key = `${project} ${api} ${kind} ${region}`;
    const known = buckets.get(key);
    if (known) buckets.set(key, known);
    if (known) return refilled(known);
    const now = runtime.monotonic();
    const left = limit * BURST;
    const waiting = createFairQueue<Waiter, Rank>(RANKS);
    const times = { at: now, cutAt: now, closedUntil: now };
    const counts = { limit, trust: 1, left, closing: left * CLOSING, claimed: 0 };
    const fresh: Bucket = { api, kind, project, region, ...counts, ...times, isHome: false, waiting };
    buckets.set(key, fresh);
    return fresh;
  }

  function refilled(bucket: Bucket): Bucket {
    const now = runtime.monotonic();
    const minutes = (now - bucket.at) / MINUTE_MS;
    bucket.at = now;
    bucket.trust = Math.min(1, bucket.trust + minutes * LEARN.regainAMinute);
    bucket.left = Math.min(full(bucket), bucket.left + minutes * flow(bucket));
    bucket.closing = Math.min(full(bucket) * CLOSING, bucket.closing + minutes * flow(bucket) * CLOSING);
    return bucket;
  }

  function isFull(bucket: Bucket): boolean {
    const { claimed, trust, left } = refilled(bucket);
    return claimed === 0 && !isWaitedFor(bucket) && trust === 1 && left >= full(bucket);
  }

  /** The calls it takes of each bucket; at most what a full one holds, or it would wait for ever. */
  function sharesOf({ needs, project }: Demand): Map<Bucket, number> {
    const shares = new Map<Bucket, number>();
    for (const need of needs) {
      const bucket = bucketOf(need);
      if (!bucket) continue;
      if (need.project === project) bucket.isHome = true;
      shares.set(bucket, Math.min(full(bucket), (shares.get(bucket) ?? 0) + need.calls));
    }
    return shares;
  }

  /** The bucket that takes longest to refill far enough, if any is short. `mayTake`: it leaves nothing to higher ranks. */
  function shortest(shares: Map<Bucket, number>, rank: Rank, mayTake: boolean): Shortage | undefined {
    let worst: Shortage | undefined;
    for (const [bucket, calls] of shares) {
      const leave = mayTake ? 0 : LEFT[rank] * full(bucket);
      const short = Math.min(full(bucket), calls + leave) + bucket.claimed - bucket.left;
      const ms = Math.max(bucket.closedUntil - bucket.at, (short / flow(bucket)) * MINUTE_MS);
      if (ms > 0 && (!worst || ms > worst.ms)) worst = { bucket, ms };
    }
    return worst;
  }

  /** `close` ranks as an edit once it has used its half. */
  function rankOf({ rank }: Demand, shares: Map<Bucket, number>): Rank {
    const within = ([bucket, calls]: [Bucket, number]) => bucket.closing >= Math.min(calls, full(bucket) * CLOSING);
    return rank === 'close' && ![...shares].every(within) ? 'edit' : rank;
  }

  function grant(demand: Demand, rank: Rank, shares: Map<Bucket, number>): Claim {
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
          if (isWaitedFor(bucket)) serveIn(bucket, 0);
        }
      },
    };
  }

  function queueAt(bucket: Bucket, waiter: Waiter, rank: Rank, ms: number): void {
    waiter.bucket = bucket;
    bucket.waiting.push(waiter, rank);
    waiter.demand.onParked?.(bucket, ms);
    serveIn(bucket, ms);
  }

  function serveIn(bucket: Bucket, ms: number): void {
    const at = runtime.monotonic() + Math.ceil(ms);
    if (bucket.timer && bucket.timer.at <= at) return;
    bucket.timer?.cancel();
    const cancel = runtime.after(Math.ceil(ms), () => {
      bucket.timer = undefined;
      serve(bucket);
    });
    bucket.timer = { at, cancel };
  }

  /** Wakes demands in turn while the bucket has enough. One that another bucket delays longer is queued there instead. */
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
      parked.delete(item);
      item.wake(grant(item.demand, priority, shares));
    }
  }

  function refused(bucket: Bucket, retryAfterMs = 0): void {
    const now = runtime.monotonic();
    const pause = Math.max(PAUSE_MS, Math.min(retryAfterMs, PAUSE_MS + LONGEST_EXTRA_MS));
    bucket.left = Math.min(bucket.left, 0);
    bucket.closedUntil = Math.max(bucket.closedUntil, now + pause);
    // One shortage refuses many calls at once: it teaches once.
    if (bucket.trust < 1 && now - bucket.cutAt < MINUTE_MS) return;
    bucket.cutAt = now;
    bucket.trust = Math.max(LEARN.least, bucket.trust * LEARN.cut);
  }

  return {
    async call(method, request, options) {
      const need = needOf(method, request);
      const bucket = need && bucketOf(need);
      if (bucket) bucket.left--;
      const result = await call(method, request, options);
      if (result.ok) learnNumber(idOf, request, result.response);
      else if (bucket && isRate(bucket.kind, result.status)) refused(bucket, result.status.retryAfterMs);
      return result;
    },
    claim(demand) {
      const shares = sharesOf(demand);
      const rank = rankOf(demand, shares);
      const before = RANKS.slice(0, RANKS.indexOf(rank) + 1);
      for (const { waiting } of shares.keys()) if (before.some(other => waiting.depth(other) > 0)) return undefined;
      return shortest(shares, rank, false) ? undefined : grant(demand, rank, shares);
    },
    park(demand, wake) {
      const shares = sharesOf(demand);
      const rank = rankOf(demand, shares);
      const crowded = [...shares.keys()].find(isWaitedFor);
      const { bucket, ms } = shortest(shares, rank, false) ?? { bucket: crowded, ms: 1 };
      if (!bucket) {
        // There is enough by now, and nobody waits.
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
        if (isWaitedFor(waiter.bucket)) return;
        waiter.bucket.timer?.cancel();
        waiter.bucket.timer = undefined;
      };
    },
    alias(number, project) {
      if (idOf.get(number) === undefined) guessed.set(number, project);
    },
    budgets() {
      const ofTenants = buckets.values().filter(({ isHome }) => isHome);
      return ofTenants.map(bucket => {
        const { api, project, region, kind, left, limit, trust } = refilled(bucket);
        const waiters = [...parked].filter(waiter => waiter.bucket === bucket);
        const parkedMs = waiters[0] ? runtime.monotonic() - waiters[0].since : 0;
        return { api, project, region, kind, left, aMinute: limit * trust, parked: waiters.length, parkedMs };
      });
    },
  };
}

const full = ({ limit, trust }: Bucket): number => Math.max(2, limit * trust * BURST);
/** Calls a minute. */
const flow = ({ limit, trust }: Bucket): number => limit * trust * FLOW;
const isWaitedFor = ({ waiting }: Bucket): boolean => RANKS.some(rank => waiting.depth(rank) > 0);

/** What one call needs; undefined: it is none of an API or project that is known. */
export function needOf(method: string, request: JsonObject): Need | undefined {
  const known = METHODS.get(method);
  const place = placeOf(request);
  if (!known || !place) return undefined;
  const region = known.api === 'run' ? place.region : '';
  return { api: known.api, kind: known.write ? 'write' : 'read', project: place.project, region, calls: 1 };
}

/** Too many calls, and not too many things: a project that may hold no more accounts still answers. */
function isRate(kind: Kind, { code, message, retryAfterMs, details = [] }: GcpStatus): boolean {
  if (code !== 'RESOURCE_EXHAUSTED') return false;
  const limited = objects(details).some(({ reason }) => reason === 'RATE_LIMIT_EXCEEDED');
  return (
    kind === 'read' || limited || retryAfterMs !== undefined || /per (?:minute|second|day)|\brate\b/i.test(message)
  );
}

/** A request that names the project's id, and an answer that names its number. */
function learnNumber(idOf: Recent<string>, request: JsonObject, response: JsonObject): void {
  const [first = response] = objects(response.secrets);
  const asked = placeOf(request)?.project;
  const answered = placeOf({ name: first.name })?.project;
  if (asked && answered && asked !== answered && /^\d+$/.test(answered)) idOf.set(answered, asked);
}
