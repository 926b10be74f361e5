import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoff } from '../../operator/kube/backoff.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

test('a server that asks to wait is obeyed, but never for more than a minute beyond the own backoff', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 0, max: 10 * 86_400_000 }),
      fc.integer(),
      (failures, asked, seed) => {
        const limits = { base: 1_000, max: 60_000 };
        const own = backoff(fakeRuntime(seed), failures, limits);
        const ms = backoff(fakeRuntime(seed), failures, limits, asked);
        expect(ms).toBeGreaterThanOrEqual(Math.max(own, Math.min(asked, own + 60_000)));
        expect(ms).toBeLessThanOrEqual(own + 60_000);
      },
    ),
  );
});
