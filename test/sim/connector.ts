import type { KubeObject } from '../../ports/kube.ts';
import { SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import type { ConnectorState } from './oracle.ts';

/** Config Connector's SecretManagerSecret, as far as the operator reads it. */

const { group, version, plural, kind } = SECRET_MANAGER_SECRETS;

export const CONNECTOR_CRD: KubeObject = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: 'Namespaced',
    names: { plural, kind, singular: kind.toLowerCase(), listKind: `${kind}List` },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        subresources: { status: {} },
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

export function stateOf({ status }: KubeObject): ConnectorState {
  const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] };
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True') ? 'ready' : 'notReady';
}
