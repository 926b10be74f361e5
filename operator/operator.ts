import type { GcpCall } from '../ports/gcp.ts';
import type { JsonObject } from '../ports/json.ts';
import type { KubeApi, KubeObject, KubeStatus } from '../ports/kube.ts';
import { AI_TENANTS, keyOf, NAMESPACES, SECRET_MANAGER_SECRETS } from '../ports/kubeResources.ts';
import type { Runtime } from '../ports/runtime.ts';
import { fencedCall, fencedWrites } from './fence.ts';
import { createBulkhead } from './gcp/bulkhead.ts';
import { type Claim, createQuota, type Limits, type Quota, UNLIMITED } from './gcp/quota.ts';
import type { EventRecorder } from './kube/events.ts';
import { createQueue, type Queue, type QueueHooks } from './kube/queue.ts';
import { type Reflector, startReflector } from './kube/reflector.ts';
import type { Log } from './process/log.ts';
import { cachedConnectorSecret, cachedNamespace, cachedTenant } from './reconcile/kept.ts';
import { createReconciler } from './reconcile/reconciler.ts';
import { NAMESPACE_ANNOTATIONS, sameAnnotations, TENANT_ANNOTATIONS } from './tenant/annotations.ts';
import { FINALIZER } from './tenant/resource.ts';
import type { InventoryEntry, Settings, Tenant, TenantStatus } from './tenant/types.ts';

export interface OperatorOptions {
  kube: KubeApi;
  gcp: GcpCall;
  /** The quotas of Google Cloud that the operator keeps within. Absent: there is no limit. */
  limits?: Limits;
  runtime: Runtime;
  settings: Settings;
  events: EventRecorder;
  log: Log;
  /** The namespace to watch. Absent: all namespaces. */
  namespace?: string;
  workers: number;
  /** True while this process is the leader. It is checked before each call to Google Cloud and each write to the cluster. */
  mayAct: () => boolean;
  hooks?: QueueHooks;
  onReport?: (tenant: Tenant, status: TenantStatus) => void;
  onGone?: (key: string) => void;
  onAbandoned?: (inventory: readonly InventoryEntry[]) => void;
}

export interface Operator {
  /** Resolves once all three caches have been filled by a first list. */
  synced: Promise<void>;
  isSynced(): boolean;
  /** From now on the workers reconcile queued keys. */
  start(): void;
  /** Waits for the running reconciles and ends the watches. */
  stop(): Promise<void>;
  stats: Queue['stats'];
  budgets: Quota['budgets'];
}

