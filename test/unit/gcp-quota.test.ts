import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rpc } from '../../operator/gcp/methods.ts';
import { type Claim, createQuota, type Need, type PUBLISHED, type Rank, UNLIMITED } from '../../operator/gcp/quota.ts';
import type { GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

const SECRET = { name: 'projects/demo-project/secrets/s' };
const SERVICE = { parent: 'projects/demo-project/locations/asia-northeast1', serviceId: 's' };
const RATE = { code: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded: requests per minute.' } as const;

const reads = (calls: number, project = 'demo-project'): Need => {
  return { api: 'secretmanager', kind: 'read', project, region: '', calls };
};

function given(limits: Partial<typeof PUBLISHED> = {}) {
  const runtime = fakeRuntime();
  let answer: GcpResult = { ok: true, response: {} };
  const quota = createQuota(async () => answer, runtime, { ...UNLIMITED, ...limits });
  const claim = (rank: Rank, calls: number, namespace = 'a', need = reads(calls)) =>
    quota.claim({ rank, namespace, project: 'demo-project', needs: [need] });
  return {
    quota,
    runtime,
    claim,
    answers(response: JsonObject) {
      answer = { ok: true, response };
    },
    refuses(status: GcpStatus) {
      answer = { ok: false, status };
    },
    read: (times = 1) => Promise.all(Array.from({ length: times }, () => quota.call(rpc.getSecret, SECRET))),
    /** Milliseconds until a demand is met. */
    async wait(rank: Rank, need: Need = reads(1), project = 'demo-project') {
      const start = runtime.monotonic();
      let waited: number | undefined;
      const cancel = quota.park({ rank, namespace: 'a', project, needs: [need] }, granted => {
        waited = runtime.monotonic() - start;
        granted.release();
      });
      for (let step = 0; waited === undefined && step < 200; step++) await runtime.advance(1_000);
      cancel();
      return waited;
    },
    /** Parks work that makes its calls and ends; `done` tells who was woken, in order. */
    work(done: string[], rank: Rank, namespace: string, calls: number, project = 'demo-project') {
      quota.park({ rank, namespace, project, needs: [reads(calls)] }, async granted => {
        done.push(namespace);
        for (let call = 0; call < calls; call++) await quota.call(rpc.getSecret, SECRET);
        granted.release();
      });
    },
  };
}

describe('a budget of calls', () => {
  test('without limits nobody waits, whatever is called', async () => {
    const { read, claim, quota, runtime } = given();
    await read(10_000);
    expect(claim('resync', 1_000_000)).toBeDefined();
    expect(quota.budgets()).toEqual([]);
    expect(runtime.pending()).toBe(0);
  });

  test('whoever asks first keeps within the limit in any minute, and uses most of it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 8 }), async sizes => {
        const { quota, runtime } = given({ 'secretmanager.read': 600 });
        const calls: number[] = [];
        const again = (size: number, namespace: string) =>
          quota.park({ rank: 'edit', namespace, project: 'demo-project', needs: [reads(size)] }, async granted => {
            for (let call = 0; call < size; call++) {
              calls.push(runtime.monotonic());
              await quota.call(rpc.getSecret, SECRET);
            }
            granted.release();
            again(size, namespace);
          });
        for (const [index, size] of sizes.entries()) again(size, String(index));
        await runtime.advance(150_000);
        for (const start of calls) {
          expect(calls.filter(at => at >= start && at < start + 60_000).length).toBeLessThanOrEqual(600);
        }
        expect(calls.length).toBeGreaterThan(900);
      }),
      { numRuns: 15 },
    );
  });

  test('nobody is woken while the budget is short, and nothing polls', async () => {
    const { runtime, quota, read } = given({ 'secretmanager.read': 600 });
    await read(150);
    let woken = 0;
    for (let i = 0; i < 1_000; i++) {
      quota.park({ rank: 'edit', namespace: `n${i}`, project: 'demo-project', needs: [reads(1)] }, () => woken++);
    }
    // One timer for all of them.
    expect(runtime.pending()).toBe(1);
    await runtime.advance(60_000);
    // Nobody releases: what they hold is not given twice.
    expect(woken).toBeLessThanOrEqual(150);
    expect(woken).toBeGreaterThan(140);
  });

  test('who needs more than a full budget holds gets a turn all the same', async () => {
    const { wait } = given({ 'secretmanager.read': 600 });
    expect(await wait('resync', reads(10_000))).toBeDefined();
  });

  test('resyncs leave half of a budget, retries a quarter, edits nothing', async () => {
    for (const [rank, most] of [
      ['resync', 75],
      ['retry', 112],
      ['edit', 150],
    ] as const) {
      const { claim } = given({ 'secretmanager.read': 600 });
      let claims = 0;
      while (claim(rank, 1)) claims++;
      expect(claims, rank).toBe(most);
    }
  });

  test('a claim that is released is there for the next one', () => {
    const { claim } = given({ 'secretmanager.read': 600 });
    const first = claim('edit', 150) as Claim;
    expect(claim('edit', 1)).toBeUndefined();
    first.release();
    first.release();
    expect(claim('edit', 150)).toBeDefined();
  });

  test('is one for each API, project, region of Cloud Run, and kind of call', async () => {
    const { quota, claim, wait } = given({ 'secretmanager.read': 8, 'run.write': 8, 'iam.read': 8 });
    for (let i = 0; i < 10; i++) await quota.call(rpc.createService, SERVICE);
    const run = { api: 'run', kind: 'write', project: 'demo-project', region: 'asia-northeast1', calls: 1 } as const;
    for (const need of [
      { ...run, project: 'another-project' },
      { ...run, region: 'europe-west1' },
      { ...run, kind: 'read' as const },
      { ...run, api: 'iam' as const, region: '' },
    ]) {
      expect(claim('edit', 1, 'a', need), JSON.stringify(need)).toBeDefined();
    }
    expect(claim('edit', 1, 'a', run)).toBeUndefined();
    expect(await wait('edit', run)).toBeGreaterThan(60_000);
  });

  test('a project that is named by its number pays from the same', async () => {
    for (const response of [
      { name: 'projects/123456/secrets/s' },
      { secrets: [{ name: 'projects/123456/secrets/s' }] },
    ]) {
      const { quota, answers, read, claim } = given({ 'secretmanager.read': 600 });
      answers(response);
      await read();
      await quota.call(rpc.getSecretPolicy, { resource: 'projects/123456/secrets/s' });
      claim('edit', 1)?.release();
      expect(quota.budgets()).toMatchObject([{ project: 'demo-project', left: 148 }]);
    }
  });

  test('the same if only the inventory of a tenant tells, as after a restart; an answer of Google Cloud wins', async () => {
    const { quota, answers, claim } = given({ 'secretmanager.read': 600 });
    quota.alias('123456', 'demo-project');
    await quota.call(rpc.getSecretPolicy, { resource: 'projects/123456/secrets/s' });
    claim('edit', 1)?.release();
    expect(quota.budgets()).toMatchObject([{ project: 'demo-project', left: 149 }]);
    answers({ name: 'projects/123456/secrets/s' });
    await quota.call(rpc.getSecret, { name: 'projects/its-true-name/secrets/s' });
    answers({});
    await quota.call(rpc.getSecretPolicy, { resource: 'projects/123456/secrets/s' });
    expect(quota.budgets()).toMatchObject([{ project: 'demo-project', left: 149 }]);
  });
});

