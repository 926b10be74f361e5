import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { createKubeApi } from '../../../operator/kube/kubeApi.ts';
import type { JsonObject } from '../../../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource, KubeResult, KubeStatus } from '../../../ports/kube.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../../ports/kubeResources.ts';
import type { Runtime } from '../../../ports/runtime.ts';
import { startEnvtest } from '../../../sandbox/envtest/envtest.ts';
import { createKubeCore, startKubeServer } from '../../../sandbox/kube/index.ts';
import {
  configFor,
  eventually,
  kubeconfigText,
  must,
  OPERATOR_NAMESPACE,
  prepared,
  type SharedServer,
} from './access.ts';
import { wipe } from './wipe.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Absent where tests run on the sandbox's API server. */
    envtest?: SharedServer[];
  }
}

type Verb = keyof KubeApi;

/** A Kubernetes API for one test, as good as new. */
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
  /** And one of the administrator's. */
  adminKubeconfig(path: string): void;
  close(): Promise<void>;
}

/** A cluster with a server to itself, which can be ended and started, and forgets its history then if asked to. */
export interface OwnCluster extends Cluster {
  restart(options?: { forget?: boolean }): Promise<void>;
}

const shared = (): SharedServer | undefined => inject('envtest')?.[Number(process.env.VITEST_POOL_ID) - 1];

/** The sandbox's, or in `npm run test:envtest` this worker's real one. */
export async function openCluster(runtime: Runtime): Promise<Cluster> {
  const server = shared();
  if (!server) return openOwnCluster(runtime);
  const cluster = clusterAt(server, runtime);
  await wipe(cluster.kube, server);
  return cluster;
}

/** The same; on a real server it takes some seconds more. */
export const openOwnCluster = (runtime: Runtime): Promise<OwnCluster> =>
  shared() ? ownReal(runtime) : ownMemory(runtime);

async function ownMemory(runtime: Runtime): Promise<OwnCluster> {
  const core = createKubeCore({ runtime });
  let memory = await startKubeServer({ core });
  const cluster = clusterAt({ url: memory.url }, runtime);
  await must(cluster.kube.create(NAMESPACES, undefined, { metadata: { name: OPERATOR_NAMESPACE } }));
  return {
    ...cluster,
    async restart({ forget = false } = {}) {
      await memory.close();
      if (forget) core.compact();
      memory = await startKubeServer({ core, port: Number(new URL(memory.url).port) });
    },
    async close() {
      await cluster.close();
      await memory.close();
    },
  };
}

async function ownReal(runtime: Runtime): Promise<OwnCluster> {
  const stateDir = mkdtempSync(join(tmpdir(), 'aitenant-envtest-'));
  const envtest = await startEnvtest({ stateDir });
  const cluster = clusterAt(await prepared(envtest), runtime);
  return {
    ...cluster,
    async restart({ forget = false } = {}) {
      await envtest.stopApiServer();
      // A new server serves no history but what is in etcd.
      if (forget) await envtest.compact();
      await envtest.startApiServer();
    },
    async close() {
      await cluster.close();
      await envtest.stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export function clusterAt(server: { url: string } & Partial<SharedServer>, runtime: Runtime): Cluster {
  const { url, ca, adminToken, operatorToken } = server;
  const kube = createKubeApi({ config: configFor(url, ca, adminToken), runtime, userAgent: 'test' });
  const config = configFor(url, ca, operatorToken);
  const operatorKube = createKubeApi({ config, runtime, userAgent: 'aitenant-operator/test' });
  return {
    url,
    kube,
    ...withRefusals(operatorKube),
    operatorKubeconfig(path, through = url) {
      writeFileSync(path, kubeconfigText(through, ca, operatorToken), { mode: 0o600 });
    },
    adminKubeconfig(path) {
      writeFileSync(path, kubeconfigText(url, ca, adminToken), { mode: 0o600 });
    },
    async close() {
      await kube.close();
      await operatorKube.close();
    },
  };
}

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
  if (!created.ok) {
    if (created.status.reason !== 'AlreadyExists') throw new Error(created.status.message);
    if (await isAnother(kube, crd)) return installCrd(kube, crd);
  }
  const { group, names, versions } = crd.spec as {
    group: string;
    names: { plural: string; kind: string };
    versions: { name: string }[];
  };
  const [version = { name: '' }] = versions;
  const resource = { group, version: version.name, plural: names.plural, kind: names.kind, namespaced: true };
  await eventually(async () => (await kube.list(resource, { limit: 1 })).ok, `${names.plural} to be served`);
}

/** Takes away one of that name that an earlier test has changed: what it says now, the server would learn at some time or other. */
async function isAnother(kube: KubeApi, crd: KubeObject): Promise<boolean> {
  const { name } = crd.metadata;
  const { versions } = crd.spec as { versions: JsonObject[] };
  const before = await must(kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, name));
  const after = await must(kube.patch(CUSTOM_RESOURCE_DEFINITIONS, undefined, name, { spec: { versions } }));
  if (after.metadata.generation === before.metadata.generation) return false;
  await must(kube.delete(CUSTOM_RESOURCE_DEFINITIONS, undefined, name));
  await eventually(
    async () => !(await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, name)).ok,
    `the changed CRD ${name} to be gone`,
  );
  return true;
}
