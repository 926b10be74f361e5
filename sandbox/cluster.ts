import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createKubeApi } from '../operator/kube/client.ts';
import { type KubeAccess, KubeconfigError, loadKubeConfig } from '../operator/kube/kubeconfig.ts';
import type { KubeApi, KubeObject, KubeResult } from '../ports/kube.ts';
import { AI_TENANT_CRD, AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, LEASES } from '../ports/kubeResources.ts';
import { realRuntime } from '../ports/runtime.ts';
import { NoBinariesError } from './envtest/binaries.ts';
import { startEnvtest } from './envtest/envtest.ts';
import { createKubeCore, startKubeServer, writeKubeconfig } from './kube/index.ts';
import type { Options } from './options.ts';
import { Failure, poll } from './progress.ts';

/** The Kubernetes API that the sandbox works with. */
export interface Cluster {
  kube: KubeApi;
  url: string;
  /** The kubeconfig written for it; undefined: the user's own. */
  kubeconfig: string | undefined;
  close(): Promise<void>;
}

/** On the CRD: the sandbox installed it, so the tenants of that cluster are the sandbox's to manage. */
const SANDBOX_MARK = 'ai-platform.dev/sandbox';
/** kube-apiserver and etcd listen on the two ports from `portBase` plus this. */
const ENVTEST_OFFSET = 6;

/**
 * Starts a Kubernetes API, in memory or a real one, or takes the current kubeconfig's. `print` is told what takes long.
 * Throws `Failure` where there is none to be had.
 */
export async function openCluster(
  { kube: kind, state, portBase }: Options,
  print: (line: string) => void,
): Promise<Cluster> {
  const kubeconfig = join(state, 'kubeconfig');
  if (kind === 'current') {
    // That of an earlier run names a server that is gone.
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
 * Installs the CRD, or brings it up to date, and waits until it is served. Throws `Failure` for a cluster with tenants
 * that are not the sandbox's: its operator would take them for missing from Google Cloud and write that in their status.
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

/** Refuses what others manage; of the sandbox's own, an earlier run's status tells of a Google Cloud that is gone. */
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

/** The value of an answer; throws `Failure` with what could not be done. */
export async function must<T>(what: string, answer: Promise<KubeResult<T>>): Promise<T> {
  const result = await answer;
  if (result.ok) return result.value;
  throw new Failure(`Could not ${what}: ${result.status.message}`);
}
