import { describe, expect, test } from 'vitest';
import { FIELDS, narrowing, wantedFields } from '../../operator/tenant/fields/laid.ts';
import { settingsOnRecord } from '../../operator/tenant/serviceSettings.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { imported, lay, onRecord, specOf } from './support/laidFields.ts';
import { PROJECT, REGION } from './support/tenantWorld.ts';

/** What each field of the service itself makes of it, which changes only close, and what is kept for a service that is deleted. */

describe.each(['labels', 'annotations'] as const)('%s', place => {
  test('of the spec are written beside those of others, one by one', () => {
    const before = { [place]: { team: 'red', theirs: 'x' } };
    const spec = { [place]: { team: 'blue', cost: '1' } };
    expect(lay('service', before, { spec })).toEqual({
      json: { [place]: { theirs: 'x', team: 'blue', cost: '1' } },
      changes: [
        { field: `${place}.team`, from: 'red', to: 'blue' },
        { field: `${place}.cost`, from: undefined, to: '1' },
      ],
    });
    expect(lay('service', {}, { spec: { [place]: { team: 'blue' } } }).json).toEqual({ [place]: { team: 'blue' } });
    expect(lay('service', before, { recorded: onRecord(`${place}.team`, `${place}.gone`) })).toEqual({
      json: { [place]: { theirs: 'x' } },
      changes: [{ field: `${place}.team`, from: 'red', to: undefined }],
    });
  });

  test('that are no texts, or no map, are left out', () => {
    expect(specOf({ [place]: { a: 1, b: null, c: {}, d: 'x' } }).fields).toEqual({ [`${place}.d`]: 'x' });
    for (const value of ['a', ['a'], null, {}]) expect(specOf({ [place]: value }).fields).toBeUndefined();
  });

  test('are imported by their keys', () => {
    const { json } = lay('service', {}, { spec: { [place]: { team: 'blue', cost: '1' } } });
    expect(imported({ service: json }, place)).toEqual(['blue', '1']);
    expect(imported({ service: { [place]: { team: 7 } } }, place)).toEqual([]);
  });
});

const allowed: [place: 'labels' | 'annotations', key: string, isAllowed: boolean][] = [
  ['labels', 'team', true],
  ['labels', 'my-ai-tenant-x', true],
  ['labels', 'my-goog-x', true],
  ['labels', 'managed-by-cnrm-x', true],
  ['labels', 'x-managed-by-cnrm', true],
  ['labels', 'ai-tenant-owner-name', false],
  ['labels', 'goog-managed', false],
  ['labels', 'managed-by-cnrm', false],
  ['labels', 'a.b', false],
  ['labels', 'a/b', false],
  ['annotations', 'team', true],
  ['annotations', 'example.com/team', true],
  ['annotations', 'googleapis.com', true],
  ['annotations', 'mygoogleapis.com/x', true],
  ['annotations', 'googleapis.com.example/x', true],
  ['annotations', 'example.com/googleapis.com', true],
  ['annotations', 'my-ai-tenant-x', true],
  ['annotations', 'ai-tenant-x', false],
  ['annotations', 'googleapis.com/x', false],
  ['annotations', 'run.googleapis.com/x', false],
  ['annotations', 'serving.knative.dev/x', false],
  ['annotations', 'cloud.google.com/x', false],
  ['annotations', 'ai-platform.dev/x', false],
];
test.each(allowed)('%s: %s may be a key of a spec: %s', (place, key, isAllowed) => {
  const path = `${place}.${key}`;
  expect(specOf({ [place]: { [key]: 'x' } }).fields).toEqual(isAllowed ? { [path]: 'x' } : undefined);
  expect(imported({ service: { [place]: { [key]: 'x' } } }, place)).toEqual(isAllowed ? ['x'] : []);
  const { json } = lay('service', { [place]: { [key]: 'x' } }, { recorded: onRecord(path) });
  expect(json).toEqual({ [place]: isAllowed ? {} : { [key]: 'x' } });
});

