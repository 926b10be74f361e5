import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { Claim, Quota } from '../gcp/quota.ts';
import type { EventRecorder } from '../kube/eventRecorder.ts';
import type { Priority } from '../kube/queue.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { ReadonlyStore } from '../kube/store.ts';
import type { InventoryEntry, Settings, Tenant, TenantStatus } from '../tenant/types.ts';

export type ReconcileLog = (level: 'info' | 'warn' | 'error' | 'debug', message: string, fields: JsonObject) => void;

/** `tenant`: its name and its annotations. */
export type OnReport = (
  tenant: Pick<Tenant, 'namespace' | 'name' | 'annotations'>,
  status: Pick<TenantStatus, 'conditions'>,
) => void;

export interface ReconcilerOptions {
  kube: KubeApi;
  gcp: GcpCall;
  runtime: Runtime;
  settings: Settings;
  tenants: ReadonlyStore;
  namespaces: ReadonlyStore;
  connectorSecrets: Pick<Reflector, 'get' | 'isSynced'>;
  events: EventRecorder;
  quota: Pick<Quota, 'claim' | 'park' | 'alias'>;
  /** Requeues a tenant because a newer list differs from the answers on which its last resync decided. */
  wake: (key: string) => void;
  log: ReconcileLog;
  /** Called with each status that a reconcile ends with, for the metrics. */
  onReport?: OnReport;
  /** Called when the object no longer exists. No reconcile of it is running then, so `onReport` is not called for it any more. */
  onGone?: (key: string) => void;
  /** Called when a tenant was abandoned: the finalizer was removed, and these resources stay in Google Cloud. */
  onAbandoned?: (inventory: readonly InventoryEntry[]) => void;
}

/** Why the queue started a reconcile, and the budget that the key was granted while it was parked. */
export interface Run {
  priority: Priority;
  /** Failed reconciles in a row. */
  failures: number;
  /** How many reconciles in a row have changed something without an edit in between. */
  changes: number;
  /** The budget that the key was parked for. */
  granted?: Claim;
}
