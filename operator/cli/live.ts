import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import {
  AI_TENANT_CRD,
  AI_TENANTS,
  CUSTOM_RESOURCE_DEFINITIONS,
  NAMESPACES,
  SECRET_MANAGER_SECRETS,
} from '../../ports/kubeResources.ts';
import { optional, valueOrThrow } from './clusterAccess.ts';
import type { Manifests } from './manifests.ts';
import { each } from './patience.ts';
import type { Surroundings } from './planTenant.ts';

/** `plan --live`: reads from the cluster of the current kubeconfig what the operator would read there. */

export interface Live {
  tenants: KubeObject[];
  around: Surroundings;
}

/**
 * Reads the tenants of the files as they would be after `kubectl apply`, with their status from the cluster. Without files: all
 * tenants of the cluster or of `namespace`, as they are.
 */
export async function readLive(kube: KubeApi, files: Manifests | undefined, namespace?: string): Promise<Live> {
  const tenants = files
    ? await each(files.tenants, tenant => afterApply(kube, tenant))
    : valueOrThrow(await kube.list(AI_TENANTS, { namespace }), 'AiTenants').items;
  const namespaceNames = [...new Set(tenants.map(({ metadata }) => metadata.namespace ?? ''))];
  const namespaces = new Map(files?.namespaces);
  const connectorSecrets = new Map(files?.connectorSecrets);
  for (const namespaceName of namespaceNames) {
    const found = optional(await kube.get(NAMESPACES, undefined, namespaceName), `Namespace ${namespaceName}`);
    if (found) namespaces.set(namespaceName, withFileAnnotations(found, namespaces.get(namespaceName)));
    const secrets = optional(
      await kube.list(SECRET_MANAGER_SECRETS, { namespace: namespaceName }),
      `SecretManagerSecrets of ${namespaceName}`,
    );
    for (const secret of secrets?.items ?? []) connectorSecrets.set(`${namespaceName}/${secret.metadata.name}`, secret);
  }
  const system = valueOrThrow(await kube.get(NAMESPACES, undefined, 'kube-system'), 'Namespace kube-system');
  const crd = optional(await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD), `CRD ${AI_TENANT_CRD}`);
  const crdDeleted = crd?.metadata.deletionTimestamp;
  return {
    tenants,
    around: { namespaces, connectorSecrets, live: true, crdDeleted, clusterId: system.metadata.uid },
  };
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The tenant as it would be after `kubectl apply` of its file. Its status is the one in the cluster. */
async function afterApply(kube: KubeApi, { object, written }: Manifests['tenants'][number]): Promise<KubeObject> {
  const { name, namespace } = object.metadata;
  const found = optional(await kube.get(AI_TENANTS, namespace, name), `AiTenant ${namespace}/${name}`);
  return found
    ? { ...merged(found, written), metadata: withFileAnnotations(found, written).metadata }
    : { ...object, status: undefined };
}

/**
 * Merges a file as `kubectl apply` does: fields of the last applied file that the new one lacks are removed, and fields that others
 * have set stay. If kubectl has not applied the object before, the file's spec replaces the whole spec. Source: kubectl,
 * pkg/cmd/apply/patcher.go.
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

/** A three-way merge. Objects are merged field by field; every other value, lists too, is replaced as a whole. */
function threeWay(live: unknown, file: unknown, before: unknown): unknown {
  if (!isObject(live) || !isObject(file)) return file;
  const removed = Object.keys(isObject(before) ? before : {}).filter(key => !(key in file));
  const kept = Object.entries(live).filter(([key]) => !removed.includes(key));
  const set = Object.entries(file).map(([key, value]) => {
    return [key, threeWay(live[key], value, isObject(before) ? before[key] : undefined)];
  });
  return { ...Object.fromEntries(kept), ...Object.fromEntries(set) };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The live object with the file's annotations merged into its own. */
function withFileAnnotations(live: KubeObject, file: KubeObject | undefined): KubeObject {
  const before = file && lastApplied(live)?.metadata?.annotations;
  const written = file?.metadata?.annotations ?? {};
  const annotations = threeWay(live.metadata.annotations ?? {}, written, before) as Record<string, string>;
  return { ...live, metadata: { ...live.metadata, annotations } };
}
