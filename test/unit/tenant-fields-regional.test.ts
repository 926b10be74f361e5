import { describe, expect, test } from 'vitest';
import { fieldEntries, missingAnswer, stayingNotes, wantedFields } from '../../operator/tenant/fields/laid.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { imported, lay, onRecord, specOf, template } from './support/laidFields.ts';
import { NOW, PROJECT, REGION, SERVICE } from './support/tenantWorld.ts';

/** The fields that name something of the service's own region: which name is taken there, and what is said without one. */

const OTHER = 'us-central1';
const missing = (spec: object): string | undefined => {
  const place = { project: PROJECT, region: REGION };
  return missingAnswer(wantedFields(specOf(spec), [], place, { files: [], ofSidecars: [] }), place);
};
const kms = (location: string, key = 'key') => `projects/acme/locations/${location}/keyRings/ring/cryptoKeys/${key}`;
const subnet = (region: string) => `projects/acme/regions/${region}/subnetworks/net`;
const connector = (region: string) => `projects/acme/locations/${region}/connectors/vpc`;
const vpcOf = (spec: object): Json | undefined => lay('template', template(), { spec }).json.vpcAccess;

const NAMES: [field: string, name: Json, isTaken: boolean][] = [
  ['subnetwork', 'net', true],
  ['subnetwork', 'n', true],
  ['subnetwork', `n${'e'.repeat(62)}`, true],
  ['subnetwork', `n${'e'.repeat(63)}`, false],
  ['subnetwork', 'net-', false],
  ['subnetwork', '1net', false],
  ['subnetwork', 'Net', false],
  ['subnetwork', 'a b', false],
  ['subnetwork', '', false],
  ['subnetwork', subnet(REGION), true],
  ['subnetwork', subnet(OTHER), false],
  ['subnetwork', subnet('global'), true],
  ['subnetwork', connector(REGION), false],
  ['subnetwork', `x${subnet(REGION)}`, false],
  ['subnetwork', `${subnet(REGION)} `, false],
  ['subnetwork', 7, false],
  ['subnetwork', { [REGION]: 'net' }, true],
  ['subnetwork', { [REGION]: subnet(REGION), [OTHER]: 'other' }, true],
  ['connector', 'vpc', true],
  ['connector', 'v', true],
  ['connector', `v${'p'.repeat(62)}`, true],
  ['connector', `v${'p'.repeat(63)}`, false],
  ['connector', 'vpc-', false],
  ['connector', '1vpc', false],
  ['connector', connector(REGION), true],
  ['connector', connector(OTHER), false],
  ['connector', subnet(REGION), false],
  ['connector', `x${connector(REGION)}`, false],
  ['connector', `${connector(REGION)}/x`, false],
  ['connector', { [REGION]: connector(REGION) }, true],
  ['encryptionKey', kms(REGION), true],
  ['encryptionKey', kms('global'), true],
  ['encryptionKey', kms('asia'), true],
  ['encryptionKey', kms(OTHER), false],
  ['encryptionKey', 'key', false],
  ['encryptionKey', `${kms(REGION)}/x`, false],
  ['encryptionKey', `x/${kms(REGION)}`, false],
  ['encryptionKey', kms(REGION, 'a b'), false],
  ['encryptionKey', { [REGION]: kms(REGION) }, true],
];
test.each(NAMES)('%s %j is a name for the region: %s', (field, name, isTaken) => {
  const spec = field === 'encryptionKey' ? { encryptionKey: name } : { network: { [field]: name } };
  const path = field === 'encryptionKey' ? field : `network.${field}`;
  const given = typeof name === 'object' ? (name as JsonObject)[REGION] : name;
  const { json, changes } = lay('template', template(), { spec });
  const written = {
    subnetwork: { vpcAccess: { networkInterfaces: [{ subnetwork: given }], egress: 'PRIVATE_RANGES_ONLY' } },
    connector: {
      vpcAccess: {
        connector: String(given).includes('/') ? given : `projects/${PROJECT}/locations/${REGION}/connectors/${given}`,
        egress: 'PRIVATE_RANGES_ONLY',
      },
    },
    encryptionKey: { encryptionKey: given },
  }[field];
  expect(json).toEqual(isTaken ? template({}, written) : template());
  expect(changes.length).toBe(isTaken ? 1 : 0);
  expect(lay('template', json, { spec }).changes).toEqual([]);
  expect(missing(spec)).toBe(
    isTaken
      ? undefined
      : `spec.${path} has no name for ${REGION}. Write a map from region to name there, with an entry ${REGION}: NAME.`,
  );
});

