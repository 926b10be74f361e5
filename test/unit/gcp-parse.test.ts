import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAccount } from '../../operator/gcp/account.ts';
import { parsePolicy, policyForWriting } from '../../operator/gcp/iamPolicy.ts';
import { isObject } from '../../operator/gcp/parse.ts';
import { newestIn, parseSecret, parseVersion } from '../../operator/gcp/secret.ts';
import { parseService } from '../../operator/gcp/service.ts';
import { statusOf } from '../../operator/gcp/status.ts';
import type { Json, JsonObject } from '../../ports/json.ts';

const SERVICE: JsonObject = {
  name: 'projects/p-123/locations/us-central1/services/ai-platform-a',
  etag: '"abc"',
  generation: '3',
  observedGeneration: '2',
  reconciling: true,
  labels: { team: 'x' },
  updateTime: '2026-01-01T00:00:00Z',
  latestReadyRevision: 'projects/p-123/locations/us-central1/services/ai-platform-a/revisions/r-1',
  terminalCondition: {
    type: 'Ready',
    state: 'CONDITION_FAILED',
    revisionReason: 'SECRETS_ACCESS_CHECK_FAILED',
    message: 'Permission denied on secret',
    lastTransitionTime: '2026-01-01T00:00:01Z',
  },
  traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
  scaling: { minInstanceCount: 1 },
  template: { timeout: '300s', containers: [{ image: 'x' }] },
};
const ACCOUNT: JsonObject = {
  name: 'projects/p-123/serviceAccounts/sa-a@p-123.iam.gserviceaccount.com',
  email: 'sa-a@p-123.iam.gserviceaccount.com',
  uniqueId: '1048576',
};
const POLICY: JsonObject = {
  version: 3,
  etag: 'BwX=',
  bindings: [
    { role: 'roles/viewer', members: ['user:a@example.com'], condition: { expression: 'true', title: 't' } },
    { role: 'roles/editor' },
  ],
  auditConfigs: [{ service: 'allServices' }],
};

test('of a service everything is kept for updates but what only the server writes and nobody reads', () => {
  const history = {
    uid: 'u',
    createTime: 't',
    updateTime: 't',
    creator: 'c',
    lastModifier: 'l',
    conditions: [{ type: 'RoutesReady' }],
  };
  const { updateTime: _, ...rest } = SERVICE;
  const kept = { ...rest, newField: { a: 1 } };
  expect(parseService({ ...kept, ...history })?.raw).toEqual(kept);
});

describe('a service', () => {
  test('is read whole', () => {
    expect(parseService(SERVICE)).toMatchObject({
      region: 'us-central1',
      generation: '3',
      observedGeneration: '2',
      reconciling: true,
      terminal: {
        state: 'FAILED',
        reason: 'SECRETS_ACCESS_CHECK_FAILED',
        message: 'Permission denied on secret',
      },
      invokerIamDisabled: false,
      urls: [],
      template: { timeout: '300s', containers: [{ image: 'x' }] },
    });
  });

  test('in a state nobody knows yet is pending, neither good nor bad', () => {
    const terminal = (state: Json) => parseService({ ...SERVICE, terminalCondition: { state } })?.terminal.state;
    expect(terminal('CONDITION_SUCCEEDED')).toBe('SUCCEEDED');
    for (const state of ['CONDITION_RECONCILING', 'CONDITION_TOMORROW', 17, null, 'toString']) {
      expect(terminal(state)).toBe('PENDING');
    }
    expect(parseService({ ...SERVICE, terminalCondition: undefined })?.terminal.state).toBe('PENDING');
  });

  test('without name or etag, or with a name that is none, is not understood', () => {
    for (const broken of [
      { name: undefined },
      { etag: '' },
      { name: 'projects/p-123/locations/../services/a' },
      { name: 5 },
    ]) {
      expect(parseService({ ...SERVICE, ...broken })).toBeUndefined();
    }
  });
});

