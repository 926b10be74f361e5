import { GCP_CODES, type GcpCode, type GcpStatus } from '../../ports/gcp.ts';
import type { Json } from '../../ports/json.ts';
import { isObject, json, text } from './parse.ts';

/**
 * One row for each code.
 *
 * - `http`: the HTTP status that means this code, for errors that name no code (google/rpc/code.proto).
 * - `outage`: a tenant cannot cause this answer. Google Cloud fails, or it refuses the operator's own identity.
 * - `passes`: the failure is temporary, so a list that failed with it is tried again soon. After any other code the operator
 *   assumes that the method does not work at all: a permission is missing, or the endpoint is a proxy or an emulator without it.
 */
const CODES: Record<GcpCode, { http?: number; outage?: true; passes?: true }> = {
  CANCELLED: { http: 499, passes: true },
  UNKNOWN: { outage: true },
  INVALID_ARGUMENT: { http: 400 },
  DEADLINE_EXCEEDED: { http: 504, outage: true, passes: true },
  NOT_FOUND: { http: 404 },
  ALREADY_EXISTS: {},
  PERMISSION_DENIED: { http: 403 },
  RESOURCE_EXHAUSTED: { http: 429, passes: true },
  FAILED_PRECONDITION: { http: 412 },
  ABORTED: { http: 409, passes: true },
  OUT_OF_RANGE: { http: 416 },
  UNIMPLEMENTED: { http: 501 },
  INTERNAL: { http: 500, outage: true, passes: true },
  UNAVAILABLE: { http: 503, outage: true, passes: true },
  DATA_LOSS: { passes: true },
  UNAUTHENTICATED: { http: 401, outage: true },
};

export const OUTAGE_CODES: ReadonlySet<GcpCode | 'OK'> = new Set(GCP_CODES.filter(code => CODES[code].outage));

export const passes = (code: GcpCode): boolean => CODES[code].passes === true;

/** The most characters of a message. Messages are written to the tenant's status, and longer ones would be unreadable there. */
const MAX_MESSAGE = 4096;

/**
 * The google.rpc.Status of an HTTP answer whose status is not 2xx. Only a body in the form of Google's APIs determines the code. Any other
 * body, such as the error page of a proxy or a load balancer, gives `UNKNOWN` (429 and 5xx: the code of the HTTP status) and
 * never `NOT_FOUND`, because the operator would take that as proof that a resource is gone.
 * `now`: milliseconds since the epoch, for a `Retry-After` that is a date.
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
    ...(!busy && { unanswered: 'foreign' as const }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

/** Codes of Node.js for a connection that could not be made (Node.js documentation, "Common system errors"; dns.ENOTFOUND). */
const NOT_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Whether a call ended without an answer because no connection could be made, or because it was lost. */
export function unansweredOf(error: unknown): 'unreachable' | 'lost' {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: { code?: unknown } };
  return [code, cause?.code].some(each => NOT_CONNECTED.has(text(each))) ? 'unreachable' : 'lost';
}

const isCode = (value: unknown): value is GcpCode => GCP_CODES.some(code => code === value);

function byHttp(http: number): GcpCode {
  const otherwise = http >= 500 ? 'INTERNAL' : http >= 400 ? 'FAILED_PRECONDITION' : 'UNKNOWN';
  return GCP_CODES.find(code => CODES[code].http === http) ?? otherwise;
}

/** The delay of a `Retry-After` header, which holds seconds or an HTTP date (RFC 9110, 10.2.3); milliseconds. */
function delayOf(header: string | null, now: number): number | undefined {
  if (!header) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** The delay of a `google.rpc.RetryInfo`, whose `retryDelay` is a Duration such as `"3.5s"`; milliseconds. */
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
