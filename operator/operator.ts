import type { GcpCall } from '../ports/gcp.ts';
import type { JsonObject } from '../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource } from '../ports/kube.ts';
import { AI_TENANTS, keyOf, NAMESPACES, SECRET_MANAGER_SECRETS, splitKey } from '../ports/kubeResources.ts';
import type { Runtime } from '../ports/runtime.ts';
import { fencedCall, fencedWrites } from './fence.ts';
import { createBulkhead } from './gcp/bulkhead.ts';
import { type Claim, createQuota, type Limits, type Quota, UNLIMITED } from './gcp/quota.ts';
import type { EventRecorder } from './kube/eventRecorder.ts';
import { createQueue, type Queue, type QueueHooks } from './kube/queue.ts';
import { type Reflector, startReflector } from './kube/reflector.ts';
import type { Log } from './process/log.ts';
import { cachedConnectorSecret, cachedNamespace, cachedTenant } from './reconcile/kept.ts';
import { createReconciler } from './reconcile/reconciler.ts';
import type { OnReport } from './reconcile/reconcilerOptions.ts';
import { NAMESPACE_ANNOTATIONS, sameAnnotations, TENANT_ANNOTATIONS } from './tenant/annotations.ts';
import { FINALIZER } from './tenant/resource.ts';
import type { InventoryEntry, Settings } from './tenant/types.ts';

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
  onReport?: OnReport;
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
  const { runtime, mayAct } = options;
  const kube = fencedWrites(options.kube, mayAct);
  const quota = createQuota(fencedCall(options.gcp, mayAct), runtime, options.limits ?? UNLIMITED);
  const queue: Queue = createQueue({
    runtime,
    workers: options.workers,
    process: (key, { granted, ...run }) => reconcile(key, { ...run, granted: granted as Claim | undefined }),
    destinationOf: key => destinationOf(watches.tenants.get(key)),
    hooks: loggedHooks(options),
  });
  const watches = startWatches({ ...options, kube }, queue);
  const reconcile = createReconciler({
    ...options,
    ...watches,
    quota,
    kube,
    gcp: createBulkhead(quota.call, runtime),
    wake: key => queue.add(key, 'resync'),
  });
  const reflectors = Object.values(watches);
  return {
    synced: Promise.all(reflectors.map(({ synced }) => synced)).then(() => undefined),
    // SecretManagerSecrets are not waited for: if they cannot be listed, only the tenants that refer to one of them wait.
    isSynced: () => watches.tenants.isSynced() && watches.namespaces.isSynced(),
    start: () => queue.start(),
    async stop() {
      await queue.stop();
      await Promise.all(reflectors.map(reflector => reflector.stop()));
    },
    stats: () => queue.stats(),
    budgets: quota.budgets,
  };
}

function loggedHooks({ log, hooks }: OperatorOptions): QueueHooks {
  return {
    ...hooks,
    onEnd(key, verdict, tookMs) {
      log('debug', 'reconciled', { tenant: key, ms: Math.round(tookMs), next: JSON.stringify(verdict) });
      hooks?.onEnd?.(key, verdict, tookMs);
    },
    onError(key, error) {
      const text = error instanceof Error ? String(error.stack) : String(error);
      log('error', 'a bug in the reconciler: please report it with this line', { tenant: key, error: text });
    },
  };
}

type Watches = Record<'tenants' | 'namespaces' | 'connectorSecrets', Reflector>;

/** The caches, whose changes add the tenants that they concern to the queue. */
function startWatches(options: OperatorOptions, queue: Pick<Queue, 'add' | 'forget'>): Watches {
  const tenants: Reflector = watch(options, AI_TENANTS, cachedTenant, (key, object, old) => {
    if (!object) {
      queue.forget(key);
      // The next reconcile of this key finds no object and removes what the reconciler remembers of the tenant.
      queue.add(key);
    } else if (!old) queue.add(key, object.metadata.deletionTimestamp ? 'edit' : priorityOf(tenants));
    else if (isEdit(object, old)) queue.add(key, 'edit');
  });
  const namespaces: Reflector = watch(options, NAMESPACES, cachedNamespace, (name, object, old) => {
    const [now, before] = [object?.metadata.annotations, old?.metadata.annotations];
    if (object && old && sameAnnotations(NAMESPACE_ANNOTATIONS, now, before)) return;
    for (const tenant of tenants.list(name)) queue.add(keyOf(tenant.metadata), priorityOf(namespaces));
  });
  const connectorSecrets: Reflector = watch(options, SECRET_MANAGER_SECRETS, cachedConnectorSecret, key => {
    const { namespace, name } = splitKey(key);
    for (const tenant of tenants.list(namespace)) {
      if (refersTo(tenant, name)) queue.add(keyOf(tenant.metadata), priorityOf(connectorSecrets));
    }
  });
  return { tenants, namespaces, connectorSecrets };
}

function watch(
  { kube, runtime, namespace, log }: OperatorOptions,
  resource: KubeResource,
  transform: (object: KubeObject) => KubeObject,
  onChange: (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void,
): Reflector {
  return startReflector({
    api: kube,
    runtime,
    resource,
    namespace: resource.namespaced ? namespace : undefined,
    optional: resource === SECRET_MANAGER_SECRETS,
    transform,
    onChange,
    onProblem(message, status) {
      const fields = status ? { code: status.code, reason: status.reason } : {};
      log('warn', `watching ${resource.kind}: ${message}`, fields);
    },
  });
}

/**
 * The priority of a change: `resync` for the first list, which shows objects that existed before, and `edit` for every later
 * change.
 */
const priorityOf = (reflector: Reflector): 'edit' | 'resync' => (reflector.isSynced() ? 'edit' : 'resync');

/**
 * The project and region that a tenant's calls go to, as `PROJECT/REGION`; until the status names the project, the namespace stands in for
 * it. The queue limits the workers for each, so that a region or a project that does not answer does not delay the others.
 */
function destinationOf(object: KubeObject | undefined): string {
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