describe('turns', () => {
  test('a namespace gets its share, however many tenants or keys another one has', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), async (big, small) => {
        const { runtime, read, work } = given({ 'secretmanager.read': 600 });
        await read(150);
        const done: string[] = [];
        for (let i = 0; i < 300; i++) work(done, 'edit', 'greedy', big);
        await runtime.advance(20_000);
        done.length = 0;
        for (let i = 0; i < 20; i++) work(done, 'edit', 'modest', small);
        // Three times what both together need, were they given the same.
        await runtime.advance((3 * 2 * 20 * small * 60_000) / 390 + (3 * big * 60_000) / 390);
        expect(done.filter(name => name === 'modest').length).toBe(20);
      }),
      { numRuns: 15 },
    );
  });

  test('one tenant that is edited without end comes after the first edit of another', async () => {
    const { runtime, work } = given({ 'secretmanager.read': 600 });
    const done: string[] = [];
    for (let i = 0; i < 10; i++) work(done, 'edit', 'greedy', 60);
    await runtime.advance(30_000);
    const before = done.length;
    work(done, 'edit', 'modest', 3);
    await runtime.advance(12_000);
    expect(done.slice(before, before + 2)).toContain('modest');
  });

  test('closing comes first, but with no more than half of a budget', async () => {
    const { runtime, read, work } = given({ 'secretmanager.read': 600 });
    await read(150);
    const done: string[] = [];
    for (let i = 0; i < 400; i++) work(done, 'close', 'closes', 1);
    for (let i = 0; i < 400; i++) work(done, 'edit', 'edits', 1);
    await runtime.advance(60_000);
    const closed = done.filter(name => name === 'closes').length;
    // Its own half first, and then its turns among the edits.
    expect(closed).toBeGreaterThan(done.length / 2);
    expect(closed).toBeLessThan(done.length * 0.85);
  });

  test('edits, then retries, then resyncs; two turns in sixteen are for the lower ones', async () => {
    const { runtime, read, work } = given({ 'secretmanager.read': 600 });
    await read(150);
    const done: string[] = [];
    for (const rank of ['resync', 'retry', 'edit'] as const) for (let i = 0; i < 400; i++) work(done, rank, rank, 1);
    await runtime.advance(50_000);
    const count = (rank: Rank) => done.filter(name => name === rank).length;
    expect(count('edit')).toBeGreaterThan(done.length * 0.8);
    expect(count('retry')).toBeGreaterThan(5);
    expect(count('resync')).toBeGreaterThan(5);
  });

  test('who lacks one budget takes nothing from the others meanwhile', async () => {
    const { quota, claim } = given({ 'secretmanager.read': 600, 'run.write': 8 });
    const run = { api: 'run', kind: 'write', project: 'demo-project', region: 'r', calls: 2 } as const;
    for (let i = 0; i < 1_000; i++) {
      quota.park({ rank: 'edit', namespace: 'a', project: 'demo-project', needs: [run, reads(3)] }, () => {});
    }
    expect(claim('close', 10, 'b')).toBeDefined();
    expect(claim('resync', 10, 'b')).toBeDefined();
  });

  test('nothing is left of who is no longer wanted', async () => {
    const { runtime, quota, read } = given({ 'secretmanager.read': 600 });
    await read(150);
    let woken = false;
    quota.park({ rank: 'edit', namespace: 'a', project: 'demo-project', needs: [reads(1)] }, () => {
      woken = true;
    })();
    expect(runtime.pending()).toBe(0);
    await runtime.advance(60_000);
    expect(woken).toBe(false);
  });
});

