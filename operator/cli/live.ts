import { createKubeApi } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../kube/resources.ts';
import type { KubeApi, KubeObject, KubeResult } from '../ports.ts';
import { realRuntime as runtime } from '../runtime.ts';
import { AI_TENANT_CRD, AI_TENANTS, SECRET_MANAGER_SECRETS } from '../tenantResource.ts';
import type { Manifests } from './manifests.ts';
import type { Surroundings } from './planTenant.ts';

/** `plan --live`: what the operator itself would know, read from the cluster of the current kubeconfig. */

export interface Live {
  tenants: KubeObject[];
  around: Surroundings;
  /** The UID of Namespace kube-system, by which the operator marks what is its own. */
  clusterId: string;
}

/** The cluster can't be read; the message says which object, and why. */
export class ClusterUnread extends Error {}

/** Opens the cluster of the kubeconfig, and closes the connection after `use`. */
export async function withCluster<T>(use: (kube: KubeApi) => Promise<T>): Promise<T> {
  let kube: ReturnType<typeof createKubeApi>;
  try {
    kube = createKubeApi({ config: await loadKubeConfig(), runtime, userAgent: 'aitenant-plan' });
  } catch (error) {
    throw new ClusterUnread(`--live needs a kubeconfig: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    return await use(kube);
  } finally {
    await kube.close();
  }
}

/**
 * The tenants of the files as they would be once the files are applied: spec and annotations of the file over what is in the
 * cluster, with the status that is there. Without files all tenants, of one namespace or all, as they are.
 */
export async function readLive(kube: KubeApi, files: Manifests | undefined, namespace?: string): Promise<Live> {
  const tenants = files
    ? await Promise.all(files.tenants.map(({ object }) => applied(kube, object)))
    : must(await kube.list(AI_TENANTS, { namespace }), 'AiTenants').items;
  const homes = [...new Set(tenants.map(({ metadata }) => metadata.namespace ?? ''))];
  const namespaces = new Map(files?.namespaces);
  const connectorSecrets = new Map(files?.connectorSecrets);
  for (const home of homes) {
    const found = optional(await kube.get(NAMESPACES, undefined, home), `Namespace ${home}`);
    if (found) namespaces.set(home, over(found, namespaces.get(home)));
    const secrets = optional(
      await kube.list(SECRET_MANAGER_SECRETS, { namespace: home }),
      `SecretManagerSecrets of ${home}`,
    );
    for (const secret of secrets?.items ?? []) connectorSecrets.set(`${home}/${secret.metadata.name}`, secret);
  }
  const system = must(await kube.get(NAMESPACES, undefined, 'kube-system'), 'Namespace kube-system');
  const crd = optional(await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD), `CRD ${AI_TENANT_CRD}`);
  const crdDeleted = crd?.metadata.deletionTimestamp;
  return {
    tenants,
    around: { namespaces, connectorSecrets, live: true, crdDeleted },
    clusterId: system.metadata.uid ?? '',
  };
}

async function applied(kube: KubeApi, object: KubeObject): Promise<KubeObject> {
  const { name, namespace } = object.metadata;
  const found = optional(await kube.get(AI_TENANTS, namespace, name), `AiTenant ${namespace}/${name}`);
  if (!found) return { ...object, status: undefined };
  const { metadata } = over(found, object);
  return { ...found, spec: object.spec, metadata };
}

/** `live`, with the annotations of the file laid over its own. */
function over(live: KubeObject, file: KubeObject | undefined): KubeObject {
  const annotations = { ...live.metadata.annotations, ...file?.metadata.annotations };
  return { ...live, metadata: { ...live.metadata, annotations } };
}

function must<T>(result: KubeResult<T>, what: string): T {
  if (!result.ok) throw new ClusterUnread(`--live can't read ${what} in the cluster: ${result.status.message}`);
  return result.value;
}

const optional = <T>(result: KubeResult<T>, what: string): T | undefined =>
  !result.ok && result.status.code === 404 ? undefined : must(result, what);
