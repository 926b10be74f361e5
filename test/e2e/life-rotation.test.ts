import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, PROJECT, SECRETS, spec, until, type World } from './support/world.ts';

/** When a newer version of a key arrives, and what of it that is off does to a tenant that runs. */

const SECRET = `projects/${PROJECT}/secrets/tenant-a-openai-key`;

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const running = async (over: JsonObject = {}) => {
  await world.apply('tenant-a', spec(over));
  return world.ready('tenant-a');
};
const live = async () => (await world.tenant('tenant-a'))?.status?.keys[0]?.version;
const liveIs = (version: string) =>
  until(
    async () => ((await live()) === version ? true : undefined),
    () => `version ${version} to be live`,
  );
const pinned = async () => /"version":"(\w+)"/.exec(JSON.stringify((await world.service('tenant-a'))?.template))?.[1];
const revision = async () =>
  /-(\d{5})-\w+$/.exec(String((await world.service('tenant-a'))?.latestCreatedRevision))?.[1];
const turn = (version: number, how: 'Disable' | 'Enable' | 'Destroy') =>
  world.must(`${SECRETS}.${how}SecretVersion`, { name: `${SECRET}/versions/${version}` });

describe('a newer version of a key', () => {
  test('is found within the reconcile interval, with nobody touching the tenant', async () => {
    await world.restart({ syncIntervalMs: 1_000 });
    await running();
    await world.addVersion('tenant-a-openai-key');
    await liveIs('2');
    expect(await pinned()).toBe('2');
    expect(await revision()).toBe('00002');
  });

  test('is told as the live one when it is, and not before', async () => {
    await world.close();
    world = await createWorld({ cloud: { deployMs: 1_500 } });
    await world.secret('tenant-a-openai-key');
    await running();
    await world.addVersion('tenant-a-openai-key');
    await world.check('tenant-a');
    expect(await pinned()).toBe('2');
    expect((await world.service('tenant-a'))?.reconciling).toBe(true);
    expect(await live()).toBe('1');
    await liveIs('2');
    expect((await world.service('tenant-a'))?.latestReadyRevision).toContain('-00002-');
    expect((await world.ready('tenant-a')).keys).toMatchObject([{ name: 'openai', version: '2', granted: true }]);
  });

  test('that is off from the start is passed over', async () => {
    await running();
    await world.addVersion('tenant-a-openai-key');
    await turn(2, 'Disable');
    world.forget();
    await world.check('tenant-a');
    expect(await live()).toBe('1');
    expect((await world.ready('tenant-a')).latestReadyRevision).toMatch(/-00001-/);
    expect(world.writes()).toEqual([]);
  });

  test('is found at once on an edit, and rolled with it as one revision', async () => {
    await running();
    await world.addVersion('tenant-a-openai-key');

    await world.edit('tenant-a', { timeoutSeconds: 60 });
    await world.ready('tenant-a');

    expect(await live()).toBe('2');
    expect(await revision()).toBe('00002');
  });

  test('of two that arrived since the newest is taken', async () => {
    await running();
    await world.addVersion('tenant-a-openai-key');
    await world.addVersion('tenant-a-openai-key');
    await world.check('tenant-a');
    await liveIs('3');
    expect(await revision()).toBe('00002');
  });

  test('reaches a tenant that says latest without a revision of ours', async () => {
    const [key] = spec().keys as JsonObject[];
    await running({ keys: [{ ...key, rollout: 'OnRestart' }] });
    await world.addVersion('tenant-a-openai-key');
    world.forget();
    await world.check('tenant-a');
    expect(await pinned()).toBe('latest');
    expect(world.writes()).toEqual([]);
  });
});

test('OnNewVersion and OnRestart can be switched either way', async () => {
  const [key] = spec().keys as JsonObject[];
  await running({ keys: [{ ...key, rollout: 'OnRestart' }] });
  expect(await pinned()).toBe('latest');
  await world.edit('tenant-a', { keys: [{ ...key, rollout: 'OnNewVersion' }] });
  await world.ready('tenant-a');
  expect(await pinned()).toBe('1');
  await world.edit('tenant-a', { keys: [{ ...key, rollout: 'OnRestart' }] });
  await world.ready('tenant-a');
  expect(await pinned()).toBe('latest');
});

describe('the live version', () => {
  beforeEach(async () => {
    await world.addVersion('tenant-a-openai-key');
    await running();
    expect(await live()).toBe('2');
  });

  test.each([
    ['disabled', 'Disable'],
    ['destroyed', 'Destroy'],
  ] as const)('%s: what is live stays, and a condition says so', async (_, how) => {
    await turn(2, how);
    world.forget();

    await world.check('tenant-a');
    const { message } = await world.reason('tenant-a', 'DependencyNotReady');

    expect(message).toContain('version 2 of tenant-a-openai-key was live and is no longer enabled');
    expect(message).toContain('gcloud secrets versions add');
    const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
    expect(conditions.find(({ type }) => type === 'SecretAccessReady')?.reason).toBe('DependencyNotReady');
    expect(await pinned()).toBe('2');
    expect(world.writes()).toEqual([]);

    // Only an edit goes back.
    const [key] = spec().keys as JsonObject[];
    await world.edit('tenant-a', { keys: [{ ...key, version: 1 }] });
    expect((await world.ready('tenant-a')).keys).toMatchObject([{ version: '1' }]);
    expect(await pinned()).toBe('1');
  });

  test('enabled again, or followed by a newer one: the tenant recovers by itself', async () => {
    await turn(2, 'Disable');
    await world.check('tenant-a');
    await world.reason('tenant-a', 'DependencyNotReady');
    await turn(2, 'Enable');
    await world.ready('tenant-a');
    expect(await revision()).toBe('00001');

    await turn(2, 'Disable');
    await world.addVersion('tenant-a-openai-key');
    await world.check('tenant-a');
    await liveIs('3');
  });

  test('is remembered while the key is unused: an older one does not come back on that way either', async () => {
    const [key = {}] = spec().keys as JsonObject[];
    const { env: _env, ...unused } = key;
    await world.secret('other');
    const other = { name: 'other', secretRef: { external: 'other' }, env: 'OPENAI_API_KEY' };
    await world.edit('tenant-a', { keys: [unused, other] });
    await world.ready('tenant-a');
    await turn(2, 'Disable');

    await world.edit('tenant-a', { keys: [key] });
    await world.reason('tenant-a', 'DependencyNotReady');

    expect(JSON.stringify(await world.service('tenant-a'))).toContain('"secret":"other"');
  });
});
