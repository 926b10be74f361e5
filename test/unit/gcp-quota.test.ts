import { describe, expect, test } from 'vitest';
import { rpc } from '../../operator/gcp/methods.ts';
import { createQuota, KINDS, type PUBLISHED, UNLIMITED } from '../../operator/gcp/quota.ts';
import type { GcpResult, GcpStatus, JsonObject, Runtime } from '../../operator/ports.ts';

const SECRET = { name: 'projects/demo-project/secrets/s' };
const SERVICE = { parent: 'projects/demo-project/locations/asia-northeast1', serviceId: 's' };
const RATE = { code: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded: requests per minute.' } as const;

function given(limits: Partial<typeof PUBLISHED> = {}) {
  let time = 1_000;
  let answer: GcpResult = { ok: true, response: {} };
  const runtime: Runtime = { now: () => 0, monotonic: () => time, random: () => 0, after: () => () => {} };
  const quota = createQuota(async () => answer, runtime, { ...UNLIMITED, ...limits });
  return {
    quota,
    now: () => time,
    pass(ms: number) {
      time += ms;
    },
    answers(response: JsonObject) {
      answer = { ok: true, response };
    },
    refuses(status: GcpStatus) {
      answer = { ok: false, status };
    },
    read: (times = 1) => Promise.all(Array.from({ length: times }, () => quota.call(rpc.getSecret, SECRET))),
    wait: (need: 'edit' | 'check' | 'retry', project = 'demo-project') => quota.waitMs(project, need, KINDS),
  };
}

describe('a budget of calls', () => {
  test('without limits nobody waits, whatever is called', async () => {
    const { read, wait, quota } = given();
    await read(10_000);
    expect(wait('retry')).toBe(0);
    expect(quota.budgets()).toEqual([]);
  });

  test('keeps whoever asks first within the limit in any minute, and uses most of it', async () => {
    const { quota, wait, pass, now, read } = given({ 'secretmanager.read': 600 });
    const calls: number[] = [];
    for (let step = 0; step < 3_000; step++) {
      if (wait('edit') === 0) {
        await read();
        calls.push(now());
      }
      pass(50);
    }
    for (const start of calls) {
      expect(calls.filter(at => at >= start && at < start + 60_000).length).toBeLessThanOrEqual(600);
    }
    expect(calls.length).toBeGreaterThan(1_000);
    expect(quota.budgets()).toMatchObject([{ api: 'secretmanager', kind: 'read', aMinute: 600 }]);
  });

  test('the wait that it names is long enough, and no longer', async () => {
    const { wait, pass, read } = given({ 'secretmanager.read': 600 });
    await read(200);
    for (const need of ['edit', 'check', 'retry'] as const) {
      const ms = wait(need);
      expect(ms).toBeGreaterThan(0);
      pass(ms - 1);
      expect(wait(need)).toBeGreaterThan(0);
      pass(1.001);
      expect(wait(need)).toBe(0);
    }
  });

  test('leaves a share to edits, and what failed before waits longest', async () => {
    const { wait, read } = given({ 'secretmanager.read': 600 });
    await read(80);
    expect([wait('edit'), wait('check')]).toEqual([0, 0]);
    expect(wait('retry')).toBeGreaterThan(0);
    await read(40);
    expect(wait('edit')).toBe(0);
    expect(wait('check')).toBeGreaterThan(0);
    await read(30);
    expect(wait('edit')).toBeGreaterThan(0);
  });

  test('is one for each API, project, region of Cloud Run, and kind of call', async () => {
    const { quota, wait } = given({ 'secretmanager.read': 8, 'run.write': 8, 'iam.read': 8 });
    for (let i = 0; i < 20; i++) await quota.call(rpc.createService, SERVICE);
    expect(wait('edit', 'another-project')).toBe(0);
    expect(quota.waitMs('demo-project', 'edit', ['read'])).toBe(0);
    expect(quota.waitMs('demo-project', 'edit', ['write'])).toBeGreaterThan(0);
    await quota.call(rpc.updateService, {
      service: { name: 'projects/demo-project/locations/europe-west1/services/s' },
    });
    await quota.call(rpc.getAccount, { name: 'projects/demo-project/serviceAccounts/a@b' });
    expect(quota.budgets().map(({ api, kind, region }) => [api, kind, region])).toEqual([
      ['run', 'write', 'asia-northeast1'],
      ['run', 'write', 'europe-west1'],
      ['iam', 'read', ''],
    ]);
  });

  test('a project that is named by its number pays from the same', async () => {
    const { quota, answers, read } = given({ 'secretmanager.read': 600 });
    answers({ name: 'projects/123456/secrets/s' });
    await read();
    await quota.call(rpc.getSecretPolicy, { resource: 'projects/123456/secrets/s' });
    expect(quota.budgets()).toMatchObject([{ project: 'demo-project', left: 148 }]);
  });

  test('the same by a list', async () => {
    const { quota, answers } = given({ 'secretmanager.read': 600 });
    answers({ secrets: [{ name: 'projects/123456/secrets/s' }] });
    await quota.call(rpc.listSecrets, { parent: 'projects/demo-project' });
    await quota.call(rpc.getSecretPolicy, { resource: 'projects/123456/secrets/s' });
    expect(quota.budgets()).toMatchObject([{ project: 'demo-project', left: 148 }]);
  });
});

describe('a refusal', () => {
  test('closes the budget for as long as it asks, and for some seconds if it does not say', async () => {
    for (const [retryAfterMs, ms] of [
      [30_000, 30_000],
      [undefined, 5_000],
      [86_400_000, 3_600_000],
    ] as const) {
      const { refuses, read, wait } = given({ 'secretmanager.read': 6_000 });
      refuses({ ...RATE, retryAfterMs });
      await read();
      expect(wait('edit')).toBe(ms);
    }
  });

  test('teaches once, however many there are; calm minutes give it back', async () => {
    const { refuses, answers, read, pass, quota } = given({ 'secretmanager.read': 600 });
    const aMinute = () => quota.budgets()[0]?.aMinute;
    refuses(RATE);
    await read(50);
    expect(aMinute()).toBeCloseTo(420);
    pass(60_000);
    await read();
    expect(aMinute()).toBeCloseTo((420 + 60) * 0.7);
    for (let i = 0; i < 50; i++) {
      pass(60_000);
      await read();
    }
    expect(aMinute()).toBeGreaterThanOrEqual(60);
    answers({});
    pass(20 * 60_000);
    expect(aMinute()).toBe(600);
  });

  test.each<[string, GcpStatus, boolean]>([
    [
      'a number of things',
      { code: 'RESOURCE_EXHAUSTED', message: 'Maximum number of service accounts reached.' },
      false,
    ],
    ['another error', { code: 'PERMISSION_DENIED', message: 'No, per minute.' }, false],
    ['a rate, by its words', RATE, true],
    ['a rate, by Retry-After', { code: 'RESOURCE_EXHAUSTED', message: '', retryAfterMs: 1 }, true],
    [
      'a rate, by its reason',
      { code: 'RESOURCE_EXHAUSTED', message: '', details: [{ reason: 'RATE_LIMIT_EXCEEDED' }] },
      true,
    ],
  ])('of a write for %s', async (_, status, closes) => {
    const { quota, refuses, wait } = given({ 'iam.write': 600 });
    refuses(status);
    await quota.call(rpc.createAccount, { name: 'projects/demo-project', accountId: 'a' });
    expect(wait('edit') > 0).toBe(closes);
  });
});

describe('what counts', () => {
  const LIMITED = { 'secretmanager.read': 600, 'iam.write': 600 } as const;
  const write = (world: ReturnType<typeof given>) =>
    world.quota.call(rpc.createAccount, { name: 'projects/demo-project', accountId: 'sa-a' });

  test('a call that no API of ours has, or that names no project, is made and not counted', async () => {
    const { quota } = given(LIMITED);
    expect(await quota.call('no.such.Method', SECRET)).toEqual({ ok: true, response: {} });
    for (const request of [{}, { name: 5 }, { name: 'secrets/s' }, { name: 'x/projects/p/secrets/s' }]) {
      expect(await quota.call(rpc.getSecret, request)).toEqual({ ok: true, response: {} });
    }
    expect(quota.budgets()).toEqual([]);
  });

  test.each<[string, Partial<GcpStatus>, boolean]>([
    ['says so in its details', { details: [{ reason: 'RATE_LIMIT_EXCEEDED' }] }, true],
    ['says when to come again', { retryAfterMs: 0 }, true],
    ['says so in words', { message: 'Quota exceeded: writes per minute.' }, true],
    ['is about how many there may be', { message: 'Maximum number of service accounts reached.' }, false],
    ['has another reason', { details: [{ reason: 'RESOURCE_QUOTA_EXCEEDED' }] }, false],
    ['is no shortage', { code: 'UNAVAILABLE', retryAfterMs: 9_000 }, false],
  ])('a write that was refused and %s', async (_what, status, closes) => {
    const world = given(LIMITED);
    world.refuses({ code: 'RESOURCE_EXHAUSTED', message: 'No.', ...status });
    await write(world);
    expect(world.quota.budgets().map(({ aMinute }) => aMinute)).toEqual([closes ? 420 : 600]);
  });

  test('a read is refused for nothing but its rate', async () => {
    const world = given(LIMITED);
    world.refuses({ code: 'RESOURCE_EXHAUSTED', message: 'No.' });
    await world.read();
    expect(world.quota.budgets()).toMatchObject([{ aMinute: 420 }]);
  });

  test.each<[string, JsonObject]>([
    ['another project’s id', { name: 'projects/other-project/secrets/s' }],
    ['a project that begins like a number', { name: 'projects/12x/secrets/s' }],
    ['a project that ends like a number', { name: 'projects/x-12/secrets/s' }],
    ['nothing', {}],
  ])('an answer that names %s teaches no number', async (_what, response) => {
    const { quota, answers, read } = given(LIMITED);
    answers(response);
    await read();
    const project = String(response.name ?? 'projects/12/').split('/')[1] ?? '';
    await quota.call(rpc.getSecret, { name: `projects/${project}/secrets/s` });
    expect(quota.budgets().map(budget => budget.project)).toEqual(['demo-project', project]);
  });

  test('a budget that was overdrawn stays so when it is refused', async () => {
    const { read, refuses, quota, wait } = given(LIMITED);
    await read(200);
    refuses({ code: 'RESOURCE_EXHAUSTED', message: 'Rate.', retryAfterMs: 1 });
    await read();
    expect(quota.budgets()).toMatchObject([{ left: -51 }]);
    expect(wait('edit')).toBeGreaterThan(1_000);
  });
});
