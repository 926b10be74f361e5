import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { METHODS } from '../../operator/gcp/methods.ts';
import type { Limits } from '../../operator/gcp/quota.ts';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createOperator, type Operator } from '../../operator/operator.ts';
import type { Settings } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../ports/kubeResources.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import type { Limits as CloudLimits } from '../../sandbox/gcp/quotas.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore, type KubeCore } from '../../sandbox/kube/index.ts';
import { createTimeline, type Timeline } from './timeline.ts';

const REGION = 'asia-northeast1';
export const INTERVAL_MS = 600_000;
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';

/** Cluster, Google Cloud and operator in one process, without sockets: what is measured is not HTTP. */
export interface World {
  time: Timeline;
  kube: KubeApi;
  kubeCore: KubeCore;
  google: GcpCore;
  settings: Settings;
  traffic: Traffic;
  /** Milliseconds spent inside the two stand-ins: what the operator can't be faster than. */
  busy: { gcpMs: number; kubeMs: number };
  /** Keys of the tenants whose last report said Ready. */
  ready: Set<string>;
  /** Hands the operator's calls on, counted. */
  gcp: GcpCall;
  operatorKube: KubeApi;
  /** A secret with one version for each tenant, in its project, with consent. */
  prepare(count: number): Promise<void>;
  /** So many in all. */
  createTenants(count: number): Promise<void>;
  /** Those of the first `count` tenants that live in the project of this index. */
  createTenantsOf(project: number, count: number): Promise<void>;
  start(workers?: number): Promise<Operator>;
}

/** Calls of the operator since the last reset, by kind. */
interface Traffic {
  /** List calls that answer for many tenants; a list of one secret's versions is none. */
  lists: number;
  others: number;
  writes: number;
  /** For want of quota. */
  refused: number;
  byMethod: Map<string, number>;
  /** Told of each write, before it goes out. */
  onWrite: (method: string, request: JsonObject) => void;
  reset(): void;
}

/** The number of projects, unless it is given. Each has a namespace. */
const PROJECTS = 10;
const SHARED_LISTS = /\.(?:ListServices|ListServiceAccounts|ListSecrets)$/;
const namespaceOf = (index: number, projects: number) => `team-${index % projects}`;
export const tenantName = (index: number) => `t-${String(index).padStart(5, '0')}`;
export const tenantKey = (index: number, projects = PROJECTS) => `${namespaceOf(index, projects)}/${tenantName(index)}`;

export async function createWorld(options: {
  creationMs: number;
  /** Quotas of Google Cloud, which the operator's budgets follow; absent: none. */
  quotas?: Limits;
  /** How many projects the tenants are spread over. */
  projects?: number;
  /** What `busy` is measured with, milliseconds; the wall clock by default. */
  clock?: () => number;
}): Promise<World> {
  const { projects = PROJECTS, clock = () => performance.now() } = options;
  const project = (index: number) => `project-${index % projects}`;
  const namespace = (index: number) => namespaceOf(index, projects);
  const time = createTimeline();
  const google = createGcpCore({
    runtime: time,
    projects: Array.from({ length: projects }, (_, i) => ({ id: project(i), number: String(500_000_000_000 + i) })),
    settings: {
      createVisibleMs: 0,
      policyPropagationMs: 0,
      accountPropagationMs: 0,
      deployMs: options.creationMs,
    },
    limits: options.quotas ? limitsOf(options.quotas) : {},
    accountsPerProject: 100_000,
    logSize: 1,
    containers: scriptedContainers(time, new Map(), 0),
  });
  const kubeCore = createKubeCore({ runtime: time });
  const busy = { gcpMs: 0, kubeMs: 0 };
  const ready = new Set<string>();
  let made = 0;
  const traffic = createTraffic();
  const gcp: GcpCall = (method, request, callOptions) => {
    traffic.count(method, request);
    // The core answers in the same turn: what passes until then is its own work.
    const start = clock();
    const answer = google.call(method, request, callOptions);
    busy.gcpMs += clock() - start;
    void answer.then(result => {
      if (!result.ok && result.status.code === 'RESOURCE_EXHAUSTED') traffic.refused++;
    });
    return answer;
  };
  const operatorKube = timed(kubeCore.api, clock, ms => {
    busy.kubeMs += ms;
  });

  const settings: Settings = {
    projects: [],
    defaultImage: 'gcr.io/cloudrun/hello',
    claimPolicy: 'labelled',
    clusterId: 'bench',
    regionMoveGraceMs: 3_600_000,
    syncIntervalMs: INTERVAL_MS,
  };
  const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  await done(kubeCore.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd));
  for (let i = 0; i < projects; i++) {
    const metadata = { name: namespace(i), annotations: { 'ai-platform.dev/project-id': project(i) } };
    await done(kubeCore.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata }));
  }

  const create = (i: number) =>
    done(operatorKube.create(AI_TENANTS, namespace(i), tenant(namespace(i), tenantName(i))));

  return {
    time,
    kube: kubeCore.api,
    kubeCore,
    google,
    settings,
    traffic,
    busy,
    ready,
    gcp,
    operatorKube,
    async prepare(count) {
      for (let i = 0; i < count; i++) {
        const secretId = `${tenantName(i)}-key`;
        const secret = { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': namespace(i) } };
        await done(google.call(`${SECRETS}.CreateSecret`, { parent: `projects/${project(i)}`, secretId, secret }));
        const payload = { data: Buffer.from(`sk-${i}`).toString('base64') };
        const parent = `projects/${project(i)}/secrets/${secretId}`;
        await done(google.call(`${SECRETS}.AddSecretVersion`, { parent, payload }));
      }
    },
    async createTenantsOf(of, count) {
      for (let i = of; i < count; i += projects) await create(i);
      made = count;
    },
    async createTenants(count) {
      for (let i = made; i < count; i++) await create(i);
      made = Math.max(made, count);
    },
    async start(workers = 16) {
      const operator = createOperator({
        kube: operatorKube,
        gcp,
        limits: options.quotas,
        runtime: time,
        settings,
        events: createEventRecorder({ api: operatorKube, runtime: time, component: 'bench', instance: 'bench' }),
        log: () => {},
        workers,
        mayAct: () => true,
        onReport({ namespace, name }, { conditions }) {
          const isReady = conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
          if (isReady) ready.add(`${namespace}/${name}`);
          else ready.delete(`${namespace}/${name}`);
        },
      });
      await operator.synced;
      operator.start();
      return operator;
    },
  };
}

