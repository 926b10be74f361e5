import { readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, relative, resolve } from 'node:path';
import { parse } from 'yaml';
import type { KubeApi, KubeObject } from '../ports/kube.ts';
import { realRuntime } from '../ports/runtime.ts';
import { installCrd, openCluster } from './cluster.ts';
import { startConsole } from './console/console.ts';
import { createGcpCore } from './gcp/core.ts';
import { builtInImages } from './gcp/instances/images.ts';
import { startInstances } from './gcp/instances/instances.ts';
import { createSupervisor } from './gcp/instances/supervisor.ts';
import { envOffText, envText } from './gcp/wire/clientEnv.ts';
import { startGcpServer } from './gcp/wire/http.ts';
import { startOpenAi } from './openai/server.ts';
import { startOperator } from './operatorProcess.ts';
import type { Options } from './options.ts';
import { Failure, type Step } from './progress.ts';
import { claimStateFolder } from './stateFolder.ts';

export const PROJECT = { id: 'demo-project', number: '123456789012' };
/** The second project, for tenants in several projects. */
const OTHER_PROJECT = { id: 'other-project', number: '210987654321' };
/** The OpenAI mock accepts keys with this prefix and refuses every other key with 401. */
export const GOOD_KEY = 'sk-sandbox-';
/** For this image the sandbox's Cloud Run starts the backend of this repository. */
const BACKEND_IMAGE = `asia-northeast1-docker.pkg.dev/${PROJECT.id}/tenants/ai-backend:sandbox`;

/** The sandbox, running. */
export interface World {
  kube: KubeApi;
  /** The kubeconfig written for it; undefined: the user's current one. */
  kubeconfig: string | undefined;
  /** The exports for gcloud and client libraries. */
  envFile: string;
  /** The base of Google Cloud's REST addresses, without a slash at its end. */
  cloudUrl: string;
  metricsUrl: string;
  /** The page that shows the tenants. */
  consoleUrl: string;
  operatorLog: string;
  /** The folder that holds the logs of the services' revisions. */
  serviceLogs: string;
  /** Resolves when the operator process ends, with the way it ended. */
  operatorEnded: Promise<string>;
}

const KUBE_IS: Record<Options['kube'], string> = {
  memory: 'in memory',
  envtest: 'kube-apiserver and etcd',
  current: 'of the current kubeconfig',
};

/** A path as a user of this folder writes it. */
const shown = (path: string) => (relative('', path).startsWith('..') ? path : relative('', path));

type Closer = () => Promise<void> | void;

/**
 * Starts all parts of the sandbox. Each started part adds its closing function to `closers` at once, so that an interrupted start
 * can be undone too. Call these functions in reverse order. `print` gets messages about steps that take long. Throws `Failure`.
 */
export async function startWorld(
  options: Options,
  step: Step,
  print: (line: string) => void,
  closers: Closer[],
): Promise<World> {
  const { portBase } = options;
  const state = resolve(options.state);
  const port = {
    kube: portBase,
    cloud: portBase + 1,
    openAi: portBase + 2,
    health: portBase + 3,
    metrics: portBase + 4,
    console: portBase + 5,
  };
  const envFile = join(state, 'env');
  const operatorLog = join(state, 'operator.log');
  const serviceLogs = join(state, 'logs');
  await openState(state, envFile);
  // The logs of an earlier run. Every other file of the folder is overwritten.
  await rm(serviceLogs, { recursive: true, force: true });
  await checkPorts(options.kube === 'memory' ? port : { ...port, kube: undefined });

  const cluster = await step(
    ({ url }) => `Kubernetes API at ${url}, ${KUBE_IS[options.kube]}`,
    () => openCluster({ ...options, state }, print),
  );
  closers.push(cluster.close);
  await step('CRD aitenants.ai-platform.dev is installed', async () => {
    const text = await readFile(new URL('../crds/aitenants.yaml', import.meta.url), 'utf8');
    await installCrd(cluster, parse(text) as KubeObject);
  });

  const openAi = await step(
    ({ url }) => `OpenAI mock at ${url}; good keys begin with ${GOOD_KEY}`,
    () => startOpenAi({ port: port.openAi, checkKey: key => key.startsWith(GOOD_KEY) }),
  );
  closers.push(openAi.close);
  const cloud = await step(
    ({ url }) => `Google Cloud at ${url}: project ${PROJECT.id} (${PROJECT.number})`,
    () => startCloud({ state, port: port.cloud, firstServicePort: portBase + 10, openAiUrl: openAi.url, closers }),
  );
  const env = { url: cloud.url, project: PROJECT.id, stateDir: state };
  await writeFile(envFile, envText(env));
  await writeFile(`${envFile}.off`, envOffText(env));

  const operator = await startOperatorStep({
    step,
    port,
    kubeconfig: cluster.kubeconfig,
    cloudUrl: cloud.url,
    operatorLog,
    closers,
  });
  const { kube } = cluster;
  const world = {
    kube,
    core: cloud.core,
    runtime: realRuntime,
    project: PROJECT.id,
    image: BACKEND_IMAGE,
    operatorLog,
  };
  const console = await step(
    ({ url }) => `console at ${url}/`,
    () => startConsole(world, port.console),
  );
  closers.push(console.close);

  return {
    kube,
    consoleUrl: `${console.url}/`,
    kubeconfig: cluster.kubeconfig && shown(cluster.kubeconfig),
    envFile: shown(envFile),
    cloudUrl: cloud.url,
    metricsUrl: `http://127.0.0.1:${port.metrics}/metrics`,
    operatorLog: shown(operatorLog),
    serviceLogs: shown(serviceLogs),
    operatorEnded: operator.exited,
  };
}

