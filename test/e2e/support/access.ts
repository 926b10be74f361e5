import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';
import { createKubeApi } from '../../../operator/kube/kubeApi.ts';
import { accessTo, type KubeAccess } from '../../../operator/kube/kubeconfig.ts';
import type { JsonObject } from '../../../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource, KubeResult } from '../../../ports/kube.ts';
import { NAMESPACES } from '../../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../../ports/runtime.ts';
import { ask, type Server } from '../../../sandbox/envtest/ask.ts';

/** Where `manifests/base` puts the operator, and so its lease. */
export const OPERATOR_NAMESPACE = 'aitenant-system';

/** A kube-apiserver of the test run, as `envtest.setup.ts` hands it to the workers: one a worker. */
export interface SharedServer {
  url: string;
  ca: string;
  adminToken: string;
  operatorToken: string;
}

export function configFor(url: string, ca?: string, token?: string): KubeAccess {
  return accessTo(url, { ca, token });
}

export function kubeconfigText(url: string, ca?: string, token?: string): string {
  const authority = ca && { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, ...authority } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  });
}

/** Gives a fresh server what `manifests/base` says of the operator's rights, and the operator a token. */
export async function prepared(server: Server): Promise<SharedServer> {
  const { url, ca, token } = server;
  const kube = createKubeApi({ config: configFor(url, ca, token), runtime, userAgent: 'test' });
  await applyRbac(kube);
  await kube.close();
  return { url, ca, adminToken: token, operatorToken: await operatorToken(server) };
}

/** Every object of `manifests/base` that says what the operator may do, created or brought to what the file says. */
async function applyRbac(kube: KubeApi): Promise<void> {
  const folder = new URL('../../../manifests/base/', import.meta.url);
  const objects = readdirSync(folder)
    .filter(name => name.endsWith('.yaml'))
    .flatMap(name => parseAllDocuments(readFileSync(new URL(name, folder), 'utf8')))
    .map(document => document.toJS() as KubeObject)
    .flatMap(object => {
      const resource = ACCESS[object.kind ?? ''];
      return resource ? [{ object, resource }] : [];
    });
  // A namespace comes before what is in it.
  const order = Object.keys(ACCESS);
  for (const { object, resource } of objects.sort(
    (a, b) => order.indexOf(a.resource.kind) - order.indexOf(b.resource.kind),
  )) {
    const { namespace, name } = object.metadata;
    const created = await kube.create(resource, namespace, object);
    if (!created.ok && created.status.code === 409)
      await must(kube.patch(resource, namespace, name, { ...object } as JsonObject));
    else if (!created.ok) throw new Error(created.status.message);
  }
}

const rbac = (kind: string, plural: string, namespaced: boolean): KubeResource => ({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced,
});

const SERVICE_ACCOUNTS: KubeResource = {
  group: '',
  version: 'v1',
  plural: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
};

const ACCESS: Record<string, KubeResource> = {
  Namespace: NAMESPACES,
  ServiceAccount: SERVICE_ACCOUNTS,
  ClusterRole: rbac('ClusterRole', 'clusterroles', false),
  ClusterRoleBinding: rbac('ClusterRoleBinding', 'clusterrolebindings', false),
  Role: rbac('Role', 'roles', true),
  RoleBinding: rbac('RoleBinding', 'rolebindings', true),
};

/** A token of the operator's own service account, as its pod would be given. */
async function operatorToken(server: Server): Promise<string> {
  const path = '/api/v1/namespaces/aitenant-system/serviceaccounts/aitenant-operator/token';
  const answer = await ask(server, 'POST', path, { spec: { expirationSeconds: 24 * 3600 } });
  if (answer.code !== 201) throw new Error(`no token for the operator: ${answer.body}`);
  return (JSON.parse(answer.body) as { status: { token: string } }).status.token;
}

/** Throws what the API server refused. */
export async function must<T>(result: Promise<KubeResult<T>>): Promise<T> {
  const answer = await result;
  if (!answer.ok) throw new Error(`${answer.status.code} ${answer.status.message}`);
  return answer.value;
}

/** Rejects if it has not come true within 30 s. */
export async function eventually(probe: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what}`);
    await sleep(20);
  }
}
