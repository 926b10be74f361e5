import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { createGcpClient } from '../../../operator/gcp/client.ts';
import { endpointsFrom } from '../../../operator/gcp/endpoints.ts';
import { createEventRecorder } from '../../../operator/kube/eventRecorder.ts';
import type { QueueHooks } from '../../../operator/kube/queue.ts';
import { createOperator, type Operator } from '../../../operator/operator.ts';
import type { Condition, Settings, TenantStatus } from '../../../operator/tenant/types.ts';
import type { GcpCall } from '../../../ports/gcp.ts';
import type { JsonObject } from '../../../ports/json.ts';
import type { KubeApi, KubeObject, KubeResource } from '../../../ports/kube.ts';
import { AI_TENANTS, EVENTS, NAMESPACES } from '../../../ports/kubeResources.ts';
import type { Runtime } from '../../../ports/runtime.ts';
import { realRuntime } from '../../../ports/runtime.ts';
import type { CloudSettings } from '../../../sandbox/gcp/contracts.ts';
import { createGcpCore, type GcpCore } from '../../../sandbox/gcp/core.ts';
import type { Instances } from '../../../sandbox/gcp/instances/instances.ts';
import { type Containers, endsAtOnce, type StartOutcome } from '../../../sandbox/gcp/run/containers.ts';
import type { Run } from '../../../sandbox/gcp/run/run.ts';
import { startGcpServer } from '../../../sandbox/gcp/wire/http.ts';
import { type Cluster, installCrd, openCluster } from './cluster.ts';

/**
 * A whole world for end-to-end tests: Kubernetes API, Google Cloud and operator, over real HTTP; only the containers are
 * a script (an image whose name ends in `:broken` never listens). Every world has its own ports and state.
 */
export interface World {
  kube: KubeApi;
  cluster: Cluster;
  gcp: GcpCall;
  gcpCore: GcpCore;
  run: Run;
  operator: Operator;
  settings: Settings;
  logs: string[];
  /** Answers for images by name; others come up at once. */
  images: Map<string, StartOutcome>;
  kubeUrl: string;
  gcpUrl: string;
  close(): Promise<void>;
  /** Sets everybody's wall clock forward; timers that run go on as they were. */
  later(ms: number): void;
  /** Empties Google Cloud's log and counters. */
  forget(): void;
  /** The log's writes, oldest first: `SetIamPolicy projects/123/secrets/s`; refused ones with their code. */
  writes(): string[];
  /** Ends the operator and starts another one over the same state. */
  restart(settings?: Partial<Settings>): Promise<void>;

  secret(id: string, options?: SecretOptions): Promise<void>;
  addVersion(id: string, value?: string): Promise<void>;
  apply(
    name: string,
    spec: JsonObject,
    options?: { namespace?: string; annotations?: Record<string, string> },
  ): Promise<void>;
  edit(name: string, spec: JsonObject, namespace?: string): Promise<void>;
  annotate(name: string, annotations: Record<string, string | null>, namespace?: string): Promise<void>;
  remove(name: string, namespace?: string): Promise<void>;
  tenant(name: string, namespace?: string): Promise<(KubeObject & { status?: TenantStatus }) | undefined>;
  /** Waits until Ready is True for the newest generation, and answers the status. */
  ready(name: string, namespace?: string): Promise<TenantStatus>;
  /** Waits until Ready has that reason for the newest generation, and answers the condition. */
  reason(name: string, reason: string, namespace?: string): Promise<Condition>;
  gone(name: string, namespace?: string): Promise<void>;
  /** A full check now; resolves when it has been answered. */
  check(name: string, namespace?: string): Promise<void>;
  events(name: string): Promise<string[]>;

  service(name: string, region?: string): Promise<JsonObject | undefined>;
  account(name: string): Promise<JsonObject | undefined>;
  secretMembers(id: string): Promise<string[]>;
  must(method: string, request: JsonObject): Promise<JsonObject>;
}

interface SecretOptions {
  labels?: Record<string, string>;
  value?: string | null;
  project?: string;
}

export const PROJECT = 'demo-project';
export const NUMBER = '123456789012';
export const REGION = 'asia-northeast1';

export const RUN = 'google.cloud.run.v2.Services';
export const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
export const IAM = 'google.iam.admin.v1.IAM';

