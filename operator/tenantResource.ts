import type { KubeResource } from './ports.ts';

/** Where AiTenants and what they may refer to live in the Kubernetes API. */
export const AI_TENANTS: KubeResource = {
  group: 'ai-platform.dev',
  version: 'v1alpha1',
  plural: 'aitenants',
  kind: 'AiTenant',
  namespaced: true,
};

export const AI_TENANT_CRD = `${AI_TENANTS.plural}.${AI_TENANTS.group}`;

/** Config Connector's secret: optional, followed where its CRD is installed. */
export const SECRET_MANAGER_SECRETS: KubeResource = {
  group: 'secretmanager.cnrm.cloud.google.com',
  version: 'v1beta1',
  plural: 'secretmanagersecrets',
  kind: 'SecretManagerSecret',
  namespaced: true,
};
