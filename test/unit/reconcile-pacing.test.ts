import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createStore } from '../../operator/kube/store.ts';
import type { KubeApi } from '../../operator/ports.ts';
import { createOwnWrites } from '../../operator/reconcile/ownWrites.ts';
import { createPacing } from '../../operator/reconcile/pacing.ts';
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

describe('a write to the cluster that fails', () => {
  test.each([
    [409, 'changed'],
    [404, 'changed'],
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
    const writer = createOwnWrites(kube, createStore(), () => {}).writer('b/a', object);
    expect(await writer.writeStatus({ ...world.tenantA().status, url: 'https://x' })).toBe(expected);
    expect(await writer.addFinalizer()).toBe(expected);
  });
});