test.each<[what: string, value: object]>([
  ['no name', { [OTHER]: kms(OTHER) }],
  ['a wrong name', { [REGION]: 'a b' }],
])('with %s for the region the service keeps what it has, and the record stays', (_what, names) => {
  const now = template({}, { encryptionKey: kms(REGION), vpcAccess: { networkInterfaces: [{ subnetwork: 'mine' }] } });
  const place = { project: PROJECT, region: REGION };
  for (const [field, spec] of Object.entries({
    encryptionKey: { encryptionKey: names },
    network: { network: { subnetwork: names } },
  })) {
    expect(lay('template', now, { spec })).toEqual({ json: now, changes: [] });
    const recorded = onRecord(field);
    const wanted = wantedFields(specOf(spec), recorded, place, { files: [], ofSidecars: [] });
    // Once the spec names it, the record stays also if the field has Google's default.
    const json = { service: {}, template: template() };
    expect(fieldEntries(SERVICE, json, wanted, recorded, [], NOW)).toEqual(recorded);
  }
});

describe('the message without a name', () => {
  const wrong = (field: string, form: string) =>
    `spec.${field} has an entry for ${REGION} that cannot be a name there. Write ${REGION}: ${form}.`;
  const advice = `Write a map from region to name there, with an entry ${REGION}: NAME.`;
  const SUBNETWORK = `NAME or projects/PROJECT/regions/${REGION}/subnetworks/NAME`;
  const KEY = `projects/PROJECT/locations/${REGION}/keyRings/RING/cryptoKeys/KEY`;

  test.each<[what: string, spec: object, message: string | undefined]>([
    ['nothing is said', {}, undefined],
    [
      'a map without the region',
      { encryptionKey: { [OTHER]: kms(OTHER) } },
      `spec.encryptionKey has no name for ${REGION}. ${advice}`,
    ],
    ['a wrong key', { encryptionKey: { [REGION]: 'x' } }, wrong('encryptionKey', KEY)],
    ['a wrong subnetwork', { network: { subnetwork: { [REGION]: 'A' } } }, wrong('network.subnetwork', SUBNETWORK)],
    [
      'a subnetwork of another region',
      { network: { subnetwork: { [REGION]: subnet(OTHER) } } },
      wrong('network.subnetwork', SUBNETWORK),
    ],
    [
      'a wrong connector',
      { network: { connector: { [REGION]: 7 } } },
      wrong('network.connector', `NAME or projects/PROJECT/locations/${REGION}/connectors/NAME`),
    ],
    [
      'both missing',
      { encryptionKey: {}, network: { subnetwork: {} } },
      `spec.encryptionKey and spec.network.subnetwork have no name for ${REGION}. ${advice}`,
    ],
    [
      'both wrong',
      { encryptionKey: { [REGION]: 'x' }, network: { subnetwork: { [REGION]: 'A' } } },
      `${wrong('encryptionKey', KEY)} ${wrong('network.subnetwork', SUBNETWORK)}`,
    ],
    [
      'one missing, one wrong',
      { encryptionKey: { [REGION]: 'x' }, network: { subnetwork: {} } },
      `spec.network.subnetwork has no name for ${REGION}. ${advice} ${wrong('encryptionKey', KEY)}`,
    ],
  ])('%s', (_what, spec, message) => {
    expect(missing(spec)).toBe(message);
  });
});

