import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { CODES, ERRORS, type ErrorRow, filledIn } from '../tenant/errorTable.ts';
import type { Failure } from '../tenant/types.ts';
import { METHODS } from './methods.ts';
import { isObject, object, objects, text, texts } from './parse.ts';
import { partsOf, resourceIn } from './resourceNames.ts';

/**
 * Classifies an error by the table of errors (`tenant/errorTable.ts`). The failure depends on the method and the answer only, so that
 * tests can list every case; its `message` is Google Cloud's own text. From the request come only the project, the region and the service for the
 * commands in its `advice`.
 */
export function failureOf(method: string, status: GcpStatus, request: JsonObject = {}): Failure {
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
    advice: filledIn(row.advice, { ...placeOf(request), ...knownOf(method, status, row) }),
    ...more,
  };
}

/** The first row of the table of errors that matches. */
export function rowOf(method: string, status: GcpStatus): ErrorRow | undefined {
  const details = detailsOf(status);
  return ERRORS.find(
    ({ codes, methods, detail, text }) =>
      codes?.includes(status.code) &&
      (methods?.test(method) ?? true) &&
      ((!detail && !text) || details.some(word => detail?.test(word)) || text?.test(status.message)),
  );
}

/** The longest `Retry-After` that is followed, because a server, or a proxy in front of it, may ask for a day. */
const LONGEST_DELAY_MS = 60_000;

/** The reason of an ErrorInfo and the types of a PreconditionFailure's violations. */
function detailsOf({ details = [] }: GcpStatus): string[] {
  return objects(details).flatMap(({ reason, violations }) =>
    texts([reason, ...objects(violations).map(({ type }) => type)]),
  );
}

/** The values for the placeholders of an advice. Users run the printed commands, so a value is used only if it has the form of a name. */
function knownOf(method: string, { details = [], message }: GcpStatus, row: ErrorRow) {
  const metadata = object(objects(details).find(info => isObject(info.metadata))?.metadata);
  const groups = row.text?.exec(message)?.groups ?? {};
  const service = /^([a-z0-9.-]+\.googleapis\.com)$/.exec(text(metadata.service))?.[1] ?? groups.service;
  const project = partsOf('project', text(metadata.consumer))?.[0] ?? groups.project;
  const fallback = row.name === 'API disabled' ? `${METHODS.get(method)?.api ?? 'iam'}.googleapis.com` : undefined;
  return {
    ...groups,
    service: row.name === 'API disabled' ? (service ?? fallback) : undefined,
    ...(project !== undefined && { project }),
  };
}

/** The project, the region and the Cloud Run service (`run`) in the resource name of the request. */
function placeOf(request: JsonObject): Record<string, string> {
  const asked = resourceIn(request);
  const project = /^projects\/([a-z][a-z0-9.:-]*)(?:\/|$)/.exec(asked)?.[1];
  const region = /\/locations\/([a-z0-9-]+)(?:\/|$)/.exec(asked)?.[1];
  const run = /\/services\/([a-z0-9-]+)$/.exec(asked)?.[1] ?? text(request.serviceId);
  return { ...(project && { project }), ...(region && { region }), ...(run && { run }) };
}