describe('a policy', () => {
  test('is read and written back with every binding, condition and audit config, always as version 3', () => {
    const policy = parsePolicy({ ...POLICY, version: 1 });
    expect(policy).toBeDefined();
    if (!policy) return;
    expect(policyForWriting(policy)).toEqual({
      ...POLICY,
      bindings: [Array.isArray(POLICY.bindings) ? POLICY.bindings[0] : null, { role: 'roles/editor', members: [] }],
    });
  });

  test('that is empty has only an etag', () => {
    expect(parsePolicy({ etag: 'ACAB' })).toEqual({ version: 0, bindings: [], etag: 'ACAB' });
  });

  test.each<[string, JsonObject]>([
    ['no etag', { etag: undefined }],
    ['bindings that are no list', { bindings: {} }],
    ['a binding that is none', { bindings: ['x'] }],
    ['a binding without a role', { bindings: [{ members: [] }] }],
    ['a member that is no text', { bindings: [{ role: 'r', members: [1] }] }],
    ['members that are no list', { bindings: [{ role: 'r', members: 'a' }] }],
    ['a condition that is none', { bindings: [{ role: 'r', members: [], condition: 'true' }] }],
    ['audit configs that are none', { auditConfigs: ['x'] }],
    ['a version that is none', { version: '3' }],
  ])('with %s is not understood, so nothing of it is ever written back', (_, broken) => {
    expect(parsePolicy({ ...POLICY, ...broken })).toBeUndefined();
  });
});

test('an account without email or unique id is not understood', () => {
  expect(parseAccount({ ...ACCOUNT, disabled: true })).toEqual({ ...ACCOUNT, description: '', disabled: true });
  for (const key of ['name', 'email', 'uniqueId']) expect(parseAccount({ ...ACCOUNT, [key]: '' })).toBeUndefined();
});

test('labels that are called like what every object has are labels', () => {
  const secret = parseSecret({ name: 'projects/1/secrets/s', labels: JSON.parse('{"__proto__":"x","a":"","b":1}') });
  expect(Object.entries(secret?.labels ?? {})).toEqual([
    ['__proto__', 'x'],
    ['a', ''],
  ]);
});

test('the newest enabled version counts by number, whatever the order, filter or state of the rest', () => {
  const version = (number: string, state: Json) => ({ name: `projects/1/secrets/s/versions/${number}`, state });
  const first = newestIn('ENABLED', {
    versions: [version('2', 'ENABLED'), version('10', 'ENABLED'), version('9', 'ENABLED')],
  });
  expect(first).toEqual({ version: 10, state: 'ENABLED' });
  const rest = [
    version('12', 'DISABLED'),
    version('13', 'DESTROYED'),
    version('14', 'NEW'),
    version('x', 'ENABLED'),
    null,
  ];
  expect(newestIn('ENABLED', { versions: rest }, first)).toEqual(first);
  expect(newestIn('ENABLED', { versions: rest })).toBeUndefined();
  expect(newestIn('ENABLED', { versions: 'x' })).toBeUndefined();
  expect(parseVersion(version('14', 'NEW'))?.state).toBe('UNKNOWN');
});

