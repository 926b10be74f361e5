/**
 * The two ports through which the operator sees the world, and the clock and chance it is given.
 *
 * Everything above these types runs unchanged against the real services, the wire-level emulators and the in-process
 * cores of `sandbox/`. Both ports speak plain JSON, so nothing of a vendor's library is visible above them.
 */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}

// ---------------------------------------------------------------------------------------------------- Google Cloud

/** The canonical names of google.rpc.Code. */
export type GcpCode =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** A google.rpc.Status. A call whose answer was lost is `UNAVAILABLE` or `DEADLINE_EXCEEDED`: it may have taken effect. */
export interface GcpStatus {
  code: GcpCode;
  message: string;
  details?: Json[];
  /** From the `Retry-After` header or a google.rpc.RetryInfo, milliseconds. */
  retryAfterMs?: number;
}

export type GcpResult = { ok: true; response: JsonObject } | { ok: false; status: GcpStatus };

export interface GcpCallOptions {
  signal?: AbortSignal;
  /** The service account to act as (impersonation); the process's own identity if absent. */
  actAs?: string;
  /** `NAMESPACE/NAME` of the tenant for whom a call is made, for logs and metrics; absent: for all, or not known. */
  tenant?: string;
}

/**
 * One raw call. `method` is the proto's full name, such as `google.cloud.run.v2.Services.GetService`,
 * `google.cloud.secretmanager.v1.SecretManagerService.GetSecret` or `google.iam.admin.v1.IAM.GetServiceAccount`.
 * `request` and `response` are the proto3 JSON of the method's own request and response message (lowerCamelCase,
 * enums by name, int64 as string, Duration `"300s"`, Timestamp RFC 3339, FieldMask `"a,b"`, bytes base64); fields that
 * hold their default value may be absent or present. Both pass through as they are: fields and enum values that this version
 * does not know survive. Never rejects but for bugs.
 */
export type GcpCall = (method: string, request: JsonObject, options?: GcpCallOptions) => Promise<GcpResult>;

// ------------------------------------------------------------------------------------------------------ Kubernetes

/** Where a kind lives: `group` is `''` for the core group. */
export interface KubeResource {
  group: string;
  version: string;
  plural: string;
  kind: string;
  namespaced: boolean;
}

export interface KubeMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

/** An object as it came over the wire. Only `metadata` is relied on; everything else is to be checked where it is read. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: KubeMeta;
  [key: string]: unknown;
}

export interface KubeList {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: KubeObject[];
}

export interface KubeListOptions {
  /** Absent: all namespaces (or a cluster-wide kind). */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  /** A longer answer is given up while it comes, with the reason `PageTooLarge`. */
  maxBytes?: number;
  resourceVersion?: string;
  signal?: AbortSignal;
}

export interface KubeWatchOptions {
  namespace?: string;
  resourceVersion: string;
  /** The server ends the watch after this long. */
  timeoutSeconds: number;
  signal: AbortSignal;
}

export interface KubeWatchEvent {
  /** `BOOKMARK` carries only metadata.resourceVersion; `ERROR` carries a Status (410 Gone: relist). */
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: KubeObject;
}

/** What the API server answered (`code` is the HTTP status; 0: no answer at all). */
export interface KubeStatus {
  code: number;
  reason: string;
  message: string;
  retryAfterMs?: number;
}

export type KubeResult<T> = { ok: true; value: T } | { ok: false; status: KubeStatus };

/** The cluster: plain objects in, plain objects out. Never rejects but for bugs. */
export interface KubeApi {
  list(resource: KubeResource, options: KubeListOptions): Promise<KubeResult<KubeList>>;
  /** Resolves when the watch has ended, for whatever reason; with bookmarks always asked for. */
  watch(
    resource: KubeResource,
    options: KubeWatchOptions,
    onEvent: (event: KubeWatchEvent) => void,
  ): Promise<KubeResult<undefined>>;
  get(resource: KubeResource, namespace: string | undefined, name: string): Promise<KubeResult<KubeObject>>;
  create(resource: KubeResource, namespace: string | undefined, object: KubeObject): Promise<KubeResult<KubeObject>>;
  /** `merge`: a JSON merge patch; with `metadata.resourceVersion` in it the server answers 409 to a stale one. */
  patch(
    resource: KubeResource,
    namespace: string | undefined,
    name: string,
    patch: JsonObject,
    options?: { subresource?: 'status' },
  ): Promise<KubeResult<KubeObject>>;
  delete(
    resource: KubeResource,
    namespace: string | undefined,
    name: string,
    options?: { uid?: string; resourceVersion?: string },
  ): Promise<KubeResult<undefined>>;
}

// ------------------------------------------------------------------------------------------------- time and chance

/** Time, randomness and timers; the simulation's comes from a seed. */
export interface Runtime {
  /** Wall clock, milliseconds since the epoch. May jump. */
  now(): number;
  /** Milliseconds that only grow. */
  monotonic(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void;
}
