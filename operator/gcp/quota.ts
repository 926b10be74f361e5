import type { GcpCall, GcpStatus, JsonObject, Runtime } from '../ports.ts';
import { type Api, METHODS } from './methods.ts';
import { isObject, objects } from './parse.ts';

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

export const UNLIMITED: Limits = {
  'secretmanager.read': 0,
  'secretmanager.write': 0,
  'iam.read': 0,
  'iam.write': 0,
  'run.read': 0,
  'run.write': 0,
};

/** `edit`: a person waits. `check`: its time has come, or an operation is under way. `retry`: it has failed before. */
export type Need = 'edit' | 'check' | 'retry';
/** The part of a full bucket that is left to those who matter more. */
const KEPT: Record<Need, number> = { edit: 0, check: 0.25, retry: 0.5 };

export interface Quota {
  /** The same call, paid for from its budget. Never waits: who asks `waitMs` first keeps within it. */
  call: GcpCall;
  /** Milliseconds until work in a project may start; 0: now. `kinds`: what it may have to ask for. */
  waitMs(project: string, need: Need, kinds: readonly Kind[]): number;
  /** Every budget that was ever used. `left` is negative where more was asked for than there was. */
  budgets(): { api: Api; project: string; region: string; kind: Kind; left: number; aMinute: number }[];
}

const MINUTE_MS = 60_000;
/**
 * Parts of a minute's quota: what may go at once, and what flows in. Together less than all of it: a tenth is left to
 * people, and to runs that started side by side when there was room for one.
 */
const BURST = 0.25;
const FLOW = 0.65;
/** What a refusal teaches: others use the quota too, or it is smaller than published. A calm minute gives a part back. */
const LEARN = { cut: 0.7, least: 0.1, regainAMinute: 0.1 };
/** How long after a refusal that does not say. */
const PAUSE_MS = 5_000;
/** Whoever asks for more than this is asked again after it. */
const LONGEST_PAUSE_MS = 3_600_000;

interface Bucket {
  api: Api;
  project: string;
  region: string;
  kind: Kind;
  limit: number;
  /** The part of the limit that is believed in. */
  trust: number;
  left: number;
  /** Monotonic milliseconds: when `left` was counted, the last cut of `trust`, and until when nothing is to be asked. */
  at: number;
  cutAt: number;
  closedUntil: number;
}

/** A token bucket for each API, project (and region, for Cloud Run) and kind of call. */
export function createQuota(call: GcpCall, runtime: Runtime, limits: Limits): Quota {
  const buckets = new Map<string, Map<string, Bucket>>();
  /** Secret Manager answers with a project's number. */
  const idOf = new Map<string, string>();

  function bucketOf(method: string, request: JsonObject): Bucket | undefined {
    const known = METHODS.get(method);
    const place = placeOf(request);
    if (!known || !place) return undefined;
    const kind = known.write ? 'write' : 'read';
    const limit = limits[`${known.api}.${kind}`];
    if (limit === 0) return undefined;
    const project = idOf.get(place.project) ?? place.project;
    const region = known.api === 'run' ? place.region : '';
    const mine = buckets.get(project) ?? new Map<string, Bucket>();
    buckets.set(project, mine);
    const key = `${known.api} ${kind} ${region}`;
    const now = runtime.monotonic();
    const fresh = { api: known.api, project, region, kind, limit, trust: 1, left: limit * BURST } as const;
    const bucket = mine.get(key) ?? { ...fresh, at: now, cutAt: now, closedUntil: now };
    mine.set(key, bucket);
    return bucket;
  }

  function refill(bucket: Bucket): void {
    const now = runtime.monotonic();
    const minutes = (now - bucket.at) / MINUTE_MS;
    bucket.at = now;
    bucket.trust = Math.min(1, bucket.trust + minutes * LEARN.regainAMinute);
    bucket.left = Math.min(full(bucket), bucket.left + minutes * flow(bucket));
  }

  function refused(bucket: Bucket, retryAfterMs = PAUSE_MS): void {
    const now = runtime.monotonic();
    bucket.left = Math.min(bucket.left, 0);
    bucket.closedUntil = Math.max(bucket.closedUntil, now + Math.min(retryAfterMs, LONGEST_PAUSE_MS));
    // One shortage refuses many calls at once: it teaches once.
    if (bucket.trust < 1 && now - bucket.cutAt < MINUTE_MS) return;
    bucket.cutAt = now;
    bucket.trust = Math.max(LEARN.least, bucket.trust * LEARN.cut);
  }

  return {
    async call(method, request, options) {
      const bucket = bucketOf(method, request);
      if (bucket) {
        refill(bucket);
        bucket.left--;
      }
      const result = await call(method, request, options);
      if (result.ok) learnNumber(idOf, request, result.response);
      else if (bucket && isRate(bucket.kind, result.status)) refused(bucket, result.status.retryAfterMs);
      return result;
    },
    waitMs(project, need, kinds) {
      let wait = 0;
      for (const bucket of buckets.get(project)?.values() ?? []) {
        if (!kinds.includes(bucket.kind)) continue;
        refill(bucket);
        const short = 1 + KEPT[need] * full(bucket) - bucket.left;
        wait = Math.max(wait, bucket.closedUntil - bucket.at, (short / flow(bucket)) * MINUTE_MS);
      }
      return wait;
    },
    budgets() {
      const all = [...buckets.values()].flatMap(mine => [...mine.values()]);
      for (const bucket of all) refill(bucket);
      return all.map(({ api, project, region, kind, left, limit, trust }) => {
        return { api, project, region, kind, left, aMinute: limit * trust };
      });
    },
  };
}

const full = ({ limit, trust }: Bucket): number => Math.max(2, limit * trust * BURST);
/** Calls a minute. */
const flow = ({ limit, trust }: Bucket): number => limit * trust * FLOW;

/** Too many calls, and not too many things: a project that may hold no more accounts still answers. */
function isRate(kind: Kind, { code, message, retryAfterMs, details = [] }: GcpStatus): boolean {
  if (code !== 'RESOURCE_EXHAUSTED') return false;
  const limited = objects(details).some(({ reason }) => reason === 'RATE_LIMIT_EXCEEDED');
  return (
    kind === 'read' || limited || retryAfterMs !== undefined || /per (?:minute|second|day)|\brate\b/i.test(message)
  );
}

function placeOf({ parent, name, resource, service, serviceAccount }: JsonObject) {
  const nested = [service, serviceAccount].map(value => (isObject(value) ? value.name : undefined));
  const full = [parent, name, resource, ...nested].find(value => typeof value === 'string');
  const [, project, region = ''] = /^projects\/([^/]+)(?:\/locations\/([^/]+))?/.exec(String(full)) ?? [];
  return project === undefined ? undefined : { project, region };
}

/** A request that names the project's id, and an answer that names its number. */
function learnNumber(idOf: Map<string, string>, request: JsonObject, response: JsonObject): void {
  const [first = response] = objects(response.secrets);
  const asked = placeOf(request)?.project;
  const answered = placeOf({ name: first.name })?.project;
  if (asked && answered && asked !== answered && /^\d+$/.test(answered)) idOf.set(answered, asked);
}
