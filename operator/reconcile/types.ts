import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { Quota } from '../gcp/quota.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Reflector } from '../kube/reflector.ts';
import type { ReadonlyStore } from '../kube/store.ts';
import type { InventoryEntry, Settings, Tenant, TenantStatus } from '../tenant/types.ts';

export type ReconcileLog = (level: 'info' | 'warn' | 'error' | 'debug', message: string, fields: JsonObject) => void;

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
  /** Requeues a tenant whose resources differ from what its last check was answered with. */
  wake: (key: string) => void;
  log: ReconcileLog;
  onReport?: (tenant: Tenant, status: TenantStatus) => void;
  /** The tenant is gone, and no reconcile of it runs that could report once more. */
  onGone?: (key: string) => void;
  /** The cluster has let go of these; they stay in Google Cloud. */
  onAbandoned?: (inventory: readonly InventoryEntry[]) => void;
}
