import type { KubeApi, KubeObject, KubeResource } from '../../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES, NAMESPACES } from '../../../ports/kubeResources.ts';
import { ask } from '../../../sandbox/envtest/ask.ts';
import { eventually, must, OPERATOR_NAMESPACE, type SharedServer } from './access.ts';

const KEPT_CRD = 'aitenants.ai-platform.dev';
const KEPT_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system', OPERATOR_NAMESPACE];

/** Takes away what an earlier test left on the server. The CRD stays, as making one takes the server seconds. */
export async function wipe(kube: KubeApi, server: SharedServer): Promise<void> {
  await Promise.all([emptied(kube, AI_TENANTS), emptied(kube, EVENTS), emptied(kube, LEASES, OPERATOR_NAMESPACE)]);
  for (const crd of await all(kube, CUSTOM_RESOURCE_DEFINITIONS)) {
    const { name, deletionTimestamp } = crd.metadata;
    if (name === KEPT_CRD && !deletionTimestamp) continue;
    await removed(kube, CUSTOM_RESOURCE_DEFINITIONS, crd);
  }
  for (const namespace of await all(kube, NAMESPACES)) {
    const { name, annotations = {} } = namespace.metadata;
    if (!KEPT_NAMESPACES.includes(name)) await removedNamespace(kube, server, name);
    else if (Object.keys(annotations).length > 0) {
      await must(kube.patch(NAMESPACES, undefined, name, { metadata: { annotations: null } }));
    }
  }
}

async function all(kube: KubeApi, resource: KubeResource, namespace?: string): Promise<KubeObject[]> {
  const listed = await kube.list(resource, { namespace });
  if (!listed.ok && listed.status.code === 404) return [];
  return (await must(Promise.resolve(listed))).items;
}

async function emptied(kube: KubeApi, resource: KubeResource, namespace?: string): Promise<void> {
  const found = await all(kube, resource, namespace);
  await Promise.all(found.map(object => removed(kube, resource, object)));
}

/** Deletes an object, whatever its finalizers wait for; resolves when it is gone. */
async function removed(kube: KubeApi, resource: KubeResource, { metadata }: KubeObject): Promise<void> {
  const { name, namespace, finalizers = [], uid } = metadata;
  // A CRD's own finalizer is the server's.
  if (finalizers.length > 0 && !finalizers.includes('customresourcecleanup.apiextensions.k8s.io')) {
    await kube.patch(resource, namespace, name, { metadata: { finalizers: null } });
  }
  await kube.delete(resource, namespace, name, { uid });
  await eventually(async () => {
    const found = await kube.get(resource, namespace, name);
    return found.ok ? found.value.metadata.uid !== uid : found.status.code === 404;
  }, `${resource.plural} ${name} to be gone`);
}

/** No controller empties and ends a namespace here, so this does. */
async function removedNamespace(kube: KubeApi, server: SharedServer, name: string): Promise<void> {
  await kube.delete(NAMESPACES, undefined, name);
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { name }, spec: { finalizers: [] } };
  await ask({ ...server, token: server.adminToken }, 'PUT', `/api/v1/namespaces/${name}/finalize`, body);
  await eventually(async () => !(await kube.get(NAMESPACES, undefined, name)).ok, `namespace ${name} to be gone`);
}
