import type { KubeObject } from '../../ports/kube.ts';
import { keyOf, NAMESPACES } from '../../ports/kubeResources.ts';
import { type ConnectorSecret, type DesiredResult, desiredState, type Surroundings } from '../tenant/desired.ts';
import type { Tenant } from '../tenant/types.ts';
import { readConnectorSecret } from './connectorSecret.ts';
import type { ReconcilerOptions } from './reconcilerOptions.ts';

/** Reads what the desired state depends on besides the AiTenant itself: its Namespace, and Config Connector's SecretManagerSecrets. */

type Caches = Pick<ReconcilerOptions, 'connectorSecrets' | 'settings'>;

/** Answers with a function that reads a SecretManagerSecret of the tenant's namespace from the cache, by its name. */
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

export function surroundings(caches: Caches, tenant: Tenant, namespaceObject: KubeObject | undefined): Surroundings {
  const namespaceAnnotations = namespaceObject?.metadata.annotations ?? {};
  const connectorSecret = connectorSecretsOf(caches, tenant, namespaceAnnotations);
  // The project of a SecretManagerSecret may stand in an annotation of the Namespace, so it is unknown without the Namespace.
  const unread = () => ({ state: 'unread' as const });
  return {
    namespaceAnnotations,
    namespaceUid: namespaceObject?.metadata.uid,
    connectorSecret: namespaceObject ? connectorSecret : unread,
  };
}

export function desiredOf(caches: Caches, tenant: Tenant, namespaceObject: KubeObject | undefined): DesiredResult {
  return desiredState(tenant, caches.settings, surroundings(caches, tenant, namespaceObject));
}

/**
 * Answers with the tenant's Namespace; undefined if it could not be read. While the inventory is empty, the Namespace is read from
 * the API server, because the cache may be stale and two decisions could not be corrected later: a tenant never leaves the project
 * in which its first resource is created, and the call that creates it must be made as the identity that the Namespace names.
 * Once the inventory has an entry, the cache is used.
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
    tenant: keyOf(tenant),
    error: live.status.message,
  });
  return undefined;
}
