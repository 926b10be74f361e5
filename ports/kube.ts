import type { JsonObject } from './json.ts';

/**
 * The port to the Kubernetes API server: list, watch, get, create, patch and delete on plain objects. The operator runs unchanged
 * against a real kube-apiserver, and against the HTTP emulator and the in-process API server of `sandbox/`.
 */

/** A kind and its place in the Kubernetes API. `group` is `''` for the core group. */
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

/** An object as the API server sent it. Only `metadata` has a known form; all other fields must be checked where they are read. */
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
  /** Absent: all namespaces, or the kind is not namespaced. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  /** The client stops reading an answer that is longer than this, and answers with the reason `PageTooLarge`. */
  maxBytes?: number;
  resourceVersion?: string;
  signal?: AbortSignal;
}

interface KubeWatchOptions {
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

/** The calls to the API server. A promise rejects only because of a bug; every failure of a call is a `KubeResult`. */
export interface KubeApi {
  list(resource: KubeResource, options: KubeListOptions): Promise<KubeResult<KubeList>>;
  /** Resolves when the watch has ended, for whatever reason. Bookmarks are always requested. */
  watch(
    resource: KubeResource,
    options: KubeWatchOptions,
    onEvent: (event: KubeWatchEvent) => void,
  ): Promise<KubeResult<undefined>>;
  get(resource: KubeResource, namespace: string | undefined, name: string): Promise<KubeResult<KubeObject>>;
  create(resource: KubeResource, namespace: string | undefined, object: KubeObject): Promise<KubeResult<KubeObject>>;
  /** Sends a JSON merge patch (RFC 7386). If it contains a stale `metadata.resourceVersion`, the server answers 409. */
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
