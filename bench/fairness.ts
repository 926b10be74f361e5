import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { METHODS } from '../operator/gcp/methods.ts';
import { type Limits, PUBLISHED, UNLIMITED } from '../operator/gcp/quota.ts';
import { createEventRecorder } from '../operator/kube/eventRecorder.ts';
import { createOperator, type Operator } from '../operator/operator.ts';
import type { GcpCall } from '../ports/gcp.ts';
import type { JsonObject } from '../ports/json.ts';
import type { KubeApi, KubeObject } from '../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../ports/kubeResources.ts';
import { createGcpCore } from '../sandbox/gcp/core.ts';
import { PUBLISHED_LIMITS } from '../sandbox/gcp/quotas.ts';
import { scriptedContainers } from '../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore } from '../sandbox/kube/index.ts';
import { createClock, createRandom } from '../test/sim/clock.ts';
import type { Figure } from './support/figure.ts';
import { publish } from './support/report.ts';

/**
 * What one namespace's work costs the others, with the published quotas, in virtual time: a read takes 50 ms, a write 300 ms
 * and a service 2 s until it serves. The figures are those of the operator's order, not of this machine.
 */

const PROJECT = 'project-0';
/** A region holds 1,000 services of a project; budgets of Cloud Run are a region's. */
const REGIONS = [
  'asia-northeast1',
  'asia-east1',
  'asia-southeast1',
  'europe-west1',
  'europe-west4',
  'us-central1',
  'us-east1',
  'us-east4',
  'us-west1',
  'us-west2',
  'europe-north1',
  'australia-southeast1',
];
const regionOf = (count: number, index: number): string =>
  REGIONS[count > 1_000 ? index % REGIONS.length : 0] ?? REGIONS[0] ?? '';
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
const LATENCY_MS = { read: 50, write: 300 };
/** An edit, and a closing, of another namespace comes so often. */
const EVERY_MS = 10_000;
const SAMPLES = 30;

/** `--n=N`: so many deletions, and a tenth as many creations. */
const asked = process.argv.find(argument => argument.startsWith('--n='))?.slice('--n='.length);
const DELETIONS = Number(asked?.split(',')[0] ?? 10_000);
const CREATIONS = Math.max(100, DELETIONS / 10);
const figures: Figure[] = [];
const figure = (what: string, value: number, target?: string, plot = false): void => {
  figures.push({ what, value, target, plot });
  console.error(`  ${what}: ${Math.round(value * 100) / 100}`);
};

await creations();
await deletions();
publish({
  name: 'fairness',
  title: 'What one namespace’s work costs the others',
  figures,
  notes: [
    `Published quotas, one project, virtual time: a read takes ${LATENCY_MS.read} ms, a write ${LATENCY_MS.write} ms.`,
    `The other namespace edits one tenant and closes one every ${EVERY_MS / 1000} s, ${SAMPLES} times each.`,
  ],
});
process.exit(0);

/** One namespace creates 1,000 tenants at once. */
async function creations(): Promise<void> {
  const count = CREATIONS - 2 * SAMPLES;
  const world = await createWorld();
  await world.make('modest', 2 * SAMPLES, UNLIMITED);
  await world.prepare('greedy', count);
  await world.start(PUBLISHED);
  world.reset();
  const start = world.clock.monotonic();
  await world.create('greedy', count);
  const waits = await world.sample();
  const firstReady = Math.min(...world.readyAt('greedy')) - start;
  figure(`${count} creations: another’s edit → write, p99 s`, p99(waits.edits) / 1000, '≤ 10', true);
  figure(`${count} creations: another’s closing of access → write, p99 s`, p99(waits.closings) / 1000, '≤ 5', true);
  figure(`${count} creations: first Ready, s`, firstReady / 1000, '≤ 30', true);
  figure(`${count} creations: Ready after ${(SAMPLES * EVERY_MS) / 60_000} min`, world.readyAt('greedy').length);
  figure(`${count} creations: API-server reads a Google call`, world.kubeReads() / world.calls(), '≤ 3', true);
  figure(`${count} creations: calls refused`, world.refused(), '≤ 0');
  await world.stop();
}

