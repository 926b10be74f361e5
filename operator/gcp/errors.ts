import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { CODES, ERRORS, type ErrorRow, filledIn } from '../tenant/errorTable.ts';
import type { Failure } from '../tenant/types.ts';
import { METHODS } from './methods.ts';
import { isObject, text } from './parse.ts';
import { partsOf } from './resourceNames.ts';

/**
 * What an error of a method means to the operator, by the table of errors. Total and deterministic: the same answer always
 * gives the same failure. `message` is Google Cloud's own words.
 */
export function failureOf(method: string, status: GcpStatus): Failure {
  const { message, retryAfterMs } = status;
  const more = {
    ...(status.code === 'ALREADY_EXISTS' && { exists: true }),
    ...(retryAfterMs !== undefined && { retryAfterMs: Math.min(retryAfterMs, LONGEST_DELAY_MS) }),
  };
  const row = rowOf(method, status);
  if (!row) return { kind: CODES[status.code], message, ...more };
  return {
    kind: row.kind,
    message,
    ...(row.reason && { reason: row.reason }),
    advice: filledIn(row.advice, knownOf(method, status, row)),
    ...more,
  };
}

/** The row of the table of errors that an answer falls under. */
export function rowOf(method: string, status: GcpStatus): ErrorRow | undefined {
  const details = detailsOf(status);
  return ERRORS.find(
    ({ codes, methods, detail, text }) =>
      codes?.includes(status.code) &&
      (methods?.test(method) ?? true) &&
      ((!detail && !text) || details.some(word => detail?.test(word)) || text?.test(status.message)),
  );
}

/** A longer delay than this is not honoured: a server, or a proxy in front of it, may ask for a day. */
const LONGEST_DELAY_MS = 60_000;

/** The reason of an ErrorInfo and the types of a PreconditionFailure's violations. */
function detailsOf({ details = [] }: GcpStatus): string[] {
  return details.filter(isObject).flatMap(({ reason, violations }) => {
    const types = Array.isArray(violations) ? violations.filter(isObject).map(({ type }) => type) : [];
    return [reason, ...types].filter(word => typeof word === 'string');
  });
}

/** What may go into a printed command: only what has the form of a name. */
function knownOf(
  method: string,
  { details = [], message }: GcpStatus,
  row: ErrorRow,
): Record<string, string | undefined> {
  const info = details.filter(isObject).find(({ metadata }) => isObject(metadata));
  const metadata: JsonObject = isObject(info?.metadata) ? info.metadata : {};
  const groups = row.text?.exec(message)?.groups ?? {};
  const service = match(metadata.service, /^([a-z0-9.-]+\.googleapis\.com)$/) ?? groups.service;
  const project = partsOf('project', text(metadata.consumer))?.[0] ?? groups.project;
  const fallback = row.name === 'API disabled' ? `${METHODS.get(method)?.api ?? 'iam'}.googleapis.com` : undefined;
  return { ...groups, service: row.name === 'API disabled' ? (service ?? fallback) : undefined, project };
}

const match = (text: unknown, pattern: RegExp): string | undefined =>
  typeof text === 'string' ? pattern.exec(text)?.[1] : undefined;
