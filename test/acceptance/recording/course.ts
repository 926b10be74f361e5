import type { Json } from '../../../ports/json.ts';
import { API } from '../addresses.ts';
import { type Exchange, fieldOf, isObject, succeeded } from '../exchange.ts';

/**
 * How each exchange of a recording is replayed. A recording on a real Google Cloud has waits: reads of a service that is not ready yet,
 * and attempts that are refused until a new account is visible. The local Google Cloud may be faster, so these are not differences.
 */
export type Part =
  /** Sent, and the answer is compared. */
  | 'compared'
  /** A read that was made again until it succeeded, or until it found nothing. The present answer may be what was recorded later. */
  | 'ahead'
  /** A write that was refused and succeeded when it was sent again: sent twice, the second one would be refused now. */
  | 'sentAgain'
  /** Not sent: it had no answer. */
  | 'unanswered'
  /** Not sent: it went to a tenant's service or to an API that the local Google Cloud does not have. */
  | 'elsewhere';

/** How long a refused attempt is made again, in milliseconds. */
const AGAIN_MS = 180_000;

export function partsOf(exchanges: Exchange[]): Part[] {
  return exchanges.map((exchange, index) => {
    if (!isApi(exchange.url)) return 'elsewhere';
    if (exchange.status === 0) return 'unanswered';
    const isRead = exchange.method === 'GET';
    const ends = succeeded(exchange) ? (later: Exchange) => isRead && later.status === 404 : succeeded;
    if (!endsLater(exchange, exchanges.slice(index + 1), ends)) return 'compared';
    return isRead ? 'ahead' : 'sentAgain';
  });
}

const HOSTS = new Set(Object.values(API).map(address => new URL(address).hostname));

function isApi(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname } = new URL(url);
  return HOSTS.has(hostname) || /^[a-z0-9-]+-run\.googleapis\.com$/.test(hostname);
}

/** Whether the same request is answered so a little later, without anything of that name being written in between. */
function endsLater(exchange: Exchange, later: Exchange[], ends: (answer: Exchange) => boolean): boolean {
  const key = keyOf(exchange);
  const subject = subjectOf(exchange);
  for (const other of later) {
    if (Date.parse(other.when) - Date.parse(exchange.when) > AGAIN_MS) return false;
    if (keyOf(other) === key) {
      if (ends(other)) return true;
      continue;
    }
    const isWrite = other.method !== 'GET' && succeeded(other);
    if (isWrite && `${other.url} ${JSON.stringify(other.requestBody ?? '')}`.includes(subject)) return false;
  }
  return false;
}

/** The id of what the request is about. */
function subjectOf({ method, url, requestBody }: Exchange): string {
  const [, made] = (method === 'POST' && /[?&]\w+Id=([^&]+)/.exec(url)) || [];
  const asked = made ?? fieldOf(requestBody, 'accountId') ?? fieldOf(requestBody, 'metadata.name');
  return typeof asked === 'string' ? asked : (/\/([^/:?]+)(?::\w+)?(?:\?.*)?$/.exec(url)?.[1] ?? '');
}

/** Reads and writes that were under way at once may have been answered in another order than they took effect, in milliseconds. */
const OVERLAP_MS = 1_000;

/** Whether the answer of the read may have been from before or after the write, whichever was answered first. */
export function overlap(read: Exchange, write: Exchange): boolean {
  if (read.method !== 'GET' || write.method === 'GET') return false;
  if (Math.abs(Date.parse(read.when) - Date.parse(write.when)) > OVERLAP_MS) return false;
  const path = (url: string) => url.replace(/[?#].*$/, '');
  return read.url.includes(subjectOf(write)) || path(write.url).startsWith(path(read.url));
}

/** The request without what changes when it is sent again. */
const keyOf = ({ method, url, requestBody }: Exchange): string =>
  JSON.stringify([method, url, requestBody], (key, value) => (key === 'etag' ? undefined : value));

/** Whether this is something that has not come to rest: an operation, or a service of one of the two APIs. */
export function isUnderWay(value: Json): boolean {
  if (!isObject(value)) return false;
  const { name, done, reconciling } = value;
  if (typeof name === 'string' && /\/operations\/[^/]+$/.test(name)) return done !== true;
  const conditions = fieldOf(value, 'status.conditions');
  const isWaiting =
    Array.isArray(conditions) && conditions.some(one => isReady(one) && fieldOf(one, 'status') === 'Unknown');
  return reconciling === true || isWaiting;
}

/** The same for an answer, which may be a list. */
export function holdsUnderWay(body: Json): boolean {
  const lists = isObject(body) ? Object.values(body).filter(Array.isArray) : [];
  return isUnderWay(body) || lists.some(list => list.some(isUnderWay));
}

const isReady = (condition: Json): boolean => isObject(condition) && condition.type === 'Ready';
