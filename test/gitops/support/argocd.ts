import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JsonObject } from '../../../ports/json.ts';
import type { KubeObject, KubeResource, KubeResult } from '../../../ports/kube.ts';
import { freePorts } from '../../../sandbox/envtest/envtest.ts';
import { kubeconfigText } from '../../e2e/support/access.ts';
import { must } from '../../e2e/support/world.ts';
import { applyAll, objectsIn, objectsOf } from './objects.ts';
import type { Stack } from './stack.ts';

const argoprojKind = (kind: string): KubeResource => ({
  group: 'argoproj.io',
  version: 'v1alpha1',
  plural: `${kind.toLowerCase()}s`,
  kind,
  namespaced: true,
});
const APPLICATIONS = argoprojKind('Application');
const APPLICATION_SETS = argoprojKind('ApplicationSet');
export const NAMESPACE = 'argocd';

/** An Application, as far as the tests read it. */
type Application = KubeObject & {
  metadata: { ownerReferences?: { kind: string; name: string }[] };
  status?: {
    sync?: { status?: string; revision?: string };
    health?: { status?: string };
    resources?: { kind: string; name: string; status?: string; health?: { status?: string; message?: string } }[];
    operationState?: { phase?: string; message?: string; startedAt?: string };
    conditions?: { type: string; message: string }[];
  };
};

/** What a test waits for: the word of each column of `argocd app list`. */
interface Wanted {
  sync?: 'Synced' | 'OutOfSync';
  health?: 'Healthy' | 'Degraded' | 'Progressing' | 'Suspended';
  /** The commit that the Application is compared with. */
  revision?: string;
}

/** Argo CD: application controller, repository server, ApplicationSet controller, and redis. */
export interface ArgoCd {
  apply(yaml: string): Promise<void>;
  application(name: string): Promise<Application | undefined>;
  applications(): Promise<Application[]>;
  /** What `argocd app get --refresh` does; resolves when the Applications have been compared anew. */
  refresh(...names: string[]): Promise<void>;
  /** What `argocd app get --hard-refresh` does: the same, but the manifests are rendered anew instead of read from the cache. */
  hardRefresh(...names: string[]): Promise<void>;
  /** What a webhook of the git server does to an ApplicationSet: it reads the repository again. */
  readAgain(applicationSet: string): Promise<void>;
  /** The same for the ApplicationSet and then for each of its Applications. */
  pulled(applicationSet: string): Promise<void>;
  /** Resolves when an Application is as wanted; `argocd app wait`. */
  until(name: string, wanted: Wanted): Promise<Application>;
  gone(name: string): Promise<void>;
  deleteApplication(name: string): Promise<void>;
  /** Starts the API server at the first call. Resolves with the answer of its REST API; throws what it refuses. */
  rest(method: string, path: string, body?: JsonObject): Promise<JsonObject>;
}

const PATIENCE_MS = 180_000;

