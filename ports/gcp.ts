import type { Json, JsonObject } from './json.ts';

/**
 * The port to Google Cloud: one function that makes one call. The operator runs unchanged against the real services, and against the
 * HTTP emulators and the in-process services of `sandbox/`.
 */

/** The names of google.rpc.Code, without OK (google/rpc/code.proto). */
export const GCP_CODES = [
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
] as const;

export type GcpCode = (typeof GCP_CODES)[number];

/** A google.rpc.Status. A call whose answer was lost is `UNAVAILABLE` or `DEADLINE_EXCEEDED`: it may have taken effect. */
export interface GcpStatus {
  code: GcpCode;
  message: string;
  details?: Json[];
  /** Milliseconds, from the `Retry-After` header or from a google.rpc.RetryInfo. */
  retryAfterMs?: number;
  /**
   * Set if there is no answer of Google Cloud. `unreachable`: no connection could be made, or no answer came within the time
   * limit. `lost`: the connection ended before the answer, or no access token could be had. `foreign`: another server answered,
   * such as a proxy, with something other than 429 or 5xx, so a retry does not help.
   */
  unanswered?: 'unreachable' | 'lost' | 'foreign';
}

export type GcpResult = { ok: true; response: JsonObject } | { ok: false; status: GcpStatus };

export interface GcpCallOptions {
  signal?: AbortSignal;
  /** The service account to act as (impersonation); the process's own identity if absent. */
  actAs?: string;
  /** `NAMESPACE/NAME` of the tenant for which the call is made, for logs and metrics. Absent if several tenants share the call. */
  tenant?: string;
}

/**
 * One raw call. `method` is the proto's full name, such as `google.cloud.run.v2.Services.GetService`,
 * `google.cloud.secretmanager.v1.SecretManagerService.GetSecret` or `google.iam.admin.v1.IAM.GetServiceAccount`.
 * `request` and `response` are the proto3 JSON of the method's own request and response message (lowerCamelCase,
 * enums by name, int64 as string, Duration `"300s"`, Timestamp RFC 3339, FieldMask `"a,b"`, bytes base64); fields that
 * hold their default value may be absent or present. Request and response are not changed on the way, so fields and enum values
 * that this version does not know are kept. The promise rejects only because of a bug.
 */
export type GcpCall = (method: string, request: JsonObject, options?: GcpCallOptions) => Promise<GcpResult>;
