import type { KubeMeta, KubeResource } from './kube.ts';

/** The kinds of Kubernetes objects that the operator uses, with their places in the Kubernetes API. */
export const AI_TENANTS: KubeResource = {
  group: 'ai-platform.dev',
  version: 'v1alpha1',
  plural: 'aitenants',
  kind: 'AiTenant',
  namespaced: true,
};

export const AI_TENANT_CRD = `${AI_TENANTS.plural}.${AI_TENANTS.group}`;

/** Config Connector's SecretManagerSecret. It is optional: the operator watches it only if its CRD is installed. */
export const SECRET_MANAGER_SECRETS: KubeResource = {
  group: 'secretmanager.cnrm.cloud.google.com',
  version: 'v1beta1',
  plural: 'secretmanagersecrets',
  kind: 'SecretManagerSecret',
  namespaced: true,
};

export const NAMESPACES: KubeResource = {
  group: '',
  version: 'v1',
  plural: 'namespaces',
  kind: 'Namespace',
  namespaced: false,
};

export const EVENTS: KubeResource = { group: '', version: 'v1', plural: 'events', kind: 'Event', namespaced: true };

export const LEASES: KubeResource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

export const CUSTOM_RESOURCE_DEFINITIONS: KubeResource = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

/** `group/version`, or `version` alone for the core group. */
export function apiVersionOf(resource: KubeResource): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** The key by which the store and the queue know an object: `namespace/name`, or `name` if it has no namespace. */
export function keyOf(meta: Pick<KubeMeta, 'namespace' | 'name'>): string {
  return meta.namespace ? `${meta.namespace}/${meta.name}` : meta.name;
}

/** The inverse of `keyOf`. */
export function splitKey(key: string): { namespace: string | undefined; name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
