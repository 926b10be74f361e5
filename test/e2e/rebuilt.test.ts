import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { createWorld, must, REGION, spec, until, type World } from './support/world.ts';

/** A cluster that was rebuilt from manifests: the tenants are back without status and finalizer, Google Cloud has everything. */

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });
const OTHER = 'us-central1';

let world: World;
beforeEach(async () => {
  world = await createWorld({ accountsPerProject: 200 });
  for (const id of ['tenant-a-openai-key', 'backup-key']) await world.secret(id);
});
afterEach(() => world.close());

const SPECS: JsonObject[] = [
  spec(),
  spec({ access: 'Authenticated', invokers: ['group:callers@example.com'] }),
  spec({
    keys: [
      { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY', rollout: 'OnRestart' },
      { name: 'standby', secretRef: { external: 'backup-key' } },
    ],
    env: [{ name: 'MODE', value: 'fast' }],
    scaling: { minInstances: 1, maxInstances: 150 },
  }),
  spec({ region: OTHER, image: 'gcr.io/cloudrun/hello', timeoutSeconds: 60 }),
];

/** The object as its manifest makes it anew: without status, finalizer and UID of before. */
async function appliedAnew(name: string, over: JsonObject = {}, annotations?: Record<string, string>): Promise<void> {
  const before = (await world.tenant(name)) as KubeObject & { spec: JsonObject };
  await must(world.kube.patch(AI_TENANTS, 'default', name, { metadata: { finalizers: null } }));
  await world.remove(name);
  await until(
    async () => ((await world.tenant(name)) ? undefined : true),
    () => `${name} to be gone`,
  );
  await world.apply(name, { ...before.spec, ...over }, { annotations });
}

const revisionsOf = async (names: string[]) =>
  Promise.all(
    names.flatMap(name =>
      [REGION, OTHER].map(async region => {
        const service = await world.service(name, region);
        return [service?.latestReadyRevision, service?.trafficStatuses, service?.generation];
      }),
    ),
  );

test('a hundred tenants: no write and no downtime before --restore, all UpToDate after it without a single write', async () => {
  const names = Array.from({ length: 100 }, (_, at) => `tenant-${at}`);
  for (const [at, name] of names.entries()) await world.apply(name, SPECS[at % SPECS.length] as JsonObject);
  for (const name of names) await world.ready(name);
  await world.operator.stop();
  for (const name of names) await appliedAnew(name);
  const before = await revisionsOf(names);
  world.forget();

  await world.restart();
  for (const name of names) {
    expect((await world.reason(name, 'ManagementConflict')).message).toContain('--restore');
  }
  expect(world.writes()).toEqual([]);
  expect(await revisionsOf(names)).toEqual(before);

  await world.restart({ restore: true });
  for (const name of names) await world.ready(name);
  expect(world.writes()).toEqual([]);
  expect(await revisionsOf(names)).toEqual(before);

  // Once everything is on record again, the flag is needed no more.
  await world.restart({ restore: false });
  for (const name of names) await world.check(name);
  for (const name of names) await world.ready(name);
  expect(world.writes()).toEqual([]);
});

describe('the region was edited after the status was lost', () => {
  async function moved(annotations?: Record<string, string>): Promise<void> {
    await world.apply('tenant-a', spec({ image: 'gcr.io/cloudrun/hello', env: [{ name: 'MODE', value: 'fast' }] }));
    await world.ready('tenant-a');
    await world.operator.stop();
    await appliedAnew('tenant-a', { region: OTHER }, annotations);
    world.later(3_600_000);
    world.forget();
  }

  test('the deletion finds the service in the region that nothing names', async () => {
    await moved();
    await world.restart();
    await world.reason('tenant-a', 'ManagementConflict');
    expect(world.writes()).toEqual([]);
    await world.remove('tenant-a');
    await world.gone('tenant-a');
    expect(await world.service('tenant-a')).toBeUndefined();
    expect(await world.account('tenant-a')).toBeUndefined();
  });

  test('a region that does not answer holds the deletion, and is not forgotten once another service was found', async () => {
    await moved();
    await world.restart();
    await world.reason('tenant-a', 'ManagementConflict');
    const outage = world.gcpCore.faults.add({
      method: 'GetService',
      resource: `/locations/${REGION}/`,
      times: 10_000,
      error: { code: 'UNAVAILABLE', message: 'The service is currently unavailable.' },
    });
    await world.remove('tenant-a');
    await world.reason('tenant-a', 'Deleting');
    expect(world.writes()).toEqual([]);
    outage();
    await world.gone('tenant-a');
    expect(await world.service('tenant-a')).toBeUndefined();
  });

  test.each<[string, Record<string, string> | undefined, boolean]>([
    ['the adopt annotation', { 'ai-platform.dev/adopt': 'true' }, false],
    ['--restore', undefined, true],
  ])(
    'with %s the move goes on: the former service is the predecessor, and goes after the grace',
    async (_how, annotations, restore) => {
      await moved(annotations);
      const before = await world.service('tenant-a');
      await world.restart({ restore });
      await world.ready('tenant-a');
      const { template } = (await world.service('tenant-a', OTHER)) as JsonObject & { template: JsonObject };
      expect(template.containers).toEqual(((before?.template ?? {}) as JsonObject).containers);
      expect(await world.service('tenant-a')).toBeDefined();
      const { inventory } = await world.ready('tenant-a');
      expect(inventory.filter(({ type }) => type === 'Service')).toHaveLength(2);
      await world.restart({ regionMoveGraceMs: 0 });
      world.later(7_200_000);
      await world.check('tenant-a');
      await until(
        async () => ((await world.service('tenant-a')) ? undefined : true),
        () => 'the former service to go',
      );
    },
  );

  test('a region that does not answer keeps no restored tenant from being up to date, and is looked into once it answers', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await world.operator.stop();
    await appliedAnew('tenant-a');
    world.forget();
    const dead = 'europe-north1';
    const outage = world.gcpCore.faults.add({
      resource: `/locations/${dead}`,
      times: 10_000,
      error: { code: 'UNAVAILABLE', message: 'The service is currently unavailable.' },
    });
    await world.restart({ restore: true });
    const servicesOf = async () => {
      const { inventory } = await world.ready('tenant-a');
      return inventory.flatMap(({ type, name }) => (type === 'Service' ? (name.split('/')[3] ?? '') : []));
    };
    expect((await servicesOf()).toSorted()).toEqual([REGION, dead]);
    outage();
    world.later(300_000);
    await world.check('tenant-a');
    expect(await servicesOf()).toEqual([REGION]);
    expect(world.writes()).toEqual([]);
  });
});
