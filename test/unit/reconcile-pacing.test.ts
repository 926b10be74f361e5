import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createStore } from '../../operator/kube/store.ts';
import { createOwnWrites } from '../../operator/reconcile/ownWrites.ts';
import { createPacing } from '../../operator/reconcile/pacing.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';
import * as world from './support/tenantWorld.ts';

const INTERVAL_MS = 600_000;
const RUN = { priority: 'edit', failures: 0, changes: 0 } as const;

describe('when a tenant is reconciled again', () => {
  test('whatever a step asks for, drift is looked for within the interval', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 * 86_400_000 }), fc.uuid(), (ms, uid) => {
        const runtime = fakeRuntime();
        const settings = { ...world.settings, syncIntervalMs: INTERVAL_MS };
        const pacing = createPacing({ runtime, settings });
        const verdict = pacing.verdict({ ...world.tenantA(), uid }, { kind: 'after', ms }, RUN);
        expect(verdict.kind).toBe('again');
        if (verdict.kind === 'again') expect(verdict.afterMs).toBeLessThanOrEqual(Math.min(ms, INTERVAL_MS));
      }),
    );
  });
});

describe('a tenant that waits for what only somebody else can end', () => {
  const waiting = { kind: 'after', ms: 500 } as const;
  const retry = { ...RUN, priority: 'retry' } as const;

  /** How often it is looked at in so many milliseconds. */
  async function looks(
    pacing: ReturnType<typeof createPacing>,
    runtime: ReturnType<typeof fakeRuntime>,
    forMs: number,
  ) {
    const start = runtime.monotonic();
    let count = 0;
    for (; runtime.monotonic() - start < forMs; count++) {
      const verdict = pacing.verdict(world.tenantA(), waiting, count === 0 ? RUN : retry);
      await runtime.advance('afterMs' in verdict ? (verdict.afterMs ?? 0) : 0);
    }
    return count;
  }

  test('is looked at ever less often; an edit begins anew', async () => {
    const runtime = fakeRuntime();
    const pacing = createPacing({ runtime, settings: { ...world.settings, syncIntervalMs: INTERVAL_MS } });
    expect(await looks(pacing, runtime, INTERVAL_MS)).toBeLessThan(90);
    expect(await looks(pacing, runtime, 5_000)).toBeGreaterThanOrEqual(10);
  });

  test('each look comes at most a tenth of the wait later than asked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 60 }), async asked => {
        const runtime = fakeRuntime();
        const pacing = createPacing({ runtime, settings: { ...world.settings, syncIntervalMs: INTERVAL_MS } });
        const start = runtime.monotonic();
        for (const ms of asked) {
          const waited = runtime.monotonic() - start;
          const verdict = pacing.verdict(world.tenantA(), { kind: 'after', ms }, waited === 0 ? RUN : retry);
          const afterMs = 'afterMs' in verdict ? (verdict.afterMs ?? 0) : 0;
          expect(afterMs).toBeLessThanOrEqual(Math.max(ms, Math.ceil(waited / 10)));
          await runtime.advance(afterMs);
        }
      }),
    );
  });
});

describe('a write to the cluster that fails', () => {
  test.each([
    [409, 'changed'],
    [404, 'refused'],
    [0, 'refused'],
    [403, 'refused'],
    [422, 'refused'],
    [429, 'refused'],
    [500, 'refused'],
    [503, 'refused'],
  ] as const)('with %i has %s', async (code, expected) => {
    const status = { code, reason: '', message: 'no' };
    const kube = { patch: async () => ({ ok: false, status }) } as unknown as KubeApi;
    const object = { metadata: { name: 'a', namespace: 'b', uid: 'u', resourceVersion: '1' } };
    const writer = createOwnWrites(
      kube,
      createStore(),
      () => {},
      () => 0,
    ).writer('b/a', object, readTenant(object).status);
    expect(await writer.writeStatus({ ...world.tenantA().status, url: 'https://x' })).toBe(expected);
    expect(await writer.addFinalizer()).toBe(expected);
  });
});

describe('an own write that the watch has not shown', () => {
  const object = (resourceVersion: string) => ({
    metadata: { name: 'a', namespace: 'b', uid: 'u', resourceVersion },
  });
  function written() {
    let now = 0;
    const store = createStore();
    store.set(object('7'));
    const state: { code?: number } = {};
    const patch = async () =>
      state.code === undefined
        ? { ok: true, value: object('9') }
        : { ok: false, status: { code: state.code, reason: '', message: 'no' } };
    const own = createOwnWrites(
      { patch } as unknown as KubeApi,
      store,
      () => {},
      () => now,
    );
    const write = async () => {
      const from = own.current('b/a');
      if (!from) throw new Error('it is gone');
      return own
        .writer('b/a', from, readTenant(from).status)
        .writeStatus({ ...world.tenantA().status, url: `https://${now}` });
    };
    const shown = () => own.current('b/a')?.metadata.resourceVersion;
    const later = (ms: number) => {
      now += ms;
    };
    return { store, state, write, shown, later };
  }

  test('is newer than the cache, until the cache has something else', async () => {
    const { store, write, shown, later } = written();
    await write();
    later(59_000);
    expect(shown()).toBe('9');
    store.set(object('11'));
    expect(shown()).toBe('11');
  });

  test('and never will, because etcd was restored to before it, is not waited for', async () => {
    const { store, write, shown, later } = written();
    await write();
    store.set(object('7'));
    later(60_000);
    expect(shown()).toBe('7');
  });

  test.each([
    [409, 'changed'],
    [404, 'refused'],
  ])('is given up once the API server answers %i to the next one', async (code, expected) => {
    const { state, write, shown, later } = written();
    await write();
    expect(shown()).toBe('9');
    state.code = code;
    later(1);
    expect(await write()).toBe(expected);
    expect(shown()).toBe('7');
  });
});
