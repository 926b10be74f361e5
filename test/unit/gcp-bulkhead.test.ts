import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createBulkhead } from '../../operator/gcp/bulkhead.ts';
import { rpc } from '../../operator/gcp/methods.ts';
import type { GcpCall, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { sleep } from '../../ports/runtime.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

const TIMEOUT = 15_000;
const secret = (project: string) => ({ name: `projects/${project}/secrets/s` });
const service = (region: string) => ({ name: `projects/p/locations/${region}/services/s` });

/** A Google Cloud in which some places give no answer until the time-out. */
function given() {
  const runtime = fakeRuntime();
  const calls: { method: string; request: JsonObject }[] = [];
  const state = { hangs: (_request: JsonObject) => false, running: 0, most: 0 };
  const call: GcpCall = async (method, request) => {
    calls.push({ method, request });
    state.most = Math.max(state.most, ++state.running);
    const hangs = state.hangs(request);
    await sleep(runtime, hangs ? TIMEOUT : 10);
    state.running--;
    const status = { code: 'DEADLINE_EXCEEDED', message: 'No answer within 15 s' } as const;
    return hangs ? { ok: false, status } : { ok: true, response: {} };
  };
  const guarded = createBulkhead(call, runtime);
  const timed = async (method: string, request: JsonObject): Promise<[GcpResult, number]> => {
    const start = runtime.monotonic();
    const result = await guarded(method, request);
    return [result, runtime.monotonic() - start];
  };
  return { runtime, calls, state, timed };
}

test('where a read was given up, one at a time tries again, and all others are answered within 2 s', async () => {
  const { runtime, state, calls, timed } = given();
  state.hangs = request => JSON.stringify(request).includes('projects/sick');
  const first = timed(rpc.getSecret, secret('sick'));
  await runtime.advance(TIMEOUT);
  expect((await first)[0]).toMatchObject({ ok: false, status: { code: 'DEADLINE_EXCEEDED' } });
  calls.length = state.most = 0;

  const readers = Array.from({ length: 50 }, () => timed(rpc.getSecret, secret('sick')));
  const elsewhere = [timed(rpc.getSecret, secret('well')), timed(rpc.getService, service('r'))];
  await runtime.advance(60_000);
  for (const [result, ms] of await Promise.all(readers)) {
    expect(ms).toBeLessThanOrEqual(2_000);
    expect(result).toMatchObject({
      status: {
        code: 'UNAVAILABLE',
        message: expect.stringContaining('secretmanager does not answer in project sick'),
      },
    });
  }
  for (const [result, ms] of await Promise.all(elsewhere)) expect([result.ok, ms]).toEqual([true, 10]);
  expect(calls.filter(({ request }) => request.name === 'projects/sick/secrets/s')).toHaveLength(1);

  // It answers again: whoever asks is answered by Google Cloud itself.
  state.hangs = () => false;
  const after = Array.from({ length: 50 }, () => timed(rpc.getSecret, secret('sick')));
  await runtime.advance(1_000);
  for (const [result] of await Promise.all(after)) expect(result.ok).toBe(true);
});

test('a write is never held back, and a region that hangs holds up no other', async () => {
  const { runtime, state, calls, timed } = given();
  state.hangs = request => JSON.stringify(request).includes('/r-1/');
  const first = timed(rpc.getService, service('r-1'));
  await runtime.advance(TIMEOUT);
  await first;
  calls.length = 0;
  const writes = Array.from({ length: 5 }, () => timed(rpc.updateService, { service: service('r-1') }));
  const other = timed(rpc.getService, service('r-2'));
  await runtime.advance(TIMEOUT);
  expect(calls.filter(({ method }) => method === rpc.updateService)).toHaveLength(5);
  expect((await other)[1]).toBe(10);
  await Promise.all(writes);
});

test('whenever readers come and however long it hangs: none waits longer than one time-out, and soon after it ends all are answered', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 120_000 }), { minLength: 1, maxLength: 30 }),
      fc.integer({ min: 0, max: 60_000 }),
      async (starts, endsAt) => {
        const { runtime, state, timed } = given();
        state.hangs = () => runtime.monotonic() < endsAt;
        const reads = starts.map(async at => {
          await sleep(runtime, at);
          return [at, ...(await timed(rpc.getSecret, secret('p')))] as const;
        });
        await runtime.advance(200_000);
        for (const [at, result, ms] of await Promise.all(reads)) {
          expect(ms).toBeLessThanOrEqual(TIMEOUT);
          if (at >= endsAt + TIMEOUT) expect(result.ok).toBe(true);
        }
      },
    ),
    { numRuns: 50 },
  );
});
