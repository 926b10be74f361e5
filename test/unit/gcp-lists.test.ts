import { describe, expect, test } from 'vitest';
import { createSharedReads } from '../../operator/gcp/lists.ts';
import { agesOf } from '../../operator/reconcile/pacing.ts';
import type { Call, Tenant } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';

const PROJECT = 'demo-project';
const NUMBER = '123456789012';
const PARENT = `projects/${PROJECT}/locations/asia-northeast1`;
const RUN = 'google.cloud.run.v2.Services';
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
const IAM = 'google.iam.admin.v1.IAM';
const FRESH = { listed: 0, single: 0 };
const SOON = { listed: 1_000, single: 30_000 };
const RESYNC = { listed: 300_000, single: 0 };

/** A clock that only `pass` moves. */
function givenTime(): Runtime & { pass(ms: number): void } {
  let time = 0;
  let asked = 0;
  const timers: { at: number; fn: () => void }[] = [];
  return {
    now: () => Date.UTC(2030, 0, 1) + time,
    monotonic: () => time,
    // Different each time, or two accounts would have one unique id.
    random: () => (++asked * 0.618_034) % 1,
    after(ms, fn) {
      const timer = { at: time + ms, fn };
      timers.push(timer);
      return () => {
        timer.at = Number.POSITIVE_INFINITY;
      };
    },
    pass(ms) {
      time += ms;
      for (const timer of timers.filter(({ at }) => at <= time)) {
        timer.at = Number.POSITIVE_INFINITY;
        timer.fn();
      }
    },
  };
}

