import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { requestAnswer } from '../../operator/reconcile/pacing.ts';
import { planDeletion } from '../../operator/tenant/deletion.ts';
import { desiredState } from '../../operator/tenant/desired.ts';
import { isProjectId, isServiceAccount, serviceAccountEmail } from '../../operator/tenant/names.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { deleting, refused, report, suspended } from '../../operator/tenant/report.ts';
import { keepingUnknown, LONGEST, readTenant, statusJson } from '../../operator/tenant/resource.ts';
import type { TenantStatus } from '../../operator/tenant/types.ts';
import type { KubeObject } from '../../ports/kube.ts';
import {
  at,
  atRest,
  cloud,
  desiredOf,
  ENTRIES,
  entry,
  LONG_AGO,
  NOW,
  settings,
  tenantA,
} from './support/tenantWorld.ts';

/** Operators of different versions, one after the other, on the same AiTenants. */

const JOB = { type: 'Job', name: 'projects/p/locations/r/jobs/j', time: LONG_AGO, schedule: 'daily' };
const TOMORROW = {
  type: 'BudgetReady',
  status: 'Perhaps',
  reason: 'Odd',
  message: 'm',
  lastTransitionTime: LONG_AGO,
  weight: 3,
};
const newer = {
  budget: { spent: 3 },
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'UpToDate',
      message: '',
      lastTransitionTime: LONG_AGO,
      observedGeneration: 1,
      severity: 'low',
    },
    TOMORROW,
  ],
  keys: [{ name: 'openai', version: '3', secret: ENTRIES.grant.name, granted: true, usedAt: LONG_AGO }],
  inventory: [
    JOB,
    ...atRest.map(one => ({ ...one, colour: 'red' })),
    { type: 'Invoker', name: 'without-member', time: LONG_AGO },
  ],
};

describe('what a newer operator wrote', () => {
  const kept = (status: TenantStatus) => {
    const json = statusJson(status);
    expect(json.budget).toEqual({ spent: 3 });
    expect(json.conditions).toContainEqual(TOMORROW);
    expect(json.inventory).toContainEqual(JOB);
    expect(json.inventory).toContainEqual({ type: 'Invoker', name: 'without-member', time: LONG_AGO });
    expect((json.conditions as { type: string }[]).find(({ type }) => type === 'Ready')).toMatchObject({
      severity: 'low',
    });
    return json;
  };

  test('survives every status that this version writes', () => {
    const tenant = tenantA({ status: newer });
    const desired = desiredOf(tenant);
    const planned = plan(tenant, desired, cloud(), settings, NOW);
    expect(planned.steps).toEqual([]);
    const json = kept(report(tenant, desired, cloud(), planned, undefined, NOW).status);
    expect(json.keys).toMatchObject([{ usedAt: LONG_AGO }]);
    expect(json.inventory).toHaveLength(newer.inventory.length);
    for (const { type, colour } of json.inventory as { type: string; colour?: string }[])
      expect([type, colour]).toEqual([type, ['Job', 'Invoker'].includes(type) ? undefined : 'red']);
    kept(refused(tenant, 'no project', NOW).status);
    kept(suspended(tenant, NOW).status);
    kept(deleting(tenant, planned, [], NOW).status);
  });

  test('is no reason to write where nothing else differs, whatever its place in the lists', () => {
    const object = { metadata: { name: 'tenant-a' }, status: newer };
    const moved = { ...object, status: { ...newer, inventory: newer.inventory.toReversed().toReversed() } };
    expect(statusJson(readTenant(moved).status)).toEqual(statusJson(readTenant(object).status));
  });

  test('survives reading and writing, whatever it is', () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const odd = fc.dictionary(fc.stringMatching(/^x[a-z]{1,6}$/), value, { maxKeys: 3 });
    const item = fc.record({ type: fc.stringMatching(/^X[a-z]{1,8}$/), name: fc.string(), time: fc.string() });
    const one = fc.tuple(item, odd).map(([known, more]) => ({ ...more, ...known }));
    const conditions = fc.uniqueArray(one, { selector: ({ type }) => type, maxLength: 4 });
    fc.assert(
      fc.property(odd, conditions, fc.array(one), (more, others, entries) => {
        const status = { ...more, conditions: others, inventory: entries, keys: [] };
        const read = readTenant({ metadata: { name: 'a' }, status }).status;
        expect(statusJson(read)).toEqual(JSON.parse(JSON.stringify(status)));
      }),
    );
  });

  test('survives on an inventory entry that a plan makes anew', () => {
    const before = readTenant({ metadata: { name: 'a' }, status: newer }).status;
    const anew = { ...before, inventory: atRest.map(one => ({ ...one, time: at(0) })) };
    const { inventory } = keepingUnknown(before, anew);
    expect(inventory).toEqual(atRest.map(one => ({ ...one, time: at(0), colour: 'red' })));
    // A known field that the plan has taken off does not come back, nor does an entry.
    const retired = {
      ...before,
      inventory: atRest.map(one => (one.type === 'Service' ? { ...one, deletedAt: at(0) } : one)),
    };
    expect(keepingUnknown(retired, { ...before, inventory: atRest }).inventory).toEqual(atRest);
    expect(keepingUnknown(before, { ...before, inventory: [] }).inventory).toEqual([]);
  });

  test('holds the deletion, which names it and changes nothing', () => {
    const tenant = tenantA({ deletionTimestamp: at(0), status: { inventory: [JOB] } });
    const planned = planDeletion(tenant, cloud({ keys: [], formerGrants: [] }), settings, NOW);
    expect(planned.steps).toEqual([]);
    const ready = deleting(tenant, planned, [], NOW).status.conditions[0];
    expect(ready).toMatchObject({ reason: 'DeleteFailed', status: 'False' });
    expect(ready?.message).toContain('Job projects/p/locations/r/jobs/j');
    expect(ready?.message).toContain(
      'kubectl annotate aitenant tenant-a -n team ai-platform.dev/deletion-policy=abandon',
    );
  });
});