describe('a refusal', () => {
  test('closes the budget for as long as it asks, up to one minute beyond the own pause', async () => {
    for (const [retryAfterMs, ms] of [
      [30_000, 30_000],
      [undefined, 5_000],
      [86_400_000, 65_000],
    ] as const) {
      const { refuses, read, wait } = given({ 'secretmanager.read': 6_000 });
      refuses({ ...RATE, retryAfterMs });
      await read();
      expect(await wait('edit')).toBe(ms);
    }
  });

  test('of one region or API stops no other', async () => {
    const { quota, refuses, claim } = given({ 'run.write': 180, 'secretmanager.read': 600, 'iam.write': 600 });
    refuses({ ...RATE, retryAfterMs: 3_600_000 });
    await quota.call(rpc.createService, { parent: 'projects/demo-project/locations/us-central1', serviceId: 'x' });
    const run = { api: 'run', kind: 'write', project: 'demo-project', region: 'us-central1', calls: 1 } as const;
    expect(claim('edit', 1, 'a', run)).toBeUndefined();
    expect(claim('edit', 1, 'a', { ...run, region: 'asia-northeast1' })).toBeDefined();
    expect(claim('edit', 1)).toBeDefined();
    expect(
      claim('edit', 1, 'a', { api: 'iam', kind: 'write', project: 'demo-project', region: '', calls: 1 }),
    ).toBeDefined();
  });

  test('teaches once, however many there are; calm minutes give it back', async () => {
    const { refuses, answers, read, runtime, quota, claim } = given({ 'secretmanager.read': 600 });
    claim('edit', 1)?.release();
    const aMinute = () => quota.budgets()[0]?.aMinute;
    refuses(RATE);
    await read(50);
    expect(aMinute()).toBeCloseTo(420);
    await runtime.advance(60_000);
    await read();
    expect(aMinute()).toBeCloseTo((420 + 60) * 0.7);
    for (let i = 0; i < 50; i++) {
      await runtime.advance(60_000);
      await read();
    }
    expect(aMinute()).toBeGreaterThanOrEqual(60);
    answers({});
    await runtime.advance(20 * 60_000);
    expect(aMinute()).toBe(600);
  });

  test.each<[string, Partial<GcpStatus>, boolean]>([
    ['says so in its details', { details: [{ reason: 'RATE_LIMIT_EXCEEDED' }] }, true],
    ['says when to come again', { retryAfterMs: 0 }, true],
    ['says so in words', { message: 'Quota exceeded: writes per minute.' }, true],
    ['is about how many there may be', { message: 'Maximum number of service accounts reached.' }, false],
    ['has another reason', { details: [{ reason: 'RESOURCE_QUOTA_EXCEEDED' }] }, false],
    ['is no shortage', { code: 'UNAVAILABLE', retryAfterMs: 9_000 }, false],
  ])('of a write that %s', async (_what, status, closes) => {
    const { quota, refuses, claim } = given({ 'iam.write': 600 });
    const write = { api: 'iam', kind: 'write', project: 'demo-project', region: '', calls: 1 } as const;
    claim('edit', 1, 'a', write)?.release();
    refuses({ code: 'RESOURCE_EXHAUSTED', message: 'No.', ...status });
    await quota.call(rpc.createAccount, { name: 'projects/demo-project', accountId: 'sa-a' });
    expect(quota.budgets().map(({ aMinute }) => aMinute)).toEqual([closes ? 420 : 600]);
    expect(claim('edit', 1, 'a', write) === undefined).toBe(closes);
  });

  test('a read is refused for nothing but its rate', async () => {
    const { refuses, read, quota, claim } = given({ 'secretmanager.read': 600 });
    claim('edit', 1)?.release();
    refuses({ code: 'RESOURCE_EXHAUSTED', message: 'No.' });
    await read();
    expect(quota.budgets()).toMatchObject([{ aMinute: 420 }]);
  });
});

