import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createWorld, INTERVAL_MS, tenantKey, tenantName, until, type World } from '../../bench/support/world.ts';
import { UNLIMITED } from '../../operator/gcp/quota.ts';
import type { Operator } from '../../operator/operator.ts';
import type { JsonObject } from '../../ports/json.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';

/** What tenants cost in calls of Google Cloud: counts, as `npm run bench -- tenants` prints them. */

/** A busy machine takes its time over a thousand tenants. */
vi.setConfig({ testTimeout: 300_000 });
const STEPS = 40;
let world: World;
let operator: Operator;
beforeEach(async () => {
  world = await createWorld({ creationMs: 5 });
});
afterEach(() => operator.stop());

async function given(count: number): Promise<void> {
  await world.prepare(count);
  operator = await world.start();
  world.traffic.reset();
  await world.createTenants(count);
  await until(() => world.ready.size === count, `${count} tenants are Ready`);
  await settled();
}

async function settled(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    const busy = () => {
      const { depth, running } = operator.stats();
      return depth.edit + depth.retry + depth.resync + running > 0;
    };
    await until(() => !busy(), 'the queue is empty');
    await new Promise(resolve => setTimeout(resolve, 5));
    if (busy()) quiet = -1;
  }
}

async function pass(): Promise<void> {
  for (let step = 0; step < STEPS; step++) {
    world.time.skip(INTERVAL_MS / STEPS);
    await settled();
  }
}

describe('calls of Google Cloud', () => {
  test('one new tenant with one key: at most 9 until Ready, shared lists aside: account, grant and service are made on a GET alone, and consent is read again after the grant', async () => {
    await given(1);
    expect(world.traffic.others).toBeLessThanOrEqual(9);
    expect(Object.fromEntries(world.traffic.byMethod)).toMatchObject({
      CreateServiceAccount: 1,
      SetIamPolicy: 1,
      CreateService: 1,
    });
  });

  test('at most 9 too where its creation takes a minute and a half, and 2 more if the regular check comes meanwhile', async () => {
    world = await createWorld({ creationMs: 90_000 });
    await world.prepare(1);
    operator = await world.start();
    await world.createTenants(1);
    await until(() => world.traffic.byMethod.has('CreateService'), 'the service is on its way');
    for (let second = 0; world.ready.size === 0; second += 5) {
      expect(second).toBeLessThan(180);
      world.time.skip(5_000);
      await settled();
    }
    // The tenant's place in the interval may come while it waits: a regular check reads policy and versions once more.
    expect(world.traffic.others).toBeLessThanOrEqual(11);
  });

  test('1,000 tenants: at most 2.1 each in an interval in which nothing changes, and 0.05 after a restart', async () => {
    const count = 1_000;
    await given(count);
    const { traffic } = world;
    // Nine calls a tenant, and about three more for each whose periodic check comes while all of them are created.
    expect(traffic.others / count).toBeLessThanOrEqual(9.5);

    await pass();
    traffic.reset();
    const since = world.time.monotonic();
    await pass();
    // The clock went on meanwhile.
    const intervals = (world.time.monotonic() - since) / INTERVAL_MS;
    // Each was looked at: what no list tells was read.
    expect(traffic.byMethod.get('GetIamPolicy')).toBeGreaterThanOrEqual(count * 0.95);
    expect((traffic.lists + traffic.others) / count / intervals).toBeLessThanOrEqual(2.1);
    expect(traffic.writes).toBe(0);

    await operator.stop();
    world.ready.clear();
    traffic.reset();
    operator = await world.start();
    await settled();
    expect(world.ready.size).toBe(count);
    expect((traffic.lists + traffic.others) / count).toBeLessThanOrEqual(0.05);

    // It goes on where the former one would have: all have their turn within an interval.
    await pass();
    expect(traffic.byMethod.get('GetIamPolicy')).toBeGreaterThanOrEqual(count * 0.95);
  });
});

test('drift is put right within an interval, also where the lists that show it are shared', async () => {
  const count = 60;
  await given(count);
  await pass();
  const service = (index: number) =>
    `projects/project-${index % 10}/locations/asia-northeast1/services/ai-platform-${tenantName(index)}`;
  const drifted = new Map<string, number>();
  const waits: number[] = [];
  world.traffic.onWrite = (_method, request) => {
    const name = String((request.service as JsonObject | undefined)?.name);
    const since = drifted.get(name);
    if (since === undefined) return;
    drifted.delete(name);
    waits.push(world.time.monotonic() - since);
  };
  let made = 0;
  // One tenant of each project an interval, at another moment of it each: nobody else makes the lists any fresher.
  for (let round = 0; round < 6; round++) {
    for (let step = 0; step < 2 * STEPS; step++) {
      const [at, of] = [step % 4, Math.floor(step / 4)];
      if (at === 0 && of < 10) {
        const name = service(of + 10 * ((round + of) % 6));
        drifted.set(name, world.time.monotonic());
        made++;
        expect(
          await world.google.call('google.cloud.run.v2.Services.UpdateService', {
            service: { name, scaling: { minInstanceCount: 3 } },
            updateMask: 'scaling.min_instance_count',
          }),
        ).toMatchObject({ ok: true });
      }
      world.time.skip(INTERVAL_MS / STEPS);
      await settled();
    }
  }
  expect(waits).toHaveLength(made);
  // A skip of time is a step long.
  expect(Math.max(...waits)).toBeLessThanOrEqual(INTERVAL_MS * (1 + 2 / STEPS));
});

