import type { GcpCode, GcpStatus, JsonObject } from '../ports.ts';
import type { Failure, FailureKind } from '../tenant/types.ts';
import { METHODS, rpc } from './methods.ts';
import { isObject } from './parse.ts';

/** What each code of google.rpc.Code means, the exceptions below aside. */
const KINDS: Record<GcpCode, FailureKind> = {
  ABORTED: 'Conflict',
  ALREADY_EXISTS: 'Conflict',
  CANCELLED: 'Transient',
  DATA_LOSS: 'Transient',
  DEADLINE_EXCEEDED: 'Transient',
  INTERNAL: 'Transient',
  UNAVAILABLE: 'Transient',
  UNKNOWN: 'Transient',
  NOT_FOUND: 'NotFound',
  RESOURCE_EXHAUSTED: 'QuotaExceeded',
  PERMISSION_DENIED: 'PermissionDenied',
  UNAUTHENTICATED: 'PermissionDenied',
  FAILED_PRECONDITION: 'Invalid',
  INVALID_ARGUMENT: 'Invalid',
  OUT_OF_RANGE: 'Invalid',
  UNIMPLEMENTED: 'Invalid',
};

/**
 * Answers that a fresh account gives until it is visible everywhere, for up to a minute. An old account, or rights that
 * are truly missing, give the same words: who reads `Propagating` knows the account's age and decides.
 */
const PROPAGATING: readonly { codes: readonly GcpCode[]; methods: readonly string[]; text: RegExp }[] = [
  {
    codes: ['PERMISSION_DENIED'],
    methods: [rpc.createService, rpc.updateService],
    text: /iam\.serviceaccounts\.actas' denied on service account .*\(or it may not exist\)/i,
  },
  {
    codes: ['PERMISSION_DENIED'],
    methods: [rpc.getAccount, rpc.patchAccount, rpc.deleteAccount],
    text: /iam\.serviceaccounts\.\w+' denied on resource \(or it may not exist\)/i,
  },
  {
    codes: ['INVALID_ARGUMENT'],
    methods: [rpc.setSecretPolicy, rpc.setServicePolicy],
    text: /service account \S+ does not exist/i,
  },
  {
    codes: ['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'NOT_FOUND'],
    methods: [rpc.createService, rpc.updateService],
    text: /service account \S+ (?:does not exist|(?:was )?not found)/i,
  },
];

/**
 * What an error of a method means to the operator. Total and deterministic: the same answer always gives the same
 * failure. Sources: google/rpc/code.proto, and the recorded texts of shared/gcp-facts.md.
 */
export function failureOf(method: string, status: GcpStatus): Failure {
  const disabled = disabledApi(method, status);
  if (disabled) return withDelay({ kind: 'PermissionDenied', message: disabled }, status);
  const propagating = PROPAGATING.some(
    rule => rule.codes.includes(status.code) && rule.methods.includes(method) && rule.text.test(status.message),
  );
  return withDelay({ kind: propagating ? 'Propagating' : KINDS[status.code], message: status.message }, status);
}

/** A longer delay than this is not honoured: a server, or a proxy in front of it, may ask for a day. */
const LONGEST_DELAY_MS = 60_000;

const withDelay = (failure: Failure, { retryAfterMs }: GcpStatus): Failure =>
  retryAfterMs === undefined ? failure : { ...failure, retryAfterMs: Math.min(retryAfterMs, LONGEST_DELAY_MS) };

/** An API that is not switched on in the project answers 403 with ErrorInfo `SERVICE_DISABLED`: say how to switch it on. */
function disabledApi(method: string, status: GcpStatus): string | undefined {
  if (status.code !== 'PERMISSION_DENIED') return undefined;
  const info = (status.details ?? []).filter(isObject).find(detail => detail.reason === 'SERVICE_DISABLED');
  if (!info && !/has not been used in project|API .*is disabled/i.test(status.message)) return undefined;
  const metadata: JsonObject = isObject(info?.metadata) ? info.metadata : {};
  const service =
    match(metadata.service, /^([a-z0-9.-]+\.googleapis\.com)$/) ??
    match(status.message, /\/api\/([a-z0-9.-]+\.googleapis\.com)\//) ??
    `${METHODS.get(method)?.api ?? 'iam'}.googleapis.com`;
  const project =
    match(metadata.consumer, /^projects\/([a-z0-9.:-]+)$/) ??
    match(status.message, /in project ([a-z0-9.:-]+[a-z0-9])/);
  return `${status.message} Enable it: gcloud services enable ${service}${project ? ` --project ${project}` : ''}`;
}

const match = (text: unknown, pattern: RegExp): string | undefined =>
  typeof text === 'string' ? pattern.exec(text)?.[1] : undefined;
