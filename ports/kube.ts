import type { JsonObject } from './json.ts';

/**
 * The port to the cluster: list, watch, get, create, patch and delete on plain objects. Everything above it runs unchanged
 * against a real kube-apiserver, the wire-level emulator and the in-process core of `sandbox/`.
 */

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