/** Polls until `probe` resolves to something. Rejects after 3 minutes with what it waited for. */
export async function waitFor<T>(probe: () => Promise<T | undefined>, what: () => string): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what()}`);
    await sleep(100);
  }
}

/** The value of an answer. While the API server starts to serve a new CRD, it answers 429; the call is then made again, as client-go does. */
const served = <T>(call: () => Promise<KubeResult<T>>): Promise<T> =>
  waitFor(
    async () => {
      const answer = await call();
      return !answer.ok && answer.status.code === 429 ? undefined : must(Promise.resolve(answer));
    },
    () => 'the API server to serve the resources of Argo CD',
  );

/** Installs Argo CD from its own manifest (without its Deployments, whose programs run on this machine) and starts its programs. */
export async function startArgoCd(stack: Stack, { progressiveSyncs = false } = {}): Promise<ArgoCd> {
  const { envtest, binaries, world } = stack;
  const outside = /^(Deployment|StatefulSet|NetworkPolicy|Service)$/;
  const objects = objectsOf(binaries.argocdManifest).filter(({ kind = '' }) => !outside.test(kind));
  await applyAll(envtest, [namespaceObject(NAMESPACE)], NAMESPACE);
  await applyAll(envtest, objects, NAMESPACE);
  // The API server writes these when it starts for the first time.
  await applyAll(envtest, objectsIn(FIRST_START), NAMESPACE);
  await applyAll(envtest, objectsIn(manifest('argocd-cm.yaml')), NAMESPACE);
  const server = await startPrograms(stack, progressiveSyncs);
  const { kube } = world;
  const annotate = async (resource: KubeResource, name: string, annotation: string, value: string) => {
    const metadata = { annotations: { [annotation]: value } };
    await served(() => kube.patch(resource, NAMESPACE, name, { metadata }));
    await waitFor(
      async () => {
        const got = await kube.get(resource, NAMESPACE, name);
        return got.ok && got.value.metadata.annotations?.[annotation] !== undefined ? undefined : true;
      },
      () => `${resource.kind} ${name} to be refreshed`,
    );
  };
  let api: Promise<string> | undefined;

  const argo: ArgoCd = {
    apply: yaml => applyAll(envtest, objectsIn(yaml), NAMESPACE),
    async application(name) {
      const got = await kube.get(APPLICATIONS, NAMESPACE, name);
      return got.ok ? (got.value as Application) : undefined;
    },
    async applications() {
      return (await served(() => kube.list(APPLICATIONS, {}))).items as Application[];
    },
    async refresh(...names) {
      await Promise.all(names.map(name => annotate(APPLICATIONS, name, 'argocd.argoproj.io/refresh', 'normal')));
    },
    async hardRefresh(...names) {
      await Promise.all(names.map(name => annotate(APPLICATIONS, name, 'argocd.argoproj.io/refresh', 'hard')));
    },
    readAgain: name => annotate(APPLICATION_SETS, name, 'argocd.argoproj.io/application-set-refresh', 'true'),
    async pulled(applicationSet) {
      await argo.readAgain(applicationSet);
      const all = await argo.applications();
      const own = all.filter(({ metadata }) => metadata.ownerReferences?.some(({ name }) => name === applicationSet));
      // One that the ApplicationSet has just deleted may be gone.
      const kept = own.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      await argo.refresh(...kept.map(({ metadata }) => metadata.name));
    },
    async until(name, wanted) {
      let last: Application | undefined;
      return waitFor(
        async () => {
          last = await argo.application(name);
          return last && isAs(last, wanted) ? last : undefined;
        },
        () => `${name} to be ${JSON.stringify(wanted)}; it is ${summary(last)}`,
      );
    },
    async gone(name) {
      let last: Application | undefined;
      await waitFor(
        async () => {
          last = await argo.application(name);
          return last ? undefined : true;
        },
        () => `${name} to be gone; it is ${summary(last)}`,
      );
    },
    async deleteApplication(name) {
      await must(kube.delete(APPLICATIONS, NAMESPACE, name));
      await argo.gone(name);
    },
    async rest(method, path, body) {
      api ??= server();
      const response = await fetch(`${await api}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body && JSON.stringify(body),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
      return JSON.parse(text) as JsonObject;
    },
  };
  return argo;
}

function isAs({ status = {} }: Application, { sync, health, revision }: Wanted): boolean {
  return (
    (sync === undefined || status.sync?.status === sync) &&
    (health === undefined || status.health?.status === health) &&
    (revision === undefined || status.sync?.revision === revision)
  );
}

/** What an Application says of itself, without its history. */
function summary(application: Application | undefined): string {
  const { sync, health, resources, operationState, conditions } = application?.status ?? {};
  const { phase, message } = operationState ?? {};
  const deletion = application?.metadata.deletionTimestamp;
  return JSON.stringify({ sync, health, deletion, resources, phase, message, conditions }, null, 1);
}

/** The text of a file of manifests/argocd, with the repositories of the test in place of the examples'. */
export function manifest(name: string, repositories: { tenants?: string; operator?: string } = {}): string {
  return readFileSync(new URL(`../../../manifests/argocd/${name}`, import.meta.url), 'utf8')
    .replaceAll('https://git.example.com/platform/tenants.git', repositories.tenants ?? '')
    .replaceAll('https://git.example.com/platform/aitenant-operator.git', repositories.operator ?? '');
}

