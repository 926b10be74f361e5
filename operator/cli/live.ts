import type { KubeApi, KubeObject, KubeResult } from '../../ports/kube.ts';
import {
  AI_TENANT_CRD,
  AI_TENANTS,
  CUSTOM_RESOURCE_DEFINITIONS,
  NAMESPACES,
  SECRET_MANAGER_SECRETS,
} from '../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createKubeApi } from '../kube/client.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { advised } from '../tenant/context.ts';
import type { Manifests } from './manifests.ts';
import { each } from './patience.ts';
import type { Surroundings } from './planTenant.ts';

/** `plan --live`: what the operator itself would know, read from the cluster of the current kubeconfig. */

export interface Live {
  tenants: KubeObject[];
  around: Surroundings;
}

/** The cluster can't be read; the message says which object, and why. */
class ClusterUnread extends Error {}

/** Opens the cluster of the kubeconfig, and closes the connection after `use`. */
export async function withCluster<T>(use: (kube: KubeApi) => Promise<T>): Promise<T> {
  let kube: ReturnType<typeof createKubeApi>;
  try {
    kube = createKubeApi({ config: await loadKubeConfig(), runtime, userAgent: 'aitenant-plan' });
  } catch (error) {
    throw new ClusterUnread(
      `--live can't use the kubeconfig: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  try {
    return await use(kube);
  } finally {
    await kube.close();
  }
}

/**
 * The tenants of the files as they would be once the files are applied, with the status that is in the cluster. Without files all tenants, of one namespace or all, as they are.
 */
export async function readLive(kube: KubeApi, files: Manifests | undefined, namespace?: string): Promise<Live> {
  const tenants = files
    ? await each(files.tenants, tenant => applied(kube, tenant))
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
    around: { namespaces, connectorSecrets, live: true, crdDeleted, clusterId: system.metadata.uid },
  };
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The tenant of a file once it is applied; its status is the cluster's. */
async function applied(kube: KubeApi, { object, written }: Manifests['tenants'][number]): Promise<KubeObject> {
  const { name, namespace } = object.metadata;
  const found = optional(await kube.get(AI_TENANTS, namespace, name), `AiTenant ${namespace}/${name}`);
  return found
    ? { ...merged(found, written), metadata: over(found, written).metadata }
    : { ...object, status: undefined };
}

/**
 * As `kubectl apply` merges a file: what was applied before and is not in it any more goes, what others have set stays. Where
 * nothing was applied by kubectl the file's spec is all of it. Source: kubectl, pkg/cmd/apply/patcher.go.
 */
function merged(live: KubeObject, file: KubeObject): KubeObject {
  const before = lastApplied(live);
  return { ...live, spec: before ? (threeWay(live.spec, file.spec, before.spec) as KubeObject['spec']) : file.spec };
}

function lastApplied({ metadata }: KubeObject): Partial<KubeObject> | undefined {
  try {
    return JSON.parse(metadata.annotations?.[LAST_APPLIED] ?? '') as Partial<KubeObject>;
  } catch {
    return undefined;
  }
}

/** Objects field by field, everything else as a whole. */
function threeWay(live: unknown, file: unknown, before: unknown): unknown {
  if (!isObject(live) || !isObject(file)) return file;
  const gone = Object.keys(isObject(before) ? before : {}).filter(key => !(key in file));
  const kept = Object.entries(live).filter(([key]) => !gone.includes(key));
  const set = Object.entries(file).map(([key, value]) => {
    return [key, threeWay(live[key], value, isObject(before) ? before[key] : undefined)];
  });
  return { ...Object.fromEntries(kept), ...Object.fromEntries(set) };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `live`, with the annotations of the file merged into its own. */
function over(live: KubeObject, file: KubeObject | undefined): KubeObject {
  const before = file && lastApplied(live)?.metadata?.annotations;
  const written = file?.metadata?.annotations ?? {};
  const annotations = threeWay(live.metadata.annotations ?? {}, written, before) as Record<string, string>;
  return { ...live, metadata: { ...live.metadata, annotations } };
}

function must<T>(result: KubeResult<T>, what: string): T {
  if (result.ok) return result.value;
  const { code, message } = result.status;
  // A plug-in's failure comes with its own advice, and the address is not what is wrong.
  const isUnreachable = code < 400 && !message.startsWith('the exec plug-in ');
  const advice = ADVICE[code] ?? (isUnreachable ? UNREACHABLE : '');
  throw new ClusterUnread(`--live can't read ${what} in the cluster: ${advised(message.trim(), advice)}`);
}

/** What a person can do about an answer of the API server, by its HTTP status. */
const ADVICE: Record<number, string> = {
  401:
    'The API server does not accept the credentials of the kubeconfig, or they have expired: log in to the cluster again ' +
    '(kubectl get --raw /version shows whether it works).',
  403: 'Ask whoever administers the cluster for the right to read it, or plan without --live. -n NAMESPACE reads one namespace only.',
  404:
    'The cluster of the current context (kubectl config current-context) does not have the CRD: take another context, or ' +
    'install it: kubectl apply -f crds/aitenants.yaml',
};
/** No answer, or one that is not JSON. */
const UNREACHABLE =
  'Check that the address of the current context is a Kubernetes API server that you can reach: kubectl get --raw /version';

const optional = <T>(result: KubeResult<T>, what: string): T | undefined =>
  !result.ok && result.status.code === 404 ? undefined : must(result, what);
