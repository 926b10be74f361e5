import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { createKubeApi } from '../../../operator/kube/client.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES, NAMESPACES } from '../../../operator/kube/resources.ts';
import type { KubeApi, KubeObject, KubeResource, KubeResult, KubeStatus, Runtime } from '../../../operator/ports.ts';
import { AI_TENANTS } from '../../../operator/tenantResource.ts';
import { ask } from '../../../sandbox/envtest/ask.ts';
import { createKubeCore, startKubeServer } from '../../../sandbox/kube/index.ts';
import { configFor, must, type SharedServer } from './access.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Absent where tests run on the sandbox's API server. */
    envtest?: SharedServer[];
  }
}

type Verb = keyof KubeApi;

export interface Cluster {
  url: string;
  /** The tests' own, an administrator's. */
  kube: KubeApi;
  /** What the operator is given: on a real server no more than `manifests/base/rbac.yaml` allows. */
  operatorKube: KubeApi;
  /** Has the operator's requests of that kind refused, until what it returns is called. */
  refuse(verb: Verb, plural: string, status: KubeStatus): () => void;
  /** Writes a kubeconfig of the operator's; `through`: another address for the server. */
  operatorKubeconfig(path: string, through?: string): void;
  close(): Promise<void>;
}

const shared = (): SharedServer | undefined => inject('envtest')?.[Number(process.env.VITEST_POOL_ID) - 1];

/** Whether these tests run on a real kube-apiserver. */
export const onRealServer = shared() !== undefined;

/** A Kubernetes API for one test, as good as new: the sandbox's, or in `npm run test:envtest` this worker's real one. */
export async function openCluster(runtime: Runtime): Promise<Cluster> {
  const server = shared();
  if (!server) {
    const memory = await startKubeServer({ core: createKubeCore({ runtime }) });
    const kube = createKubeApi({ config: configFor(memory.url), runtime, userAgent: 'test' });
    await must(kube.create(NAMESPACES, undefined, { metadata: { name: OPERATOR_NAMESPACE } }));
    const close = async () => {
      await kube.close();
      await memory.close();
    };
    return { url: memory.url, kube, ...withRefusals(kube), operatorKubeconfig: kubeconfigOf(memory.url), close };
  }
  const kube = createKubeApi({
    config: configFor(server.url, server.ca, server.adminToken),
    runtime,
    userAgent: 'test',
  });
  const operatorKube = createKubeApi({
    config: configFor(server.url, server.ca, server.operatorToken),
    runtime,
    userAgent: 'aitenant-operator/test',
  });
  await wipe(kube, server);
  const close = async () => {
    await kube.close();
    await operatorKube.close();
  };
  return {
    url: server.url,
    kube,
    ...withRefusals(operatorKube),
    operatorKubeconfig: kubeconfigOf(server.url, server.ca, server.operatorToken),
    close,
  };
}

const kubeconfigOf =
  (url: string, ca?: string, token?: string) =>
  (path: string, through = url) =>
    writeFileSync(path, configFor(through, ca, token).exportConfig(), { mode: 0o600 });

function withRefusals(api: KubeApi): Pick<Cluster, 'operatorKube' | 'refuse'> {
  const refused = new Map<string, KubeStatus>();
  const guarded =
    <A extends unknown[], T>(verb: Verb, call: (resource: KubeResource, ...rest: A) => Promise<KubeResult<T>>) =>
    async (resource: KubeResource, ...rest: A): Promise<KubeResult<T>> => {
      const status = refused.get(`${verb} ${resource.plural}`);
      return status ? { ok: false, status } : call(resource, ...rest);
    };
  return {
    operatorKube: {
      list: guarded('list', api.list),
      watch: guarded('watch', api.watch),
      get: guarded('get', api.get),
      create: guarded('create', api.create),
      patch: guarded('patch', api.patch),
      delete: guarded('delete', api.delete),
    },
    refuse(verb, plural, status) {
      const key = `${verb} ${plural}`;
      refused.set(key, status);
      return () => refused.delete(key);
    },
  };
}

/** Creates a CRD, or finds it there as it should be; resolves when it is served. */
export async function installCrd(kube: KubeApi, crd: KubeObject): Promise<void> {
  const created = await kube.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd);
  if (!created.ok && created.status.reason !== 'AlreadyExists') throw new Error(created.status.message);
  const { group, names, versions } = crd.spec as {
    group: string;
    names: { plural: string; kind: string };
    versions: { name: string }[];
  };
  const [version = { name: '' }] = versions;
  const resource = { group, version: version.name, plural: names.plural, kind: names.kind, namespaced: true };
  await eventually(async () => (await kube.list(resource, { limit: 1 })).ok, `${names.plural} to be served`);
}

/** Where `manifests/base` puts the operator, and so its lease. */
export const OPERATOR_NAMESPACE = 'aitenant-system';
const KEPT_CRD = 'aitenants.ai-platform.dev';
const KEPT_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system', OPERATOR_NAMESPACE];

/** Takes away what an earlier test left on the server. The CRD stays, as making one takes the server seconds. */
async function wipe(kube: KubeApi, server: SharedServer): Promise<void> {
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

async function eventually(probe: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await probe())) {
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what}`);
    await sleep(20);
  }
}
