import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import type { ReadonlyStore } from '../kube/store.ts';
import { addFinalizer, patchStatus, removeFinalizer, sameJson, type WriteOutcome } from '../kube/writes.ts';
import { FINALIZER, keepingUnknown, readTenant, statusJson, statusOf } from '../tenant/resource.ts';
import type { TenantStatus } from '../tenant/types.ts';
import { keptTenant } from './kept.ts';
import type { ReconcileLog } from './reconcilerOptions.ts';

/**
 * The operator's own writes to AiTenants. The watch shows a write some time after the API server has accepted it; until
 * then the object that the API server answered is newer than the cache, and the next reconcile starts from it.
 */
export interface OwnWrites {
  /** The newest state that is known: the cache's, unless this process wrote the object after that. Undefined: it is gone. */
  current(key: string): KubeObject | undefined;
  /** The writes of one reconcile, starting from `object`. */
  writer(key: string, object: KubeObject): TenantWriter;
}

/** One reconcile's writes. Each carries the resourceVersion of the one before. */
export interface TenantWriter {
  /** The object as the last write left it. */
  readonly object: KubeObject;
  writeStatus(status: TenantStatus): Promise<Written>;
  addFinalizer(): Promise<Written>;
  removeFinalizer(): Promise<Written>;
}

/**
 * `changed`: the resource has changed meanwhile or is gone, so what was computed is void. `refused`: the API server did
 * not take the write, for whatever reason.
 */
export type Written = 'ok' | 'changed' | 'refused';

/**
 * How long a write is believed that the watch does not show. An etcd that was restored from a backup has lost it, and may
 * show the object for good as it was before. A watch that is merely slow costs a conflict.
 */
const SHOWN_WITHIN_MS = 60_000;

/** `monotonic`: milliseconds on a clock that never goes back. */
export function createOwnWrites(
  kube: KubeApi,
  tenants: ReadonlyStore,
  log: ReconcileLog,
  monotonic: () => number,
): OwnWrites {
  /** Own writes that the watch has not shown yet, with the resourceVersions that each of them supersedes. */
  const written = new Map<string, { object: KubeObject; supersedes: Set<string>; at: number }>();

  function remember(key: string, before: KubeObject, outcome: WriteOutcome): void {
    // Whatever was written before is not what the API server has now.
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
      const isLate = monotonic() - own.at < SHOWN_WITHIN_MS && own.supersedes.has(resourceVersion);
      if (cached && uid === own.object.metadata.uid && isLate) return own.object;
      written.delete(key);
      return cached;
    },

    writer(key, object) {
      let latest = object;
      const settle = (outcome: WriteOutcome): Written => {
        remember(key, latest, outcome);
        if (outcome.kind === 'updated') latest = outcome.object;
        if (outcome.kind === 'error') {
          log('warn', 'the API server refused a write', { tenant: key, error: outcome.status.message });
        }
        return WRITTEN[outcome.kind];
      };
      return {
        get object() {
          return latest;
        },
        writeStatus: async status => {
          const wanted = statusJson(keepingUnknown(readTenant(latest).status, status));
          if (sameJson(statusOf(latest), wanted)) return 'ok';
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
  gone: 'changed',
  error: 'refused',
};