describe('the same name in other words', () => {
  const key = (project: string, name = 'key') =>
    `projects/${project}/locations/${REGION}/keyRings/r/cryptoKeys/${name}`;
  test.each<[what: string, found: Json, wanted: string, isSame: boolean]>([
    ['the same', kms(REGION), kms(REGION), true],
    ['a project by its number', key('123'), key('tenants'), true],
    ['a number for a project', key('tenants'), key('123'), true],
    ['another project', key('other'), key('tenants'), false],
    ['a project with a number in it', key('tenants1'), key('tenants'), false],
    ['a project that begins with a number', key('1tenants'), key('tenants'), false],
    ['another key', key('123', 'other'), key('tenants'), false],
    ['another location', kms('global'), kms(REGION), false],
    ['another key ring', kms(REGION).replace('/ring/', '/other/'), kms(REGION), false],
    ['another key ring, with the project by its number', key('123').replace('/r/', '/other/'), key('tenants'), false],
    ['another location, with the project by its number', key('123').replace(REGION, 'global'), key('tenants'), false],
    ['a project of another number', key('123'), key('456'), false],
    ['the last part alone', 'key', kms(REGION), true],
    ['no text', 7, kms(REGION), false],
  ])('of a key: %s', (_what, found, encryptionKey, isSame) => {
    const now = template({}, { encryptionKey: found });
    const { json, changes } = lay('template', now, { spec: { encryptionKey } });
    expect(changes).toEqual(
      isSame
        ? []
        : [{ field: 'encryptionKey', from: typeof found === 'string' ? found : undefined, to: encryptionKey }],
    );
    expect(json.encryptionKey).toBe(isSame ? found : encryptionKey);
  });

  const vpc = (access: object) => template({}, { vpcAccess: { egress: 'PRIVATE_RANGES_ONLY', ...access } });
  const face = (one: object) => vpc({ networkInterfaces: [one] });
  test.each<[what: string, now: JsonObject, network: object, isSame: boolean]>([
    ['a short name', face({ subnetwork: subnet(REGION) }), { subnetwork: 'net' }, true],
    ['a long name', face({ subnetwork: 'net' }), { subnetwork: subnet(REGION) }, true],
    ['another name', face({ subnetwork: 'bet' }), { subnetwork: 'net' }, false],
    ['another short name', face({ subnetwork: 'bet' }), { subnetwork: subnet(REGION) }, false],
    ['the network that Cloud Run answers', face({ network: 'n', subnetwork: 'net' }), { subnetwork: 'net' }, true],
    [
      'the same network',
      face({ network: 'projects/p/global/networks/n', subnetwork: 'net' }),
      { network: 'n', subnetwork: 'net' },
      true,
    ],
    ['another network', face({ network: 'other', subnetwork: 'net' }), { network: 'n', subnetwork: 'net' }, false],
    ['no network', face({ subnetwork: 'net' }), { network: 'n', subnetwork: 'net' }, false],
    [
      'tags in another order',
      face({ subnetwork: 'net', tags: ['b', 'a'] }),
      { subnetwork: 'net', tags: ['a', 'b'] },
      true,
    ],
    ['fewer tags', face({ subnetwork: 'net', tags: ['b', 'a'] }), { subnetwork: 'net', tags: ['a'] }, false],
    ['no tags', face({ subnetwork: 'net', tags: [] }), { subnetwork: 'net', tags: [] }, true],
    ['tags that go', face({ subnetwork: 'net', tags: ['a'] }), { subnetwork: 'net' }, false],
    ['egress', face({ subnetwork: 'net' }), { subnetwork: 'net', egress: 'AllTraffic' }, false],
    [
      'Google’s egress by its word',
      face({ subnetwork: 'net' }),
      { subnetwork: 'net', egress: 'PrivateRangesOnly' },
      true,
    ],
    ['a connector', vpc({ connector: `projects/9/locations/${REGION}/connectors/vpc` }), { connector: 'vpc' }, true],
    ['another connector', vpc({ connector: connector(REGION).replace('vpc', 'x') }), { connector: 'vpc' }, false],
    ['a connector of another region', vpc({ connector: connector(OTHER) }), { connector: connector(REGION) }, false],
    ['a subnetwork for a connector', vpc({ connector: connector(REGION) }), { subnetwork: 'vpc' }, false],
    ['more than one interface', vpc({ networkInterfaces: [{ subnetwork: 'net' }, {}] }), { subnetwork: 'net' }, false],
  ])('of a network: %s', (_what, now, network, isSame) => {
    const { json, changes } = lay('template', now, { spec: { network } });
    expect(changes.map(({ field }) => field)).toEqual(isSame ? [] : ['network']);
    if (isSame) expect(json).toBe(now);
    else expect(lay('template', json, { spec: { network } }).changes).toEqual([]);
  });
});

