import { describe, expect, test } from 'vitest';
import { permissionFor } from '../../sandbox/gcp/iam/permissions.ts';
import { protoRegistry } from '../../sandbox/gcp/wire/protos.ts';
import { ACCOUNT, EMAIL, grant, IAM, SECRET, SECRETS, world } from './sandbox-gcp.support.ts';

const RUN = 'google.cloud.run.v2.Services';
const OPERATIONS = 'google.longrunning.Operations';
const REGION = 'projects/demo-project/locations/asia-northeast1';

describe('a request is held to its proto', () => {
  test.each([
    [
      'an unknown field',
      { service: { bogus: 1 } },
      `Invalid JSON payload received. Unknown name "bogus" at 'service': Cannot find field.`,
      'service',
    ],
    [
      'one deep inside',
      { service: { template: { containers: [{ image: 'x' }, { imgae: 'x' }] } } },
      `Invalid JSON payload received. Unknown name "imgae" at 'service.template.containers[1]': Cannot find field.`,
      'service.template.containers[1]',
    ],
    [
      'text for a number',
      { service: { template: { maxInstanceRequestConcurrency: 'many' } } },
      `Invalid value at 'service.template.max_instance_request_concurrency' (TYPE_INT32), "many"`,
      'service.template.max_instance_request_concurrency',
    ],
    [
      'a number for text',
      { service: { description: 5 } },
      `Invalid value at 'service.description' (TYPE_STRING), 5`,
      'service.description',
    ],
    [
      'an unknown enum value',
      { service: { ingress: 'NOWHERE' } },
      `Invalid value at 'service.ingress' (type.googleapis.com/google.cloud.run.v2.IngressTraffic), "NOWHERE"`,
      'service.ingress',
    ],
    [
      'a bad duration',
      { service: { template: { timeout: '5m' } } },
      `Invalid value at 'service.template.timeout' (type.googleapis.com/google.protobuf.Duration), "5m"`,
      'service.template.timeout',
    ],
    [
      'an int32 too large',
      { service: { scaling: { minInstanceCount: 3_000_000_000 } } },
      `Invalid value at 'service.scaling.min_instance_count' (TYPE_INT32), 3000000000`,
      'service.scaling.min_instance_count',
    ],
    [
      'a list for one',
      { service: { description: [] } },
      `Invalid JSON payload received. Unknown name "description" at 'service': Proto field is not repeating, cannot start list.`,
      'service.description',
    ],
    [
      'one for a list',
      { service: { traffic: {} } },
      `Invalid value at 'service.traffic' (type.googleapis.com/google.cloud.run.v2.TrafficTarget), {}`,
      'service.traffic',
    ],
  ])('%s', async (_, more, message, field) => {
    const { refused } = world();
    const status = await refused(`${RUN}.CreateService`, { parent: REGION, serviceId: 'web', ...more } as never);
    expect(status).toEqual({
      code: 'INVALID_ARGUMENT',
      message,
      details: [
        { '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ field, description: message }] },
      ],
    });
  });

  test('every violation is told, and the request has no effect', async () => {
    const { refused, core } = world();
    const status = await refused(`${SECRETS}.CreateSecret`, {
      parent: 'projects/demo-project',
      secretId: 'key',
      secret: { replication: { automatic: {} }, a: 1, b: 2 },
    });
    expect(status.message.split('\n')).toHaveLength(2);
    expect(core.cloud.secrets.find(SECRET)).toBeUndefined();
  });

  test('required fields are asked for, output-only ones ignored, snake case and numbers of enums taken', async () => {
    const { refused, ok, createSecret, addVersion } = world();
    expect(
      (await refused(`${SECRETS}.CreateSecret`, { parent: 'projects/demo-project', secretId: 'key' })).message,
    ).toBe("Required field 'secret' not specified.");
    const made = await ok(`${SECRETS}.CreateSecret`, {
      parent: 'projects/demo-project',
      secret_id: 'other',
      secret: { replication: { automatic: {} }, createTime: '2001-01-01T00:00:00Z', secretType: 50 },
    });
    expect(made).toMatchObject({ secretType: 'OTHER', name: 'projects/123456/secrets/other' });
    expect(made.createTime).not.toMatch(/^2001/);
    await createSecret();
    await addVersion('one');
    const aliased = { secret: { name: SECRET, versionAliases: { now: 1 } }, updateMask: 'versionAliases' };
    expect(await ok(`${SECRETS}.UpdateSecret`, aliased)).toMatchObject({ versionAliases: { now: '1' } });
  });

  test('answers leave default values out', async () => {
    const { createAccount } = world();
    const account = await createAccount();
    expect(account).not.toHaveProperty('disabled');
    expect(account).not.toHaveProperty('description');
  });

  test('methods that are not there are unimplemented', async () => {
    const { refused } = world();
    expect((await refused(`${RUN}.ExplodeService`, {})).code).toBe('UNIMPLEMENTED');
    expect((await refused(`${SECRETS}.RotateSecret`, { parent: SECRET })).message).toContain('not supported');
  });
});

describe('calls are counted', () => {
  test('by method, and reads, writes and accesses apart', async () => {
    const { core, ok, createSecret, addVersion, createAccount } = world();
    await createSecret();
    await addVersion('one');
    await createAccount();
    await ok(`${SECRETS}.AccessSecretVersion`, { name: `${SECRET}/versions/1` });
    await ok(`${IAM}.GetIamPolicy`, { resource: ACCOUNT });
    await core.call(`${SECRETS}.GetSecret`, { name: 'projects/demo-project/secrets/none' });
    expect(core.counters).toMatchObject({ reads: 2, writes: 3, accesses: 1 });
    expect(core.counters.calls).toMatchObject({ [`${SECRETS}.AddSecretVersion`]: 1, [`${IAM}.GetIamPolicy`]: 1 });
    core.counters.reset();
    expect(core.counters).toMatchObject({ reads: 0, writes: 0, accesses: 0, calls: {} });
  });

  test('and logged with what became of them, but never with a value', async () => {
    const { core, createSecret, addVersion } = world({ logSize: 3 });
    await createSecret();
    await core.call(`${SECRETS}.CreateSecret`, {
      parent: 'projects/demo-project',
      secretId: 'k',
      secret: { nonsense: 1 },
    });
    await core.call(`${SECRETS}.GetSecret`, { name: SECRET }, { actAs: 'robot@example.com' });
    await addVersion('canary');
    expect(core.requestLog.map(({ code }) => code)).toEqual(['INVALID_ARGUMENT', 'OK', 'OK']);
    expect(core.requestLog[1]).toMatchObject({
      method: `${SECRETS}.GetSecret`,
      resource: SECRET,
      caller: { email: 'robot@example.com' },
    });
    expect(JSON.stringify(core.requestLog)).not.toContain(Buffer.from('canary').toString('base64'));
  });
});

describe('faults', () => {
  const unavailable = { code: 'UNAVAILABLE', message: 'The service is currently unavailable.' } as const;

  test('before the effect, so often as asked', async () => {
    const { core, refused, createAccount } = world();
    core.faults.add({ method: 'CreateServiceAccount', error: unavailable, times: 2 });
    const request = { name: 'projects/demo-project', accountId: 'sa-tenant-a' };
    for (let i = 0; i < 2; i++) expect(await refused(`${IAM}.CreateServiceAccount`, request)).toEqual(unavailable);
    await createAccount();
  });

  test('after it: the answer is lost, the account is there', async () => {
    const { core, ok, refused } = world();
    core.faults.add({ method: `${IAM}.CreateServiceAccount`, lost: unavailable });
    const request = { name: 'projects/demo-project', accountId: 'sa-tenant-a' };
    expect(await refused(`${IAM}.CreateServiceAccount`, request)).toEqual(unavailable);
    expect(await ok(`${IAM}.GetServiceAccount`, { name: ACCOUNT })).toMatchObject({ email: EMAIL });
  });

  test('only where they match, until taken away', async () => {
    const { core, ok, refused, createSecret } = world();
    await createSecret('a');
    await createSecret('b');
    const heal = core.faults.add({
      resource: 'secrets/a',
      match: ({ caller }) => !caller.email,
      error: unavailable,
      times: 99,
    });
    const name = 'projects/demo-project/secrets/a';
    await ok(`${SECRETS}.GetSecret`, { name: 'projects/demo-project/secrets/b' });
    await refused(`${SECRETS}.GetSecret`, { name });
    expect((await core.call(`${SECRETS}.GetSecret`, { name }, { actAs: 'x@example.com' })).ok).toBe(true);
    heal();
    await ok(`${SECRETS}.GetSecret`, { name });
  });

  test('delay effect and answer in the runtime’s time; who gives up meanwhile is told so', async () => {
    const { core, runtime, createSecret } = world();
    core.faults.add({ method: 'CreateSecret', delayMs: 1000, answerDelayMs: 500 });
    let answered = false;
    const call = createSecret().then(() => {
      answered = true;
    });
    await runtime.advance(999);
    expect(core.cloud.secrets.find(SECRET)).toBeUndefined();
    await runtime.advance(1);
    expect(core.cloud.secrets.find(SECRET)).toBeDefined();
    expect(answered).toBe(false);
    await runtime.advance(500);
    await call;

    core.faults.add({ method: 'DeleteSecret', delayMs: 1000 });
    const patience = new AbortController();
    const given = core.call(`${SECRETS}.DeleteSecret`, { name: SECRET }, { signal: patience.signal });
    patience.abort();
    expect(await given).toMatchObject({ ok: false, status: { code: 'CANCELLED' } });
    expect(core.cloud.secrets.find(SECRET)).toBeDefined();
  });

  test('take a permission away, from one caller or all, on one resource or all', async () => {
    const { core, ok, refused, createSecret } = world();
    await createSecret();
    const restore = core.faults.deny({ permission: 'secretmanager.secrets.get', resource: 'secrets/key' });
    expect(await refused(`${SECRETS}.GetSecret`, { name: SECRET })).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: `Permission 'secretmanager.secrets.get' denied for resource '${SECRET}' (or it may not exist).`,
      details: [{ reason: 'IAM_PERMISSION_DENIED' }],
    });
    restore();
    core.faults.deny({ permission: 'secretmanager.secrets.setIamPolicy', caller: 'robot@example.com' });
    const request = { resource: SECRET, policy: { bindings: [grant('allUsers')] } };
    const asRobot = await core.call(`${SECRETS}.SetIamPolicy`, request, { actAs: 'robot@example.com' });
    expect(asRobot).toMatchObject({ ok: false, status: { code: 'PERMISSION_DENIED' } });
    await ok(`${SECRETS}.SetIamPolicy`, request);
    const permissions = ['secretmanager.secrets.get', 'secretmanager.secrets.setIamPolicy'];
    const tested = await core.call(
      `${SECRETS}.TestIamPermissions`,
      { resource: SECRET, permissions },
      { actAs: 'robot@example.com' },
    );
    expect(tested).toEqual({ ok: true, response: { permissions: ['secretmanager.secrets.get'] } });
  });

  test('every method that a handler answers needs a permission, or asks for none knowingly', () => {
    // Methods with a name of a discovery document make calls of those with a name of a proto, which are checked.
    const without = [...protoRegistry().methods.keys()]
      .filter(name => name.startsWith('google.') && !permissionFor(name))
      .map(name => name.split('.').at(-1));
    expect(new Set(without)).toEqual(
      new Set([
        'TestIamPermissions',
        'ListProjects',
        'SearchProjects',
        'EnableManagedRotation',
        'RotateSecret',
        'ListServiceAccountKeys',
        'GetServiceAccountKey',
        'DeleteServiceAccountKey',
      ]),
    );
  });
});