async function startOperatorStep(given: {
  step: Step;
  port: { health: number; metrics: number };
  kubeconfig: string | undefined;
  cloudUrl: string;
  operatorLog: string;
  closers: Closer[];
}) {
  const { step, port, kubeconfig, cloudUrl, operatorLog, closers } = given;
  const supervisor = createSupervisor();
  closers.push(supervisor.close);
  return step(
    () => `operator, with --sync-interval=10s --default-image=${BACKEND_IMAGE}; log: ${shown(operatorLog)}`,
    async () => {
      const started = startOperator(supervisor, {
        flags: operatorFlags(port),
        env: operatorEnv(kubeconfig, cloudUrl),
        log: operatorLog,
        healthPort: port.health,
      });
      closers.push(started.stop);
      await started.ready();
      return started;
    },
  );
}

async function startCloud(given: {
  state: string;
  port: number;
  firstServicePort: number;
  openAiUrl: string;
  closers: Closer[];
}) {
  const instances = await startInstances({
    runtime: realRuntime,
    stateDir: given.state,
    images: builtInImages({ OPENAI_BASE_URL: given.openAiUrl }),
    portBase: given.firstServicePort,
  });
  given.closers.push(instances.stop);
  const core = createGcpCore({
    runtime: realRuntime,
    projects: [PROJECT, OTHER_PROJECT],
    containers: instances.containers,
    urls: instances.urls,
    logUri: instances.logUri,
    logLines: instances.logLines,
  });
  instances.attach(core.run);
  given.closers.push(core.run.close);
  const server = await startGcpServer({ core, port: given.port });
  given.closers.push(server.close);
  return { core, url: server.url };
}

const operatorFlags = (port: { health: number; metrics: number }): string[] => [
  `--project=${PROJECT.id}`,
  `--default-image=${BACKEND_IMAGE}`,
  `--impersonation-accounts=operator-NAMESPACE@${PROJECT.id}.iam.gserviceaccount.com`,
  // A user of the sandbox should see drift and new key versions within seconds. The default is 10 minutes.
  '--sync-interval=10s',
  `--health-address=127.0.0.1:${port.health}`,
  `--metrics-address=127.0.0.1:${port.metrics}`,
];

/** The operator's environment. It omits the shell's AITENANT_… variables, which would override the sandbox's flags. */
function operatorEnv(kubeconfig: string | undefined, cloudUrl: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith('AITENANT_')) env[name] = value;
  }
  for (const api of ['RUN', 'SECRETMANAGER', 'IAM']) env[`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`] = `${cloudUrl}/`;
  if (kubeconfig !== undefined) env.KUBECONFIG = kubeconfig;
  return env;
}

/** Creates the folder. Throws `Failure` if another sandbox uses it, that is, if the address in its file `env` still answers. */
async function openState(state: string, envFile: string): Promise<void> {
  await claimStateFolder(state);
  const left = await readFile(envFile, 'utf8').catch(() => '');
  const [, url] = /OVERRIDES_RUN=(http:\S+)/.exec(left) ?? [];
  if (url === undefined) return;
  const answer = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
  await answer?.body?.cancel();
  if (answer) {
    throw new Failure(
      `${state} is in use: ${url}, which its file env names, answers. Stop that sandbox first, or start a second one ` +
        'beside it: npm run sandbox -- --state .sandbox-2 --port-base 7740',
    );
  }
}

async function checkPorts(ports: Record<string, number | undefined>): Promise<void> {
  for (const port of Object.values(ports)) {
    if (port === undefined) continue;
    const error = await new Promise<NodeJS.ErrnoException | undefined>(resolve => {
      const server = createServer();
      server.once('error', resolve);
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(undefined)));
    });
    if (!error) continue;
    const why = error.code === 'EADDRINUSE' ? 'is in use by another program' : `can't be used: ${error.message}`;
    throw new Failure(`Port ${port} ${why}. Take other ports: npm run sandbox -- --port-base ${port + 100}`);
  }
}
