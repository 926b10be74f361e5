import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { quantity, sameQuantity } from '../../operator/tenant/quantity.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import {
  applyScaling,
  applyTemplate,
  applyTraffic,
  imageOf,
  inheritedTemplate,
  onlyLatestServes,
  pinnedVersions,
  RETRY_ANNOTATION,
  readsSecret,
  retryCount,
  scalingInForce,
  secretReferences,
  shownTraffic,
  type WantedTemplate,
  type WantedVariable,
  wantedTemplate,
  withoutRetry,
  withRetry,
} from '../../operator/tenant/template.ts';
import type { JsonObject } from '../../ports/json.ts';

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
    // Found by the fuzzer: NaN would have been a change at every look.
    [{ minInstanceCount: 1 }, { minInstanceCount: ']', maxInstanceCount: {} }, { min: 1, max: undefined }],
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

  test.each([
    ['1', 1],
    ['1000m', 1],
    ['+1.5', 1.5],
    ['-1', -1],
    ['.25', 0.25],
    ['10.', 10],
    ['12e3', 12_000],
    ['12E-1', 1.2],
    ['1e+10', 1e10],
    ['2k', 2e3],
    ['2M', 2e6],
    ['2G', 2e9],
    ['2T', 2e12],
    ['2P', 2e15],
    ['2E', 2e18],
    ['3Ki', 3 * 2 ** 10],
    ['3Mi', 3 * 2 ** 20],
    ['3Gi', 3 * 2 ** 30],
    ['3Ti', 3 * 2 ** 40],
    ['3Pi', 3 * 2 ** 50],
    ['3Ei', 3 * 2 ** 60],
    [' 1 ', 1],
    ['x1', undefined],
    ['1x', undefined],
    ['1 G', undefined],
    ['1mi', undefined],
    ['', undefined],
    ['.', undefined],
    ['e3', undefined],
    ['+-1', undefined],
  ])('"%s" is %s', (text, value) => expect(quantity(text)).toBe(value));

  test.each([
    [undefined, undefined, true],
    [undefined, '1', false],
    ['1', undefined, false],
    ['0', undefined, false],
    ['x', 'y', false],
    ['1', 'x', false],
    ['x', '1', false],
    // What cannot be told apart in floating point is the same, whatever its size; a millicore is not.
    ['0.1', '100m', true],
    ['3000001m', '3000002m', false],
    ['1000m', '1001m', false],
    ['1Ei', '1152921504606846976', true],
    ['1152921504606846976', '1152921504606850000', true],
    ['1000000000', '1000000001', false],
    // Beyond what a number holds: found by the fuzzer, and would have been a change at every look.
    ['1e309', '1e309', true],
    ['1e309', '2e309', false],
  ])('%s and %s are the same: %s', (a, b, same) => expect(sameQuantity(a, b)).toBe(same));

  test('are read without throwing whatever they are', () => {
    fc.assert(fc.property(fc.string(), text => typeof quantity(text) !== 'string'));
  });
});

