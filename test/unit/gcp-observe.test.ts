import { describe, expect, test } from 'vitest';
import { instrument } from '../../operator/gcp/callHooks.ts';
import { execute, requestOf } from '../../operator/gcp/execute.ts';
import { parsePolicy } from '../../operator/gcp/iamPolicy.ts';
import { rpc } from '../../operator/gcp/methods.ts';
import { observe } from '../../operator/gcp/observe.ts';
import { type ListOf, listAll } from '../../operator/gcp/pages.ts';
import { filled, int64, json, texts } from '../../operator/gcp/parse.ts';
import type { Reads } from '../../operator/gcp/reads.ts';
import { badId, badName, sameButProject } from '../../operator/gcp/resourceNames.ts';
import { parseVersion } from '../../operator/gcp/secret.ts';
import { parseService } from '../../operator/gcp/service.ts';
import type { Executed } from '../../operator/gcp/write.ts';
import { accountName } from '../../operator/tenant/names.ts';
import type { Call, Targets } from '../../operator/tenant/types.ts';
import type { GcpCall, GcpCode, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';
import {
  absent,
  accountA,
  ENTRIES,
  failed,
  grantTo,
  invokedBy,
  MEMBER,
  NUMBER,
  PROJECT,
  present,
  REGION,
  SECRET,
  SERVICE,
  secretVariable,
  serviceA,
  serviceIn,
  templateA,
} from './support/tenantWorld.ts';

const ASKED = `projects/${PROJECT}/secrets/openai-key`;

/** Reads that answer what they are given, and say what they were asked. */
function world(changes: Partial<{ [K in keyof Reads]: (...asked: string[]) => Awaited<ReturnType<Reads[K]>> }> = {}) {
  const asked: string[] = [];
  const answers = {
    account: () => present(accountA()),
    secret: () => present({ name: SECRET, labels: {} }),
    secretPolicy: () => present(grantTo(MEMBER)),
    secretVersion: () => present({ version: 3, state: 'ENABLED' as const }),
    service: (name: string) => present(serviceA({ name })),
    servicePolicy: () => present(invokedBy()),
    ...changes,
  };
  const reads = Object.fromEntries(
    Object.entries(answers).map(([kind, answer]) => [
      kind,
      async (...given: unknown[]) => {
        const names = given.filter(one => typeof one === 'string');
        asked.push([kind, ...names].join(' '));
        return (answer as (...names: string[]) => unknown)(...names);
      },
    ]),
  ) as unknown as Reads;
  return { asked, reads };
}
const targets = (changes: Partial<Targets> = {}): Targets => ({
  account: accountName(PROJECT, 'e'),
  keys: [{ name: 'openai', secret: ASKED, want: 'newestEnabled' }],
  formerGrants: [],
  services: [SERVICE],
  invokersOf: [],
  isPublic: true,
  ...changes,
});

describe('observing a tenant', () => {
  test('reads each thing that is wanted once, and tells it by name and region', async () => {
    const { asked, reads } = world();
    expect(await observe(reads, targets())).toEqual({
      account: present(accountA()),
      keys: [
        {
          name: 'openai',
          secret: present({ name: SECRET, labels: {} }),
          policy: present(grantTo(MEMBER)),
          version: present({ version: 3, state: 'ENABLED' }),
        },
      ],
      formerGrants: [],
      services: [{ name: SERVICE, region: REGION, service: present(serviceA()) }],
    });
    expect(asked.sort()).toEqual([
      `account ${accountName(PROJECT, 'e')}`,
      `secret ${ASKED}`,
      `secretPolicy ${SECRET}`,
      `secretVersion ${SECRET} newestEnabled`,
      `service ${SERVICE}`,
    ]);
  });

  test('reads nothing of a secret that is not there, no version of a standby key, and no account that never was', async () => {
    const missing = world({ secret: () => absent });
    expect((await observe(missing.reads, targets())).keys).toEqual([{ name: 'openai', secret: absent }]);
    expect(missing.asked.some(one => /Policy|Version/.test(one))).toBe(false);
    const standby = world();
    const keys = [{ name: 'openai', secret: ASKED, want: 'none' }];
    expect((await observe(standby.reads, targets({ keys, account: undefined }))).account).toEqual(absent);
    expect(standby.asked.some(one => /^(secretVersion|account) /.test(one))).toBe(false);
  });

  test('reads the policies of secrets that have left the spec, but of none that a key names', async () => {
    const former = `projects/${NUMBER}/secrets/former`;
    const { reads } = world();
    const { formerGrants } = await observe(reads, targets({ formerGrants: [SECRET, former] }));
    expect(formerGrants).toEqual([{ secret: former, policy: present(grantTo(MEMBER)) }]);
    const consent = await observe(world().reads, targets({ formerGrants: [former], formerConsent: true }));
    expect(consent.formerGrants).toEqual([
      { secret: former, policy: present(grantTo(MEMBER)), read: present({ name: SECRET, labels: {} }) },
    ]);
    const lost = world({ secret: () => failed('Transient') });
    expect((await observe(lost.reads, targets({ formerGrants: [SECRET] }))).formerGrants).toHaveLength(1);
  });

  test.each<[string, Partial<Targets>, Parameters<typeof serviceA>[0], boolean]>([
    ['a public one that is open', {}, {}, false],
    ['a public one that is not open', {}, { invokerIamDisabled: false }, true],
    ['one whose callers are checked', { isPublic: false, invokersOf: [SERVICE] }, {}, true],
    [
      'one whose callers are of no interest',
      { isPublic: false, invokersOf: [serviceIn('r2')] },
      { invokerIamDisabled: false },
      false,
    ],
  ])('reads the callers of a service only where they matter: %s', async (_which, changes, service, matter) => {
    const { reads } = world({ service: () => present(serviceA(service)) });
    const { services } = await observe(reads, targets(changes));
    expect(services[0]?.invokers).toEqual(matter ? present(invokedBy()) : undefined);
  });

  test('does not ask who may call what is not there', async () => {
    const { asked, reads } = world({ service: () => absent });
    await observe(reads, targets({ isPublic: false, invokersOf: [SERVICE] }));
    expect(asked.some(one => one.startsWith('servicePolicy'))).toBe(false);
  });

  test('asks whether a reference that stands on the service is the same secret, however its project is written', async () => {
    const env = (secret: string) => serviceA({ template: templateA({}, { env: [secretVariable('K', secret, '3')] }) });
    const spelled = async (written: string, answer: string) => {
      const { asked, reads } = world({
        service: () => present(env(written)),
        secret: name => present({ name: name === ASKED ? SECRET : answer, labels: {} }),
      });
      const [key] = (await observe(reads, targets())).keys;
      return { alsoIn: key?.alsoIn, asked: asked.filter(one => one.startsWith('secret ')).length };
    };
    expect(await spelled('openai-key', SECRET)).toEqual({ alsoIn: undefined, asked: 1 });
    expect(await spelled(SECRET, SECRET)).toEqual({ alsoIn: undefined, asked: 1 });
    expect(await spelled('projects/alias/secrets/openai-key', SECRET)).toEqual({ alsoIn: ['alias'], asked: 2 });
    expect(await spelled('projects/alias/secrets/openai-key', 'projects/9/secrets/openai-key')).toEqual({
      alsoIn: [],
      asked: 2,
    });
    expect(await spelled('projects/alias/secrets/other', SECRET)).toEqual({ alsoIn: undefined, asked: 1 });
  });
});

describe('a step’s call', () => {
  const policy = { etag: 'e', bindings: [] };
  const steps: [Call, string, JsonObject][] = [
    [
      {
        kind: 'createAccount',
        project: PROJECT,
        accountId: 'sa-tenant-a',
        email: 'e',
        displayName: 'd',
        description: 'x',
      },
      rpc.createAccount,
      { name: `projects/${PROJECT}`, accountId: 'sa-tenant-a', serviceAccount: { displayName: 'd', description: 'x' } },
    ],
    [
      { kind: 'updateAccount', name: ENTRIES.account.name, description: 'x' },
      rpc.patchAccount,
      { serviceAccount: { name: ENTRIES.account.name, description: 'x' }, updateMask: 'description' },
    ],
    [{ kind: 'deleteAccount', name: ENTRIES.account.name }, rpc.deleteAccount, { name: ENTRIES.account.name }],
    [
      { kind: 'setSecretPolicy', secret: SECRET, policy },
      rpc.setSecretPolicy,
      { resource: SECRET, policy: { version: 3, ...policy } },
    ],
    [
      { kind: 'setServicePolicy', service: SERVICE, policy },
      rpc.setServicePolicy,
      { resource: SERVICE, policy: { version: 3, ...policy } },
    ],
    [
      { kind: 'createService', parent: `projects/${PROJECT}/locations/${REGION}`, serviceId: 's', service: { a: 1 } },
      rpc.createService,
      { parent: `projects/${PROJECT}/locations/${REGION}`, serviceId: 's', service: { a: 1 } },
    ],
    [
      { kind: 'updateService', service: { name: SERVICE, a: 1 }, updateMask: ['a', 'b'] },
      rpc.updateService,
      { service: { name: SERVICE, a: 1 }, updateMask: 'a,b' },
    ],
    [{ kind: 'deleteService', name: SERVICE, etag: 'e' }, rpc.deleteService, { name: SERVICE, etag: 'e' }],
  ];

  test.each(steps)('%j goes out as it stands', async (step, method, request) => {
    expect(requestOf(step)).toEqual({ method, request });
    expect(await run(step)).toEqual({ made: 1, outcome: { ok: true, response: { done: true } } });
  });

  async function run(step: Call, answer: GcpResult = { ok: true, response: { done: true } }) {
    let made = 0;
    const call: GcpCall = async () => {
      made++;
      return answer;
    };
    const outcome: Executed = await execute(call, step);
    return { made, outcome };
  }

  const BAD = 'projects/p-123/../secrets/x';
  const noEtag = { bindings: [] };
  const etag = 'Refused to write without the etag that was read.';
  test.each<[Call, RegExp | string]>([
    [
      { ...(steps[0]?.[0] as Extract<Call, { kind: 'createAccount' }>), project: '../x' },
      /is not a project: projects\/P\.$/,
    ],
    [
      { ...(steps[0]?.[0] as Extract<Call, { kind: 'createAccount' }>), accountId: 'x' },
      '"x" is not an id of a account.',
    ],
    [
      { kind: 'updateAccount', name: BAD, description: '' },
      /is not a service account: projects\/P\/serviceAccounts\/EMAIL\.$/,
    ],
    [{ kind: 'deleteAccount', name: BAD }, /is not a service account/],
    [{ kind: 'setSecretPolicy', secret: BAD, policy }, /is not a secret: projects\/P\/secrets\/S\.$/],
    [{ kind: 'setSecretPolicy', secret: SECRET, policy: noEtag }, etag],
    [
      { kind: 'setServicePolicy', service: BAD, policy },
      /is not a Cloud Run service: projects\/P\/locations\/R\/services\/S\.$/,
    ],
    [{ kind: 'setServicePolicy', service: SERVICE, policy: noEtag }, etag],
    [
      { kind: 'createService', parent: BAD, serviceId: 's', service: {} },
      /is not a location: projects\/P\/locations\/R\.$/,
    ],
    [
      { kind: 'createService', parent: 'projects/p-123/locations/r', serviceId: 'S', service: {} },
      '"S" is not an id of a service.',
    ],
    [{ kind: 'updateService', service: { name: BAD }, updateMask: ['a'] }, /is not a Cloud Run service/],
    [
      { kind: 'updateService', service: {}, updateMask: ['a'] },
      '"undefined" is not a Cloud Run service: projects/P/locations/R/services/S.',
    ],
    [
      { kind: 'updateService', service: { name: SERVICE }, updateMask: [] },
      'Refused to update a service without naming the fields.',
    ],
    [{ kind: 'deleteService', name: BAD, etag: 'e' }, /is not a Cloud Run service/],
    [{ kind: 'deleteService', name: SERVICE, etag: '' }, etag],
  ])('%j is refused without a call', async (step, says) => {
    const { made, outcome } = await run(step);
    expect(made).toBe(0);
    const message = typeof says === 'string' ? says : expect.stringMatching(says);
    expect(outcome).toEqual({ ok: false, failure: { kind: 'Invalid', message } });
  });

  test('that is refused by Google Cloud is a failure of that method', async () => {
    const answer: GcpResult = { ok: false, status: { code: 'ABORTED', message: 'stale' } };
    const { outcome } = await run({ kind: 'deleteService', name: SERVICE, etag: 'e' }, answer);
    expect(outcome).toEqual({ ok: false, failure: { kind: 'Conflict', message: 'stale' } });
  });
});

describe('names', () => {
  test('may be as short as one letter, as Cloud Run allows', () => {
    expect(badName('service', 'projects/p/locations/r/services/s')).toBeUndefined();
    expect(badId('service', 's')).toBeUndefined();
    expect(badId('account', 's')).toBeDefined();
    expect(badId('service', `s${'x'.repeat(40)}`)).toBeUndefined();
    expect(badId('account', `s${'x'.repeat(40)}`)).toBeDefined();
  });

  test('of a project may be scoped by a domain of any depth', () => {
    expect(badName('project', 'projects/a.example.com:p-1')).toBeUndefined();
    expect(badName('project', 'projects/localhost:p-1')).toBeDefined();
  });

  test.each(['xlatest', 'latestx', '0', '01', '1x', 'x1'])('of a version are not %s', version => {
    expect(badName('secretVersion', `projects/p/secrets/s/versions/${version}`)?.message).toContain(
      'is not a secret version: projects/P/secrets/S/versions/N.',
    );
  });

  test('that are refused are shown escaped and cut', () => {
    expect(badName('secret', 'a"\u0007é…')?.message).toBe(
      '"a\\"\\u0007\\u00e9…" is not a secret: projects/P/secrets/S.',
    );
    const message = (length: number) => badName('secret', 'x'.repeat(length))?.message ?? '';
    expect(message(120)).toContain(`"${'x'.repeat(120)}" is`);
    expect(message(121)).toContain(`"${'x'.repeat(120)}…" is`);
  });

  test('that are none are the same as nothing', () => {
    expect(sameButProject('secret', 'nonsense', 'projects/p/secrets/s')).toBe(false);
    expect(sameButProject('secret', 'projects/p/secrets/s', 'nonsense')).toBe(false);
    expect(sameButProject('service', 'projects/p/locations/r/services/s', 'projects/p/locations/q/services/s')).toBe(
      false,
    );
  });
});

describe('all pages of a list', () => {
  const list = (...pages: (JsonObject | GcpCode)[]) => {
    let asked = 0;
    const tokens: unknown[] = [];
    const call: GcpCall = async (_method, request) => {
      tokens.push(request.pageToken);
      const page = pages[Math.min(asked++, pages.length - 1)] ?? 'INTERNAL';
      return typeof page === 'string'
        ? { ok: false, status: { code: page, message: 'no' } }
        : { ok: true, response: page };
    };
    const items: ListOf<{ id: string }> = {
      method: rpc.listSecrets,
      request: parent => ({ parent }),
      field: 'secrets',
      parse: ({ id }) => (typeof id === 'string' ? { id } : undefined),
      key: ({ id }) => id,
    };
    return { result: listAll(call, items, 'p'), tokens };
  };

  test('are one, whole', async () => {
    const { result, tokens } = list({ secrets: [{ id: 'a' }], nextPageToken: '2' }, { secrets: [{ id: 'b' }] });
    expect(await result).toEqual({
      ok: true,
      listing: {
        items: new Map([
          ['a', { id: 'a' }],
          ['b', { id: 'b' }],
        ]),
        pages: 2,
        partial: false,
      },
    });
    expect(tokens).toEqual([undefined, '2']);
  });

  test.each<[string, JsonObject]>([
    ['an item is not understood', { secrets: [{ id: 'a' }, { id: 5 }] }],
    ['a place could not be reached', { secrets: [{ id: 'a' }], unreachable: ['r1'] }],
  ])('do not tell what is missing where %s, on whatever page', async (_why, page) => {
    const { result } = list({ ...page, nextPageToken: '2' }, { secrets: [] });
    expect(await result).toMatchObject({ ok: true, listing: { items: new Map([['a', { id: 'a' }]]), partial: true } });
  });

  test.each<[GcpCode, boolean]>([
    ['UNAVAILABLE', true],
    ['DEADLINE_EXCEEDED', true],
    ['RESOURCE_EXHAUSTED', true],
    ['INTERNAL', true],
    ['ABORTED', true],
    ['CANCELLED', true],
    ['DATA_LOSS', true],
    ['PERMISSION_DENIED', false],
    ['UNIMPLEMENTED', false],
    ['UNAUTHENTICATED', false],
    ['NOT_FOUND', false],
    ['UNKNOWN', false],
  ])('fail as a whole where one fails; %s passes: %s', async (code, passes) => {
    const { result } = list({ secrets: [{ id: 'a' }], nextPageToken: '2' }, code);
    expect(await result).toMatchObject({ ok: false, failure: { message: expect.any(String) }, passes });
  });

  test('that never end are given up', async () => {
    const { result, tokens } = list({ secrets: [], nextPageToken: 'again' });
    expect(await result).toEqual({
      ok: false,
      failure: { kind: 'Transient', message: `${rpc.listSecrets} still answered with a page token after 2000 pages.` },
      passes: false,
    });
    expect(tokens).toHaveLength(2_000);
  });
});

describe('fields of an answer', () => {
  test.each<[unknown, string]>([
    ['12', '12'],
    ['-12', '-12'],
    [12, '12'],
    ['12x', '0'],
    ['x12', '0'],
    ['12345678901234567890', '0'],
    [1.5, '0'],
    [2 ** 60, '0'],
    [null, '0'],
    [['12'], '0'],
  ])('%j as an int64 is %s', (value, number) => expect(int64(value)).toBe(number));

  test('that must be there are not empty, and lists hold only what they should', () => {
    expect([filled('x'), filled(''), filled(5)]).toEqual(['x', undefined, undefined]);
    expect([texts(['a', 5, null]), texts('a')]).toEqual([['a'], []]);
    expect([json('{"a":1}'), json('{'), json('')]).toEqual([{ a: 1 }, undefined, undefined]);
  });

  test('of a service that is going, say since when', () => {
    const service = { name: SERVICE, etag: 'e', template: { containers: [{ image: 'app' }] } };
    expect(parseService({ ...service, deleteTime: 't' })?.deleteTime).toBe('t');
    for (const deleteTime of [undefined, ''])
      expect(parseService({ ...service, deleteTime })).not.toHaveProperty('deleteTime');
    expect(parseService(service)?.terminal.reason).toBe('');
  });

  test.each([
    ['a template', undefined],
    ['a template that is an object', 'x'],
    ['containers', {}],
    ['a container', { containers: [] }],
    ['containers that are objects', { containers: [{ image: 'app' }, null] }],
  ])('of a service without %s are not understood', (_what, template) => {
    expect(parseService({ name: SERVICE, etag: 'e', ...(template !== undefined && { template }) })).toBeUndefined();
  });

  test('of a version beyond what a number holds are not understood, and a destroyed one is', () => {
    const name = (number: string) => `projects/1/secrets/s/versions/${number}`;
    expect(parseVersion({ name: name('99999999999999999'), state: 'ENABLED' })).toBeUndefined();
    expect(parseVersion({ name: name('4'), state: 'DESTROYED' })).toEqual({ version: 4, state: 'DESTROYED' });
  });

  test('of a binding may be null where there is no condition', () => {
    const bindings = [{ role: 'r', members: ['m'], condition: null }];
    expect(parsePolicy({ etag: 'e', bindings })?.bindings).toEqual([{ role: 'r', members: ['m'] }]);
  });
});

test('a call is watched only as far as somebody wants to, and one that nobody knows counts as a write', async () => {
  const call: GcpCall = async () => ({ ok: true, response: {} });
  expect(await instrument(call, fakeRuntime(), {})(rpc.getService, {})).toEqual({ ok: true, response: {} });
  const seen: object[] = [];
  await instrument(call, fakeRuntime(), { after: end => seen.push(end) })('no.such.Method', {});
  expect(seen).toEqual([
    { method: 'no.such.Method', api: 'unknown', write: true, resource: '', code: 'OK', durationMs: 0 },
  ]);
});
