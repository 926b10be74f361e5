import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { crc32c } from '../../sandbox/gcp/secretManager/crc32c.ts';
import { EMAIL, grant, SECRET, SECRETS, world } from './sandbox-gcp.support.ts';

const names = (list: unknown) =>
  (list as JsonObject[] | undefined)?.map(({ name }) => String(name).split('/').at(-1)) ?? [];

describe('a secret', () => {
  test('is named by the project number, whatever the request said', async () => {
    const { ok, createSecret } = world();
    const created = await createSecret('key', {
      labels: { team: 'a', empty: '' },
      annotations: { 'x.y-Z': 'free Text' },
    });
    expect(created).toMatchObject({ name: SECRET, labels: { team: 'a', empty: '' }, replication: { automatic: {} } });
    expect(created.etag).toMatch(/^".+"$/);
    const byId = await ok(`${SECRETS}.GetSecret`, { name: 'projects/demo-project/secrets/key' });
    expect(byId).toEqual(await ok(`${SECRETS}.GetSecret`, { name: SECRET }));
  });

  test('is refused where it exists, and not found where it does not, in texts with the number', async () => {
    const { refused, createSecret } = world();
    await createSecret();
    const again = { parent: 'projects/demo-project', secretId: 'key', secret: { replication: { automatic: {} } } };
    expect(await refused(`${SECRETS}.CreateSecret`, again)).toMatchObject({
      code: 'ALREADY_EXISTS',
      message: 'Secret [projects/123456/secrets/key] already exists.',
    });
    expect(await refused(`${SECRETS}.GetSecret`, { name: 'projects/demo-project/secrets/x' })).toEqual({
      code: 'NOT_FOUND',
      message: 'Secret [projects/123456/secrets/x] not found.',
    });
  });

  test('can be 404 in turns after creation while a second create is 409', async () => {
    const { ok, refused, createSecret, runtime } = world({ settings: { createVisibleMs: 1000 } });
    await createSecret();
    expect((await refused(`${SECRETS}.GetSecret`, { name: SECRET })).code).toBe('NOT_FOUND');
    await expect(createSecret()).rejects.toThrow('ALREADY_EXISTS');
    expect(await ok(`${SECRETS}.GetSecret`, { name: SECRET })).toMatchObject({ name: SECRET });
    expect((await refused(`${SECRETS}.GetSecret`, { name: SECRET })).code).toBe('NOT_FOUND');
    await runtime.advance(1000);
    for (let i = 0; i < 3; i++) await ok(`${SECRETS}.GetSecret`, { name: SECRET });
  });

  test.each([
    ['an id with a dot', { secretId: 'a.b' }, 'Secret ID'],
    ['no replication', { secret: { replication: undefined } }, 'replication'],
    [
      '65 labels',
      { secret: { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, ''])) } },
      '64 labels',
    ],
    ['an upper-case key', { secret: { labels: { Team: 'a' } } }, 'label key [Team]'],
    ['a key that starts with a digit', { secret: { labels: { '1a': 'a' } } }, 'label key [1a]'],
    ['a key with a slash', { secret: { labels: { 'a/b': 'a' } } }, 'label key [a/b]'],
    ['a value with a dot', { secret: { labels: { a: 'b.c' } } }, 'value [b.c]'],
    ['a value of 64 characters', { secret: { labels: { a: 'x'.repeat(64) } } }, 'label [a]'],
    ['an alias of a version that is not there', { secret: { versionAliases: { stable: 3 } } }, 'alias [stable]'],
    [
      'both ttl and expireTime',
      { secret: { ttl: '5s', expireTime: '2031-01-01T00:00:00Z' } },
      "oneof field 'expiration'",
    ],
  ])(
    'with %s is refused',
    async (_, { secretId = 'key', secret = {} }: { secretId?: string; secret?: object }, message) => {
      const { refused } = world();
      const request = {
        parent: 'projects/demo-project',
        secretId,
        secret: { replication: { automatic: {} }, ...secret },
      };
      const status = await refused(`${SECRETS}.CreateSecret`, request as JsonObject);
      expect(status.code).toBe('INVALID_ARGUMENT');
      expect(status.message).toContain(message);
    },
  );

  test('changes only what the mask names; a stale etag is a failed precondition', async () => {
    const { ok, refused, createSecret } = world();
    const created = await createSecret('key', { labels: { a: '1', b: '2' }, annotations: { kept: 'yes' } });
    const update = { secret: { name: SECRET, labels: { b: '3' }, annotations: {} }, updateMask: 'labels' };
    const changed = await ok(`${SECRETS}.UpdateSecret`, update);
    expect(changed).toMatchObject({ labels: { b: '3' }, annotations: { kept: 'yes' } });
    expect(changed.labels).not.toHaveProperty('a');
    expect(changed.etag).not.toBe(created.etag);
    const stale = { secret: { name: SECRET, etag: created.etag, labels: {} }, updateMask: 'labels' };
    expect((await refused(`${SECRETS}.UpdateSecret`, stale)).code).toBe('FAILED_PRECONDITION');
    const replication = { secret: { name: SECRET, replication: { automatic: {} } }, updateMask: 'replication' };
    expect((await refused(`${SECRETS}.UpdateSecret`, replication)).code).toBe('INVALID_ARGUMENT');
  });

  test('with a ttl answers when it ends, and is gone then', async () => {
    const { refused, createSecret, runtime } = world();
    const created = await createSecret('key', { ttl: '60s' });
    expect(created.expireTime).toBe(new Date(runtime.now() + 60_000).toISOString().replace('.000Z', 'Z'));
    expect(created).not.toHaveProperty('ttl');
    await runtime.advance(60_000);
    expect((await refused(`${SECRETS}.GetSecret`, { name: SECRET })).code).toBe('NOT_FOUND');
  });

  test('answers its rotation whole, whose parts a mask may name one by one', async () => {
    const { ok, createSecret, runtime } = world();
    const later = (ms: number) => new Date(runtime.now() + ms).toISOString().replace('.000Z', 'Z');
    const rotation = { nextRotationTime: later(600_000), rotationPeriod: '3600s' };
    const topics = [{ name: 'projects/demo-project/topics/t' }];
    expect(await createSecret('key', { topics, rotation })).toMatchObject({ rotation });
    const update = (given: JsonObject, updateMask: string) =>
      ok(`${SECRETS}.UpdateSecret`, { secret: { name: SECRET, rotation: given }, updateMask });
    const period = { ...rotation, rotationPeriod: '7200s' };
    expect(await update({ rotationPeriod: '7200s' }, 'rotation.rotation_period')).toMatchObject({ rotation: period });
    const time = { ...period, nextRotationTime: later(900_000) };
    expect(await update(time, 'rotation.next_rotation_time')).toMatchObject({ rotation: time });
    await runtime.advance(900_000);
    expect((await ok(`${SECRETS}.GetSecret`, { name: SECRET })).rotation).toEqual({
      ...time,
      nextRotationTime: later(7_200_000),
    });
    await update({}, 'rotation.rotation_period');
    expect(await update({}, 'rotation.next_rotation_time')).not.toHaveProperty('rotation');
  });

  test.each<[string, (now: number) => JsonObject, string]>([
    ['an end in the past', now => ({ expireTime: new Date(now - 1000).toISOString() }), 'expire_time'],
    ['a period without a time', () => ({ rotation: { rotationPeriod: '3600s' } }), 'next_rotation_time'],
    [
      'a rotation at once',
      now => ({ rotation: { nextRotationTime: new Date(now + 60_000).toISOString() } }),
      'at least 300s',
    ],
    [
      'a period below an hour',
      now => ({ rotation: { nextRotationTime: new Date(now + 600_000).toISOString(), rotationPeriod: '60s' } }),
      'rotation_period',
    ],
  ])('refuses %s, when it is made and when it is changed', async (_, given, words) => {
    const { createSecret, refused, runtime } = world();
    const topics = [{ name: 'projects/demo-project/topics/t' }];
    const secret = { topics, replication: { automatic: {} }, ...given(runtime.now()) };
    const request = { parent: 'projects/demo-project', secretId: 'key', secret };
    const expected = { code: 'INVALID_ARGUMENT', message: expect.stringContaining(words) };
    expect(await refused(`${SECRETS}.CreateSecret`, request)).toMatchObject(expected);
    await createSecret('key', { topics });
    const updateMask = Object.keys(given(runtime.now())).join(',');
    const update = { secret: { ...given(runtime.now()), name: SECRET }, updateMask };
    expect(await refused(`${SECRETS}.UpdateSecret`, update)).toMatchObject(expected);
  });

  test('deleted takes its versions and policy with it', async () => {
    const { ok, createSecret, addVersion, createAccount, setPolicy, getPolicy, refused } = world();
    await createAccount();
    await createSecret();
    await addVersion('one');
    await setPolicy({ bindings: [grant(`serviceAccount:${EMAIL}`)] });
    await ok(`${SECRETS}.DeleteSecret`, { name: SECRET });
    await createSecret();
    expect(await getPolicy()).toEqual({ etag: 'ACAB' });
    expect((await refused(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/1` })).code).toBe('NOT_FOUND');
  });

  test('of a region or of a project that is not there is refused clearly', async () => {
    const { refused } = world();
    const regional = await refused(`${SECRETS}.GetSecret`, {
      name: 'projects/demo-project/locations/europe-west1/secrets/k',
    });
    expect(regional).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('Regional secrets'),
    });
    const foreign = await refused(`${SECRETS}.GetSecret`, { name: 'projects/nowhere/secrets/k' });
    expect(foreign).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: 'Permission denied on resource project nowhere.',
    });
  });
});

describe('lists', () => {
  test('are newest first, in pages, of one project only', async () => {
    const { ok, createSecret } = world();
    for (const id of ['a', 'b', 'c', 'd', 'e']) await createSecret(id);
    const parent = 'projects/demo-project';
    const first = await ok(`${SECRETS}.ListSecrets`, { parent, pageSize: 2 });
    expect(names(first.secrets)).toEqual(['e', 'd']);
    expect(first.totalSize).toBe(5);
    await createSecret('f');
    const second = await ok(`${SECRETS}.ListSecrets`, { parent, pageSize: 2, pageToken: first.nextPageToken });
    expect(names(second.secrets)).toEqual(['c', 'b']);
    const last = await ok(`${SECRETS}.ListSecrets`, { parent, pageSize: 2, pageToken: second.nextPageToken });
    expect(names(last.secrets)).toEqual(['a']);
    expect(last).not.toHaveProperty('nextPageToken');
    expect(await ok(`${SECRETS}.ListSecrets`, { parent: 'projects/other-project' })).toEqual({});
  });

  test.each([
    ['labels.env=prod', ['b']],
    ['labels:env', ['c', 'b']],
    ['NOT labels:env', ['a']],
    ['labels.env=prod OR labels.env=dev', ['c', 'b']],
    ['name:secrets/a', ['a']],
    ['(labels.env=dev) AND name:"c"', ['c']],
    ['create_time > 2000-01-01T00:00:00Z', ['c', 'b', 'a']],
  ])('filter by %s', async (filter, expected) => {
    const { ok, createSecret } = world();
    await createSecret('a');
    await createSecret('b', { labels: { env: 'prod' } });
    await createSecret('c', { labels: { env: 'dev' } });
    expect(names((await ok(`${SECRETS}.ListSecrets`, { parent: 'projects/123456', filter })).secrets)).toEqual(
      expected,
    );
  });

  test.each([{ pageToken: 'nonsense' }, { pageSize: -1 }, { filter: 'a b c' }, { filter: '(name:x' }])(
    'refuse %j',
    async bad => {
      const { refused, createSecret } = world();
      await createSecret();
      expect((await refused(`${SECRETS}.ListSecrets`, { parent: 'projects/123456', ...bad })).code).toBe(
        'INVALID_ARGUMENT',
      );
    },
  );
});

describe('versions', () => {
  test('are numbered from 1, newest first, and latest is the newest whatever its state', async () => {
    const { ok, refused, createSecret, addVersion } = world();
    await createSecret();
    expect(await refused(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/latest` })).toEqual({
      code: 'NOT_FOUND',
      message: 'Secret [projects/123456/secrets/key] not found or has no versions.',
    });
    for (const value of ['one', 'two', 'three']) await addVersion(value);
    await ok(`${SECRETS}.DisableSecretVersion`, { name: `${SECRET}/versions/3` });

    const latest = await ok(`${SECRETS}.GetSecretVersion`, { name: `${SECRET}/versions/latest` });
    expect(latest).toMatchObject({
      name: `${SECRET}/versions/3`,
      state: 'DISABLED',
      replicationStatus: { automatic: {} },
    });
    expect(latest).not.toHaveProperty('payload');
    expect(await refused(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/latest` })).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: 'Secret Version [projects/123456/secrets/key/versions/3] is in DISABLED state.',
    });
    const enabled = await ok(`${SECRETS}.ListSecretVersions`, { parent: SECRET, filter: 'state:ENABLED', pageSize: 1 });
    expect(names(enabled.versions)).toEqual(['2']);
    expect(enabled.totalSize).toBe(2);
    expect(names((await ok(`${SECRETS}.ListSecretVersions`, { parent: SECRET })).versions)).toEqual(['3', '2', '1']);
    expect(await refused(`${SECRETS}.GetSecretVersion`, { name: `${SECRET}/versions/9` })).toMatchObject({
      message: 'Secret Version [projects/123456/secrets/key/versions/9] not found.',
    });
  });

  test('carry a checksum that is checked and answered', async () => {
    const { ok, refused, createSecret, addVersion } = world();
    await createSecret();
    await addVersion('hello');
    const data = Buffer.from('hello').toString('base64');
    const { payload } = await ok(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/1` });
    expect(payload).toEqual({ data, dataCrc32c: String(crc32c(Buffer.from('hello'))) });
    // The check value that the CRC catalogue gives for CRC-32C.
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    const add = (given: JsonObject) => ({ parent: SECRET, payload: given });
    expect((await refused(`${SECRETS}.AddSecretVersion`, add({ data, dataCrc32c: '1' }))).code).toBe(
      'INVALID_ARGUMENT',
    );
    const checked = await ok(
      `${SECRETS}.AddSecretVersion`,
      add({ data, dataCrc32c: String(crc32c(Buffer.from('hello'))) }),
    );
    expect(checked.clientSpecifiedPayloadChecksum).toBe(true);
    expect((await refused(`${SECRETS}.AddSecretVersion`, add({ data: '' }))).code).toBe('INVALID_ARGUMENT');
    const large = Buffer.alloc(64 * 1024 + 1).toString('base64');
    expect((await refused(`${SECRETS}.AddSecretVersion`, add({ data: large }))).code).toBe('INVALID_ARGUMENT');
  });

  test('destroyed stay destroyed; a stale etag changes nothing', async () => {
    const { ok, refused, createSecret, addVersion } = world();
    await createSecret();
    const { etag } = await addVersion('one');
    const name = `${SECRET}/versions/1`;
    await ok(`${SECRETS}.EnableSecretVersion`, { name });
    expect((await refused(`${SECRETS}.DestroySecretVersion`, { name, etag })).code).toBe('FAILED_PRECONDITION');
    const destroyed = await ok(`${SECRETS}.DestroySecretVersion`, { name });
    expect(destroyed).toMatchObject({ state: 'DESTROYED', destroyTime: expect.any(String) });
    expect((await refused(`${SECRETS}.EnableSecretVersion`, { name })).message).toContain('DESTROYED state');
    expect((await refused(`${SECRETS}.AccessSecretVersion`, { name })).message).toContain('DESTROYED state');
  });

  test('can be read by alias', async () => {
    const { ok, createSecret, addVersion } = world();
    await createSecret();
    await addVersion('one');
    await addVersion('two');
    await ok(`${SECRETS}.UpdateSecret`, {
      secret: { name: SECRET, versionAliases: { stable: '1' } },
      updateMask: 'version_aliases',
    });
    const read = await ok(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/stable` });
    expect(read.name).toBe(`${SECRET}/versions/1`);
  });
});

describe('Cloud.accessSecret, as Cloud Run reads', () => {
  test('tells what stands in the way, with the full name by number', async () => {
    const { core, ok, createAccount, createSecret, addVersion, setPolicy } = world();
    const access = (version = 'latest', secret = 'key', project = 'demo-project') =>
      core.cloud.accessSecret(project, secret, version, EMAIL);
    expect(access()).toEqual({ ok: false, why: 'missing', name: `${SECRET}/versions/latest` });
    await createAccount();
    await createSecret();
    expect(access()).toMatchObject({ why: 'denied' });
    await setPolicy({ bindings: [grant(`serviceAccount:${EMAIL}`)] });
    expect(access()).toMatchObject({ why: 'noVersion' });
    await addVersion('one');
    await addVersion('two');
    expect(access()).toEqual({ ok: true, version: '2', payload: Buffer.from('two') });
    expect(access('1', 'projects/demo-project/secrets/key', 'other-project')).toMatchObject({ ok: true, version: '1' });
    await ok(`${SECRETS}.DisableSecretVersion`, { name: `${SECRET}/versions/2` });
    expect(access()).toMatchObject({ why: 'disabled' });
    await ok(`${SECRETS}.DestroySecretVersion`, { name: `${SECRET}/versions/1` });
    expect(access('1')).toMatchObject({ why: 'destroyed' });
    await ok('google.iam.admin.v1.IAM.DisableServiceAccount', { name: `projects/-/serviceAccounts/${EMAIL}` });
    expect(access()).toMatchObject({ why: 'denied' });
  });

  test('sees a grant only once it has propagated, and its removal too', async () => {
    const { core, runtime, createAccount, createSecret, addVersion, setPolicy } = world({
      settings: { policyPropagationMs: 5000 },
    });
    const granted = () => core.cloud.accessSecret('demo-project', 'key', 'latest', EMAIL).ok;
    await createAccount();
    await createSecret();
    await addVersion('one');
    await setPolicy({ bindings: [grant(`serviceAccount:${EMAIL}`)] });
    expect(granted()).toBe(false);
    await runtime.advance(5000);
    expect(granted()).toBe(true);
    await setPolicy({ bindings: [] });
    await runtime.advance(4999);
    expect(granted()).toBe(true);
    await runtime.advance(1);
    expect(granted()).toBe(false);
  });
});