/** Calls of anybody that have reached the local Google Cloud; `shared`: only lists that answer for many tenants. */
export function callsOf({ google }: World, shared?: 'shared'): number {
  const counted = Object.entries(google.counters.calls).filter(([method]) => !shared || SHARED_LISTS.test(method));
  return counted.reduce((sum, [, count]) => sum + count, 0);
}

/** In the words of the local Google Cloud. */
function limitsOf(quotas: Limits): CloudLimits {
  const of = (api: 'run' | 'secretmanager' | 'iam') => ({
    read: quotas[`${api}.read`] || undefined,
    write: quotas[`${api}.write`] || undefined,
  });
  return { run: of('run'), secretmanager: of('secretmanager'), iam: of('iam') };
}

function tenant(namespace: string, name: string): KubeObject {
  return {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name, namespace },
    spec: {
      region: REGION,
      keys: [{ name: 'openai', secretRef: { external: `${name}-key` }, env: 'OPENAI_API_KEY' }],
      scaling: { minInstances: 0, maxInstances: 10 },
    },
  };
}

function createTraffic(): Traffic & { count(method: string, request: JsonObject): void } {
  const traffic = {
    lists: 0,
    others: 0,
    writes: 0,
    refused: 0,
    byMethod: new Map<string, number>(),
    onWrite: (_method: string, _request: JsonObject) => {},
    reset() {
      traffic.lists = traffic.others = traffic.writes = traffic.refused = 0;
      traffic.byMethod.clear();
    },
    count(method: string, request: JsonObject) {
      if (SHARED_LISTS.test(method)) traffic.lists++;
      else traffic.others++;
      const short = method.split('.').at(-1) ?? method;
      traffic.byMethod.set(short, (traffic.byMethod.get(short) ?? 0) + 1);
      if (!METHODS.get(method)?.write) return;
      traffic.writes++;
      traffic.onWrite(method, request);
    },
  };
  return traffic;
}

/** The same API; `spent` is told how long each call kept the process. */
function timed(api: KubeApi, clock: () => number, spent: (ms: number) => void): KubeApi {
  const measure = <T>(call: () => Promise<T>): Promise<T> => {
    const start = clock();
    const answer = call();
    spent(clock() - start);
    return answer;
  };
  return {
    list: (...args) => measure(() => api.list(...args)),
    watch: (...args) => api.watch(...args),
    get: (...args) => measure(() => api.get(...args)),
    create: (...args) => measure(() => api.create(...args)),
    patch: (...args) => measure(() => api.patch(...args)),
    delete: (...args) => measure(() => api.delete(...args)),
  };
}

async function done(result: Promise<{ ok: true } | { ok: false; status: { message: string } }>): Promise<void> {
  const answer = await result;
  if (!answer.ok) throw new Error(answer.status.message);
}

/** Polls until `probe` holds; throws after `limitMs` of real time. */
export async function until(probe: () => boolean, what: string, limitMs = 1_200_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!probe()) {
    if (performance.now() > deadline) throw new Error(`Waited in vain until ${what}.`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}
