import fc from 'fast-check';
import { expect, test } from 'vitest';
import { settleInventory } from '../../operator/tenant/inventory.ts';
import { foresee } from '../../operator/tenant/managed.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { statusJson } from '../../operator/tenant/resource.ts';
import { afterRollout } from '../../operator/tenant/service.ts';
import type { Observed, ObservedService, Outcome, TenantStatus } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import {
  cloud,
  desiredOf,
  invokedBy,
  keyA,
  NOW,
  present,
  REGION,
  seen,
  serviceA,
  settings,
  tenantA,
} from './support/tenantWorld.ts';

/** No sequence of edits that only remove optional fields lets anybody more reach a service, or lets more images run. */

/** Everything that says who may reach the service. A higher number, or one more member, is more open. */
function openness({ raw, invokerIamDisabled }: ObservedService) {
  const ranks = ['INGRESS_TRAFFIC_NONE', 'INGRESS_TRAFFIC_INTERNAL_ONLY', 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER'];
  const ingress = ranks.indexOf(String(raw.ingress));
  const authorization = (raw.binaryAuthorization ?? {}) as JsonObject;
  return {
    ingress: ingress < 0 ? ranks.length : ingress,
    url: raw.defaultUriDisabled === true ? 0 : 1,
    iap: raw.iapEnabled === true ? 0 : 1,
    images: authorization.useDefault === true || authorization.policy ? 0 : 1,
    unchecked: invokerIamDisabled ? 1 : 0,
    audiences: (raw.customAudiences ?? []) as string[],
  };
}

function opened(before: ObservedService, after: ObservedService): string[] {
  const [was, is] = [openness(before), openness(after)];
  const ranks = (['ingress', 'url', 'iap', 'images', 'unchecked'] as const).filter(name => is[name] > was[name]);
  return [...ranks, ...is.audiences.filter(audience => !was.audiences.includes(audience))];
}

const FIELDS = {
  ingress: fc.constantFrom('All', 'Internal', 'InternalAndLoadBalancer'),
  defaultUrl: fc.constantFrom('Enabled', 'Disabled'),
  iap: fc.constantFrom('Enabled', 'Disabled'),
  binaryAuthorization: fc.constant('Default'),
  customAudiences: fc.uniqueArray(fc.constantFrom('a', 'b', 'c')),
  description: fc.constantFrom('one', 'two'),
  labels: fc.constantFrom({ team: 'red' }, { team: 'blue', cost: '1' }),
};
const base = { access: 'Authenticated', invokers: ['user:jane@example.com'] };
const specs = fc.record(FIELDS, { requiredKeys: [] }).map(fields => ({ ...base, ...fields }));
/** What others have set by hand. */
const byHand = fc.record(
  {
    ingress: fc.constantFrom(
      'INGRESS_TRAFFIC_ALL',
      'INGRESS_TRAFFIC_INTERNAL_ONLY',
      'INGRESS_TRAFFIC_NONE',
      'TOMORROW',
    ),
    defaultUriDisabled: fc.boolean(),
    iapEnabled: fc.boolean(),
    customAudiences: fc.uniqueArray(fc.constantFrom('b', 'd')),
    binaryAuthorization: fc.constantFrom({ useDefault: true }, { policy: 'p' }),
  },
  { requiredKeys: [] },
);

interface World {
  status: TenantStatus;
  observed: Observed;
  now: number;
  generation: number;
}
const TO = 'us-central1';

/** Reconciles until nothing is left to do. Every state between is answered too. `fails`: the n-th call is refused. */
function reconcile(world: World, spec: object, fails: number): ObservedService[] {
  world.generation++;
  const states: ObservedService[] = [];
  let calls = 0;
  for (let round = 0; round < 20; round++) {
    const tenant = tenantA({ spec, status: statusJson(world.status), generation: world.generation });
    const planned = plan(tenant, desiredOf(tenant), world.observed, settings, world.now);
    const steps = planned.steps.filter(({ closes }) => closes).slice(0, 1);
    const rest = planned.steps.filter(({ closes }) => !closes);
    const outcomes = (steps.length > 0 ? steps : rest).map((step): Outcome => {
      if (calls++ === fails) return { step, result: 'failed', failure: { kind: 'Transient', message: 'no answer' } };
      world.observed = foresee(world.observed, [step]);
      return { step, result: 'done', response: {} };
    });
    const inventory = settleInventory(tenant.status.inventory, planned.inventory, outcomes, world.now);
    world.status = { ...world.status, inventory };
    if (planned.steps.length === 0) world.observed = afterRollout(world.observed);
    world.now += 130_000;
    for (const { service } of world.observed.services) if (service.state === 'present') states.push(service.value);
    if (planned.steps.length === 0 && planned.waiting.length === 0) break;
  }
  return states;
}

/** The steps that remove fields, one after another, in some order. */
const removals = fc.shuffledSubarray(Object.keys(FIELDS), { minLength: 1 });

test('no sequence of removals opens a service, here or in another region, whatever call is not answered', () => {
  let narrowed = 0;
  fc.assert(
    fc.property(
      fc.array(specs, { minLength: 1, maxLength: 3 }),
      byHand,
      removals,
      fc.boolean(),
      fc.integer({ min: 0, max: 8 }),
      (edits, hand, removed, moves, fails) => {
        const service = serviceA({
          invokerIamDisabled: false,
          raw: { ingress: 'INGRESS_TRAFFIC_ALL', ...hand } as JsonObject,
        });
        const absentThere = seen({ state: 'absent' }, TO, present(invokedBy()));
        const here = seen(present(service), REGION, present(invokedBy('user:jane@example.com')));
        const world: World = {
          status: tenantA().status,
          observed: cloud({ services: [here], keys: [keyA()] }),
          now: NOW,
          generation: 1,
        };
        let spec: Record<string, unknown> = base;
        for (const edit of edits) {
          spec = edit;
          reconcile(world, spec, -1);
        }
        const before = world.observed.services[0]?.service;
        if (before?.state !== 'present') throw new Error('no service');
        for (const name of removed) {
          const { [name]: _, ...rest } = spec;
          spec = rest;
          const target = moves ? { ...spec, region: TO } : spec;
          if (moves && !world.observed.services.some(({ region }) => region === TO))
            world.observed = { ...world.observed, services: [absentThere, ...world.observed.services] };
          for (const state of reconcile(world, target, fails)) expect(opened(before.value, state)).toEqual([]);
        }
        if (opened(serviceA(), before.value).length === 0) narrowed++;
      },
    ),
    { numRuns: 500 },
  );
  // About 100; chance alone never makes it so few.
  expect(narrowed).toBeGreaterThan(50);
});