describe.each<[name: string, word: Json, json: JsonObject, standard: Json | undefined, back: JsonObject]>([
  ['description', 'One', { description: 'One' }, '', { description: '' }],
  ['ingress', 'Internal', { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }, 'All', { ingress: 'INGRESS_TRAFFIC_ALL' }],
  [
    'ingress',
    'InternalAndLoadBalancer',
    { ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER' },
    'All',
    { ingress: 'INGRESS_TRAFFIC_ALL' },
  ],
  ['defaultUrl', 'Disabled', { defaultUriDisabled: true }, 'Enabled', { defaultUriDisabled: false }],
  ['customAudiences', ['a', 'b'], { customAudiences: ['a', 'b'] }, [], { customAudiences: [] }],
  ['iap', 'Enabled', { iapEnabled: true }, 'Disabled', { iapEnabled: false }],
  ['binaryAuthorization', 'Default', { binaryAuthorization: { useDefault: true } }, undefined, {}],
])('%s: %j', (name, word, json, standard, back) => {
  const shown = (value: Json | undefined) =>
    value === '' || (Array.isArray(value) && value.length === 0) || value === undefined
      ? undefined
      : typeof value === 'string'
        ? value
        : JSON.stringify(value);

  test('is written, once, and imported', () => {
    const spec = { [name]: word };
    expect(lay('service', { x: 1 }, { spec })).toEqual({
      json: { x: 1, ...json },
      changes: [{ field: name, from: shown(standard), to: shown(word) }],
    });
    expect(lay('service', json, { spec }).changes).toEqual([]);
    expect(imported({ service: json }, name)).toEqual([word]);
    expect(imported({ service: {} }, name)).toEqual([]);
  });

  test('goes back to Google’s default by its word', () => {
    if (standard === undefined) return expect(imported({ service: back }, name)).toEqual([]);
    expect(lay('service', json, { spec: { [name]: standard } }).json).toEqual(back);
    expect(lay('service', {}, { spec: { [name]: standard } }).changes).toEqual([]);
    expect(imported({ service: back }, name)).toEqual([]);
  });

  test('that has left the spec goes back, or stays if it limits access', () => {
    const goes = ['description', 'customAudiences'].includes(name);
    const { json: next, changes } = lay('service', json, { recorded: onRecord(name) });
    expect(next).toEqual(goes ? back : json);
    expect(changes).toEqual(goes ? [{ field: name, from: shown(word), to: undefined }] : []);
  });
});

test('a value that the spec has no word for is shown as it stands', () => {
  const service = { ingress: 'TOMORROW', binaryAuthorization: { policy: 'projects/p/policies/x' } };
  expect(lay('service', service, { spec: { ingress: 'All', binaryAuthorization: 'Default' } })).toEqual({
    json: { ingress: 'INGRESS_TRAFFIC_ALL', binaryAuthorization: { useDefault: true } },
    changes: [
      { field: 'ingress', from: 'TOMORROW', to: 'All' },
      { field: 'binaryAuthorization', from: 'projects/p/policies/x', to: 'Default' },
    ],
  });
});

test('binary authorization: a reason for breaking the glass belongs to one deployment; an empty policy is none', () => {
  const found = { policy: '', breakglassJustification: 'fire' };
  const { json, changes } = lay(
    'service',
    { binaryAuthorization: found },
    { spec: { binaryAuthorization: 'Default' } },
  );
  expect(json).toEqual({ binaryAuthorization: { useDefault: true } });
  expect(changes).toEqual([{ field: 'binaryAuthorization', from: undefined, to: 'Default' }]);
  for (const policy of ['', 7])
    expect(imported({ service: { binaryAuthorization: { policy } } }, 'binaryAuthorization')).toEqual([]);
  const both = { useDefault: true, policy: 'p' };
  expect(lay('service', { binaryAuthorization: both }, { spec: { binaryAuthorization: 'Default' } }).changes).toEqual(
    [],
  );
});

test('audiences are compared as a set', () => {
  const spec = { customAudiences: ['a', 'b'] };
  expect(lay('service', { customAudiences: ['b', 'a'] }, { spec }).changes).toEqual([]);
  expect(lay('service', { customAudiences: ['a'] }, { spec }).changes).toEqual([
    { field: 'customAudiences', from: '["a"]', to: '["a","b"]' },
  ]);
  expect(lay('service', { customAudiences: 'ab' }, { spec: { customAudiences: [] } }).changes).toEqual([]);
});

describe('scaling.manualInstances', () => {
  const field = 'scaling.manualInstances';
  const manual = (count: number, more: object = {}) => ({
    scaling: { ...more, scalingMode: 'MANUAL', manualInstanceCount: count },
  });

  test('takes the place of minimum and maximum', () => {
    const before = { scaling: { minInstanceCount: 1, maxInstanceCount: 9, tomorrow: 1 } };
    const spec = { scaling: { manualInstances: 3 } };
    const { json, changes } = lay('service', before, { spec });
    expect(json).toEqual(manual(3, { tomorrow: 1 }));
    expect(changes).toEqual([{ field, from: undefined, to: '3' }]);
    expect(lay('service', json, { spec }).changes).toEqual([]);
    expect(imported({ service: json }, field)).toEqual([3]);
  });

  test('that has left the spec makes scaling automatic', () => {
    expect(lay('service', manual(3, { tomorrow: 1 }), { recorded: onRecord(field) })).toEqual({
      json: { scaling: { tomorrow: 1, scalingMode: 'AUTOMATIC' } },
      changes: [{ field, from: '3', to: undefined }],
    });
  });

  test.each([
    ['automatic', { scaling: { scalingMode: 'AUTOMATIC', manualInstanceCount: 3 } }],
    ['manual without a number', manual(0)],
    ['nothing', {}],
  ])('is absent with %s', (_what, service) => {
    expect(imported({ service }, field)).toEqual([]);
  });
});

const INGRESS = { All: 'ALL', Internal: 'INTERNAL_ONLY', InternalAndLoadBalancer: 'INTERNAL_LOAD_BALANCER' };
const ingress = (word: string) => ({ ingress: `INGRESS_TRAFFIC_${INGRESS[word as keyof typeof INGRESS] ?? word}` });
test.each<[what: string, service: object, spec: object, closes: boolean]>([
  ['from all to internal', ingress('All'), { ingress: 'Internal' }, true],
  ['from all to internal and load balancer', ingress('All'), { ingress: 'InternalAndLoadBalancer' }, true],
  ['from load balancer to internal', ingress('InternalAndLoadBalancer'), { ingress: 'Internal' }, true],
  ['from internal to load balancer', ingress('Internal'), { ingress: 'InternalAndLoadBalancer' }, false],
  ['from internal to all', ingress('Internal'), { ingress: 'All' }, false],
  ['from none, which only Google sets', ingress('NONE'), { ingress: 'Internal' }, false],
  ['from what nobody knows', ingress('TOMORROW'), { ingress: 'Internal' }, false],
  ['no ingress to what it is', ingress('Internal'), { ingress: 'Internal' }, false],
  ['the URL off', {}, { defaultUrl: 'Disabled' }, true],
  ['the URL on', { defaultUriDisabled: true }, { defaultUrl: 'Enabled' }, false],
  ['the URL as it is', { defaultUriDisabled: true }, { defaultUrl: 'Disabled' }, false],
  ['IAP on', {}, { iap: 'Enabled' }, true],
  ['IAP off', { iapEnabled: true }, { iap: 'Disabled' }, false],
  ['fewer audiences', { customAudiences: ['a', 'b'] }, { customAudiences: ['b'] }, true],
  ['no audience', { customAudiences: ['a'] }, { customAudiences: [] }, true],
  ['more audiences', { customAudiences: ['a'] }, { customAudiences: ['a', 'b'] }, false],
  ['other audiences', { customAudiences: ['a', 'b'] }, { customAudiences: ['c'] }, false],
  ['authorization of images', {}, { binaryAuthorization: 'Default' }, true],
  [
    'authorization of images for an empty policy',
    { binaryAuthorization: { policy: '' } },
    { binaryAuthorization: 'Default' },
    true,
  ],
  [
    'another authorization of images',
    { binaryAuthorization: { policy: 'p' } },
    { binaryAuthorization: 'Default' },
    false,
  ],
  ['a label', {}, { labels: { a: 'b' } }, false],
  ['a description', {}, { description: 'x' }, false],
])('a change that only closes is made first: %s', (_what, service, spec, closes) => {
  const json = service as JsonObject;
  const wanted = wantedFields(specOf(spec), [], { project: PROJECT, region: REGION }, { files: [], ofSidecars: [] });
  const first = narrowing(json, wanted);
  expect(first.map(one => one.json)).toEqual(closes ? [lay('service', service, { spec }).json] : []);
  expect(first.map(one => one.changes)).toEqual(closes ? [lay('service', service, { spec }).changes] : []);
});

describe('what a deleted service is created again with', () => {
  const kept = (raw: object) => settingsOnRecord({ ingress: 'INGRESS_TRAFFIC_ALL', ...raw } as JsonObject);
  const ALL = { ingress: 'INGRESS_TRAFFIC_ALL' };

  test.each<[what: string, raw: object, settings: object]>([
    ['an ingress of this version', ingress('Internal'), ingress('Internal')],
    ['an ingress of a newer one', { ingress: 'I'.repeat(64) }, { ingress: 'I'.repeat(64) }],
    ['no ingress that is too long', { ingress: 'I'.repeat(65) }, {}],
    ['the URL off', { defaultUriDisabled: true }, { ...ALL, defaultUriDisabled: true }],
    ['no URL that is on', { defaultUriDisabled: false }, ALL],
    ['IAP', { iapEnabled: true }, { ...ALL, iapEnabled: true }],
    ['no IAP that is off', { iapEnabled: 'true' }, ALL],
    ['audiences', { customAudiences: ['a', 'b'] }, { ...ALL, customAudiences: ['a', 'b'] }],
    ['no empty list of audiences', { customAudiences: [] }, ALL],
    ['no audiences of the wrong type', { customAudiences: 'a' }, ALL],
    [
      'audiences that fit',
      { customAudiences: ['', 'a'.repeat(512), 'b'.repeat(513), 7] },
      { ...ALL, customAudiences: ['a'.repeat(512)] },
    ],
    [
      'the first 50 audiences',
      { customAudiences: Array.from({ length: 51 }, (_, at) => `a${at}`) },
      { ...ALL, customAudiences: Array.from({ length: 50 }, (_, at) => `a${at}`) },
    ],
    [
      'Google’s policy for images',
      { binaryAuthorization: { useDefault: true, breakglassJustification: 'x' } },
      { ...ALL, binaryAuthorization: { useDefault: true } },
    ],
    [
      'an own policy for images',
      { binaryAuthorization: { policy: 'p', useDefault: true } },
      { ...ALL, binaryAuthorization: { policy: 'p' } },
    ],
    [
      'a policy that fits',
      { binaryAuthorization: { policy: 'p'.repeat(512) } },
      { ...ALL, binaryAuthorization: { policy: 'p'.repeat(512) } },
    ],
    ['no policy that is too long', { binaryAuthorization: { policy: 'p'.repeat(513) } }, ALL],
    ['no policy that is off', { binaryAuthorization: { useDefault: false } }, ALL],
    ['no description', { description: 'x', labels: { a: 'b' } }, ALL],
  ])('%s', (_what, raw, settings) => {
    expect(kept(raw)).toEqual(Object.keys(settings).length > 0 ? settings : undefined);
  });
});

test('every row says where Google documents its default', () => {
  expect(FIELDS.filter(({ source }) => !/^(?:docs\.cloud\.google\.com\/|\w+(?:\.\w+)*\.proto)/.test(source))).toEqual(
    [],
  );
});