describe('a template as Cloud Run answers it', () => {
  const reference = (name: string, secret: string, version?: string) => ({
    name,
    valueSource: { secretKeyRef: { secret, ...(version !== undefined && { version }) } },
  });
  const two = {
    containers: [
      { image: 'sidecar', env: [reference('A', 'side', '1')] },
      {
        image: 'app',
        ports: [{ containerPort: 8080 }],
        env: [reference('K', 'k', '3'), reference('L', 'l'), { name: 'P', value: 'x' }],
      },
    ],
    volumes: [
      { name: 'v', secret: { secret: 'projects/p/secrets/vol' } },
      { name: 'w', emptyDir: {} },
    ],
  };

  test('serves with the container that has ports, or the first', () => {
    expect(imageOf(two)).toBe('app');
    expect(imageOf({ containers: [{ image: 'a' }, { image: 'b', ports: [] }] })).toBe('a');
    expect(imageOf({ containers: [] })).toBeUndefined();
    expect(imageOf({})).toBeUndefined();
    expect(imageOf({ containers: [{ image: { odd: true } }] })).toBeUndefined();
  });

  test('reads secrets in every container and volume', () => {
    expect(secretReferences(two)).toEqual(['side', 'k', 'l', 'projects/p/secrets/vol']);
    for (const id of ['side', 'k', 'l', 'vol']) expect(readsSecret(two, id), id).toBe(true);
    for (const id of ['x', '', 'projects/p/secrets/vol']) expect(readsSecret(two, id), id).toBe(false);
  });

  test('pins the versions of its serving container’s variables', () => {
    expect(pinnedVersions(two)).toEqual([
      { secret: 'k', version: '3' },
      { secret: 'l', version: 'latest' },
    ]);
    const odd = {
      containers: [
        { env: [{ valueSource: { secretKeyRef: { secret: 'k' } } }, { name: 'X' }, reference('N', 'n', '')] },
      ],
    };
    expect(pinnedVersions(odd)).toEqual([{ secret: 'n', version: 'latest' }]);
  });

  test('changes in its serving container only', () => {
    const { template, changes } = applyTemplate(two, {
      ...wanted,
      image: 'app:2',
      variables: [],
      dropVariables: ['P'],
    });
    expect(template.containers).toMatchObject([
      { image: 'sidecar', env: [reference('A', 'side', '1')] },
      { image: 'app:2', env: [reference('K', 'k', '3'), reference('L', 'l')] },
    ]);
    expect(changes).toEqual([
      { field: 'serviceAccount', from: undefined, to: 'sa@p.iam.gserviceaccount.com' },
      { field: 'timeoutSeconds', from: undefined, to: '300s' },
      { field: 'scaling.concurrency', from: undefined, to: '80' },
      { field: 'image', from: 'app', to: 'app:2' },
      { field: 'resources.cpu', from: undefined, to: '1' },
      { field: 'resources.memory', from: undefined, to: '1Gi' },
      { field: 'env.P', from: '(value)', to: undefined },
    ]);
  });

  test('without a container gets one', () => {
    const { template } = applyTemplate({}, { ...wanted, image: 'i', variables: [] });
    expect(template).toEqual({
      serviceAccount: 'sa@p.iam.gserviceaccount.com',
      timeout: '300s',
      maxInstanceRequestConcurrency: 80,
      containers: [
        { image: 'i', resources: { cpuIdle: true, startupCpuBoost: true, limits: { cpu: '1', memory: '1Gi' } } },
      ],
    });
  });

  const settled = {
    serviceAccount: 'sa@p.iam.gserviceaccount.com',
    timeout: '300s',
    maxInstanceRequestConcurrency: 80,
    containers: [{ resources: { limits: { cpu: '1', memory: '1Gi' } }, env: [] }],
  };
  const lay = (changes: object, want: Partial<WantedTemplate> = {}) =>
    applyTemplate({ ...settled, ...changes }, { ...wanted, variables: [], ...want }).changes;

  test.each(['300s', '300.0s', '300.000000000s'])('has a time-out of %s, which is the same', timeout => {
    expect(lay({ timeout })).toEqual([]);
  });
  test.each(['300', '3000s', 'x300s', '300sx', '1300s', ''])('has a time-out of "%s", which is another', timeout => {
    expect(lay({ timeout }).map(({ field }) => field)).toEqual(['timeoutSeconds']);
  });

  test('may write numbers as text', () => {
    expect(lay({ maxInstanceRequestConcurrency: '80' })).toEqual([]);
    const containers = [{ resources: { limits: { cpu: 1, memory: '1Gi' } } }];
    expect(lay({ containers })).toEqual([]);
  });

  const withEnv = (...env: JsonObject[]) => ({
    containers: [{ resources: { limits: { cpu: '1', memory: '1Gi' } }, env }],
  });
  const key = { name: 'K', key: { secret: 'projects/q/secrets/k', projects: ['q', '7'], version: '3' } };

  test.each<[string, JsonObject, WantedVariable, object[]]>([
    ['an empty value that is not written', { name: 'P' }, { name: 'P', value: '' }, []],
    [
      'a value',
      { name: 'P', value: 'x' },
      { name: 'P', value: 'y' },
      [{ field: 'env.P', from: '(value)', to: '(value)' }],
    ],
    [
      'a value that was a key',
      reference('P', 'k', '3'),
      { name: 'P', value: '' },
      [{ field: 'env.P', from: 'k:3', to: '(value)' }],
    ],
    [
      'a key that was a value',
      { name: 'K', value: 'sk' },
      key,
      [{ field: 'env.K', from: '(value)', to: 'projects/q/secrets/k:3' }],
    ],
    ['a key of the same project by number', reference('K', 'projects/7/secrets/k', '3'), key, []],
    [
      'a key of another project',
      reference('K', 'k', '3'),
      key,
      [{ field: 'env.K', from: 'k:3', to: 'projects/q/secrets/k:3' }],
    ],
    [
      'a key without a version',
      reference('K', 'projects/q/secrets/k'),
      key,
      [{ field: 'env.K', from: 'projects/q/secrets/k:latest', to: 'projects/q/secrets/k:3' }],
    ],
    [
      'a key that means the latest',
      reference('K', 'projects/q/secrets/k', ''),
      { ...key, key: { ...key.key, version: 'latest' } },
      [],
    ],
  ])('has %s', (_what, variable, want, changes) => {
    expect(lay(withEnv(variable), { variables: [want] })).toEqual(changes);
  });

  test('keeps the order of its variables, and others’ that are called as nobody expects', () => {
    const { template } = applyTemplate(
      { ...settled, ...withEnv({ name: 'B', value: '1' }, { value: 'nameless' }, { name: 'P', value: '2' }) },
      {
        ...wanted,
        variables: [
          { name: 'N', value: '9' },
          { name: 'P', value: '3' },
        ],
        dropVariables: [],
      },
    );
    expect(template.containers).toMatchObject([
      { env: [{ name: 'B', value: '1' }, { value: 'nameless' }, { name: 'P', value: '3' }, { name: 'N', value: '9' }] },
    ]);
  });
});