describe('network', () => {
  test('writes what the spec says, and keeps what the operator does not know', () => {
    const network = { network: 'n', subnetwork: 'net', tags: ['a', 'b'], egress: 'AllTraffic' };
    expect(vpcOf({ network })).toEqual({
      networkInterfaces: [{ network: 'n', subnetwork: 'net', tags: ['a', 'b'] }],
      egress: 'ALL_TRAFFIC',
    });
    const now = template(
      {},
      {
        vpcAccess: {
          tomorrow: 1,
          connector: 'c',
          networkInterfaces: [{ subnetwork: 'x', network: 'y', tags: ['z'], later: 2 }],
        },
      },
    );
    expect(lay('template', now, { spec: { network: { subnetwork: 'net' } } }).json.vpcAccess).toEqual({
      tomorrow: 1,
      networkInterfaces: [{ subnetwork: 'net', later: 2 }],
      egress: 'PRIVATE_RANGES_ONLY',
    });
    expect(lay('template', now, { spec: { network: { connector: 'vpc' } } }).json.vpcAccess).toEqual({
      tomorrow: 1,
      connector: `projects/${PROJECT}/locations/${REGION}/connectors/vpc`,
      egress: 'PRIVATE_RANGES_ONLY',
    });
  });

  test('shows both values in the words of the spec', () => {
    const now = template({}, { vpcAccess: { connector: connector(REGION), egress: 'ALL_TRAFFIC' } });
    expect(lay('template', now, { spec: { network: { subnetwork: 'net', tags: ['a'] } } }).changes).toEqual([
      {
        field: 'network',
        from: `{"connector":"${connector(REGION)}","egress":"AllTraffic"}`,
        to: '{"subnetwork":"net","tags":["a"]}',
      },
    ]);
    expect(lay('template', template(), { spec: { network: { subnetwork: 'net', tags: [] } } }).changes).toEqual([
      { field: 'network', from: undefined, to: '{"subnetwork":"net"}' },
    ]);
  });

  test('without a subnetwork and a connector, or with values of the wrong type, counts as absent', () => {
    for (const network of ['net', {}, { network: 'n' }, { egress: 'AllTraffic' }, { subnetwork: null }])
      expect(specOf({ network }).fields).toBeUndefined();
    expect(vpcOf({ network: { subnetwork: 'net', connector: null, network: 7, tags: 'a' } })).toEqual({
      networkInterfaces: [{ subnetwork: 'net' }],
      egress: 'PRIVATE_RANGES_ONLY',
    });
  });

  test.each<[what: string, access: object | undefined, value: object | undefined]>([
    [
      'a subnetwork',
      { networkInterfaces: [{ network: 'n', subnetwork: 'net', tags: ['a'] }], egress: 'ALL_TRAFFIC' },
      { network: 'n', subnetwork: 'net', tags: ['a'], egress: 'AllTraffic' },
    ],
    [
      'Google’s egress and no tags',
      { networkInterfaces: [{ subnetwork: 'net', tags: [] }], egress: 'PRIVATE_RANGES_ONLY' },
      { subnetwork: 'net' },
    ],
    ['tags that are no list', { networkInterfaces: [{ subnetwork: 'net', tags: 'a' }] }, { subnetwork: 'net' }],
    ['a connector', { connector: 'c', egress: 'ALL_TRAFFIC' }, { connector: 'c', egress: 'AllTraffic' }],
    ['several interfaces as they stand', { networkInterfaces: [{}, {}], x: 1 }, { networkInterfaces: [{}, {}], x: 1 }],
    ['an egress alone', { egress: 'ALL_TRAFFIC' }, undefined],
    ['empty', { connector: '', networkInterfaces: [] }, undefined],
    ['nothing', undefined, undefined],
  ])('is imported: %s', (_what, access, value) => {
    expect(imported({ template: template({}, access && { vpcAccess: access }) }, 'network')).toEqual(
      value ? [value] : [],
    );
  });
});

test('encryptionKey is written, imported, and no text or an empty one is none', () => {
  const now = template({}, { encryptionKey: kms(REGION) });
  expect(lay('template', template(), { spec: { encryptionKey: kms(REGION) } })).toEqual({
    json: now,
    changes: [{ field: 'encryptionKey', from: undefined, to: kms(REGION) }],
  });
  expect(imported({ template: now }, 'encryptionKey')).toEqual([kms(REGION)]);
  for (const encryptionKey of ['', 7, null])
    expect(imported({ template: template({}, { encryptionKey }) }, 'encryptionKey')).toEqual([]);
  expect(specOf({ encryptionKey: null }).fields).toBeUndefined();
});

test('a regional field that has left the spec stays, with a note that says how to remove it', () => {
  const json = template({}, { encryptionKey: kms(REGION), vpcAccess: { networkInterfaces: [{ subnetwork: 'net' }] } });
  const recorded = onRecord('encryptionKey', 'network');
  expect(lay('template', json, { recorded })).toEqual({ json, changes: [] });
  expect(stayingNotes(specOf({}), { service: {}, template: json }, recorded)).toEqual([
    `spec.encryptionKey is no longer set and stays ${kms(REGION)}; to remove it, run \`gcloud run services update\` with --clear-key.`,
    'spec.network is no longer set and stays {"subnetwork":"net"}; to remove it, run `gcloud run services update` with --clear-network or --clear-vpc-connector.',
  ]);
  expect(stayingNotes(specOf({ encryptionKey: kms(REGION) }), { service: {}, template: json }, recorded).length).toBe(
    1,
  );
  expect(stayingNotes(specOf({}), { service: {}, template: template() }, recorded)).toEqual([]);
});
