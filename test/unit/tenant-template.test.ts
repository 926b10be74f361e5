import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { quantity, sameQuantity } from '../../operator/tenant/quantity.ts';
import {
  applyScaling,
  applyTemplate,
  applyTraffic,
  onlyLatestServes,
  readsSecret,
  scalingInForce,
  type WantedTemplate,
} from '../../operator/tenant/template.ts';

const wanted: WantedTemplate = {
  serviceAccount: 'sa@p.iam.gserviceaccount.com',
  cpu: '1',
  memory: '1Gi',
  timeoutSeconds: 300,
  concurrency: 80,
  variables: [
    { name: 'KEY', key: { secret: 'k', projects: ['', 'p', '12'], version: '3' } },
    { name: 'PLAIN', value: 'x' },
  ],
  dropVariables: ['OLD'],
};

const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';

describe('laying the spec over a template', () => {
  test('changes nothing a second time, and keeps every field that it does not name', () => {
    fc.assert(
      fc.property(
        fc.record({
          serviceAccount: fc.constantFrom('sa@p.iam.gserviceaccount.com', 'other@p'),
          timeout: fc.constantFrom('300s', '60s'),
          sessionAffinity: fc.boolean(),
          cpu: fc.constantFrom('1', '1000m', '2'),
          memory: fc.constantFrom('1Gi', '1024Mi', '512Mi'),
          env: fc.uniqueArray(fc.constantFrom('KEY', 'PLAIN', 'OLD', 'THEIRS'), { maxLength: 4 }),
        }),
        given => {
          const current = {
            revision: 'named',
            serviceAccount: given.serviceAccount,
            timeout: given.timeout,
            sessionAffinity: given.sessionAffinity,
            containers: [
              {
                image: 'img',
                resources: { limits: { cpu: given.cpu, memory: given.memory, 'nvidia.com/gpu': '1' }, cpuIdle: false },
                env: given.env.map(name => ({ name, value: 'y' })),
              },
              { name: 'sidecar', image: 'side' },
            ],
          };
          const { template } = applyTemplate(current, wanted);
          expect(applyTemplate(template, wanted).changes).toEqual([]);
          expect(template.revision).toBeUndefined();
          expect(template.sessionAffinity).toBe(given.sessionAffinity);
          const [first, second] = template.containers as { [key: string]: unknown }[];
          expect(first).toMatchObject({
            image: 'img',
            resources: { limits: { 'nvidia.com/gpu': '1' }, cpuIdle: false },
          });
          expect(second).toEqual({ name: 'sidecar', image: 'side' });
          const names = (first as { env: { name: string }[] }).env.map(({ name }) => name);
          expect(names).not.toContain('OLD');
          expect(names.includes('THEIRS')).toBe(given.env.includes('THEIRS'));
        },
      ),
    );
  });

  test('knows one secret however it is written, and another project’s of the same id', () => {
    const env = (secret: string) => ({
      ...applyTemplate({ containers: [{ image: 'i' }] }, { ...wanted, variables: [] }).template,
      containers: [
        {
          image: 'i',
          resources: { limits: { cpu: '1', memory: '1Gi' } },
          env: [{ name: 'KEY', valueSource: { secretKeyRef: { secret, version: '3' } } }],
        },
      ],
    });
    const only = { ...wanted, variables: wanted.variables.slice(0, 1) };
    for (const same of ['k', 'projects/p/secrets/k', 'projects/12/secrets/k']) {
      expect(applyTemplate(env(same), only).changes).toEqual([]);
    }
    for (const other of ['kk', 'projects/q/secrets/k']) expect(applyTemplate(env(other), only).changes).toHaveLength(1);
    expect(readsSecret(env('projects/q/secrets/k'), 'k')).toBe(true);
    expect(readsSecret(env('kk'), 'k')).toBe(false);
  });

  test('never shows a plain value', () => {
    const { changes } = applyTemplate({ containers: [{ env: [{ name: 'PLAIN', value: 'sk-old' }] }] }, wanted);
    expect(JSON.stringify(changes)).not.toContain('sk-old');
  });

  test('a new container pays for CPU only during requests', () => {
    const { template } = applyTemplate({ containers: [{ image: 'i' }] }, wanted);
    expect(template.containers).toMatchObject([{ resources: { cpuIdle: true, startupCpuBoost: true } }]);
  });
});

describe('scaling', () => {
  test.each([
    [{}, {}, { min: 0, max: undefined }],
    [{ maxInstanceCount: 10 }, { maxInstanceCount: 100 }, { min: 0, max: 10 }],
    [{ minInstanceCount: 1 }, { minInstanceCount: 3, maxInstanceCount: 5 }, { min: 3, max: 5 }],
  ])('in force of %j and %j is %j', (service, template, inForce) => {
    expect(scalingInForce(service, { scaling: template })).toEqual(inForce);
  });

  test('what is written is in force afterwards, and the template is touched only where it is in the way', () => {
    const count = fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined });
    const shape = fc.record({ minInstanceCount: count, maxInstanceCount: count });
    fc.assert(
      fc.property(
        shape,
        shape,
        fc.integer({ min: 0, max: 10 }),
        fc.integer({ min: 10, max: 20 }),
        (service, own, min, max) => {
          const template = { scaling: own };
          const next = applyScaling(service, template, min, max);
          expect(scalingInForce(next.scaling ?? service, next.template ?? template)).toEqual({ min, max });
          if (next.changes.length === 0) expect(next).toEqual({ changes: [] });
          if ((own.minInstanceCount ?? 0) <= min && (own.maxInstanceCount ?? max) >= max)
            expect(next.template).toBeUndefined();
        },
      ),
    );
  });
});

describe('traffic', () => {
  test('is left alone where everything goes to the latest revision', () => {
    expect(applyTraffic([])).toBeUndefined();
    expect(
      applyTraffic([
        { type: LATEST, percent: 100 },
        { revision: 'r', tag: 'old' },
      ]),
    ).toBeUndefined();
  });

  test('comes back to the latest revision; tags survive', () => {
    expect(
      applyTraffic([
        { type: LATEST, percent: 50 },
        { revision: 'r', percent: 50, tag: 'old' },
      ]),
    ).toEqual([
      { type: LATEST, percent: 100 },
      { revision: 'r', tag: 'old' },
    ]);
  });

  test('to an older revision counts as serving', () => {
    expect(onlyLatestServes([{ revision: 's-00001-a', percent: 100 }], 'projects/p/x/revisions/s-00002-b')).toBe(false);
    expect(onlyLatestServes([{ revision: 's-00002-b', percent: 100 }], 'projects/p/x/revisions/s-00002-b')).toBe(true);
  });
});

describe('quantities', () => {
  test.each([
    ['1', '1000m', true],
    ['1Gi', '1024Mi', true],
    ['1G', '1Gi', false],
    ['0.5', '500m', true],
    ['1e3', '1k', true],
    ['x', 'x', true],
    ['x', '1', false],
  ])('%s and %s: same value %s', (a, b, same) => {
    expect(sameQuantity(a, b)).toBe(same);
  });

  test('are read without throwing whatever they are', () => {
    fc.assert(fc.property(fc.string(), text => typeof quantity(text) !== 'string'));
  });
});
