import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import type { ReadonlyStore } from '../kube/store.ts';
import { addFinalizer, patchStatus, removeFinalizer, sameJson, type WriteOutcome } from '../kube/writes.ts';
import { FINALIZER, keepingUnknown, readTenant, statusJson } from '../tenant/resource.ts';
import type { TenantStatus } from '../tenant/types.ts';
import { keptTenant } from './kept.ts';
import type { ReconcileLog } from './reconcilerOptions.ts';

/**
 * Keeps this process's own writes to AiTenants. The watch delivers a write some time after the API server has accepted it. Until
 * then the object in the API server's answer is newer than the one in the cache, so the next reconcile starts from the answer.
 */
export interface OwnWrites {
  /** The newest known state: that of the cache, or of an own write that the watch has not delivered yet. Undefined: the object is gone. */
  current(key: string): KubeObject | undefined;
  /** The writer for one reconcile, which starts from `object`. `status`: the status of that object. */
  writer(key: string, object: KubeObject, status: TenantStatus): TenantWriter;
}

/** Writes of one reconcile. Each write carries the resourceVersion that the write before it returned. */
export interface TenantWriter {
  /** The object as the last write left it. */
  readonly object: KubeObject;
  /** The status of that object. */
  readonly status: TenantStatus;
  writeStatus(status: TenantStatus): Promise<Written>;
  addFinalizer(): Promise<Written>;
  removeFinalizer(): Promise<Written>;
}

/**
 * `changed`: another client changed the object in the meantime, so the status that was computed no longer holds.
 * `refused`: the API server did not accept the write for any other reason, or the object is gone.
 */
export type Written = 'ok' | 'changed' | 'refused';

/**
 * How long an own write is used instead of the cache while the watch does not deliver it. The time is bounded because an etcd that
 * was restored from a backup has lost the write, and the watch will never deliver it. If the watch is only slower than this, the
 * next write fails with a conflict and is repeated.
 */
const DELIVERED_WITHIN_MS = 60_000;

/** `monotonic`: milliseconds on a clock that never goes back. */
export function createOwnWrites(
  kube: KubeApi,
  tenants: ReadonlyStore,
  log: ReconcileLog,
  monotonic: () => number,
): OwnWrites {
  /** By key: the last own write that the watch has not delivered yet, and the older resourceVersions that it supersedes. */
  const written = new Map<string, { object: KubeObject; supersedes: Set<string>; at: number }>();

  function remember(key: string, before: KubeObject, outcome: WriteOutcome): void {
    // The API server now holds something else than what this process wrote before.
    if (outcome.kind === 'conflict' || outcome.kind === 'gone') written.delete(key);
    if (outcome.kind !== 'updated') return;
    const supersedes = written.get(key)?.supersedes ?? new Set<string>();
    supersedes.add(before.metadata.resourceVersion ?? '');
    written.set(key, { object: keptTenant(outcome.object), supersedes, at: monotonic() });
  }

  return {
    current(key) {
      const cached = tenants.get(key);
      const own = written.get(key);
      if (!own) return cached;
      const { uid, resourceVersion = '' } = cached?.metadata ?? {};
      const isUndelivered = monotonic() - own.at < DELIVERED_WITHIN_MS && own.supersedes.has(resourceVersion);
      if (cached && uid === own.object.metadata.uid && isUndelivered) return own.object;
      written.delete(key);
      return cached;
    },

    writer(key, object, readBefore) {
      let latest = object;
      let stored = readBefore;
      const settle = (outcome: WriteOutcome): Written => {
        remember(key, latest, outcome);
        if (outcome.kind === 'updated') {
          latest = outcome.object;
          stored = readTenant(latest).status;
        }
        if (outcome.kind === 'error') {
          log('warn', 'the API server refused a write', { tenant: key, error: outcome.status.message });
        }
        return WRITTEN[outcome.kind];
      };
      return {
        get object() {
          return latest;
        },
        get status() {
          return stored;
        },
        writeStatus: async status => {
          if (sameJson(stored, status)) return 'ok';
          const wanted = statusJson(keepingUnknown(stored, status));
          // Both as they would be written: what is too long for the CRD is no difference.
          if (sameJson(statusJson(stored), wanted)) return 'ok';
          return settle(await patchStatus(kube, AI_TENANTS, latest, wanted));
        },
        addFinalizer: async () => settle(await addFinalizer(kube, AI_TENANTS, latest, FINALIZER)),
        removeFinalizer: async () => {
          const outcome = await removeFinalizer(kube, AI_TENANTS, latest, FINALIZER);
          return outcome.kind === 'gone' ? 'ok' : settle(outcome);
        },
      };
    },
  };
}

const WRITTEN: Record<WriteOutcome['kind'], Written> = {
  updated: 'ok',
  unchanged: 'ok',
  conflict: 'changed',
  // The watch will show that it is gone. If the CRD is gone with it, no event comes: the writes then back off.
  gone: 'refused',
  error: 'refused',
};
