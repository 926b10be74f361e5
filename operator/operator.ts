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
  /** Budgets of calls; absent: none. */
  limits?: Limits;
  runtime: Runtime;
  settings: Settings;
  events: EventRecorder;
  log: Log;
  /** Absent: all namespaces. */
  namespace?: string;
  workers: number;
  /** Whether this process may act now (it leads): asked before each call to Google Cloud and each write to the cluster. */
  mayAct: () => boolean;
  hooks?: QueueHooks;
  onReport?: (tenant: Tenant, status: TenantStatus) => void;
  onGone?: (key: string) => void;
  onAbandoned?: (inventory: readonly InventoryEntry[]) => void;
}

export interface Operator {
  /** Resolves once everything that is watched is in the cache. */
  synced: Promise<void>;
  isSynced(): boolean;
  /** Hands out work from here on. */
  start(): void;
  /** Finishes what is under way, then ends. */
  stop(): Promise<void>;
  stats: Queue['stats'];
  budgets: Quota['budgets'];
}

/** The watches, the queue and the reconciler, put together: what runs in production, in tests and in the simulation. */
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
        // One more run finds no object and drops what is remembered of it.
        queue.add(key);
      } else if (!old) queue.add(key, object.metadata.deletionTimestamp ? 'edit' : since(tenants));
      else if (isNews(object, old)) queue.add(key, 'edit');
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
      for (const tenant of tenants.list(name)) queue.add(keyOf(tenant.metadata), since(namespaces));
    },
    { transform: cachedNamespace },
  );
  const connectorSecrets: Reflector = watch(
    SECRET_MANAGER_SECRETS,
    key => {
      const slash = key.indexOf('/');
      const name = key.slice(slash + 1);
      for (const tenant of tenants.list(key.slice(0, slash)))
        if (refersTo(tenant, name)) queue.add(keyOf(tenant.metadata), since(connectorSecrets));
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
    // An optional kind that can't be listed holds back only the tenants that refer to it.
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

/** What fills the cache at the start was there before; what comes later, somebody did. */
const since = (reflector: Reflector): 'edit' | 'resync' => (reflector.isSynced() ? 'edit' : 'resync');

type Changed = (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void;

/** Where a tenant's calls go. A region that does not answer, or a project, holds up no other. */
function homeOf(object: KubeObject | undefined): string {
  const { projectId } = (object?.status ?? {}) as { projectId?: string };
  const { region } = (object?.spec ?? {}) as { region?: string };
  return `${projectId ?? object?.metadata.namespace ?? ''}/${region ?? ''}`;
}

/** Our own writes, of the status and the finalizer, come back through the watch: only what somebody else did is news. */
function isNews(object: KubeObject, old: KubeObject): boolean {
  const [now, before] = [object.metadata, old.metadata];
  return (
    now.uid !== before.uid ||
    now.generation !== before.generation ||
    now.deletionTimestamp !== before.deletionTimestamp ||
    !sameAnnotations(TENANT_ANNOTATIONS, now.annotations, before.annotations) ||
    (isHeld(before) && !isHeld(now))
  );
}

const isHeld = ({ finalizers = [] }: KubeObject['metadata']): boolean => finalizers.includes(FINALIZER);

function refersTo(tenant: KubeObject, secret: string): boolean {
  const keys = (tenant.spec as JsonObject | undefined)?.keys;
  return (
    Array.isArray(keys) &&
    keys.some(key => ((key as JsonObject | null)?.secretRef as JsonObject | undefined)?.name === secret)
  );
}
