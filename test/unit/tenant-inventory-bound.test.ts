import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { entriesOfType, settleInventory } from '../../operator/tenant/inventory.ts';
import { foresee } from '../../operator/tenant/managed.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { report } from '../../operator/tenant/report.ts';
import { statusJson } from '../../operator/tenant/resource.ts';
import type { FailureKind, Observed, Outcome, TenantStatus } from '../../operator/tenant/types.ts';
import { compileCrd } from '../../schema/index.ts';
import type { CompiledVersion, PlainObject } from '../../schema/types.ts';
import {
  absent,
  cloud,
  desiredOf,
  failure,
  keyA,
  NOW,
  OPENAI,
  REGION,
  seen,
  settings,
  tenantA,
} from './support/tenantWorld.ts';

/** No sequence of edits, whatever Google Cloud answers, makes the API server refuse the operator's status. */

const compiled = compileCrd(parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')));
if (!compiled.ok) throw new Error('the CRD does not compile');
const version = compiled.crd.versions[0] as CompiledVersion;

const refusedBy = (status: TenantStatus) => {
  const object = {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name: 'tenant-a', namespace: 'team' },
    spec: { region: REGION, keys: [OPENAI] },
    status: statusJson(status),
  } as unknown as PlainObject;
  return version.validate(version.prune(version.applyDefaults(object)));
};

interface Edit {
  spec: object;
  answer: 'done' | FailureKind;
  laterMs: number;
}

function life(edits: Edit[]): { status: TenantStatus; highest: number; observed: Observed } {
  let { status } = tenantA({ status: { conditions: [], keys: [], inventory: [] } });
  let observed = cloud({ services: [seen(absent)], keys: [keyA()] });
  let now = NOW;
  let highest = 0;
  edits.forEach(({ spec, answer, laterMs }, at) => {
    const tenant = tenantA({ spec, status: statusJson(status), generation: at + 1 });
    const desired = desiredOf(tenant);
    // The account was there before the first call.
    const planned = plan(tenant, desired, observed, { ...settings, restore: true }, now);
    const before = report(tenant, desired, observed, planned, undefined, now).status;
    expect(refusedBy(before)).toEqual([]);
    const outcomes = planned.steps.map((step): Outcome => {
      if (answer === 'done') return { step, result: 'done', response: {} };
      return { step, result: 'failed', failure: failure(answer) };
    });
    const after = report(tenant, desired, observed, planned, outcomes, now).status;
    status = { ...after, inventory: settleInventory(tenant.status.inventory, planned.inventory, outcomes, now) };
    expect(refusedBy(status)).toEqual([]);
    highest = Math.max(highest, status.inventory.length);
    if (answer === 'done') observed = unready(foresee(observed, planned.steps));
    now += laterMs;
  });
  return { status, highest, observed };
}

/** No revision ever comes up. */
const unready = (observed: Observed): Observed => ({
  ...observed,
  services: observed.services.map(one =>
    one.service.state === 'present'
      ? {
          ...one,
          service: {
            state: 'present',
            value: {
              ...one.service.value,
              terminal: { state: 'FAILED', reason: '', message: 'image not found' },
              latestReadyRevision: '',
            },
          },
        }
      : one,
  ),
});

const renamed = (at: number, count = 100) => ({
  image: 'registry.example/broken:1',
  env: Array.from({ length: count }, (_, index) => ({ name: `E${at}_${index}`, value: 'x' })),
});

test.each<[string, Edit['answer']]>([
  ['no revision comes up', 'done'],
  ['no call is answered', 'Transient'],
])('edits that rename 100 variables while %s stay within the bound, and the tenant goes on', (_what, answer) => {
  const edits = Array.from(
    { length: 40 },
    (_, at): Edit => ({ spec: renamed(at), answer: at === 0 ? 'done' : answer, laterMs: 2_000 }),
  );
  const { highest } = life(edits);
  expect(highest).toBeGreaterThan(1_000);
  const rest = Array.from({ length: 4 }, (): Edit => ({ spec: renamed(99), answer: 'done', laterMs: 130_000 }));
  const { status } = life([...edits, ...rest]);
  expect(entriesOfType('Variable', status.inventory).some(({ variable }) => variable === 'E99_99')).toBe(true);
  expect(status.inventory.length).toBeLessThan(1_000);
});

test('no sequence of edits makes a status that the API server refuses', () => {
  const kinds = ['done', 'Transient', 'Conflict', 'Invalid', 'PermissionDenied', 'QuotaExceeded'] as const;
  const members = fc.uniqueArray(fc.integer({ min: 0, max: 500 }), { maxLength: 100 });
  const spec = fc.record({
    at: fc.integer({ min: 0, max: 99 }),
    count: fc.integer({ min: 0, max: 100 }),
    region: fc.constantFrom(REGION, 'us-central1', 'europe-west1'),
    members,
  });
  const edit = fc
    .tuple(spec, fc.constantFrom(...kinds), fc.integer({ min: 0, max: 200_000 }))
    .map(([{ at, count, region, members: many }, answer, laterMs]): Edit => {
      const invokers = many.map(one => `user:${'x'.repeat(400)}${one}@example.com`);
      const closed = many.length > 0 ? { access: 'Authenticated', invokers } : {};
      return { spec: { ...renamed(at, count), region, ...closed }, answer, laterMs };
    });
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 30 }), edits => {
      life(edits);
    }),
    { numRuns: 15 },
  );
});
