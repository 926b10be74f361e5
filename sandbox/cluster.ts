import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createKubeApi } from '../operator/kube/kubeApi.ts';
import { type KubeAccess, KubeconfigError, loadKubeConfig } from '../operator/kube/kubeconfig.ts';
import type { KubeApi, KubeObject, KubeResult } from '../ports/kube.ts';
import { AI_TENANT_CRD, AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, LEASES } from '../ports/kubeResources.ts';
import { realRuntime } from '../ports/runtime.ts';
import { startEnvtest } from './envtest/envtest.ts';
import { NoBinariesError } from './envtest/go.ts';
import { createKubeCore, startKubeServer, writeKubeconfig } from './kube/index.ts';
import type { Options } from './options.ts';
import { Failure, poll } from './progress.ts';

/** The Kubernetes API that the sandbox works with. */
export interface Cluster {
  kube: KubeApi;
  url: string;
  /** The path of the kubeconfig that was written. Undefined with the user's own kubeconfig. */
  kubeconfig: string | undefined;
  close(): Promise<void>;
}

/** This annotation on the CRD says that a sandbox installed it, so a later sandbox may manage the tenants of that cluster. */
const SANDBOX_MARK = 'ai-platform.dev/sandbox';
/** kube-apiserver and etcd listen on the two ports from `portBase` plus this. */
const ENVTEST_OFFSET = 6;

/**
 * Starts a Kubernetes API in memory or a real one, or connects to that of the current kubeconfig. `print` gets messages about
 * steps that take long. Throws `Failure` if no API is available.
 */
export async function openCluster(
  { kube: kind, state, portBase }: Options,
  print: (line: string) => void,
): Promise<Cluster> {
  const kubeconfig = join(state, 'kubeconfig');
  if (kind === 'current') {
    // The kubeconfig of an earlier run names a server that no longer exists.
    await rm(kubeconfig, { force: true });
    return connect(await loadFor(process.env), undefined, async () => {});
  }
  let stop: () => Promise<void>;
  if (kind === 'envtest') {
    const envtest = await startEnvtest({
      stateDir: join(state, 'envtest'),
      portBase: portBase + ENVTEST_OFFSET,
      progress: print,
    }).catch((error: unknown) => {
      throw error instanceof NoBinariesError ? new Failure(error.message) : error;
    });
    print('kube-apiserver has no controller manager beside it: `kubectl delete --cascade=foreground` does not end.');
    envtest.writeKubeconfig(kubeconfig, envtest.token);
    stop = envtest.stop;
  } else {
    const server = await startKubeServer({ core: createKubeCore({ runtime: realRuntime }), port: portBase });
    await writeKubeconfig(kubeconfig, server.url);
    stop = server.close;
  }
  return connect(await loadFor({ KUBECONFIG: kubeconfig }), kubeconfig, stop);
}

async function loadFor(env: NodeJS.ProcessEnv): Promise<KubeAccess> {
  return loadKubeConfig(env).catch((error: unknown) => {
    throw error instanceof KubeconfigError ? new Failure(error.message) : error;
  });
}

function connect(config: KubeAccess, kubeconfig: string | undefined, stop: () => Promise<void>): Cluster {
  const kube = createKubeApi({ config, runtime: realRuntime, userAgent: 'aitenant-sandbox' });
  const url = config.server;
  return {
    kube,
    url,
    kubeconfig,
    async close() {
      await kube.close();
      await stop();
    },
  };
}

/**
 * Installs or updates the CRD and waits until it is served. Throws `Failure` for a cluster with tenants of another operator: the
 * sandbox's operator would not find their resources in its own Google Cloud and would write that into their status.
 */
export async function installCrd({ kube, url }: Pick<Cluster, 'kube' | 'url'>, crd: KubeObject): Promise<void> {
  const found = await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
  if (!found.ok && found.status.code !== 404) {
    throw new Failure(`The Kubernetes API at ${url} can't be used: ${found.status.message}`);
  }
  if (found.ok) {
    const isOurs = found.value.metadata.annotations?.[SANDBOX_MARK] === 'true';
    await takeOver(kube, url, isOurs);
    await must(
      'update the CRD',
      kube.patch(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD, { spec: crd.spec as never }),
    );
  } else {
    const marked = { ...crd, metadata: { ...crd.metadata, annotations: { [SANDBOX_MARK]: 'true' } } };
    await must('install the CRD', kube.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, marked));
  }
  await poll(
    async () => ((await kube.list(AI_TENANTS, { limit: 1 })).ok ? true : undefined),
    10_000,
    () =>
      new Failure(
        `The CRD is installed, but ${url} does not serve AiTenants after 10 s: kubectl describe crd ${AI_TENANT_CRD}`,
      ),
  );
}

/**
 * Throws `Failure` if another operator manages the tenants. Resets the status of the sandbox's own tenants, which describes the
 * Google Cloud of an earlier run.
 */
async function takeOver(kube: KubeApi, url: string, isOurs: boolean): Promise<void> {
  const tenants = await must('list AiTenants', kube.list(AI_TENANTS, {}));
  if (tenants.items.length > 0 && !isOurs) {
    throw new Failure(
      `The cluster at ${url} has AiTenants that no sandbox made, and the sandbox's operator would manage them too. ` +
        'Use a cluster without any, such as one of kind.',
    );
  }
  const leases = await kube.list(LEASES, { fieldSelector: 'metadata.name=aitenant-operator' });
  for (const lease of leases.ok ? leases.value.items : []) {
    const { holderIdentity, renewTime = '' } = lease.spec as { holderIdentity?: string; renewTime?: string };
    if (!holderIdentity || Date.now() - Date.parse(renewTime) > 60_000) continue;
    throw new Failure(`The cluster at ${url} has an operator already: ${holderIdentity}. Use another cluster.`);
  }
  for (const { metadata } of tenants.items) {
    const reset = { status: null };
    await must(
      `reset the status of aitenant/${metadata.name}`,
      kube.patch(AI_TENANTS, metadata.namespace, metadata.name, reset, { subresource: 'status' }),
    );
  }
}

/** Returns the value of an answer. Throws `Failure` with a message that begins with "Could not" and `what`. */
export async function must<T>(what: string, answer: Promise<KubeResult<T>>): Promise<T> {
  const result = await answer;
  if (result.ok) return result.value;
  throw new Failure(`Could not ${what}: ${result.status.message}`);
}
