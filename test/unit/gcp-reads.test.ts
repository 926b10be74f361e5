import { describe, expect, test } from 'vitest';
import { instrument } from '../../operator/gcp/callHooks.ts';
import { rpc } from '../../operator/gcp/methods.ts';
import { createReads } from '../../operator/gcp/reads.ts';
import { accountName } from '../../operator/tenant/names.ts';
import type { GcpCall, GcpCallOptions, GcpCode, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';

interface Made {
  method: string;
  request: JsonObject;
  options?: GcpCallOptions;
}

/** A Google Cloud that gives these answers, in order, the last one for ever. */
function cloud(...answers: (JsonObject | GcpCode)[]) {
  const made: Made[] = [];
  const call: GcpCall = async (method, request, options): Promise<GcpResult> => {
    const answer = answers[Math.min(made.length, answers.length - 1)] ?? {};
    made.push({ method, request, options });
    if (typeof answer === 'string') return { ok: false, status: { code: answer, message: `It is ${answer}.` } };
    return { ok: true, response: answer };
  };
  return { made, reads: createReads(call) };
}

const EMAIL = 'sa-a@p-123.iam.gserviceaccount.com';
const ACCOUNT = { name: `projects/p-123/serviceAccounts/${EMAIL}`, email: EMAIL, uniqueId: '104' };
const SECRET = 'projects/p-123/secrets/key';
const SERVICE = 'projects/p-123/locations/us-central1/services/ai-platform-a';
const version = (number: number, state = 'ENABLED') => ({ name: `projects/1/secrets/key/versions/${number}`, state });

test('what is there is present, with the name that Google Cloud gives it', async () => {
  expect(await cloud(ACCOUNT).reads.account(accountName('p-123', EMAIL))).toMatchObject({
    state: 'present',
    value: ACCOUNT,
  });
  expect(await cloud({ name: 'projects/1/secrets/key' }).reads.secret(SECRET)).toMatchObject({
    state: 'present',
    value: { name: 'projects/1/secrets/key' },
  });
  const template = { containers: [{ image: 'app' }] };
  expect(await cloud({ name: SERVICE, etag: 'e', template }).reads.service(SERVICE)).toMatchObject({
    state: 'present',
  });
  expect(await cloud({ etag: 'ACAB' }).reads.secretPolicy(SECRET)).toMatchObject({ state: 'present' });
});

test('a service that arrives without its template is neither absent nor an empty one', async () => {
  expect(await cloud({ name: SERVICE, etag: 'e' }).reads.service(SERVICE)).toMatchObject({
    state: 'failed',
    failure: { kind: 'Transient' },
  });
});

test('policies are asked for with their conditions', async () => {
  const { made, reads } = cloud({ etag: 'ACAB' });
  await reads.secretPolicy(SECRET);
  await reads.servicePolicy(SERVICE);
  expect(made.map(({ method, request }) => [method, request])).toEqual([
    [rpc.getSecretPolicy, { resource: SECRET, options: { requestedPolicyVersion: 3 } }],
    [rpc.getServicePolicy, { resource: SERVICE, options: { requestedPolicyVersion: 3 } }],
  ]);
});

const EVERY: [string, (reads: ReturnType<typeof createReads>) => Promise<{ state: string }>][] = [
  ['account', reads => reads.account(accountName('p-123', EMAIL))],
  ['secret', reads => reads.secret(SECRET)],
  ['secretPolicy', reads => reads.secretPolicy(SECRET)],
  ['secretVersion latest', reads => reads.secretVersion(SECRET, 'latest')],
  ['secretVersion 3', reads => reads.secretVersion(SECRET, '3')],
  ['secretVersion newestEnabled', reads => reads.secretVersion(SECRET, 'newestEnabled')],
  ['service', reads => reads.service(SERVICE)],
  ['servicePolicy', reads => reads.servicePolicy(SERVICE)],
];

describe.each(EVERY)('%s', (name, read) => {
  test('is absent only where Google Cloud says NOT_FOUND', async () => {
    expect(await read(cloud('NOT_FOUND').reads)).toEqual({ state: 'absent' });
    expect(await read(cloud('PERMISSION_DENIED').reads)).toEqual({
      state: 'failed',
      failure: { kind: 'PermissionDenied', message: 'It is PERMISSION_DENIED.' },
    });
  });

  test('that can not be understood is a failure that passes, not an absence', async () => {
    // An empty list of versions is what it says; everything else needs at least a name or an etag.
    if (name === 'secretVersion newestEnabled') return expect(await read(cloud({}).reads)).toEqual({ state: 'absent' });
    for (const answer of [{}, { name: 'x', etag: 5 }]) {
      expect(await read(cloud(answer).reads)).toMatchObject({ state: 'failed', failure: { kind: 'Transient' } });
    }
  });
});

test('an answer about something else is not taken for what was asked', async () => {
  const other = { ...ACCOUNT, email: 'sa-b@p-123.iam.gserviceaccount.com' };
  expect(await cloud(other).reads.account(accountName('p-123', EMAIL))).toMatchObject({ state: 'failed' });
  expect(await cloud({ name: 'projects/1/secrets/other' }).reads.secret(SECRET)).toMatchObject({ state: 'failed' });
  expect(await cloud(version(4)).reads.secretVersion(SECRET, '3')).toMatchObject({ state: 'failed' });
});

test('a name that does not belong into a URL is refused without a call', async () => {
  const { made, reads } = cloud({});
  const answers = [
    await reads.account(accountName('p-123/../q', EMAIL)),
    await reads.account(accountName('p-123', `${EMAIL}%2f`)),
    await reads.secret('projects/p-123/secrets/../x'),
    await reads.secretPolicy('x'),
    await reads.secretVersion(SECRET, '1/../2'),
    await reads.secretVersion('projects/p-123', 'newestEnabled'),
    await reads.service('projects/p-123/locations/us-central1/services/A'),
    await reads.servicePolicy(`${SERVICE}?x`),
  ];
  expect(answers.map(read => read.state === 'failed' && read.failure.kind)).toEqual(Array(8).fill('Invalid'));
  expect(made).toEqual([]);
});

test('signal and identity reach every call', async () => {
  const { made, reads } = cloud({ versions: [], nextPageToken: 'a' }, {});
  const options = { signal: new AbortController().signal, actAs: EMAIL };
  await reads.account(accountName('p-123', EMAIL), options);
  await reads.secretVersion(SECRET, 'newestEnabled', options);
  await reads.service(SERVICE, options);
  expect(made.length).toBeGreaterThanOrEqual(3);
  for (const call of made) expect(call.options).toBe(options);
});

describe('the newest enabled version', () => {
  test('is the highest over all pages', async () => {
    const { made, reads } = cloud(
      { versions: [version(3), version(2)], nextPageToken: 'p2' },
      { versions: [version(11), version(12, 'DISABLED')], nextPageToken: 'p3' },
      { versions: [version(9)] },
    );
    expect(await reads.secretVersion(SECRET, 'newestEnabled')).toEqual({
      state: 'present',
      value: { version: 11, state: 'ENABLED' },
    });
    expect(made.map(({ request }) => request.pageToken)).toEqual([undefined, 'p2', 'p3']);
    expect(made[0]?.request).toMatchObject({ parent: SECRET, filter: 'state:ENABLED' });
  });

  test('is not known while a page is missing', async () => {
    const { reads } = cloud({ versions: [version(3)], nextPageToken: 'p2' }, 'UNAVAILABLE');
    expect(await reads.secretVersion(SECRET, 'newestEnabled')).toMatchObject({ state: 'failed' });
  });

  test('of a list that never ends is given up', async () => {
    const { made, reads } = cloud({ versions: [version(3)], nextPageToken: 'again' });
    expect(await reads.secretVersion(SECRET, 'newestEnabled')).toMatchObject({ state: 'failed' });
    expect(made.length).toBeLessThan(1000);
  });
});

test('hooks see every call: what it was, how it ended and how long it took', async () => {
  let now = 0;
  const runtime: Runtime = { now: () => now, monotonic: () => now, random: () => 0, after: () => () => {} };
  const log: unknown[] = [];
  const call: GcpCall = async method => {
    now += 25;
    if (method === rpc.getService) return { ok: true, response: {} };
    return { ok: false, status: { code: 'ABORTED', message: '' } };
  };
  const watched = instrument(call, runtime, {
    before: async method => void log.push(method),
    after: end => log.push(end),
  });
  expect(await watched(rpc.getService, {})).toEqual({ ok: true, response: {} });
  await watched(rpc.setSecretPolicy, {});
  expect(log).toEqual([
    rpc.getService,
    expect.objectContaining({ method: rpc.getService, api: 'run', write: false, code: 'OK', durationMs: 25 }),
    rpc.setSecretPolicy,
    expect.objectContaining({
      method: rpc.setSecretPolicy,
      api: 'secretmanager',
      write: true,
      code: 'ABORTED',
      message: expect.any(String),
      durationMs: 25,
    }),
  ]);
});

test('a call waits for what the hook before it waits for', async () => {
  let open = () => {};
  const gate = new Promise<void>(resolve => {
    open = resolve;
  });
  let calls = 0;
  const call: GcpCall = async () => {
    calls++;
    return { ok: true, response: {} };
  };
  const runtime: Runtime = { now: () => 0, monotonic: () => 0, random: () => 0, after: () => () => {} };
  const result = instrument(call, runtime, { before: () => gate })(rpc.getService, {});
  await Promise.resolve();
  expect(calls).toBe(0);
  open();
  expect(await result).toEqual({ ok: true, response: {} });
  expect(calls).toBe(1);
});