describe('what is wanted of a template', () => {
  test('are the keys, then the plain variables; what was ours and is in neither goes', () => {
    const spec = readTenant({ metadata: { name: 'a' }, spec: { env: [{ name: 'P', value: 'x' }], image: 'i' } }).spec;
    const key = { name: 'K', key: { secret: 'k', projects: [''], version: '3' } };
    expect(wantedTemplate(spec, 'sa', [key], ['P', 'K', 'OLD'])).toEqual({
      serviceAccount: 'sa',
      image: 'i',
      cpu: '1',
      memory: '1Gi',
      timeoutSeconds: 300,
      concurrency: 80,
      variables: [key, { name: 'P', value: 'x' }],
      dropVariables: ['OLD'],
    });
  });
});

describe('the mark of a retry', () => {
  const marked = (value: unknown) => ({ annotations: { [RETRY_ANNOTATION]: value as string, mine: 'x' } });
  test.each([
    ['3', 3],
    ['0', 0],
    ['-1', 0],
    ['1.5', 0],
    ['x', 0],
    [undefined, 0],
  ])('%s counts %i', (value, count) => expect(retryCount(marked(value))).toBe(count));

  test('is put on without the revision’s name, and taken off again', () => {
    const template = { revision: 'r', image: 'i', annotations: { mine: 'x' } };
    const retried = withRetry(template, 2);
    expect(retried).toEqual({ image: 'i', ...marked('2') });
    expect(withoutRetry(retried)).toEqual({ image: 'i', annotations: { mine: 'x' } });
    expect(withoutRetry(template)).toBe(template);
    expect(withRetry({}, 1)).toEqual({ annotations: { [RETRY_ANNOTATION]: '1' } });
    expect(inheritedTemplate({ revision: 'r', ...retried })).toEqual({ image: 'i', annotations: { mine: 'x' } });
    expect(retryCount({})).toBe(0);
  });
});

describe('what stands where', () => {
  test('scaling: what is written, and what it says has changed', () => {
    expect(applyScaling({ maxInstanceCount: 5, manualInstanceCount: 3, scalingMode: 'MANUAL' }, {}, 0, 5)).toEqual({
      scaling: { minInstanceCount: 0, maxInstanceCount: 5, scalingMode: 'AUTOMATIC' },
      template: undefined,
      changes: [{ field: 'scaling.mode', from: 'MANUAL', to: 'AUTOMATIC' }],
    });
    expect(applyScaling({ scalingMode: 'AUTOMATIC', other: 1 }, {}, 2, 5)).toEqual({
      scaling: { other: 1, minInstanceCount: 2, maxInstanceCount: 5 },
      template: undefined,
      changes: [
        { field: 'scaling.minInstances', from: '0', to: '2' },
        { field: 'scaling.maxInstances', from: undefined, to: '5' },
      ],
    });
    const template = { image: 'i', scaling: { minInstanceCount: 4, maxInstanceCount: 3, other: 1 } };
    expect(applyScaling({}, template, 2, 5).template).toEqual({
      image: 'i',
      scaling: { maxInstanceCount: 5, other: 1 },
    });
    const inside = { scaling: { minInstanceCount: 2, maxInstanceCount: 5 } };
    expect(applyScaling({ maxInstanceCount: 3 }, inside, 2, 5).template).toBeUndefined();
  });

  test('traffic: shown by revision and share', () => {
    expect(
      shownTraffic([
        { type: LATEST, percent: 60 },
        { revision: 's-00001-a', percent: 30, tag: 'old' },
        { percent: 10 },
        { revision: 's-00000-z', percent: 0 },
        { revision: 's-00000-y', tag: 't' },
      ]),
    ).toBe('latest=60%, s-00001-a=30%, ?=10%');
    expect(
      applyTraffic([
        { type: LATEST, percent: 60 },
        { type: LATEST, percent: 40 },
      ]),
    ).toBeUndefined();
    expect(applyTraffic([{ revision: 'r', percent: 100 }])).toEqual([{ type: LATEST, percent: 100 }]);
    expect(
      applyTraffic([
        { type: LATEST, percent: 99 },
        { tag: 't', type: LATEST, percent: 1 },
      ]),
    ).toBeUndefined();
  });

  test('traffic: all of it serves the latest, whatever it is called', () => {
    const latest = 'projects/p/locations/r/services/s/revisions/s-00002-b';
    expect(onlyLatestServes([{ type: LATEST, percent: 100 }], latest)).toBe(true);
    expect(onlyLatestServes([{ revision: latest, percent: 100 }], latest)).toBe(true);
    expect(
      onlyLatestServes(
        [
          { type: LATEST, percent: 99 },
          { revision: 's-00001-a', percent: 1 },
        ],
        latest,
      ),
    ).toBe(false);
    expect(onlyLatestServes([{ percent: 1 }], latest)).toBe(false);
    expect(onlyLatestServes([{ revision: 's-00001-a', percent: 0 }], latest)).toBe(false);
    expect(onlyLatestServes([], latest)).toBe(false);
  });
});