/** The smallest useful spec. */
export const spec = (over: JsonObject = {}): JsonObject => ({
  region: REGION,
  keys: [{ name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' }],
  scaling: { minInstances: 0, maxInstances: 10 },
  ...over,
});

export async function createWorld(
  options: {
    settings?: Partial<Settings>;
    cloud?: Partial<CloudSettings>;
    noOperator?: boolean;
    /** Another than `openCluster` would give. */
    cluster?: Cluster;
    workers?: number;
    accountsPerProject?: number;
    /** The YAML text of the AiTenants' CRD; that of `crds/aitenants.yaml` unless said otherwise. */
    crd?: string;
    /** Config Connector's SecretManagerSecret is installed. */
    connector?: boolean;
    /** What runs the services, in place of the script. */
    instances?: Pick<Instances, 'containers' | 'urls' | 'logUri' | 'attach'>;
    /** What the operator calls, in place of Google Cloud over HTTP: `core` is the same cloud without the wire. */
    operatorGcp?: (core: GcpCall) => GcpCall;
    hooks?: QueueHooks;
    /** False: the operator is as good as dead. */
    mayAct?: () => boolean;
  } = {},
): Promise<World> {
  let ahead = 0;
  const runtime: Runtime = {
    ...realRuntime,
    now: () => realRuntime.now() + ahead,
    monotonic: () => realRuntime.monotonic() + ahead,
  };
  const images = new Map<string, StartOutcome>();
  const gcpCore = createGcpCore({
    runtime,
    projects: [
      { id: PROJECT, number: NUMBER },
      { id: 'other-project', number: '210987654321' },
    ],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 20, ...options.cloud },
    limits: {},
    accountsPerProject: options.accountsPerProject,
    containers: options.instances?.containers ?? scripted(images),
    urls: options.instances?.urls,
    logUri: options.instances?.logUri,
  });
  const { run } = gcpCore;
  options.instances?.attach(run);
  const cluster = options.cluster ?? (await openCluster(runtime));
  const { kube } = cluster;
  const gcpServer = await startGcpServer({ core: gcpCore });
  const google = createGcpClient({
    runtime,
    endpoints: endpointsFrom({
      CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: gcpServer.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: gcpServer.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: gcpServer.url,
    }),
  });
  await installCrd(kube, options.crd ? parse(options.crd) : fileObject('crds/aitenants.yaml'));
  if (options.connector) await installCrd(kube, fileObject('examples/config-connector/crd.yaml'));

  const logs: string[] = [];
  const settings: Settings = {
    project: PROJECT,
    projects: [],
    defaultImage: 'gcr.io/cloudrun/hello',
    claimPolicy: 'labelled',
    clusterId: 'cluster-1',
    regionMoveGraceMs: 3_600_000,
    syncIntervalMs: 600_000,
    ...options.settings,
  };
  const start = async (over: Partial<Settings> = {}): Promise<Operator> => {
    Object.assign(settings, over);
    const operator = createOperator({
      kube: cluster.operatorKube,
      gcp: options.operatorGcp?.(gcpCore.call) ?? google.call,
      runtime,
      settings,
      events: createEventRecorder({
        api: cluster.operatorKube,
        runtime,
        component: 'aitenant-operator',
        instance: 'test',
      }),
      log: (level, message, fields) => logs.push(JSON.stringify({ level, message, ...fields })),
      workers: options.workers ?? 4,
      mayAct: options.mayAct ?? (() => true),
      hooks: options.hooks,
    });
    await operator.synced;
    if (!options.noOperator) operator.start();
    return operator;
  };

  const call = async (method: string, request: JsonObject): Promise<JsonObject> => {
    const result = await gcpCore.call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
    return result.response;
  };
  const found = async (method: string, request: JsonObject): Promise<JsonObject | undefined> => {
    const result = await gcpCore.call(method, request);
    if (result.ok) return result.response;
    if (result.status.code === 'NOT_FOUND') return undefined;
    throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
  };

  const world: World = {
    kube,
    cluster,
    gcp: google.call,
    gcpCore,
    run,
    operator: await start(),
    settings,
    logs,
    images,
    kubeUrl: cluster.url,
    gcpUrl: gcpServer.url,
    must: call,
    async close() {
      await world.operator.stop();
      run.close();
      google.close();
      await cluster.close();
      await gcpServer.close();
    },
    later(ms) {
      ahead += ms;
    },
    forget() {
      gcpCore.requestLog.length = 0;
      gcpCore.counters.reset();
    },
    writes: () =>
      gcpCore.requestLog
        .filter(({ kind }) => kind === 'write')
        .map(({ method, resource, code }) =>
          [method.split('.').at(-1), resource, ...(code === 'OK' ? [] : [code])].join(' '),
        ),
    async restart(over) {
      await world.operator.stop();
      world.operator = await start(over);
    },
    async secret(id, { labels = { 'ai-tenant-namespace': 'default' }, value = `sk-${id}`, project = PROJECT } = {}) {
      const secret: JsonObject = { replication: { automatic: {} }, labels };
      await call(`${SECRETS}.CreateSecret`, { parent: `projects/${project}`, secretId: id, secret });
      if (value !== null) await world.addVersion(id, value);
    },
    async addVersion(id, value = 'sk-more') {
      const payload = { data: Buffer.from(value).toString('base64') };
      await call(`${SECRETS}.AddSecretVersion`, { parent: `projects/${PROJECT}/secrets/${id}`, payload });
    },
    async apply(name, tenantSpec, { namespace = 'default', annotations } = {}) {
      const object = {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name, namespace, annotations },
        spec: tenantSpec,
      };
      await must(kube.create(AI_TENANTS, namespace, object as KubeObject));
    },
    async edit(name, patch, namespace = 'default') {
      await must(kube.patch(AI_TENANTS, namespace, name, { spec: patch }));
    },
    async annotate(name, annotations, namespace = 'default') {
      await must(kube.patch(AI_TENANTS, namespace, name, { metadata: { annotations } }));
    },
    async remove(name, namespace = 'default') {
      await must(kube.delete(AI_TENANTS, namespace, name));
    },
    async tenant(name, namespace = 'default') {
      const got = await kube.get(AI_TENANTS, namespace, name);
      return got.ok ? (got.value as KubeObject & { status?: TenantStatus }) : undefined;
    },
    async ready(name, namespace) {
      await world.reason(name, 'UpToDate', namespace);
      const tenant = await world.tenant(name, namespace);
      return tenant?.status as TenantStatus;
    },
    async reason(name, reason, namespace) {
      let last: Condition | undefined;
      return until(
        async () => {
          const tenant = await world.tenant(name, namespace);
          last = tenant?.status?.conditions?.find(({ type }) => type === 'Ready');
          return last?.reason === reason && last.observedGeneration === tenant?.metadata.generation ? last : undefined;
        },
        () => `${name} to be ${reason}; it is ${last?.reason}: ${last?.message}\n${logs.slice(-15).join('\n')}`,
      );
    },
    async gone(name, namespace) {
      let last: unknown;
      await until(
        async () => {
          const tenant = await world.tenant(name, namespace);
          last = tenant?.status?.conditions;
          return tenant === undefined ? true : undefined;
        },
        () => `${name} to be gone: ${JSON.stringify(last)}\n${logs.slice(-15).join('\n')}`,
      );
    },
    async check(name, namespace) {
      const at = `${Date.now()}-${Math.random()}`;
      await world.annotate(name, { 'ai-platform.dev/reconcile-requested-at': at }, namespace);
      await until(
        async () => ((await world.tenant(name, namespace))?.status?.lastHandledReconcileAt === at ? true : undefined),
        () => `${name} to be checked`,
      );
    },
    async events(name) {
      const listed = await must(kube.list(EVENTS, { fieldSelector: `involvedObject.name=${name}` }));
      return listed.items.map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
    },
    service: (name, region = REGION) =>
      found(`${RUN}.GetService`, { name: `projects/${PROJECT}/locations/${region}/services/ai-platform-${name}` }),
    account: name =>
      found(`${IAM}.GetServiceAccount`, {
        name: `projects/${PROJECT}/serviceAccounts/sa-${name}@${PROJECT}.iam.gserviceaccount.com`,
      }),
    async secretMembers(id) {
      const policy = await call(`${SECRETS}.GetIamPolicy`, { resource: `projects/${PROJECT}/secrets/${id}` });
      return ((policy.bindings ?? []) as { members: string[] }[]).flatMap(({ members }) => members);
    },
  };
  return world;
}