function givenCloud() {
  const time = givenTime();
  const core = createGcpCore({
    runtime: time,
    projects: [{ id: PROJECT, number: NUMBER }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 0 },
    limits: {},
    accountsPerProject: 10_000,
    containers: scriptedContainers(time, new Map(), 0),
  });
  const must = async (method: string, request: JsonObject): Promise<JsonObject> => {
    const result = await core.call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.message}`);
    return result.response;
  };
  const calls: string[] = [];
  const call: GcpCall = (method, request, options) => {
    calls.push(method.split('.').at(-1) ?? '');
    return core.call(method, request, options);
  };
  return {
    time,
    core,
    calls,
    reads: createSharedReads(call, time),
    secret: async (id: string, labels: Record<string, string> = {}) => {
      const secret = { replication: { automatic: {} }, labels };
      await must(`${SECRETS}.CreateSecret`, { parent: `projects/${PROJECT}`, secretId: id, secret });
      const payload = { data: Buffer.from('sk').toString('base64') };
      await must(`${SECRETS}.AddSecretVersion`, { parent: `projects/${PROJECT}/secrets/${id}`, payload });
    },
    account: (id: string) => must(`${IAM}.CreateServiceAccount`, { name: `projects/${PROJECT}`, accountId: id }),
    service: async (id: string) => {
      const service = { template: { containers: [{ image: 'gcr.io/cloudrun/hello' }] } };
      await must(`${RUN}.CreateService`, { parent: PARENT, serviceId: id, service });
      time.pass(0);
      time.pass(0);
    },
    must,
  };
}

const emailOf = (id: string) => `${id}@${PROJECT}.iam.gserviceaccount.com`;
const accountName = (id: string) => `projects/${PROJECT}/serviceAccounts/${emailOf(id)}`;
const secretName = (id: string) => `projects/${PROJECT}/secrets/${id}`;
const serviceName = (id: string) => `${PARENT}/services/${id}`;
const count = (calls: string[]) => {
  const counted: Record<string, number> = {};
  for (const call of calls) counted[call] = (counted[call] ?? 0) + 1;
  return counted;
};

test('While a tenant waits for its service, only the service is read again: Secret Manager allows few reads', async () => {
  const { time, calls, reads, secret, account, service } = givenCloud();
  await secret('key');
  await account('sa-tenant');
  await service('ai-platform-tenant');
  const all = async (ages: ReturnType<typeof agesOf>) => {
    const current = reads.at(ages);
    const answers = await Promise.all([
      current.account(accountName('sa-tenant')),
      current.secret(`projects/${PROJECT}/secrets/key`),
      current.service(`${PARENT}/services/ai-platform-tenant`),
    ]);
    expect(answers.map(({ state }) => state)).toEqual(['present', 'present', 'present']);
    return calls.splice(0).toSorted();
  };
  await all(FRESH);

  for (const freshness of ['waiting', 'rollout'] as const) {
    time.pass(2_000);
    const ages = agesOf(freshness, { annotations: {} } as Tenant, { syncIntervalMs: 600_000 });
    expect(await all(ages), freshness).toEqual([expect.stringMatching(/^(?:Get|List)Services?$/)]);
  }
});

describe('many readers at once', () => {
  test('300 of them cost the pages of three lists, and two calls each for what no list has', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    const ids = Array.from({ length: 300 }, (_, i) => `tenant-${String(i).padStart(4, '0')}`);
    for (const id of ids) {
      await cloud.secret(id);
      await cloud.account(`sa-${id}`);
      await cloud.service(id);
    }
    const seen = reads.at(RESYNC);
    const answers = await Promise.all(
      ids.map(async id => [
        await seen.account(accountName(`sa-${id}`)),
        await seen.secret(secretName(id)),
        await seen.service(serviceName(id)),
        await seen.secretPolicy(secretName(id)),
        await seen.secretVersion(secretName(id), 'newestEnabled'),
      ]),
    );
    expect(answers.flat().every(({ state }) => state === 'present')).toBe(true);
    // 301 accounts, with the project's own default one, at 100 a page.
    expect(count(calls)).toEqual({
      ListServiceAccounts: 4,
      ListSecrets: 1,
      ListServices: 1,
      GetIamPolicy: 300,
      ListSecretVersions: 300,
    });
  });

  test('an answer from a list is what a GET of it answers', async () => {
    const { reads, core, ...cloud } = givenCloud();
    await cloud.secret('key', { team: 'a' });
    await cloud.account('sa-tenant-a');
    await cloud.service('ai-platform-a');
    const seen = reads.at(FRESH);
    expect(await seen.secret(secretName('key'))).toEqual({
      state: 'present',
      value: { name: `projects/${NUMBER}/secrets/key`, labels: { team: 'a' } },
    });
    expect(await seen.account(accountName('sa-tenant-a'))).toMatchObject({
      state: 'present',
      value: { email: emailOf('sa-tenant-a') },
    });
    const service = await seen.service(serviceName('ai-platform-a'));
    const single = await cloud.must(`${RUN}.GetService`, { name: serviceName('ai-platform-a') });
    expect(service).toMatchObject({ state: 'present', value: { name: single.name, etag: single.etag } });
  });

  test('those who come while a list runs share one more, which begins after they asked', async () => {
    const { reads, calls, core, ...cloud } = givenCloud();
    await cloud.secret('first');
    core.faults.add({ method: 'ListSecrets', delayMs: 1_000 });
    const early = reads.at(FRESH).secret(secretName('first'));
    await Promise.resolve();
    cloud.time.pass(10);
    await cloud.secret('second');
    const late = [1, 2, 3].map(() => reads.at(FRESH).secret(secretName('second')));
    cloud.time.pass(1_000);
    expect((await early).state).toBe('present');
    expect((await Promise.all(late)).map(({ state }) => state)).toEqual(['present', 'present', 'present']);
    expect(count(calls)).toEqual({ ListSecrets: 2 });
  });
});

describe('how fresh an answer is', () => {
  test('a resync takes what is known, an edit does not', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    await cloud.secret('key');
    await reads.at(RESYNC).secret(secretName('key'));
    cloud.time.pass(60_000);
    await cloud.must(`${SECRETS}.UpdateSecret`, {
      secret: { name: secretName('key'), labels: { team: 'b' } },
      updateMask: 'labels',
    });
    expect(await reads.at(RESYNC).secret(secretName('key'))).toMatchObject({ value: { labels: {} } });
    expect(calls).toHaveLength(1);
    expect(await reads.at(FRESH).secret(secretName('key'))).toMatchObject({ value: { labels: { team: 'b' } } });
    expect(calls).toHaveLength(2);
  });

  test('a secret that is not there is looked for again whoever asks, and what we make ourselves after ten seconds', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    const seen = reads.at(RESYNC);
    expect((await seen.secret(secretName('key'))).state).toBe('absent');
    expect((await seen.account(accountName('sa-tenant-a'))).state).toBe('absent');
    await cloud.secret('key');
    await cloud.account('sa-tenant-a');
    expect((await seen.secret(secretName('key'))).state).toBe('present');
    expect((await seen.account(accountName('sa-tenant-a'))).state).toBe('absent');
    cloud.time.pass(10_001);
    expect((await seen.account(accountName('sa-tenant-a'))).state).toBe('present');
    expect(count(calls)).toEqual({ ListSecrets: 2, ListServiceAccounts: 2 });
  });

  test('who waits for an operation shares the lists of the last second, and reads no policy twice', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    await cloud.secret('key');
    await cloud.service('ai-platform-a');
    for (let poll = 0; poll < 10; poll++) {
      await reads.at(SOON).service(serviceName('ai-platform-a'));
      await reads.at(SOON).secretPolicy(secretName('key'));
      cloud.time.pass(250);
    }
    expect(count(calls)).toEqual({ ListServices: 2, GetIamPolicy: 1 });
  });

  test('in a large project a lone reader asks for one thing, and many for a list', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    for (let i = 0; i < 500; i++) await cloud.secret(`key-${i}`);
    await reads.at(FRESH).secret(secretName('key-0'));
    cloud.time.pass(10);
    await reads.at(FRESH).secret(secretName('key-1'));
    expect(calls).toEqual(['ListSecrets', 'GetSecret']);
    for (let i = 2; i < 100; i++) {
      cloud.time.pass(10);
      await reads.at(FRESH).secret(secretName(`key-${i}`));
    }
    // Five GETs cost what a list does: no more than four come between two.
    expect(count(calls)).toEqual({ ListSecrets: 20, GetSecret: 80 });
  });

  test('where the last list answered regular checks, the next of them lists at once; an edit still asks for one thing', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    for (let i = 0; i < 500; i++) await cloud.secret(`key-${i}`);
    const regular = reads.at(RESYNC, () => {});
    for (let i = 0; i < 50; i++) {
      cloud.time.pass(1);
      await regular.secret(secretName(`key-${i}`));
    }
    expect(calls).toEqual(['ListSecrets']);
    cloud.time.pass(RESYNC.listed + 1);
    await reads.at(FRESH).secret(secretName('key-0'));
    expect(calls).toEqual(['ListSecrets', 'GetSecret']);
    for (let i = 0; i < 50; i++) await regular.secret(secretName(`key-${i}`));
    expect(calls).toEqual(['ListSecrets', 'GetSecret', 'ListSecrets']);
    // A project of which two are read now and then: a list of all the others would cost more.
    for (const _ of ['an interval', 'another one']) {
      cloud.time.pass(RESYNC.listed + 1);
      calls.length = 0;
      for (let i = 0; i < 2; i++) await reads.at(RESYNC).secret(secretName(`key-${i}`));
    }
    expect(calls).toEqual(['GetSecret', 'GetSecret']);
  });
});

describe('our own writes', () => {
  test('are seen at once, however old an answer may be', async () => {
    const { reads, ...cloud } = givenCloud();
    const seen = reads.at(RESYNC);
    expect((await seen.service(serviceName('ai-platform-a'))).state).toBe('absent');
    await cloud.service('ai-platform-a');
    const created = { kind: 'createService', parent: PARENT, serviceId: 'ai-platform-a', service: {} } as const;
    reads.wrote(created, { ok: true, response: {} });
    expect((await seen.service(serviceName('ai-platform-a'))).state).toBe('present');
  });

  test('a policy as setIamPolicy answered it is the one that is known', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    await cloud.secret('key');
    const before = await reads.at(SOON).secretPolicy(secretName('key'));
    expect(before.state).toBe('present');
    const bindings = [{ role: 'roles/viewer', members: ['allUsers'] }];
    const response = await cloud.must(`${SECRETS}.SetIamPolicy`, {
      resource: secretName('key'),
      policy: { version: 3, bindings },
    });
    const step = { kind: 'setSecretPolicy', secret: secretName('key'), policy: { bindings } } as const;
    reads.wrote({ ...step, policy: { bindings } }, { ok: true, response });
    expect(await reads.at(SOON).secretPolicy(secretName('key'))).toMatchObject({
      state: 'present',
      value: { bindings, etag: response.etag },
    });
    expect(count(calls)).toEqual({ GetIamPolicy: 1 });
  });

  test('after one that was refused the thing itself is asked for, not a list', async () => {
    const { reads, calls, ...cloud } = givenCloud();
    await cloud.account('sa-tenant-a');
    await reads.at(RESYNC).account(accountName('sa-tenant-a'));
    const name = `projects/${PROJECT}/serviceAccounts/${emailOf('sa-tenant-a')}`;
    reads.wrote(
      { kind: 'updateAccount', name, description: 'x' },
      { ok: false, failure: { kind: 'Conflict', message: 'stale' } },
    );
    await reads.at(RESYNC).account(accountName('sa-tenant-a'));
    expect(calls).toEqual(['ListServiceAccounts', 'GetServiceAccount']);
  });

  test('a deletion by unique id is one of that e-mail', async () => {
    const { reads, ...cloud } = givenCloud();
    const { uniqueId } = await cloud.account('sa-tenant-a');
    await reads.at(RESYNC).account(accountName('sa-tenant-a'));
    const name = `projects/${PROJECT}/serviceAccounts/${uniqueId}`;
    await cloud.must(`${IAM}.DeleteServiceAccount`, { name });
    reads.wrote({ kind: 'deleteAccount', name }, { ok: true, response: {} });
    expect((await reads.at(RESYNC).account(accountName('sa-tenant-a'))).state).toBe('absent');
  });
});

describe('a list that does not tell', () => {
  test('one that is refused is made up for by reading each alone', async () => {
    const { reads, calls, core, ...cloud } = givenCloud();
    await cloud.secret('key');
    core.faults.deny({ permission: 'secretmanager.secrets.list' });
    for (let i = 0; i < 3; i++) expect((await reads.at(FRESH).secret(secretName('key'))).state).toBe('present');
    expect(count(calls)).toEqual({ ListSecrets: 1, GetSecret: 3 });
  });

  test.each(['UNKNOWN', 'UNIMPLEMENTED', 'NOT_FOUND', 'UNAUTHENTICATED'] as const)(
    'an address that has none, and answers %s, is asked for each alone',
    async code => {
      const { reads, calls, core, ...cloud } = givenCloud();
      await cloud.secret('key');
      core.faults.add({
        method: 'ListSecrets',
        error: { code, message: 'HTTP 404 with a body that is not from a Google API.' },
      });
      for (let i = 0; i < 2; i++) expect((await reads.at(FRESH).secret(secretName('key'))).state).toBe('present');
      expect(count(calls)).toEqual({ ListSecrets: 1, GetSecret: 2 });
    },
  );

  test('one that fails is a failure, not an absence', async () => {
    const { reads, core, time, ...cloud } = givenCloud();
    await cloud.secret('key');
    core.faults.add({ method: 'ListSecrets', error: { code: 'UNAVAILABLE', message: 'try again' } });
    expect(await reads.at(FRESH).secret(secretName('key'))).toEqual({
      state: 'failed',
      failure: { kind: 'Transient', message: 'try again' },
    });
    time.pass(1_000);
    expect((await reads.at(FRESH).secret(secretName('key'))).state).toBe('present');
  });

  test('what was in the list before and is not in this one is asked for by its name', async () => {
    const { core, ...cloud } = givenCloud();
    await cloud.secret('key');
    let hidden = false;
    const calls: string[] = [];
    const reads = createSharedReads((method, request) => {
      calls.push(method.split('.').at(-1) ?? '');
      if (hidden && method.endsWith('ListSecrets')) return Promise.resolve({ ok: true, response: { secrets: [] } });
      return core.call(method, request);
    }, cloud.time);
    await reads.at(FRESH).secret(secretName('key'));
    cloud.time.pass(10);
    hidden = true;
    expect((await reads.at(FRESH).secret(secretName('key'))).state).toBe('present');
    expect(calls).toEqual(['ListSecrets', 'ListSecrets', 'GetSecret']);
  });

  test('a region that could not be reached has not lost its services', async () => {
    const { core, ...cloud } = givenCloud();
    await cloud.service('ai-platform-a');
    const reads = createSharedReads((method, request) => {
      if (!method.endsWith('ListServices')) return core.call(method, request);
      return Promise.resolve({ ok: true, response: { services: [], unreachable: [PARENT] } });
    }, cloud.time);
    expect((await reads.at(FRESH).service(serviceName('ai-platform-a'))).state).toBe('present');
  });
});

describe('what a step has changed is read anew, and nothing else', () => {
  const done = { ok: true, response: {} } as const;

  async function givenTwoOfEach() {
    const cloud = givenCloud();
    for (const id of ['sa-tenant-a', 'sa-tenant-b']) await cloud.account(id);
    for (const id of ['ai-platform-a', 'ai-platform-b']) await cloud.service(id);
    const seen = cloud.reads.at(RESYNC);
    await seen.account(accountName('sa-tenant-a'));
    await seen.service(serviceName('ai-platform-a'));
    cloud.calls.length = 0;
    return { ...cloud, seen };
  }

  test.each([
    ['updateAccount', { kind: 'updateAccount', name: accountName('sa-tenant-a'), description: '' }],
    ['deleteAccount', { kind: 'deleteAccount', name: accountName('sa-tenant-a') }],
  ] as const)('%s', async (_kind, step) => {
    const { reads, seen, calls } = await givenTwoOfEach();
    reads.wrote(step, done);
    await seen.account(accountName('sa-tenant-b'));
    await seen.service(serviceName('ai-platform-a'));
    expect(calls).toEqual([]);
    await seen.account(accountName('sa-tenant-a'));
    expect(calls).toEqual(['ListServiceAccounts']);
  });

  test('deleteAccount by a unique id, which is that of one account', async () => {
    const { reads, seen, calls, must } = await givenTwoOfEach();
    const { uniqueId } = await must(`${IAM}.GetServiceAccount`, { name: accountName('sa-tenant-a') });
    expect(uniqueId).toMatch(/^\d+$/);
    reads.wrote({ kind: 'deleteAccount', name: `projects/${PROJECT}/serviceAccounts/${uniqueId}` }, done);
    await seen.account(accountName('sa-tenant-b'));
    expect(calls).toEqual([]);
    await seen.account(accountName('sa-tenant-a'));
    expect(calls).toEqual(['ListServiceAccounts']);
  });

  test('createAccount', async () => {
    const { reads, seen, calls, account } = await givenTwoOfEach();
    const email = emailOf('sa-tenant-c');
    expect((await seen.account(accountName('sa-tenant-c'))).state).toBe('absent');
    await account('sa-tenant-c');
    const step = { kind: 'createAccount', project: PROJECT, accountId: 'sa-tenant-c', email } as const;
    reads.wrote({ ...step, displayName: '', description: '' }, done);
    expect((await seen.account(accountName('sa-tenant-c'))).state).toBe('present');
    expect(calls).toEqual(['ListServiceAccounts']);
  });

  test.each<[string, Call]>([
    [
      'updateService',
      { kind: 'updateService', service: { name: serviceName('ai-platform-a') }, updateMask: ['labels'] },
    ],
    ['deleteService', { kind: 'deleteService', name: serviceName('ai-platform-a'), etag: 'e' }],
  ])('%s', async (_kind, step) => {
    const { reads, seen, calls } = await givenTwoOfEach();
    reads.wrote(step, done);
    await seen.service(serviceName('ai-platform-b'));
    await seen.account(accountName('sa-tenant-a'));
    expect(calls).toEqual([]);
    await seen.service(serviceName('ai-platform-a'));
    expect(calls).toEqual(['ListServices']);
  });

  test('setServicePolicy: the policy that it answers is known; one that failed leaves nothing known', async () => {
    const { reads, calls } = await givenTwoOfEach();
    const soon = reads.at(SOON);
    const service = serviceName('ai-platform-a');
    const step: Call = { kind: 'setServicePolicy', service, policy: { bindings: [] } };
    await soon.servicePolicy(service);
    reads.wrote(step, { ok: true, response: { etag: 'new' } });
    expect(await soon.servicePolicy(service)).toEqual({
      state: 'present',
      value: { version: 0, bindings: [], etag: 'new' },
    });
    expect((await soon.servicePolicy(serviceName('ai-platform-b'))).state).toBe('present');
    expect(calls).toEqual(['GetIamPolicy', 'GetIamPolicy']);
    reads.wrote(step, { ok: false, failure: { kind: 'Conflict', message: 'stale' } });
    await soon.servicePolicy(service);
    expect(calls).toHaveLength(3);
  });
});

describe('what is read one by one', () => {
  test('is known for as long as the reader allows, three minutes at most, and each by its own name', async () => {
    const { reads, calls, secret, time } = givenCloud();
    for (const id of ['key-1', 'key-2']) await secret(id);
    const soon = reads.at({ listed: 0, single: 300_000 });
    await soon.secretVersion(secretName('key-1'), 'latest');
    await soon.secretVersion(secretName('key-1'), '1');
    await soon.secretVersion(secretName('key-2'), '1');
    expect(count(calls)).toEqual({ GetSecretVersion: 3 });
    time.pass(30_000);
    await reads.at({ listed: 0, single: 30_000 }).secretVersion(secretName('key-1'), '1');
    expect(calls).toHaveLength(3);
    await reads.at({ listed: 0, single: 29_999 }).secretVersion(secretName('key-1'), '1');
    await reads.at(FRESH).secretVersion(secretName('key-1'), '1');
    expect(calls).toHaveLength(5);
    // What is more than three minutes old is not kept.
    time.pass(150_001);
    await reads.at(FRESH).secretVersion(secretName('key-1'), '1');
    await soon.secretVersion(secretName('key-2'), '1');
    expect(calls).toHaveLength(7);
  });

  test('what is not there is looked for again', async () => {
    const { reads, calls, secret } = givenCloud();
    await secret('key');
    for (let i = 0; i < 2; i++)
      expect((await reads.at(SOON).secretVersion(secretName('key'), '7')).state).toBe('absent');
    expect(calls).toHaveLength(2);
  });
});

test('a name that does not belong in a URL is refused, and nothing is listed for it', async () => {
  const { reads, calls } = givenCloud();
  const seen = reads.at(FRESH);
  const answers = [
    await seen.account(accountName('../x')),
    await seen.secret('projects/../secrets/x'),
    await seen.service(`${PARENT}/services/..`),
  ];
  for (const answer of answers) expect(answer).toMatchObject({ state: 'failed', failure: { kind: 'Invalid' } });
  expect(calls).toEqual([]);
});

test('each identity asks for itself', async () => {
  const { core, time, ...cloud } = givenCloud();
  await cloud.secret('key');
  const asked: unknown[] = [];
  const reads = createSharedReads((method, request, options) => {
    asked.push(options?.actAs);
    return core.call(method, request);
  }, time);
  for (const actAs of ['one@p.iam.gserviceaccount.com', 'two@p.iam.gserviceaccount.com', undefined]) {
    for (let i = 0; i < 2; i++) await reads.at(RESYNC).secret(secretName('key'), actAs ? { actAs } : undefined);
  }
  expect(asked).toEqual(['one@p.iam.gserviceaccount.com', 'two@p.iam.gserviceaccount.com', undefined]);
});