/** One namespace deletes 10,000 tenants at once. */
async function deletions(): Promise<void> {
  const count = DELETIONS - 2 * SAMPLES;
  const world = await createWorld();
  await world.make('modest', 2 * SAMPLES, UNLIMITED);
  await world.make('greedy', count, UNLIMITED);
  await world.clock.advance(300_000);
  await world.start(PUBLISHED);
  world.reset();
  await world.remove('greedy', count);
  const waits = await world.sample();
  figure(`${count} deletions: another’s edit → write, p99 s`, p99(waits.edits) / 1000, '≤ 10', true);
  figure(`${count} deletions: another’s closing of access → write, p99 s`, p99(waits.closings) / 1000, '≤ 5', true);
  figure(`${count} deletions: gone after ${(SAMPLES * EVERY_MS) / 60_000} min`, count - (await world.left('greedy')));
  figure(`${count} deletions: API-server reads a Google call`, world.kubeReads() / world.calls(), '≤ 3', true);
  figure(`${count} deletions: calls refused`, world.refused(), '≤ 0');
  await world.stop();
}

function p99(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? Number.POSITIVE_INFINITY;
}

async function createWorld() {
  const clock = createClock(createRandom(1));
  const google = createGcpCore({
    runtime: clock,
    projects: [{ id: PROJECT, number: '500000000000' }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 2_000 },
    limits: {},
    accountsPerProject: 100_000,
    logSize: 1,
    containers: scriptedContainers(clock, new Map(), 0),
  });
  const kubeCore = createKubeCore({ runtime: clock });
  const ready = new Map<string, number>();
  const counts = { calls: 0, refused: 0, kubeReads: 0 };
  /** Writes that somebody waits for, by the resource's name. */
  const awaited = new Map<string, (at: number) => void>();
  let operator: Operator | undefined;

  const gcp: GcpCall = async (method, request, options) => {
    counts.calls++;
    const isWrite = METHODS.get(method)?.write === true;
    await new Promise<void>(resolve => clock.after(LATENCY_MS[isWrite ? 'write' : 'read'], resolve));
    const result = await google.call(method, request, options);
    if (!result.ok && result.status.code === 'RESOURCE_EXHAUSTED') counts.refused++;
    const name = String((request.service as JsonObject | undefined)?.name ?? request.resource);
    if (isWrite && result.ok) awaited.get(name)?.(clock.monotonic());
    return result;
  };
  const kube: KubeApi = {
    ...kubeCore.api,
    get: (...args) => {
      counts.kubeReads++;
      return kubeCore.api.get(...args);
    },
    list: (...args) => {
      counts.kubeReads++;
      return kubeCore.api.list(...args);
    },
  };
  const crd = parse(readFileSync(new URL('../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  await done(kubeCore.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd));

  const name = (index: number): string => `t-${String(index).padStart(5, '0')}`;
  /** Names of accounts and services are the tenants’, so no two namespaces may use one. */
  const nameIn = (namespace: string, index: number): string => `${namespace.slice(0, 10)}${name(index)}`;

  async function start(limits: Limits): Promise<void> {
    google.quotas.limits = limits === UNLIMITED ? {} : { ...PUBLISHED_LIMITS, run: { read: 3_000, write: 180 } };
    operator = createOperator({
      kube,
      gcp,
      limits,
      runtime: clock,
      settings: {
        projects: [],
        defaultImage: 'gcr.io/cloudrun/hello',
        claimPolicy: 'labelled',
        clusterId: 'bench',
        regionMoveGraceMs: 3_600_000,
        syncIntervalMs: 600_000,
      },
      events: createEventRecorder({ api: kube, runtime: clock, component: 'bench', instance: 'bench' }),
      log: () => {},
      workers: 8,
      mayAct: () => true,
      onReport({ namespace, name }, { conditions }) {
        const isReady = conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
        const key = `${namespace}/${name}`;
        if (!isReady) ready.delete(key);
        else if (!ready.has(key)) ready.set(key, clock.monotonic());
      },
      onGone: key => void ready.delete(key),
    });
    await clock.advance(100);
    await operator.synced;
    operator.start();
    await clock.advance(5_000);
  }

  async function stop(): Promise<void> {
    const stopping = operator?.stop();
    await clock.advance(60_000);
    await stopping;
  }

  async function prepare(namespace: string, count: number): Promise<void> {
    const { limits } = google.quotas;
    google.quotas.limits = {};
    const metadata = { name: namespace, annotations: { 'ai-platform.dev/project-id': PROJECT } };
    await kubeCore.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata });
    for (let index = 0; index < count; index++) {
      const secretId = `${nameIn(namespace, index)}-key`;
      const secret = { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': namespace } };
      await done(google.call(`${SECRETS}.CreateSecret`, { parent: `projects/${PROJECT}`, secretId, secret }));
      const parent = `projects/${PROJECT}/secrets/${secretId}`;
      await done(google.call(`${SECRETS}.AddSecretVersion`, { parent, payload: { data: 'c2s=' } }));
    }
    google.quotas.limits = limits;
  }

  async function create(namespace: string, count: number): Promise<void> {
    for (let index = 0; index < count; index++) {
      const own = nameIn(namespace, index);
      const spec = {
        region: regionOf(count, index),
        keys: [{ name: 'openai', secretRef: { external: `${own}-key` }, env: 'OPENAI_API_KEY' }],
        scaling: { minInstances: 0, maxInstances: 10 },
      };
      const metadata = { name: own, namespace };
      const object = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata, spec };
      await done(kubeCore.api.create(AI_TENANTS, namespace, object));
    }
  }

  /** How long until the service of a tenant is written to after its spec was edited, milliseconds. */
  async function edited(namespace: string, index: number, spec: JsonObject): Promise<number> {
    const own = nameIn(namespace, index);
    const service = `projects/${PROJECT}/locations/${REGIONS[0]}/services/ai-platform-${own}`;
    const start = clock.monotonic();
    await done(kubeCore.api.patch(AI_TENANTS, namespace, own, { spec }));
    return new Promise(resolve => {
      awaited.set(service, at => {
        awaited.delete(service);
        resolve(at - start);
      });
    });
  }

  return {
    clock,
    prepare,
    create,
    start,
    stop,
    reset() {
      counts.calls = counts.refused = counts.kubeReads = 0;
    },
    calls: () => counts.calls,
    refused: () => counts.refused,
    kubeReads: () => counts.kubeReads,
    readyAt: (namespace: string) => [...ready].flatMap(([key, at]) => (key.startsWith(`${namespace}/`) ? [at] : [])),
    /** Ready tenants, made by an operator with these limits. */
    async make(namespace: string, count: number, limits: Limits) {
      await prepare(namespace, count);
      await start(limits);
      await create(namespace, count);
      const isReady = () => [...ready.keys()].filter(key => key.startsWith(`${namespace}/`)).length === count;
      for (let minute = 0; !isReady(); minute++) {
        if (minute > 60) throw new Error(`not all tenants of ${namespace} have become Ready`);
        await clock.advance(60_000);
      }
      await stop();
    },
    async remove(namespace: string, count: number) {
      for (let index = 0; index < count; index++) {
        await done(kubeCore.api.delete(AI_TENANTS, namespace, nameIn(namespace, index)));
      }
    },
    async left(namespace: string): Promise<number> {
      const listed = await kubeCore.api.list(AI_TENANTS, { namespace });
      return listed.ok ? listed.value.items.length : Number.NaN;
    },
    /** One edit and one closing of access again and again; the time of those that never came is infinite. */
    async sample() {
      const edits: number[] = Array.from({ length: SAMPLES }, () => Number.POSITIVE_INFINITY);
      const closings = [...edits];
      for (let index = 0; index < SAMPLES; index++) {
        void edited('modest', index, { timeoutSeconds: 100 }).then(ms => {
          edits[index] = ms;
        });
        void edited('modest', SAMPLES + index, { access: 'Authenticated' }).then(ms => {
          closings[index] = ms;
        });
        await clock.advance(EVERY_MS);
      }
      await clock.advance(EVERY_MS);
      return { edits, closings };
    },
  };
}

async function done(result: Promise<{ ok: true } | { ok: false; status: { message: string } }>): Promise<void> {
  const answer = await result;
  if (!answer.ok) throw new Error(answer.status.message);
}