const namespaceObject = (name: string) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });

const FIRST_START = `
apiVersion: v1
kind: Secret
metadata:
  name: argocd-secret
  labels: { app.kubernetes.io/name: argocd-secret, app.kubernetes.io/part-of: argocd }
stringData: { server.secretkey: of-the-test }
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: { name: default }
spec:
  sourceRepos: ['*']
  destinations: [{ server: '*', namespace: '*' }]
  clusterResourceWhitelist: [{ group: '*', kind: '*' }]
`;

/** Starts redis and the three programs. Returns what starts the API server and resolves with its address. */
async function startPrograms(stack: Stack, progressiveSyncs: boolean): Promise<() => Promise<string>> {
  const { folder, binaries, envtest, run } = stack;
  const ports = await freePorts(9);
  const [redis, repo, repoMetrics, appMetrics, setMetrics, setProbe, setWebhook, server, serverMetrics] = ports;
  const kubeconfigOf = async (account: string): Promise<string> => {
    const path = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/${account}/token`;
    const answer = await envtest.ask('POST', path, { spec: { expirationSeconds: 24 * 3600 } });
    const { status } = JSON.parse(answer.body) as { status: { token: string } };
    const file = join(folder, `${account}.kubeconfig`);
    writeFileSync(file, kubeconfigText(envtest.url, envtest.ca, status.token), { mode: 0o600 });
    return file;
  };
  for (const name of ['tls', 'ssh', 'tmp']) mkdirSync(join(folder, name), { recursive: true });
  const start = async (role: string, args: string[], account: string | undefined = role) => {
    const kubeconfig = account && (await kubeconfigOf(account));
    run(role, binaries.argocd, [...(kubeconfig ? [`--namespace=${NAMESPACE}`] : []), ...args], {
      ARGOCD_BINARY_NAME: role,
      ARGOCD_FAKE_IN_CLUSTER: 'true',
      ARGOCD_GPG_ENABLED: 'false',
      ARGOCD_TLS_DATA_PATH: join(folder, 'tls'),
      ARGOCD_SSH_DATA_PATH: join(folder, 'ssh'),
      PATH: `${dirname(binaries.kustomize)}${delimiter}${process.env.PATH}`,
      TMPDIR: join(folder, 'tmp'),
      ...(kubeconfig && { KUBECONFIG: kubeconfig }),
    });
  };
  run('redis', binaries.redisServer, ['--bind', '127.0.0.1', '--port', `${redis}`, '--save', '', '--dir', folder]);
  const repoServer = `127.0.0.1:${repo}`;
  const toOthers = ['--redis', `127.0.0.1:${redis}`, '--repo-server', repoServer, '--repo-server-plaintext'];
  await start(
    'argocd-repo-server',
    [
      ...['--redis', `127.0.0.1:${redis}`, '--disable-tls', '--address=127.0.0.1', `--port=${repo}`],
      ...['--metrics-address=127.0.0.1', `--metrics-port=${repoMetrics}`],
    ],
    '',
  );
  await start('argocd-application-controller', [...toOthers, `--metrics-port=${appMetrics}`]);
  await start('argocd-applicationset-controller', [
    ...['--argocd-repo-server', repoServer, '--repo-server-plaintext'],
    ...[`--metrics-addr=127.0.0.1:${setMetrics}`, `--probe-addr=127.0.0.1:${setProbe}`],
    `--webhook-addr=127.0.0.1:${setWebhook}`,
    ...(progressiveSyncs ? ['--enable-progressive-syncs'] : []),
  ]);
  return async () => {
    await start('argocd-server', [
      ...toOthers,
      ...['--insecure', '--disable-auth', '--address=127.0.0.1', `--port=${server}`, `--metrics-port=${serverMetrics}`],
    ]);
    const url = `http://127.0.0.1:${server}`;
    await waitFor(
      () =>
        fetch(`${url}/api/version`).then(
          ({ ok }) => ok || undefined,
          () => undefined,
        ),
      () => 'argocd-server to answer',
    );
    return url;
  };
}