/** Connects the watches, the queue and the reconciler. Production, the tests and the simulation all use this function. */
export function createOperator(options: OperatorOptions): Operator {
  const { runtime, namespace, log, mayAct } = options;
  const kube = fencedWrites(options.kube, mayAct);
  const quota = createQuota(fencedCall(options.gcp, mayAct), runtime, options.limits ?? UNLIMITED);
  const problem = (kind: string) => (message: string, status?: KubeStatus) =>
    log('warn', `watching ${kind}: ${message}`, status ? { code: status.code, reason: status.reason } : {});
  const watch = (
    resource: typeof AI_TENANTS,
    onChange: Changed,
    extra: { optional?: boolean; transform: (object: KubeObject) => KubeObject },
  ): Reflector =>
    startReflector({
      api: kube,
      runtime,
      resource,
      namespace: resource.namespaced ? namespace : undefined,
      onChange,
      onProblem: problem(resource.kind),
      ...extra,
    });

  const tenants: Reflector = watch(
    AI_TENANTS,
    (key, object, old) => {
      if (!object) {
        queue.forget(key);
        // The next reconcile of this key finds no object and removes what the reconciler remembers of the tenant.
        queue.add(key);
      } else if (!old) queue.add(key, object.metadata.deletionTimestamp ? 'edit' : priorityOf(tenants));
      else if (isEdit(object, old)) queue.add(key, 'edit');
    },
    { transform: cachedTenant },
  );
  const namespaces: Reflector = watch(
    NAMESPACES,
    (name, object, old) => {
      if (
        old &&
        object &&
        sameAnnotations(NAMESPACE_ANNOTATIONS, object.metadata.annotations, old.metadata.annotations)
      ) {
        return;
      }
      for (const tenant of tenants.list(name)) queue.add(keyOf(tenant.metadata), priorityOf(namespaces));
    },
    { transform: cachedNamespace },
  );
  const connectorSecrets: Reflector = watch(
    SECRET_MANAGER_SECRETS,
    key => {
      const slash = key.indexOf('/');
      const name = key.slice(slash + 1);
      for (const tenant of tenants.list(key.slice(0, slash)))
        if (refersTo(tenant, name)) queue.add(keyOf(tenant.metadata), priorityOf(connectorSecrets));
    },
    { optional: true, transform: cachedConnectorSecret },
  );

  const reconcile = createReconciler({
    ...options,
    quota,
    kube,
    gcp: createBulkhead(quota.call, runtime),
    tenants,
    namespaces,
    connectorSecrets,
    wake: key => queue.add(key, 'resync'),
  });
  const queue = createQueue({
    runtime,
    workers: options.workers,
    process: (key, { granted, ...run }) => reconcile(key, { ...run, granted: granted as Claim | undefined }),
    homeOf: key => homeOf(tenants.get(key)),
    hooks: {
      ...options.hooks,
      onEnd(key, verdict, tookMs) {
        log('debug', 'reconciled', { tenant: key, ms: Math.round(tookMs), next: JSON.stringify(verdict) });
        options.hooks?.onEnd?.(key, verdict, tookMs);
      },
      onError: (key, error) =>
        log('error', 'a bug in the reconciler: please report it with this line', {
          tenant: key,
          error: error instanceof Error ? String(error.stack) : String(error),
        }),
    },
  });

  const reflectors = [tenants, namespaces, connectorSecrets];
  return {
    synced: Promise.all(reflectors.map(({ synced }) => synced)).then(() => undefined),
    // SecretManagerSecrets are not waited for: if they cannot be listed, only the tenants that refer to one of them wait.
    isSynced: () => tenants.isSynced() && namespaces.isSynced(),
    start: () => queue.start(),
    async stop() {
      await queue.stop();
      await Promise.all(reflectors.map(reflector => reflector.stop()));
    },
    stats: () => queue.stats(),
    budgets: quota.budgets,
  };
}

/**
 * The priority of a change: `resync` for the first list, which shows objects that existed before, and `edit` for every later
 * change.
 */
const priorityOf = (reflector: Reflector): 'edit' | 'resync' => (reflector.isSynced() ? 'edit' : 'resync');

type Changed = (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void;

/**
 * The project and region that a tenant's calls go to, as `PROJECT/REGION`. The queue limits the workers for each, so that a
 * region or a project that does not answer does not delay the tenants of the others.
 */
function homeOf(object: KubeObject | undefined): string {
  const { projectId } = (object?.status ?? {}) as { projectId?: string };
  const { region } = (object?.spec ?? {}) as { region?: string };
  return `${projectId ?? object?.metadata.namespace ?? ''}/${region ?? ''}`;
}

/**
 * Whether somebody edited the tenant. The watch also delivers the operator's own writes of the status and the finalizer; they
 * are no edits.
 */
function isEdit(object: KubeObject, old: KubeObject): boolean {
  const [now, before] = [object.metadata, old.metadata];
  return (
    now.uid !== before.uid ||
    now.generation !== before.generation ||
    now.deletionTimestamp !== before.deletionTimestamp ||
    !sameAnnotations(TENANT_ANNOTATIONS, now.annotations, before.annotations) ||
    (hasFinalizer(before) && !hasFinalizer(now))
  );
}

const hasFinalizer = ({ finalizers = [] }: KubeObject['metadata']): boolean => finalizers.includes(FINALIZER);

function refersTo(tenant: KubeObject, secret: string): boolean {
  const keys = (tenant.spec as JsonObject | undefined)?.keys;
  return (
    Array.isArray(keys) &&
    keys.some(key => ((key as JsonObject | null)?.secretRef as JsonObject | undefined)?.name === secret)
  );
}