const fileObject = (path: string): KubeObject =>
  parse(readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8')) as KubeObject;

/** Instances as a script: `:broken` never listens, what `images` names does as it says. */
function scripted(images: Map<string, StartOutcome>): Containers {
  return {
    start(container, _scale, judged) {
      let stopped = false;
      const env = container.instanceEnv();
      const outcome: StartOutcome = !env.ok
        ? { ok: false, why: 'env', message: env.message }
        : (images.get(container.image) ??
          (container.image.endsWith(':broken') || endsAtOnce(container.image)
            ? { ok: false, why: 'notListening' }
            : { ok: true }));
      realRuntime.after(1, () => {
        if (!stopped) judged(outcome);
      });
      return {
        scale() {},
        stop() {
          stopped = true;
        },
      };
    },
  };
}

/** The value of an answer of the Kubernetes API; throws what it refuses with. */
export async function must<T>(
  result: Promise<{ ok: true; value: T } | { ok: false; status: { code: number; message: string } }>,
): Promise<T> {
  const answer = await result;
  if (!answer.ok) throw new Error(`${answer.status.code} ${answer.status.message}`);
  return answer.value;
}

/** Polls until `probe` answers something; fails with what it waited for. */
export async function until<T>(probe: () => Promise<T | undefined>, what: () => string, ms = 45_000): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() > deadline) throw new Error(`Waited in vain for ${what()}`);
    await new Promise(resolve => setTimeout(resolve, 25));
  }
}

/** Creates a namespace. */
export async function namespace(world: World, name: string, annotations: Record<string, string> = {}): Promise<void> {
  await must(world.kube.create(NAMESPACES as KubeResource, undefined, { metadata: { name, annotations } }));
}
