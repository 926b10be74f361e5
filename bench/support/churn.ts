import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { instrument } from '../../operator/gcp/callHooks.ts';
import { PUBLISHED } from '../../operator/gcp/quota.ts';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createOperator } from '../../operator/operator.ts';
import { createCallLog } from '../../operator/process/callLog.ts';
import { createMetrics } from '../../operator/process/metrics.ts';
import { intervalMs } from '../../operator/reconcile/pacing.ts';
import type { GcpCode } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject, KubeResult } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../ports/kubeResources.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { createClock, createRandom } from '../../test/sim/clock.ts';

/** Cluster, Google Cloud and operator in virtual time, in which tenants come and go. */
export interface ChurnWorld {
  /** So many tenants, each in a Namespace that is deleted with it: created, brought to Ready or to a failure, deleted. */
  churn(tenants: number): Promise<void>;
  /** What the caches forget by time is forgotten. */
  rest(): Promise<void>;
  /** What Google Cloud answers instead, if anything. */
  broken: (method: string, request: JsonObject) => GcpCode | undefined;
  metrics(): Promise<string>;
  /** The operator is stopped, and nothing here refers to it any more. */
  release(): Promise<void>;
}

const INTERVAL_MS = 600_000;
/** How many tenants there are at once, and how many Namespaces and projects they are spread over. */
const WAVE = { tenants: 50, namespaces: 5, projects: 5 };
const PROJECTS = 50;
/** Tenants that stay, in a project of their own. */
const STANDING = 10;
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';

export async function createChurnWorld(): Promise<ChurnWorld> {
  const clock = createClock(createRandom(1));
  const ids = ['standing', ...Array.from({ length: PROJECTS }, (_, i) => `project-${i}`)];
  const projects = ids.map((id, i) => ({ id, number: String(500_000_000_000 + i) }));
  const gcp = createGcpCore({
    runtime: clock,
    projects,
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 1_000 },
    limits: {},
    accountsPerProject: 100_000,
    logSize: 1,
    containers: scriptedContainers(clock, new Map()),
  });
  const core = createKubeCore({ runtime: clock });
  const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  must(await core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd));
  for (const { id } of projects) {
    const secret = { replication: { automatic: {} } };
    await gcp.call(`${SECRETS}.CreateSecret`, { parent: `projects/${id}`, secretId: 'key', secret });
    const payload = { data: Buffer.from('sk').toString('base64') };
    await gcp.call(`${SECRETS}.AddSecretVersion`, { parent: `projects/${id}/secrets/key`, payload });
  }

  const runtime = clock.process(createRandom(2));
  const state = { broken: (_method: string, _request: JsonObject): GcpCode | undefined => undefined };
  const settings = {
    projects: [],
    defaultImage: 'gcr.io/cloudrun/hello',
    claimPolicy: 'any' as const,
    clusterId: 'churn',
    regionMoveGraceMs: 3_600_000,
    syncIntervalMs: INTERVAL_MS,
  };
  let operator: ReturnType<typeof createOperator> | undefined;
  let metrics: ReturnType<typeof createMetrics> | undefined;
  const begin = async () => {
    const made = createMetrics(
      () => operator?.stats() as never,
      () => true,
      runtime.now,
      () => operator?.budgets() ?? [],
    );
    const logCall = createCallLog(() => {}, runtime);
    metrics = made;
    operator = createOperator({
      kube: core.api,
      gcp: instrument(
        async (method, request, options) => {
          const code = state.broken(method, request);
          return code ? { ok: false, status: { code, message: 'No.' } } : gcp.call(method, request, options);
        },
        runtime,
        {
          after(end) {
            made.onCall(end);
            logCall(end);
          },
        },
      ),
      limits: PUBLISHED,
      runtime,
      settings,
      events: createEventRecorder({ api: core.api, runtime, component: 'churn', instance: 'churn' }),
      log: () => {},
      workers: 4,
      mayAct: () => true,
      hooks: made.queueHooks,
      onReport: (tenant, status) => made.onReport(tenant, status, intervalMs(tenant, settings)),
      onGone: made.onGone,
    });
    await clock.advance(1_000);
    operator.start();
  };
  await begin();
  const home = { name: 'standing', annotations: { 'ai-platform.dev/project-id': 'standing' } };
  must(await core.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata: home }));
  for (let i = 0; i < STANDING; i++) must(await core.api.create(AI_TENANTS, home.name, tenant(`standing-${i}`, 0)));

  let made = 0;
  async function wave(count: number): Promise<void> {
    const names = Array.from({ length: count }, (_, i) => {
      const namespace = `team-${Math.floor(made / WAVE.tenants)}-${i % WAVE.namespaces}`;
      return {
        namespace,
        name: `tenant-${made + i}`,
        project: `project-${(Math.floor(made / WAVE.tenants) * WAVE.projects + (i % WAVE.projects)) % PROJECTS}`,
        index: made + i,
      };
    });
    made += count;
    const homes = new Map(names.map(({ namespace, project }) => [namespace, project]));
    for (const [name, project] of homes) {
      const metadata = { name, annotations: { 'ai-platform.dev/project-id': project } };
      must(await core.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata }));
    }
    for (const { namespace, name, index } of names)
      must(await core.api.create(AI_TENANTS, namespace, tenant(name, index)));
    await clock.advance(120_000);
    for (const { namespace, name } of names) must(await core.api.delete(AI_TENANTS, namespace, name, {}));
    for (let turn = 0; turn < 60; turn++) {
      await clock.advance(10_000);
      const left = must(await core.api.list(AI_TENANTS, {}));
      if (left.items.length === STANDING) break;
      if (turn === 59) throw new Error(`${left.items.length - STANDING} tenants are left`);
    }
    for (const name of homes.keys()) must(await core.api.delete(NAMESPACES, undefined, name, {}));
  }

  return {
    async churn(tenants) {
      for (let left = tenants; left > 0; left -= WAVE.tenants) await wave(Math.min(left, WAVE.tenants));
    },
    rest: () => clock.advance(2 * 3_600_000),
    get broken() {
      return state.broken;
    },
    set broken(broken) {
      state.broken = broken;
    },
    metrics: async () => (await metrics?.registry.metrics()) ?? '',
    async release() {
      const stopped = operator?.stop();
      await clock.advance(60_000);
      await stopped;
      runtime.kill();
      operator = metrics = undefined;
    },
  };
}

/** Every tenth names a secret that does not exist, and never becomes Ready. */
function tenant(name: string, index: number): KubeObject {
  const external = index % 10 === 9 ? `missing-${index}` : 'key';
  return {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name },
    spec: {
      region: 'asia-northeast1',
      keys: [{ name: 'openai', secretRef: { external }, env: 'OPENAI_API_KEY' }],
    },
  };
}

function must<T>(result: KubeResult<T>): T {
  if (!result.ok) throw new Error(result.status.message);
  return result.value;
}
