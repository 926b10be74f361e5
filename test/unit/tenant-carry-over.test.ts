import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { regionalSettings } from '../../operator/tenant/carryOver.ts';
import { report } from '../../operator/tenant/report.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import { settingsFromRecord, settingsOnRecord } from '../../operator/tenant/serviceSettings.ts';
import type { TenantStatus } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import { compileCrd } from '../../schema/index.ts';
import {
  absent,
  atRest,
  cloud,
  desiredOf,
  entry,
  invokedBy,
  NOW,
  planFor,
  present,
  REGION,
  seen,
  serviceA,
  serviceIn,
  tenantA,
} from './support/tenantWorld.ts';

const crd = compileCrd(parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')));
if (!crd.ok) throw new Error(JSON.stringify(crd.causes));
const [version] = crd.crd.versions;

/** Anything that a service may be answered with, also what is odd or too long. */
const services = fc.record(
  {
    ingress: fc.oneof(fc.constantFrom('INGRESS_TRAFFIC_ALL', 'TOMORROW'), fc.string({ maxLength: 100 }), fc.integer()),
    iapEnabled: fc.oneof(fc.boolean(), fc.constant('yes')),
    defaultUriDisabled: fc.boolean(),
    customAudiences: fc.oneof(
      fc.array(fc.string({ maxLength: 600, unit: 'grapheme' }), { maxLength: 80 }),
      fc.constant({}),
    ),
    binaryAuthorization: fc.oneof(
      fc.record(
        { useDefault: fc.boolean(), policy: fc.string({ maxLength: 600 }), breakglassJustification: fc.string() },
        { requiredKeys: [] },
      ),
      fc.constant(null),
    ),
  },
  { requiredKeys: [] },
) as unknown as fc.Arbitrary<JsonObject>;

const read = (serviceSettings: unknown): TenantStatus['serviceSettings'] =>
  readTenant({ metadata: { name: 'a' }, status: { serviceSettings } }).status.serviceSettings;

describe('the settings on record', () => {
  test('fit the CRD, whatever Google Cloud answers, and come back as they were written', () => {
    fc.assert(
      fc.property(services, raw => {
        const record = settingsOnRecord(raw);
        const written = JSON.parse(JSON.stringify({ serviceSettings: record, conditions: [], inventory: [] }));
        const spec = { region: REGION, keys: [{ name: 'k', secretRef: { external: 's' } }] };
        const object = version?.applyDefaults({ metadata: { name: 'tenant-a' }, spec, status: written }) ?? {};
        expect(version?.validate(object)).toEqual([]);
        expect(version?.unknownFields(object)).toEqual([]);
        expect(settingsFromRecord(read(written.serviceSettings))).toEqual(settingsFromRecord(record));
      }),
    );
  });

  test('are never a justification to break the glass, and keep what a newer version wrote', () => {
    const raw = { ingress: 'I', binaryAuthorization: { policy: 'p', breakglassJustification: 'fire' } };
    expect(settingsOnRecord(raw)).toEqual({ ingress: 'I', binaryAuthorization: { policy: 'p' } });
    const before = read({ ingress: 'OLD', iapEnabled: true, ofTomorrow: { a: 1 } });
    expect(settingsOnRecord(raw, before)).toEqual({
      ingress: 'I',
      binaryAuthorization: { policy: 'p' },
      ofTomorrow: { a: 1 },
    });
    expect(settingsFromRecord(before)).toEqual({ ingress: 'OLD', iapEnabled: true });
    expect(settingsOnRecord({})).toBeUndefined();
    // An answer that is not whole: Google always says the ingress.
    expect(settingsOnRecord({ description: 'd' }, before)).toBe(before);
  });

  test.each([
    undefined,
    {},
    'odd',
    [],
    { ingress: 5, customAudiences: 'x', binaryAuthorization: [], iapEnabled: 'no' },
  ])('that read %j say nothing', odd => {
    expect(settingsFromRecord(read(odd))).toEqual({});
  });
});

describe('the status', () => {
  const statusOf = (services: ReturnType<typeof seen>[], status: object = {}, region = REGION): TenantStatus => {
    const given = { spec: { region }, status: { inventory: atRest, ...status }, cloud: { services } };
    const tenant = tenantA(given);
    return report(tenant, desiredOf(tenant), cloud(given.cloud), planFor(given), undefined, NOW).status;
  };
  const raw = { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY', iapEnabled: true };
  const old = { ingress: 'INGRESS_TRAFFIC_ALL' };

  test('has the settings that the service was last seen with', () => {
    expect(statusOf([seen(present(serviceA({ raw })))], { serviceSettings: old }).serviceSettings).toEqual(raw);
  });

  test.each([
    ['a stranger made under its name', { ...serviceA().labels, 'ai-tenant-owner-namespace': 'other' }, atRest],
    ['somebody made anew without a mark', {}, atRest],
    ['somebody forged, which no inventory names', serviceA().labels, atRest.filter(({ type }) => type !== 'Service')],
  ])('keeps them whatever a service says that %s', (_who, labels, inventory) => {
    const image = 'registry/app:9';
    const before = { serviceSettings: raw, image, inventory };
    const status = statusOf([seen(present(serviceA({ raw: old, labels })))], before);
    expect(status).toMatchObject({ serviceSettings: raw, image });
  });

  test('keeps them while the service is gone, whatever a former region says', () => {
    expect(statusOf([seen(absent)], { serviceSettings: raw }).serviceSettings).toEqual(raw);
    const TO = 'us-central1';
    const inventory = [...atRest, entry({ type: 'Service', name: serviceIn(TO) })];
    const former = seen(present(serviceA({ raw: old })), REGION, present(invokedBy()));
    const image = 'registry/app:9';
    const status = statusOf([seen(absent, TO), former], { serviceSettings: raw, image, inventory }, TO);
    expect(status.serviceSettings).toEqual(raw);
    expect(status.image).toBe(image);
  });
});

test('an audience that has left the spec does not come back from the status while the former service is not found', () => {
  const audiences = { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY', customAudiences: ['https://a.example.com'] };
  const field = entry({ type: 'Field', name: serviceIn(REGION), field: 'customAudiences' });
  const { steps } = planFor({
    spec: { region: 'us-central1' },
    status: { serviceSettings: audiences, inventory: [...atRest, field] },
    cloud: { services: [seen(absent, 'us-central1'), seen(absent)] },
  });
  const calls = steps.flatMap(({ call }) => (call.kind === 'createService' ? call.service : []));
  expect(calls).toHaveLength(1);
  // What limits access is kept.
  expect(calls[0]).toMatchObject({ ingress: audiences.ingress, customAudiences: [] });
});

test('odd templates have no regional settings', () => {
  for (const template of [{}, { vpcAccess: 'x' }, { vpcAccess: { networkInterfaces: {} } }, { encryptionKey: '' }])
    expect(regionalSettings(template as JsonObject)).toEqual([]);
  expect(regionalSettings({ encryptionKey: 'odd' })).toHaveLength(1);
});
