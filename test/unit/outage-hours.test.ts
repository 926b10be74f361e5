import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { instrument } from '../../operator/gcp/callHooks.ts';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createOperator } from '../../operator/operator.ts';
import { createMetrics } from '../../operator/process/metrics.ts';
import type { Condition, TenantStatus } from '../../operator/tenant/types.ts';
import type { GcpCall, GcpCode, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../ports/kubeResources.ts';
import { sleep } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { createClock, createRandom } from '../sim/clock.ts';

/** A hundred tenants through an outage of two hours, in virtual time: the operator, its queue and its caches as they run. */

const MINUTE = 60_000;
const HOUR = 3_600_000;
const INTERVAL = 600_000;
const TENANTS = 100;
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';

type Broken = (method: string, request: JsonObject) => GcpCode | undefined;
interface Write {
  at: number;
  name: string;
  ready: Condition;
}

async function world() {
  const clock = createClock(createRandom(1));
  const gcp = createGcpCore({
    runtime: clock,
    projects: [{ id: 'demo-project', number: '123456789012' }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 300 },
    limits: {},
    accountsPerProject: 1_000,
    logSize: 1,
    containers: scriptedContainers(clock, new Map()),
  });
  const core = createKubeCore({ runtime: clock });
  const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  await core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd);
  const must = async (method: string, request: JsonObject) => {
    const result = await gcp.call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.message}`);
  };
  for (let at = 0; at < TENANTS; at++) {
    await must(`${SECRETS}.CreateSecret`, {
      parent: 'projects/demo-project',
      secretId: `key-${at}`,
      secret: { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': 'default' } },
    });
    const payload = { data: Buffer.from('sk').toString('base64') };
    await must(`${SECRETS}.AddSecretVersion`, { parent: `projects/demo-project/secrets/key-${at}`, payload });
    const keys = [{ name: 'openai', secretRef: { external: `key-${at}` }, env: 'OPENAI_API_KEY' }];
    const made = await core.api.create(AI_TENANTS, 'default', {
      apiVersion: 'ai-platform.dev/v1alpha1',
      kind: 'AiTenant',
      metadata: { name: `tenant-${at}` },
      spec: { region: 'asia-northeast1', keys },
    });
    if (!made.ok) throw new Error(made.status.message);
  }

  const state: { broken: Broken } = { broken: () => undefined };
  const writes: Write[] = [];
  const updates: { at: number; request: JsonObject }[] = [];
  const kube: KubeApi = {
    ...core.api,
    async patch(resource, namespace, name, patch, how) {
      const result = await core.api.patch(resource, namespace, name, patch, how);
      if (result.ok && resource.plural === AI_TENANTS.plural && how?.subresource === 'status') {
        writes.push({ at: clock.monotonic(), name, ready: readyOf(result.value) });
      }
      return result;
    },
  };
  const call: GcpCall = async (method, request, options) => {
    const code = state.broken(method, request);
    if (code === 'DEADLINE_EXCEEDED') await sleep(clock, 15_000);
    if (/UpdateService/.test(method)) updates.push({ at: clock.monotonic(), request });
    if (!code) return gcp.call(method, request, options);
    // The words differ from call to call, as Google Cloud's do.
    return { ok: false, status: { code, message: `No, for the time being (${clock.monotonic()}).` } } as GcpResult;
  };
  const runtime = clock.process(createRandom(2));
  const metrics = createMetrics(
    () => operator.stats(),
    () => true,
    runtime.now,
  );
  const operator = createOperator({
    kube,
    gcp: instrument(call, runtime, { after: metrics.onCall }),
    runtime,
    settings: {
      project: 'demo-project',
      projects: [],
      defaultImage: 'gcr.io/cloudrun/hello',
      claimPolicy: 'labelled',
      clusterId: 'cluster-1',
      regionMoveGraceMs: HOUR,
      syncIntervalMs: INTERVAL,
    },
    events: createEventRecorder({ api: core.api, runtime, component: 'aitenant-operator', instance: 'test' }),
    log: () => {},
    workers: 4,
    mayAct: () => true,
  });
  await clock.advance(1_000);
  operator.start();
  await clock.advance(HOUR);
  const listed = async () => {
    const list = await core.api.list(AI_TENANTS, {});
    return list.ok ? list.value.items.map(readyOf) : [];
  };
  return {
    clock,
    core,
    writes,
    updates,
    listed,
    /** The longest time for which an API is said to fail, in seconds: what the page is made of. */
    async failing() {
      const lines = (await metrics.registry.getSingleMetricAsString('aitenant_gcp_api_failing_seconds')).split('\n');
      return Math.max(...lines.filter(line => !line.startsWith('#')).map(line => Number(line.split(' ').at(-1))));
    },
    /** Lets so much time pass with Google Cloud in this state. */
    async during(ms: number, broken: Broken) {
      state.broken = broken;
      await clock.advance(ms);
    },
    async close() {
      const stopped = operator.stop();
      await clock.advance(MINUTE);
      await stopped;
    },
  };
}

const readyOf = (object: KubeObject): Condition =>
  (object.status as unknown as TenantStatus).conditions.find(({ type }) => type === 'Ready') as Condition;

describe('for two hours every call is answered', () => {
  test.each<[GcpCode]>([
    ['PERMISSION_DENIED'],
    ['UNAUTHENTICATED'],
    ['UNAVAILABLE'],
    ['RESOURCE_EXHAUSTED'],
    ['DEADLINE_EXCEEDED'],
  ])(
    '%s: no Ready turns False, and each tenant costs two status writes',
    async code => {
      const { clock, writes, listed, during, close } = await world();
      expect((await listed()).map(({ reason }) => reason)).toEqual(Array(TENANTS).fill('UpToDate'));
      writes.length = 0;
      const start = clock.monotonic();
      await during(2 * HOUR, () => code);
      const end = clock.monotonic();
      const dark = await listed();
      expect(new Set(dark.map(({ reason }) => reason))).toEqual(new Set(['NotVerified']));
      for (const { message } of dark) expect(message).toMatch(/since 20\d\d-.*No, for the time being \(\d+\)/);
      await during(HOUR, () => undefined);
      expect((await listed()).map(({ reason }) => reason)).toEqual(Array(TENANTS).fill('UpToDate'));

      expect(writes.filter(({ ready }) => ready.status !== 'True')).toEqual([]);
      const perTenant = Map.groupBy(writes, ({ name }) => name);
      expect(perTenant.size).toBe(TENANTS);
      for (const mine of perTenant.values()) {
        expect(mine.map(({ ready }) => ready.reason)).toEqual(['NotVerified', 'UpToDate']);
      }
      const told = writes.filter(({ ready }) => ready.reason === 'NotVerified').map(({ at }) => at);
      const ended = writes.filter(({ ready }) => ready.reason === 'UpToDate').map(({ at }) => at);
      expect(Math.min(...told) - start).toBeGreaterThanOrEqual(3 * INTERVAL);
      expect(Math.min(...ended)).toBeGreaterThanOrEqual(end);
      for (const times of [told, ended]) expect(busiest(times, MINUTE)).toBeLessThanOrEqual(TENANTS / 3);
      await close();
    },
    240_000,
  );
});

/** The most moments within one window. */
function busiest(times: number[], windowMs: number): number {
  return Math.max(...times.map(from => times.filter(at => at >= from && at < from + windowMs).length));
}

test('a tenant whose resources alone are refused is PermissionDenied, and no other one', async () => {
  const { listed, during, close } = await world();
  await during(HOUR, (_method, request) =>
    /tenant-7\b|key-7\b/.test(JSON.stringify(request)) ? 'PERMISSION_DENIED' : undefined,
  );
  const reasons = (await listed()).map(({ reason }) => reason);
  expect(reasons.filter(reason => reason !== 'UpToDate')).toEqual(['PermissionDenied']);
  await close();
}, 240_000);

test('an API that answers 503 to everybody turns no Ready False', async () => {
  const { writes, listed, during, close } = await world();
  writes.length = 0;
  await during(2 * HOUR, method => (method.startsWith('google.cloud.run') ? 'UNAVAILABLE' : undefined));
  await during(HOUR, () => undefined);
  expect(writes.filter(({ ready }) => ready.status !== 'True')).toEqual([]);
  expect((await listed()).map(({ reason }) => reason)).toEqual(Array(TENANTS).fill('UpToDate'));
  await close();
}, 240_000);

test('a spec that is edited in an outage is Updating with the words of the outage, written once', async () => {
  const { core, writes, during, close } = await world();
  await during(HOUR, () => 'PERMISSION_DENIED');
  writes.length = 0;
  await core.api.patch(AI_TENANTS, 'default', 'tenant-3', { spec: { timeoutSeconds: 200 } });
  await during(HOUR, () => 'PERMISSION_DENIED');
  const mine = writes.filter(({ name }) => name === 'tenant-3').map(({ ready }) => ready);
  expect(mine).toHaveLength(1);
  expect(mine[0]).toMatchObject({ status: 'False', reason: 'Updating' });
  expect(mine[0]?.message).toMatch(/could not be read since 20\d\d-.*First failure: .*No, for the time being/);
  await close();
}, 240_000);

describe('an API that fails pages within 5 minutes (more than 120 s, for 1 minute)', () => {
  test.each<[string, GcpCode, RegExp]>([
    ['every call is refused', 'PERMISSION_DENIED', /./],
    ['Cloud Run refuses every call', 'PERMISSION_DENIED', /cloud\.run/],
    ['Secret Manager refuses every call', 'PERMISSION_DENIED', /secretmanager/],
    ['IAM refuses every call', 'PERMISSION_DENIED', /iam\.admin/],
    ['no credentials are taken', 'UNAUTHENTICATED', /./],
    ['Cloud Run does not answer', 'DEADLINE_EXCEEDED', /cloud\.run/],
  ])('%s', async (_what, code, methods) => {
    const { during, failing, close } = await world();
    expect(await failing()).toBe(0);
    await during(4 * MINUTE, method => (methods.test(method) ? code : undefined));
    expect(await failing()).toBeGreaterThan(120);
    await during(2 * MINUTE, () => undefined);
    expect(await failing()).toBe(0);
    await close();
  });

  test.each<[string, Broken]>([
    ['one tenant’s service, account and secret', (_, request) => refusal(request, /tenant-7\b|key-7\b/)],
    ['several tenants’ secrets', (_, request) => refusal(request, /key-[1-9]\b/)],
    [
      'a role that is missing for writes alone',
      method => (/Create|Update|Set/.test(method) ? 'PERMISSION_DENIED' : undefined),
    ],
  ])('but a refusal of %s does not', async (_what, broken) => {
    const { core, during, failing, close } = await world();
    for (let minute = 0; minute < 30; minute += 3) {
      await core.api.patch(AI_TENANTS, 'default', 'tenant-3', { spec: { timeoutSeconds: 200 + minute } });
      await during(3 * MINUTE, broken);
      expect(await failing()).toBe(0);
    }
    await close();
  });

  test('nor do the tenants of a Namespace that names a project without rights, nor a project whose secrets they may not read', async () => {
    const { core, during, failing, close } = await world();
    const metadata = { name: 'other', annotations: { 'ai-platform.dev/project-id': 'elsewhere' } };
    await core.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata });
    for (const [namespace, name, external] of [
      ['other', 'lost-1', 'key-1'],
      ['other', 'lost-2', 'key-2'],
      ['default', 'lost-3', 'projects/elsewhere/secrets/a'],
      ['default', 'lost-4', 'projects/elsewhere/secrets/b'],
    ] as const) {
      const keys = [{ name: 'openai', secretRef: { external }, env: 'OPENAI_API_KEY' }];
      await core.api.create(AI_TENANTS, namespace, {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name },
        spec: { region: 'asia-northeast1', keys },
      });
    }
    for (let minute = 0; minute < 30; minute += 3) {
      await during(3 * MINUTE, (_, request) => refusal(request, /elsewhere/));
      expect(await failing()).toBe(0);
    }
    await close();
  });
});

const refusal = (request: JsonObject, about: RegExp): GcpCode | undefined =>
  about.test(JSON.stringify(request)) ? 'PERMISSION_DENIED' : undefined;

describe('while an API hangs, an edit reaches the other ones within 5 s, however many tenants wait for it', () => {
  test.each<[string, RegExp, JsonObject]>([
    ['Secret Manager, a setting', /secretmanager/, { scaling: { minInstances: 1, maxInstances: 9 } }],
    ['Secret Manager, what closes access', /secretmanager/, { access: 'Authenticated' }],
    ['IAM, what closes access', /iam\.admin/, { access: 'Authenticated' }],
  ])(
    '%s',
    async (_what, methods, spec) => {
      const { clock, core, updates, during, close } = await world();
      const hangs: Broken = method => (methods.test(method) ? 'DEADLINE_EXCEEDED' : undefined);
      await during(15 * MINUTE, hangs);
      for (let at = 0; at < 5; at++) {
        updates.length = 0;
        const edited = clock.monotonic();
        await core.api.patch(AI_TENANTS, 'default', `tenant-${at}`, { spec });
        await during(20_000, hangs);
        const found = updates.find(({ request }) => JSON.stringify(request).includes(`tenant-${at}"`));
        expect((found?.at ?? Number.POSITIVE_INFINITY) - edited).toBeLessThanOrEqual(5_000);
      }
      await close();
    },
    60_000,
  );
});