describe('quotas', () => {
  test('are a project’s and a minute’s, by API and kind of call', async () => {
    const { core, runtime, ok, refused, createSecret } = world({ limits: { secretmanager: { read: 2 } } });
    await createSecret();
    await runtime.advance(45_000);
    const get = { name: 'projects/demo-project/secrets/key' };
    await ok(`${SECRETS}.GetSecret`, get);
    await ok(`${SECRETS}.ListSecrets`, { parent: 'projects/demo-project' });
    const status = await refused(`${SECRETS}.GetSecret`, get);
    expect(status).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryAfterMs: 15_000 });
    await ok(`${SECRETS}.ListSecrets`, { parent: 'projects/other-project' });
    await ok(`${SECRETS}.DeleteSecret`, get);
    await runtime.advance(status.retryAfterMs ?? 0);
    expect((await refused(`${SECRETS}.GetSecret`, get)).code).toBe('NOT_FOUND');
    core.quotas.limits = {};
    for (let i = 0; i < 5; i++) expect((await refused(`${SECRETS}.GetSecret`, get)).code).toBe('NOT_FOUND');
  });

  test('by the number or the id of a project are one', async () => {
    const { ok, refused } = world({ limits: { secretmanager: { read: 1 } } });
    await ok(`${SECRETS}.ListSecrets`, { parent: 'projects/123456' });
    expect((await refused(`${SECRETS}.ListSecrets`, { parent: 'projects/demo-project' })).code).toBe(
      'RESOURCE_EXHAUSTED',
    );
  });

  test('are the published ones unless told otherwise', async () => {
    const { core, refused } = world();
    const get = { name: 'projects/demo-project/secrets/none' };
    for (let i = 0; i < 600; i++) expect((await refused(`${SECRETS}.GetSecret`, get)).code).toBe('NOT_FOUND');
    expect((await refused(`${SECRETS}.GetSecret`, get)).code).toBe('RESOURCE_EXHAUSTED');
    expect(core.quotas.limits.iam).toEqual({ read: 6000, write: 600 });
  });
});