describe('what is kept', () => {
  test('whatever projects a spec names, budgets are few, and metrics tell of projects with tenants alone', async () => {
    const { quota, claim, runtime } = given({ 'secretmanager.read': 600 });
    for (let i = 0; i < 20_000; i++) {
      await quota.call(rpc.getSecret, { name: `projects/nobody-${i}/secrets/s` });
      claim('edit', 1, 'a', reads(1, `nobody-${i}`))?.release();
      if (i % 100 === 0) await runtime.advance(1_000);
    }
    expect(quota.budgets()).toEqual([]);
    claim('edit', 1)?.release();
    expect(quota.budgets()).toHaveLength(1);
  });

  test('a call that no API of ours has, or that names no project, is made and not counted', async () => {
    const { quota } = given({ 'secretmanager.read': 600 });
    expect(await quota.call('no.such.Method', SECRET)).toEqual({ ok: true, response: {} });
    for (const request of [{}, { name: 5 }, { name: 'secrets/s' }, { name: 'x/projects/p/secrets/s' }]) {
      expect(await quota.call(rpc.getSecret, request)).toEqual({ ok: true, response: {} });
    }
    expect(quota.budgets()).toEqual([]);
  });

  test('how many are parked and for how long is told', async () => {
    const { quota, read, runtime, claim } = given({ 'secretmanager.read': 60 });
    claim('edit', 1)?.release();
    await read(100);
    for (let i = 0; i < 3; i++) {
      quota.park({ rank: 'edit', namespace: 'a', project: 'demo-project', needs: [reads(1)] }, () => {});
    }
    await runtime.advance(5_000);
    expect(quota.budgets()).toMatchObject([{ parked: 3, parkedMs: 5_000 }]);
  });
});