describe('hostile answers', () => {
  const seeds = [SERVICE, ACCOUNT, POLICY, { name: 'projects/1/secrets/s/versions/1', state: 'ENABLED' }];
  /** A good answer with one of its values, at any depth, replaced. */
  const broken = fc
    .tuple(fc.constantFrom(...seeds), fc.nat(), fc.jsonValue())
    .map(([seed, at, value]) => replaceAt(seed, at, value as Json));

  test('never throw, and what is read has the types it says', () => {
    fc.assert(
      fc.property(broken, answer => {
        if (!isObject(answer)) return;
        const service = parseService(answer);
        if (service) {
          expect(typeof service.generation).toBe('string');
          expect(typeof service.uri).toBe('string');
          expect(service.traffic.every(isObject)).toBe(true);
          expect(service.urls.every(url => typeof url === 'string')).toBe(true);
          expect(isObject(service.template)).toBe(true);
        }
        const policy = parsePolicy(answer);
        if (policy) expect(policy.bindings.every(b => b.role !== '' && Array.isArray(b.members))).toBe(true);
        const account = parseAccount(answer);
        if (account) expect(typeof account.uniqueId).toBe('string');
        const version = parseVersion(answer);
        if (version) expect(version.version).toBeGreaterThan(0);
        parseSecret(answer);
      }),
      { numRuns: 1000 },
    );
  });

  test('a policy that is understood loses nothing of what it said about members', () => {
    fc.assert(
      fc.property(broken, answer => {
        const policy = isObject(answer) ? parsePolicy(answer) : undefined;
        if (!policy || !isObject(answer)) return;
        const members = (bindings: unknown) =>
          JSON.stringify(
            (Array.isArray(bindings) ? bindings : []).map(b => [b.role, b.members ?? [], b.condition ?? null]),
          );
        expect(members(policyForWriting(policy).bindings)).toBe(members(answer.bindings));
      }),
      { numRuns: 500 },
    );
  });
});

function replaceAt(seed: JsonObject, at: number, value: Json): Json {
  let count = 0;
  const walk = (node: Json): Json => {
    if (count++ === at % 24) return value;
    if (Array.isArray(node)) return node.map(walk);
    if (!isObject(node)) return node;
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, walk(item ?? null)]));
  };
  return walk(seed);
}

describe('an HTTP error', () => {
  const body = (error: JsonObject) => JSON.stringify({ error });

  test('is the status that Google wrote into it', () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3.5s' }];
    expect(
      statusOf(429, null, body({ code: 429, message: 'Slow.', status: 'RESOURCE_EXHAUSTED', details }), 0),
    ).toEqual({
      code: 'RESOURCE_EXHAUSTED',
      message: 'Slow.',
      details,
      retryAfterMs: 3500,
    });
  });

  test.each<[number, string]>([
    [400, 'INVALID_ARGUMENT'],
    [401, 'UNAUTHENTICATED'],
    [403, 'PERMISSION_DENIED'],
    [404, 'NOT_FOUND'],
    [409, 'ABORTED'],
    [418, 'FAILED_PRECONDITION'],
    [429, 'RESOURCE_EXHAUSTED'],
    [500, 'INTERNAL'],
    [502, 'INTERNAL'],
    [503, 'UNAVAILABLE'],
    [504, 'DEADLINE_EXCEEDED'],
    [302, 'UNKNOWN'],
  ])('%i without a status name is %s', (http, code) => {
    const legacy = body({ code: http, message: 'm', status: 'MADE_UP', errors: [{ reason: 'notFound' }] });
    expect(statusOf(http, null, legacy, 0)).toEqual({ code, message: 'm' });
  });

  test.each(['<html>Not Found</html>', '', 'null', '"x"', '[]', '{}', '{"error":"invalid_grant"}'])(
    'with a body that is not from a Google API (%s) never says that a resource is missing',
    text => {
      expect(statusOf(404, null, text, 0).code).toBe('UNKNOWN');
      expect(statusOf(403, null, text, 0).code).toBe('UNKNOWN');
      expect(statusOf(503, '2', text, 0)).toMatchObject({ code: 'UNAVAILABLE', retryAfterMs: 2000 });
    },
  );

  test('Retry-After is seconds or a date, and never in the past', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const delay = (header: string) => statusOf(503, header, body({ message: 'm' }), now).retryAfterMs;
    expect(delay('7')).toBe(7000);
    expect(delay('Thu, 01 Jan 2026 00:00:09 GMT')).toBe(9000);
    expect(delay('Wed, 31 Dec 2025 00:00:09 GMT')).toBe(0);
    expect(delay('soon')).toBeUndefined();
  });

  test('of endless length is cut', () => {
    expect(statusOf(400, null, body({ message: 'x'.repeat(100_000) }), 0).message.length).toBeLessThan(5000);
  });
});
