import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createServiceAges } from '../../operator/gcp/serviceAges.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { RETRY_ANNOTATION } from '../../operator/tenant/template.ts';
import type { ObservedService } from '../../operator/tenant/types.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';
import { cloud, desiredOf, present, seen, serviceA, settings, templateA, tenantA } from './support/tenantWorld.ts';

const FAILED = { terminal: { state: 'FAILED', reason: '', message: 'no' } } as const;

const observed = (changes: Partial<ObservedService>) => cloud({ services: [seen(present(serviceA(changes)))] });
const tenant = tenantA();

/** What a plan is told of the one service that was observed. */
function setUp() {
  const runtime = fakeRuntime();
  const withAges = createServiceAges(runtime);
  const age = (changes: Partial<ObservedService>) => {
    const [one] = withAges(observed(changes)).services;
    return one?.service.state === 'present' ? one.service.value.unreadyForMs : undefined;
  };
  return { runtime, withAges, age };
}

describe('the age of a failure', () => {
  test('counts from when this process first saw it, and anew with each generation', async () => {
    const { runtime, age } = setUp();
    expect(age(FAILED)).toBe(0);
    await runtime.advance(40_000);
    expect(age(FAILED)).toBe(40_000);
    expect(age({ ...FAILED, generation: '2', observedGeneration: '2' })).toBe(0);
    await runtime.advance(1_000);
    expect(age({ ...FAILED, generation: '3', observedGeneration: '2', reconciling: true })).toBe(0);
    expect(age({})).toBeUndefined();
    expect(age(FAILED)).toBe(0);
  });

  test('does not depend on the wall clock', async () => {
    const { runtime, age } = setUp();
    age(FAILED);
    runtime.jump(31 * 60_000);
    expect(age(FAILED)).toBe(0);
    await runtime.advance(5_000);
    runtime.jump(-86_400_000);
    expect(age(FAILED)).toBe(5_000);
  });
});

test('Two retries are never closer than the backoff, however wrong and unsteady the clock', async () => {
  const step = fc.record({ ms: fc.integer({ min: 1, max: 600_000 }), jump: fc.integer({ min: -1e8, max: 1e8 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async steps => {
      const { runtime, withAges } = setUp();
      let [tries, generation, lastWrite] = [0, 1, 0];
      for (const { ms, jump } of steps) {
        await runtime.advance(ms);
        runtime.jump(jump);
        const failed = { ...FAILED, generation: `${generation}`, observedGeneration: `${generation}` };
        const template = templateA(tries > 0 ? { annotations: { [RETRY_ANNOTATION]: `${tries}` } } : {});
        const found = withAges(observed({ ...failed, template }));
        if (plan(tenant, desiredOf(tenant), found, settings, runtime.now()).steps.length === 0) continue;
        expect(runtime.monotonic() - lastWrite).toBeGreaterThanOrEqual(Math.min(1_800_000, 30_000 * 2 ** tries));
        [tries, generation, lastWrite] = [tries + 1, generation + 1, runtime.monotonic()];
      }
    }),
    { numRuns: 100 },
  );
});
