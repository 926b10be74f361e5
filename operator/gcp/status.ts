import type { GcpCode, GcpStatus } from '../../ports/gcp.ts';
import type { Json } from '../../ports/json.ts';
import { isObject, json, text } from './parse.ts';

const CODES: ReadonlySet<unknown> = new Set<GcpCode>([
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
]);

/** Answers that are no tenant's doing: Google Cloud does not work, or not for the operator's identity. */
export const OUTAGE_CODES: ReadonlySet<GcpCode | 'OK'> = new Set<GcpCode>([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'INTERNAL',
  'UNKNOWN',
  'UNAUTHENTICATED',
]);

/** For an error that names no canonical code, by HTTP status (google/rpc/code.proto). */
const BY_HTTP: ReadonlyMap<number, GcpCode> = new Map([
  [400, 'INVALID_ARGUMENT'],
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'NOT_FOUND'],
  [409, 'ABORTED'],
  [412, 'FAILED_PRECONDITION'],
  [416, 'OUT_OF_RANGE'],
  [429, 'RESOURCE_EXHAUSTED'],
  [499, 'CANCELLED'],
  [500, 'INTERNAL'],
  [501, 'UNIMPLEMENTED'],
  [503, 'UNAVAILABLE'],
  [504, 'DEADLINE_EXCEEDED'],
]);

/** Longer ones end up in a status nobody can read. */
const MAX_MESSAGE = 4096;

/**
 * The google.rpc.Status of an HTTP answer that is no 2xx. Only a body in Google's own form counts for what it says: an
 * error page of a proxy or load balancer is `UNKNOWN` (or what 429 and 5xx say), never `NOT_FOUND` — that would mean a
 * resource is gone. `now`: milliseconds since the epoch, for a `Retry-After` that is a date.
 */
export function statusOf(http: number, retryAfter: string | null, body: string, now: number): GcpStatus {
  const parsed = json(body);
  const envelope = Array.isArray(parsed) ? parsed.find(isObject) : parsed;
  const error = isObject(envelope) && isObject(envelope.error) ? envelope.error : undefined;
  if (!error) return foreign(http, retryAfter, now);
  const details = Array.isArray(error.details) ? error.details : [];
  const retryAfterMs = delayOf(retryAfter, now) ?? retryInfo(details);
  return {
    code: isCode(error.status) ? error.status : byHttp(http),
    message: bounded(text(error.message) || `HTTP ${http} without a message.`),
    ...(details.length > 0 && { details }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

function foreign(http: number, retryAfter: string | null, now: number): GcpStatus {
  const busy = http === 429 || (http >= 500 && http !== 501);
  const retryAfterMs = delayOf(retryAfter, now);
  return {
    code: busy ? byHttp(http) : 'UNKNOWN',
    message: `HTTP ${http} with a body that is not from a Google API.`,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

const isCode = (value: unknown): value is GcpCode => CODES.has(value);

function byHttp(http: number): GcpCode {
  if (http >= 400 && http < 500) return BY_HTTP.get(http) ?? 'FAILED_PRECONDITION';
  return BY_HTTP.get(http) ?? (http >= 500 ? 'INTERNAL' : 'UNKNOWN');
}

/** `Retry-After`: seconds or an HTTP date (RFC 9110, 10.2.3). */
function delayOf(header: string | null, now: number): number | undefined {
  if (!header) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** `google.rpc.RetryInfo`: a Duration, `"3.5s"`. */
function retryInfo(details: Json[]): number | undefined {
  for (const detail of details) {
    if (!isObject(detail) || !text(detail['@type']).endsWith('/google.rpc.RetryInfo')) continue;
    const seconds = /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(text(detail.retryDelay))?.[1];
    if (seconds) return Math.ceil(Number(seconds) * 1000);
  }
  return undefined;
}

export const bounded = (message: string): string =>
  message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message;