describe('a value of the spec that this version does not know', () => {
  test.each([
    ['access', { access: 'Internal' }, 'spec.access is "Internal", which is not among Public, Authenticated'],
    ['an access that is no text', { access: { mode: 'x' } }, 'spec.access is "{"mode":"x"}"'],
    [
      'rollout',
      { keys: [{ name: 'k', secretRef: { external: 's' }, rollout: 'Weekly' }] },
      'spec.keys[0].rollout is "Weekly"',
    ],
  ])('(%s) is refused', (_what, spec, message) => {
    const tenant = tenantA({ spec });
    const around = { namespaceAnnotations: {}, connectorSecret: () => ({ state: 'absent' as const }) };
    const wanted = desiredState(tenant, settings, around);
    expect(wanted).toMatchObject({ ok: false, message: expect.stringContaining(message) });
  });

  test('every enum of the CRD is read so', () => {
    const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8'));
    const { spec, status } = crd.spec.versions[0].schema.openAPIV3Schema.properties;
    const enums = (schema: Schema, path: string): string[] => [
      // A boolean may allow one of its values only.
      ...(schema.enum && schema.type !== 'boolean' ? [path] : []),
      ...Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => enums(inner, `${path}.${name}`)),
      ...(schema.items ? enums(schema.items, `${path}[0]`) : []),
    ];
    expect(enums(status, 'status')).toEqual([]);
    const paths = enums(spec, 'spec');
    expect(paths).toContain('spec.access');
    for (const path of paths) {
      const steps = path.split(/\.|(?=\[)/).slice(1);
      const value = steps.reduceRight<unknown>(
        (inner, step) => (step === '[0]' ? [inner] : { [step]: inner }),
        'Tomorrow',
      );
      const { unknownValues } = readTenant({ metadata: { name: 'a' }, spec: value } as KubeObject);
      expect(unknownValues, path).toEqual([expect.stringContaining(`${path} is "Tomorrow"`)]);
    }
  });
});

interface Schema {
  type?: string;
  enum?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  maxLength?: number;
}

describe('what is copied into the status', () => {
  test('is bounded as the CRD bounds it', () => {
    const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8'));
    const { properties } = crd.spec.versions[0].schema.openAPIV3Schema.properties.status;
    for (const [field, longest] of Object.entries(LONGEST)) {
      expect(properties[field].maxLength, field).toBe(longest);
      const status = { [field]: 'x'.repeat(longest), conditions: [], inventory: [] };
      const read = (text: string) =>
        statusJson(readTenant({ metadata: { name: 'a' }, status: { ...status, [field]: text } }).status)[field];
      expect(read('x'.repeat(longest))).toBe('x'.repeat(longest));
      expect(read('x'.repeat(longest + 1))).toBeUndefined();
    }
  });

  test('a request for a check is answered as it stands, or by its hash where it is longer than 256 characters', () => {
    const KEY = 'ai-platform.dev/reconcile-requested-at';
    expect(requestAnswer({})).toBeUndefined();
    expect(requestAnswer({ [KEY]: 'x'.repeat(256) })).toBe('x'.repeat(256));
    const long = requestAnswer({ [KEY]: 'x'.repeat(257) });
    expect(long).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(requestAnswer({ [KEY]: `${'x'.repeat(256)}y` })).not.toBe(long);
  });

  test('projects and accounts that a Namespace names fit', () => {
    const domain = `${'a'.repeat(180)}.example`;
    expect(isProjectId(`${domain}:web-12`)).toBe(true);
    expect(serviceAccountEmail(`sa-${'t'.repeat(27)}`, `${domain}:web-12`).length).toBeLessThanOrEqual(320);
    expect(isProjectId(`${'a'.repeat(200)}:web-12`)).toBe(false);
    expect(isServiceAccount(`a@${'a.'.repeat(200)}gserviceaccount.com`)).toBe(false);
  });

  test('a message is cut between characters', () => {
    for (const pad of [0, 1]) {
      const { conditions } = refused(tenantA(), `${'x'.repeat(pad)}${'😀'.repeat(2_000)}\ud83d`, NOW).status;
      const message = conditions[0]?.message ?? '';
      expect(message.isWellFormed()).toBe(true);
      expect(message.length).toBeLessThanOrEqual(2_000);
      expect(message.length).toBeGreaterThan(1_990);
    }
  });
});

test('an entry of today is read as it stands', () => {
  expect(tenantA({ status: { inventory: atRest } }).status.inventory).toEqual(atRest.map(one => entry(one)));
});