describe('long-running operations', () => {
  const service = { '@type': 'type.googleapis.com/google.cloud.run.v2.Service', name: `${REGION}/services/web` };

  test('are read, listed, awaited and deleted', async () => {
    const { core, runtime, ok, refused } = world();
    const type = 'google.cloud.run.v2.Service';
    const { operations } = core.cloud;
    const { name } = operations.start(REGION, type, { name: service.name });
    const failing = operations.start(REGION, type, { name: service.name });
    expect(await ok(`${OPERATIONS}.GetOperation`, { name })).toEqual({ name, metadata: service });

    let waited: unknown;
    const waiting = ok(`${OPERATIONS}.WaitOperation`, { name, timeout: '20s' }).then(answer => {
      waited = answer;
    });
    await runtime.advance(5000);
    expect(waited).toBeUndefined();
    operations.finish(name, { responseType: type, response: { name: service.name } });
    await waiting;
    expect(waited).toEqual({ name, metadata: service, done: true, response: service });

    operations.finish(failing.name, { error: { code: 'NOT_FOUND', message: 'gone' } });
    expect(await ok(`${OPERATIONS}.GetOperation`, failing)).toMatchObject({
      done: true,
      error: { code: 5, message: 'gone' },
    });
    const running = operations.start(REGION, type, {});
    const list = async (filter: string) =>
      ((await ok(`${OPERATIONS}.ListOperations`, { name: REGION, filter })).operations as unknown[]).length;
    expect([await list(''), await list('done:true'), await list('done=false')]).toEqual([3, 2, 1]);
    const timedOut = ok(`${OPERATIONS}.WaitOperation`, { name: running.name, timeout: '1s' });
    await runtime.advance(1000);
    expect(await timedOut).not.toHaveProperty('done');
    await ok(`${OPERATIONS}.DeleteOperation`, { name });
    expect((await refused(`${OPERATIONS}.GetOperation`, { name })).code).toBe('NOT_FOUND');
  });
});

test('the same seed gives the same cloud', async () => {
  const history = async () => {
    const { core, createAccount, createSecret, addVersion } = world();
    await createAccount();
    await createSecret();
    await addVersion('one');
    const { response } = (await core.call(`${IAM}.GetServiceAccount`, { name: ACCOUNT })) as { response: unknown };
    return JSON.stringify([
      response,
      core.requestLog,
      core.cloud.operations.start(REGION, 'google.cloud.run.v2.Service', {}),
    ]);
  };
  expect(await history()).toBe(await history());
});
