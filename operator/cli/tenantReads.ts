import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { listAll } from '../kube/listAll.ts';
import { ClusterUnread, unread } from './clusterAccess.ts';
import { nearest } from './nearest.ts';

/** Reads AiTenants from the cluster for `status`, with messages that say what may have been meant. */

/** What is shown: one tenant, or all of a namespace or of the cluster. */
export interface Scope {
  name?: string;
  /** Absent: all namespaces. */
  namespace?: string;
  isJson: boolean;
}

/** The objects of the scope. Throws `ClusterUnread`, also if a tenant that is named does not exist. */
export async function readTenants(kube: KubeApi, { name, namespace }: Scope): Promise<KubeObject[]> {
  if (name === undefined) return (await listTenants(kube, namespace)).objects;
  const found = await kube.get(AI_TENANTS, namespace, name);
  if (found.ok) return [found.value];
  // An API server without the CRD answers 404 too, but not with a Status.
  if (found.status.code === 404 && found.status.reason === 'NotFound') throw await noSuchTenant(kube, name, namespace);
  throw unread(found.status, `AiTenant ${namespace}/${name}`);
}

/** All tenants of the namespace or of the cluster, and the list's resourceVersion. Throws `ClusterUnread`. */
export async function listTenants(
  kube: KubeApi,
  namespace: string | undefined,
): Promise<{ objects: KubeObject[]; resourceVersion: string }> {
  const objects: KubeObject[] = [];
  const { signal } = new AbortController();
  const listed = await listAll(
    kube,
    AI_TENANTS,
    { namespace, signal },
    () => {},
    object => objects.push(object),
  );
  if (!listed.ok)
    throw unread(listed.status, namespace === undefined ? 'AiTenants' : `AiTenants of namespace ${namespace}`);
  return { objects, resourceVersion: listed.value };
}

/** The message if nothing is in the namespace or in the cluster. */
export async function noTenants(kube: KubeApi, namespace: string | undefined): Promise<string> {
  if (namespace === undefined) return 'There is no AiTenant in the cluster.';
  const others = await elsewhere(kube);
  const more = others.length === 0 ? '' : ` ${others.length} in other namespaces: add -A, or -n NAMESPACE.`;
  return `There is no AiTenant in namespace ${namespace}.${more}`;
}

async function noSuchTenant(kube: KubeApi, name: string, namespace = ''): Promise<ClusterUnread> {
  const others = await elsewhere(kube, namespace);
  const same = others.filter(({ metadata }) => metadata.name === name).map(({ metadata }) => metadata.namespace);
  const here = others.filter(({ metadata }) => metadata.namespace === namespace).map(({ metadata }) => metadata.name);
  const near = nearest(name, here);
  const hints = [
    ...(same.length > 0 ? [`It is in namespace ${same.slice(0, 3).join(', ')}: add -n ${same[0]}.`] : []),
    ...(same.length === 0 && near.length > 0 ? [`Did you mean ${near.join(' or ')}?`] : []),
  ];
  return new ClusterUnread([`there is no AiTenant ${name} in namespace ${namespace}.`, ...hints].join(' '));
}

/** The tenants of all namespaces, of `namespace` if only that may be listed, and none if no list is allowed. */
async function elsewhere(kube: KubeApi, namespace?: string): Promise<KubeObject[]> {
  for (const place of namespace === undefined ? [undefined] : [undefined, namespace]) {
    try {
      return (await listTenants(kube, place)).objects;
    } catch (error) {
      // 404: the cluster does not have the CRD.
      if (!(error instanceof ClusterUnread) || error.status?.code === 404) throw error;
    }
  }
  return [];
}