test('a new tenant is refused by what is now, not by a list from before consent was given', async () => {
  await world.prepare(11);
  const [namespace] = tenantKey(10).split('/');
  const consent = (labels: Record<string, string>) =>
    world.google.call('google.cloud.secretmanager.v1.SecretManagerService.UpdateSecret', {
      secret: { name: `projects/project-0/secrets/${tenantName(10)}-key`, labels },
      updateMask: 'labels',
    });
  expect(await consent({})).toMatchObject({ ok: true });
  operator = await world.start();
  // The first of that project: its list tells of both secrets.
  await world.createTenants(1);
  await until(() => world.ready.size === 1, 'the first is Ready');
  expect(await consent({ 'ai-tenant-namespace': String(namespace) })).toMatchObject({ ok: true });
  await world.createTenants(11);
  await until(() => world.ready.size === 11, 'all are Ready, without a skip of time');
});

test('what fails in one project costs the others nothing, and is tried seldom', async () => {
  const [count, projects] = [100, 10];
  await world.prepare(count);
  for (let i = 0; i < count; i += projects) {
    const name = `projects/project-0/secrets/${tenantName(i)}-key`;
    const gone = await world.google.call('google.cloud.secretmanager.v1.SecretManagerService.DeleteSecret', { name });
    expect(gone).toMatchObject({ ok: true });
  }
  operator = await world.start();
  await world.createTenants(count);
  const fine = count - count / projects;
  await until(() => world.ready.size === fine, 'the others are Ready');
  await settled();
  const { traffic } = world;
  expect(traffic.byMethod.get('CreateService')).toBe(fine);
  expect(traffic.byMethod.get('GetIamPolicy')).toBe(fine);

  traffic.reset();
  const [namespace] = tenantKey(7).split('/');
  const patch = { spec: { scaling: { minInstances: 0, maxInstances: 12 } } };
  await world.kube.patch(AI_TENANTS, namespace, tenantName(7), patch);
  await until(() => traffic.byMethod.has('UpdateService'), 'an edit elsewhere is written');
  await settled();

  // Backoff grows to a minute, and those who come together share a list.
  traffic.reset();
  for (let minute = 0; minute < 5; minute++) {
    world.time.skip(60_000);
    await settled();
  }
  expect(traffic.writes).toBe(0);
  const secrets = (traffic.byMethod.get('ListSecrets') ?? 0) + (traffic.byMethod.get('GetSecret') ?? 0);
  expect(secrets).toBeGreaterThan(0);
  // Each of the ten at most once a minute and a half the time more for jitter; the nine other projects once each.
  expect(secrets).toBeLessThanOrEqual(10 * 5 * 1.5 + 9 * 2);
});

describe('after a restart', () => {
  test.each([
    ['the spec was edited', { spec: { scaling: { minInstances: 0, maxInstances: 12 } } }, 'UpdateService'],
    [
      'a check was asked for',
      { metadata: { annotations: { 'ai-platform.dev/reconcile-requested-at': 'x' } } },
      'GetIamPolicy',
    ],
  ])('a tenant is looked at at once if %s meanwhile', async (_, patch, method) => {
    await given(2);
    await operator.stop();
    const [namespace] = tenantKey(1).split('/');
    const edited = await world.kube.patch(AI_TENANTS, namespace, tenantName(1), patch);
    expect(edited).toMatchObject({ ok: true });
    world.traffic.reset();
    operator = await world.start();
    await settled();
    expect(world.traffic.byMethod.get(method)).toBe(1);
    expect(world.traffic.byMethod.get('ListSecretVersions')).toBeLessThanOrEqual(2);
  });
});

describe('within a tight quota', () => {
  const quotas = { ...UNLIMITED, 'secretmanager.read': 100, 'run.write': 60 };

  test('hundreds of new tenants become Ready without one refused call, and an edit does not wait for the checks', async () => {
    world = await createWorld({ creationMs: 5, quotas });
    const count = 300;
    // Their secrets are made by somebody else, at another time.
    const { limits } = world.google.quotas;
    world.google.quotas.limits = {};
    await world.prepare(count);
    world.google.quotas.limits = limits;
    operator = await world.start();
    await world.createTenants(count);
    await untilReady(count);
    expect(world.traffic.refused).toBe(0);

    // All are due at once: more than the budget has for them.
    world.time.skip(INTERVAL_MS);
    await settled();
    const [namespace] = tenantKey(7).split('/');
    const checked = world.traffic.byMethod.get('GetIamPolicy');
    world.traffic.reset();
    await world.kube.patch(AI_TENANTS, namespace, tenantName(7), {
      spec: { scaling: { minInstances: 0, maxInstances: 12 } },
    });
    await until(() => world.traffic.byMethod.has('UpdateService'), 'the edit is written, without a skip of time');
    expect(world.traffic.byMethod.get('GetIamPolicy')).toBeLessThan(count);
    expect(checked).toBeGreaterThan(0);

    await pass();
    expect(world.traffic.byMethod.get('GetIamPolicy')).toBeGreaterThanOrEqual(count);
    expect(world.traffic.refused).toBe(0);
  });

  async function untilReady(count: number): Promise<void> {
    for (let second = 0; world.ready.size < count; second++) {
      if (second > 900) throw new Error(`only ${world.ready.size} of ${count} are Ready after ${second} s`);
      world.time.skip(1_000);
      await settled();
    }
  }
});
