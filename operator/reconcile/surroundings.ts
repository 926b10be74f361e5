import type { KubeObject } from '../../ports/kube.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import { type ConnectorSecret, type DesiredResult, desiredState, type Surroundings } from '../tenant/desired.ts';
import type { Tenant } from '../tenant/types.ts';
import { readConnectorSecret } from './connectorSecret.ts';
import type { ReconcilerOptions } from './reconcilerOptions.ts';

/** What the cluster says beside the AiTenant itself: its Namespace and Config Connector's secrets. */

type Caches = Pick<ReconcilerOptions, 'connectorSecrets' | 'settings'>;

/** Reads SecretManagerSecrets of the tenant's namespace from the cache. */
export function connectorSecretsOf(
  { connectorSecrets }: Caches,
  { namespace }: Tenant,
  namespaceAnnotations: Record<string, string>,
): (name: string, project: string) => ConnectorSecret {
  return (name, project) => {
    const secret = connectorSecrets.get(`${namespace}/${name}`);
    if (!secret && !connectorSecrets.isSynced()) return { state: 'unread' };
    return readConnectorSecret(secret, namespaceAnnotations, project);
  };
}

/** `home`: the tenant's Namespace; undefined: it could not be read. */
export function surroundings(caches: Caches, tenant: Tenant, home: KubeObject | undefined): Surroundings {
  const namespaceAnnotations = home?.metadata.annotations ?? {};
  const connectorSecret = connectorSecretsOf(caches, tenant, namespaceAnnotations);
  // Without the Namespace's annotations the project of a SecretManagerSecret is not known.
  const unread = () => ({ state: 'unread' as const });
  return {
    namespaceAnnotations,
    namespaceUid: home?.metadata.uid,
    connectorSecret: home ? connectorSecret : unread,
  };
}

export function desiredOf(caches: Caches, tenant: Tenant, home: KubeObject | undefined): DesiredResult {
  return desiredState(tenant, caches.settings, surroundings(caches, tenant, home));
}

/**
 * The tenant's Namespace; undefined: it could not be read. A tenant never leaves the project in which it was first created,
 * and that first call must be made as the identity that the Namespace names. So until something is in the inventory the
 * Namespace is read live, because the cache may be stale; after that the cache is used.
 */
export async function namespaceOf(
  { kube, namespaces, log }: Pick<ReconcilerOptions, 'kube' | 'namespaces' | 'log'>,
  tenant: Tenant,
): Promise<KubeObject | undefined> {
  const cached = tenant.status.inventory.length > 0 ? namespaces.get(tenant.namespace) : undefined;
  if (cached) return cached;
  const live = await kube.get(NAMESPACES, undefined, tenant.namespace);
  if (live.ok) return live.value;
  log('warn', 'cannot read the Namespace', {
    tenant: `${tenant.namespace}/${tenant.name}`,
    error: live.status.message,
  });
  return undefined;
}
