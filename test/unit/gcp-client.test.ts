import { execFileSync } from 'node:child_process';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AuthClient, PassThroughClient } from 'google-auth-library';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createGcpClient, type GcpClient } from '../../operator/gcp/client.ts';
import { createCredentials } from '../../operator/gcp/credentials.ts';
import { type Endpoint, endpointsFrom } from '../../operator/gcp/endpoints.ts';
import { failureOf } from '../../operator/gcp/errors.ts';
import { execute } from '../../operator/gcp/execute.ts';
import { METHODS, rpc } from '../../operator/gcp/methods.ts';
import { createReads } from '../../operator/gcp/reads.ts';
import type { Call } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime } from '../../ports/runtime.ts';

interface Seen {
  method: string;
  path: string;
  query: Record<string, string>;
  body: unknown;
  headers: http.IncomingHttpHeaders;
}

type Reply = { status?: number; headers?: Record<string, string>; body?: unknown } | 'silence' | 'hang up' | 'half';

let seen: Seen[] = [];
let reply: Reply = {};
let connections = 0;
let arrived: () => void = () => {};
let base = '';
const clients: GcpClient[] = [];

const server = http.createServer(async (request, response) => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const url = new URL(request.url ?? '', base);
  const text = Buffer.concat(chunks).toString();
  const query = Object.fromEntries(url.searchParams);
  const body = text === '' ? undefined : JSON.parse(text);
  seen.push({ method: request.method ?? '', path: url.pathname, query, body, headers: request.headers });
  arrived();
  if (reply === 'silence') return;
  if (reply === 'hang up') return void request.socket.destroy();
  if (reply === 'half') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
    response.write('{"na');
    return void setImmediate(() => request.socket.destroy());
  }
  response.writeHead(reply.status ?? 200, { 'content-type': 'application/json', ...reply.headers });
  response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? {}));
});
server.on('connection', () => {
  connections++;
});

beforeAll(async () => {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  seen = [];
  reply = {};
  connections = 0;
  arrived = () => {};
});

const noCredentials = createCredentials(() => Promise.reject(new Error('credentials were looked for')));

function client(options: { endpoint?: Endpoint; load?: () => Promise<AuthClient>; timeoutMs?: number } = {}) {
  const { endpoint = { base, credentials: false }, load, timeoutMs = 20_000 } = options;
  const made = createGcpClient({
    runtime: realRuntime,
    endpoints: { run: endpoint, secretmanager: endpoint, iam: endpoint },
    credentials: load ? createCredentials(load) : noCredentials,
    timeouts: { readMs: timeoutMs, writeMs: timeoutMs },
  });
  clients.push(made);
  return made;
}

const SERVICE = 'projects/p-123/locations/us-central1/services/ai-platform-a';
const SECRET = 'projects/p-123/secrets/Key_1';
const EMAIL = 'sa-tenant-a@p-123.iam.gserviceaccount.com';
const ACCOUNT = `projects/p-123/serviceAccounts/${EMAIL}`;
const policy = { version: 1, etag: 'BwU=', bindings: [{ role: 'roles/x', members: [`serviceAccount:${EMAIL}`] }] };

describe('each write is one exact request', () => {
  test.each<[Call, Omit<Seen, 'headers'>]>([
    [
      {
        kind: 'createAccount',
        project: 'p-123',
        accountId: 'sa-tenant-a',
        email: EMAIL,
        displayName: 'd',
        description: 'w',
      },
      {
        method: 'POST',
        path: '/v1/projects/p-123/serviceAccounts',
        query: {},
        body: { accountId: 'sa-tenant-a', serviceAccount: { displayName: 'd', description: 'w' } },
      },
    ],
    [
      { kind: 'updateAccount', name: ACCOUNT, description: 'w' },
      {
        method: 'PATCH',
        path: `/v1/${ACCOUNT}`,
        query: {},
        body: { serviceAccount: { description: 'w' }, updateMask: 'description' },
      },
    ],
    [
      { kind: 'deleteAccount', name: 'projects/p-123/serviceAccounts/1048576' },
      { method: 'DELETE', path: '/v1/projects/p-123/serviceAccounts/1048576', query: {}, body: undefined },
    ],
    [
      { kind: 'setSecretPolicy', secret: SECRET, policy },
      { method: 'POST', path: `/v1/${SECRET}:setIamPolicy`, query: {}, body: { policy: { ...policy, version: 3 } } },
    ],
    [
      { kind: 'setServicePolicy', service: SERVICE, policy },
      { method: 'POST', path: `/v2/${SERVICE}:setIamPolicy`, query: {}, body: { policy: { ...policy, version: 3 } } },
    ],
    [
      {
        kind: 'createService',
        parent: 'projects/p-123/locations/us-central1',
        serviceId: 'ai-platform-a',
        service: {
          invokerIamDisabled: true,
          template: { timeout: '300s', containers: [{ env: [{ name: 'A', value: '' }] }] },
        },
      },
      {
        method: 'POST',
        path: '/v2/projects/p-123/locations/us-central1/services',
        query: { serviceId: 'ai-platform-a' },
        body: {
          invokerIamDisabled: true,
          template: { timeout: '300s', containers: [{ env: [{ name: 'A', value: '' }] }] },
        },
      },
    ],
    [
      {
        kind: 'updateService',
        service: {
          name: SERVICE,
          etag: '"x"',
          labels: { a: 'b' },
          traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
        },
        updateMask: ['labels', 'traffic'],
      },
      {
        method: 'PATCH',
        path: `/v2/${SERVICE}`,
        query: { updateMask: 'labels,traffic' },
        body: {
          labels: { a: 'b' },
          etag: '"x"',
          traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
        },
      },
    ],
    [
      { kind: 'deleteService', name: SERVICE, etag: '"x"' },
      { method: 'DELETE', path: `/v2/${SERVICE}`, query: { etag: '"x"' }, body: undefined },
    ],
  ])('$kind', async (step, expected) => {
    reply = { body: {} };
    expect(await execute(client().call, step)).toEqual({ ok: true, response: {} });
    expect(seen.map(({ headers, ...rest }) => rest)).toEqual([expected]);
  });
});

describe('each read is one exact request', () => {
  test.each<[string, JsonObject, string, Record<string, string>]>([
    [rpc.getService, { name: SERVICE }, `/v2/${SERVICE}`, {}],
    [
      rpc.listServices,
      { parent: 'projects/p-123/locations/us-central1', pageSize: 100, pageToken: 't/1' },
      '/v2/projects/p-123/locations/us-central1/services',
      { pageSize: '100', pageToken: 't/1' },
    ],
    [
      rpc.getServicePolicy,
      { resource: SERVICE, options: { requestedPolicyVersion: 3 } },
      `/v2/${SERVICE}:getIamPolicy`,
      { 'options.requestedPolicyVersion': '3' },
    ],
    [rpc.getSecret, { name: SECRET }, `/v1/${SECRET}`, {}],
    [rpc.listSecrets, { parent: 'projects/p-123', pageSize: 5 }, '/v1/projects/p-123/secrets', { pageSize: '5' }],
    [rpc.getSecretVersion, { name: `${SECRET}/versions/latest` }, `/v1/${SECRET}/versions/latest`, {}],
    [
      rpc.listSecretVersions,
      { parent: SECRET, filter: 'state:ENABLED' },
      `/v1/${SECRET}/versions`,
      { filter: 'state:ENABLED' },
    ],
    [
      rpc.getSecretPolicy,
      { resource: SECRET, options: { requestedPolicyVersion: 3 } },
      `/v1/${SECRET}:getIamPolicy`,
      { 'options.requestedPolicyVersion': '3' },
    ],
    [rpc.getAccount, { name: ACCOUNT }, `/v1/${ACCOUNT}`, {}],
    [
      rpc.listAccounts,
      { name: 'projects/p-123', pageSize: 100, pageToken: 'x' },
      '/v1/projects/p-123/serviceAccounts',
      { pageSize: '100', pageToken: 'x' },
    ],
  ])('%s', async (method, request, path, query) => {
    const result = await client().call(method, request);
    expect(result).toEqual({ ok: true, response: {} });
    expect(seen.map(({ headers, body, ...rest }) => rest)).toEqual([{ method: 'GET', path, query }]);
  });

  test('and with the writes above that is every method of the table', () => {
    const writes = [...METHODS.values()].filter(method => method.write).length;
    expect(METHODS.size - writes).toBe(10);
    expect(writes).toBe(8);
    expect([...METHODS.keys()].filter(name => /Access|AddSecret|CreateSecret|DeleteSecret|Destroy/.test(name))).toEqual(
      [],
    );
  });
});

test('an answer is the JSON that came: what nobody here knows, defaults and numbers of enums included', async () => {
  const body = {
    name: SERVICE,
    generation: '3',
    observedGeneration: '0',
    description: '',
    ingress: 'INGRESS_TRAFFIC_OF_TOMORROW',
    launchStage: 4,
    reconciling: false,
    annotations: {},
    createTime: '2026-01-01T00:00:00.5Z',
    scaling: { minInstanceCount: 0, scalingMode: 77, tomorrow: [{ deep: null }] },
    template: { ambientNetworking: { a: { b: [] } }, volumes: [{ name: 'v', filestore: { path: '/x' } }] },
  };
  reply = { body };
  expect(await client().call(rpc.getService, { name: SERVICE })).toEqual({ ok: true, response: body });
  reply = { body: '' };
  expect(await client().call(rpc.getService, { name: SERVICE })).toEqual({ ok: true, response: {} });
});

describe.each([
  ['Cloud Run', rpc.getService, { name: SERVICE }],
  ['Secret Manager', rpc.getSecret, { name: SECRET }],
  ['IAM', rpc.getAccount, { name: ACCOUNT }],
])('%s: what goes wrong', (_, method, request) => {
  test.each([401, 403, 404, 409, 429, 503])("HTTP %i is the status in Google's own words, asked once", async status => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'R', metadata: { a: 'b' } }];
    reply = {
      status,
      headers: { 'retry-after': '7' },
      body: { error: { code: status, message: 'In words.', status: 'ABORTED', details } },
    };
    const result = await client().call(method, request);
    expect(result).toEqual({
      ok: false,
      status: { code: 'ABORTED', message: 'In words.', details, retryAfterMs: 7000 },
    });
    expect(seen).toHaveLength(1);
  });

  test('a page that is not from Google is no proof that something is missing', async () => {
    reply = { status: 404, headers: { 'content-type': 'text/html' }, body: '<html>Not Found</html>' };
    expect(await client().call(method, request)).toMatchObject({ ok: false, status: { code: 'UNKNOWN' } });
    reply = { body: '<html>Welcome</html>' };
    expect(await client().call(method, request)).toMatchObject({ ok: false, status: { code: 'UNKNOWN' } });
  });

  test('a redirect is not followed', async () => {
    reply = { status: 302, headers: { location: `${base}/elsewhere` } };
    expect(await client().call(method, request)).toMatchObject({ ok: false });
    expect(seen).toHaveLength(1);
  });

  test('a connection that is cut, before or in the answer, is UNAVAILABLE', async () => {
    reply = 'hang up';
    expect(await client().call(method, request)).toMatchObject({
      ok: false,
      status: { code: 'UNAVAILABLE', unanswered: 'lost' },
    });
    reply = 'half';
    expect(await client().call(method, request)).toMatchObject({
      ok: false,
      status: { code: 'UNAVAILABLE', unanswered: 'lost' },
    });
    expect(seen).toHaveLength(2);
  });

  test('nobody there, or no such host, is UNAVAILABLE', async () => {
    for (const address of ['http://127.0.0.1:1', 'http://nowhere.invalid']) {
      const result = await client({ endpoint: { base: address, credentials: false } }).call(method, request);
      expect(result).toMatchObject({ ok: false, status: { code: 'UNAVAILABLE', unanswered: 'unreachable' } });
    }
  });

  test('no answer in time is DEADLINE_EXCEEDED, and the request is cut off', async () => {
    reply = 'silence';
    const result = await client({ timeoutMs: 50 }).call(method, request);
    expect(result).toMatchObject({ ok: false, status: { code: 'DEADLINE_EXCEEDED', unanswered: 'unreachable' } });
  });

  test('an abort is CANCELLED and hangs up; one that came before sends nothing', async () => {
    reply = 'silence';
    const controller = new AbortController();
    const hungUp = new Promise(resolve => server.once('request', (_, response) => response.once('close', resolve)));
    arrived = () => controller.abort();
    const made = client();
    const { signal } = controller;
    expect(await made.call(method, request, { signal })).toMatchObject({ ok: false, status: { code: 'CANCELLED' } });
    await hungUp;
    expect(await made.call(method, request, { signal })).toMatchObject({ ok: false, status: { code: 'CANCELLED' } });
    expect(seen).toHaveLength(1);
  });

  test('an abort while the client is still being made sends nothing', async () => {
    const made = client();
    const controller = new AbortController();
    const result = made.call(method, request, { signal: controller.signal });
    controller.abort();
    expect(await result).toMatchObject({ ok: false, status: { code: 'CANCELLED' } });
    // Had the first been sent, it would have come before this one.
    await made.call(method, request);
    expect(seen).toHaveLength(1);
  });

  test('closing the client ends its calls', async () => {
    reply = 'silence';
    const made = client();
    arrived = () => made.close();
    expect(await made.call(method, request)).toMatchObject({ ok: false, status: { code: 'CANCELLED' } });
  });
});

test('a call given up while its credentials were on the way is never sent', async () => {
  let come: (made: AuthClient) => void = () => {};
  const credentials = new Promise<AuthClient>(resolve => {
    come = resolve;
  });
  const made = client({ endpoint: { base, credentials: true }, load: () => credentials, timeoutMs: 30 });
  for (const [method, name] of [
    [rpc.getSecret, SECRET],
    [rpc.getAccount, ACCOUNT],
  ] as const) {
    expect(await made.call(method, { name })).toMatchObject({ ok: false, status: { code: 'DEADLINE_EXCEEDED' } });
  }
  const late = new PassThroughClient();
  let sent = 0;
  late.transporter.request = async options => {
    if (!options?.signal?.aborted) sent++;
    throw new Error('aborted');
  };
  come(late);
  await new Promise(resolve => setImmediate(resolve));
  expect(sent).toBe(0);
});

test('one connection serves many calls', async () => {
  const made = client();
  for (let i = 0; i < 5; i++) await made.call(rpc.getService, { name: SERVICE });
  await made.call(rpc.getAccount, { name: ACCOUNT });
  expect(seen).toHaveLength(6);
  expect(connections).toBe(1);
});

test('a request whose names do not fit the path is INVALID_ARGUMENT and never sent', async () => {
  const made = client();
  for (const [method, request] of [
    [rpc.getService, { name: 'projects/p-123' }],
    [rpc.getService, {}],
    [rpc.getService, { name: SERVICE.replace('services', 'jobs') }],
    [rpc.getService, { name: SERVICE.replace('p-123', '..') }],
    [rpc.getService, { name: `${SERVICE}/` }],
    [rpc.getService, { name: [SERVICE] }],
    [rpc.updateService, { service: { labels: {} } }],
    [rpc.updateService, { service: SERVICE }],
  ] as [string, JsonObject][]) {
    expect(await made.call(method, request)).toMatchObject({ ok: false, status: { code: 'INVALID_ARGUMENT' } });
  }
  expect(seen).toHaveLength(0);
});

test('a method outside the table is a bug', async () => {
  const access = 'google.cloud.secretmanager.v1.SecretManagerService.AccessSecretVersion';
  await expect(client().call(access, { name: `${SECRET}/versions/1` })).rejects.toThrow('may call');
  expect(seen).toHaveLength(0);
});

test.each<Call>([
  { kind: 'deleteService', name: 'projects/p-123/locations/us-central1/services/../x', etag: 'e' },
  { kind: 'deleteService', name: SERVICE, etag: '' },
  { kind: 'setSecretPolicy', secret: SECRET, policy: { bindings: [] } },
  { kind: 'setSecretPolicy', secret: 'projects/p-123/secrets/a%2fb', policy },
  { kind: 'updateService', service: { name: SERVICE }, updateMask: [] },
  { kind: 'updateService', service: {}, updateMask: ['labels'] },
  { kind: 'createService', parent: 'projects/p-123/locations/-', serviceId: 'a', service: {} },
  { kind: 'createAccount', project: 'p-123', accountId: 'SA', email: '', displayName: '', description: '' },
  { kind: 'deleteAccount', name: 'projects/-/serviceAccounts/x' },
])('$kind that must not be sent is refused', async step => {
  expect(await execute(client().call, step)).toMatchObject({ ok: false, failure: { kind: 'Invalid' } });
  expect(seen).toHaveLength(0);
});

describe('credentials', () => {
  const token = (value: string): AuthClient => {
    const made = new PassThroughClient();
    made.getRequestHeaders = async () => new Headers({ authorization: `Bearer ${value}`, 'x-goog-user-project': 'q' });
    return made;
  };
  /** What an https:// endpoint is to the client, without a certificate in the test. */
  const guarded = () => ({ base: `${base}/prefix`, credentials: true });
  const insecure = (made: AuthClient): AuthClient => {
    const send = made.transporter.request.bind(made.transporter);
    made.transporter.request = options => send({ ...options, agent: new http.Agent() });
    return made;
  };

  test('go to an https address only', async () => {
    const plain = client({ load: async () => token('t') });
    await plain.call(rpc.getService, { name: SERVICE }, { actAs: EMAIL });
    await plain.call(rpc.getAccount, { name: ACCOUNT });
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined]);
    expect(Object.keys(seen[0]?.headers ?? {}).filter(name => /auth|token|cookie/.test(name))).toEqual([]);
  });

  test('are sent with every call, below the path prefix, and are found only once', async () => {
    let loads = 0;
    const load = async () => {
      loads++;
      return insecure(token('t'));
    };
    const made = client({ endpoint: guarded(), load });
    await Promise.all([
      made.call(rpc.getService, { name: SERVICE }),
      made.call(rpc.getSecret, { name: SECRET }),
      made.call(rpc.getAccount, { name: ACCOUNT }),
    ]);
    expect(seen.map(({ path }) => path).sort()).toEqual([
      `/prefix/v1/${SECRET}`,
      `/prefix/v1/${ACCOUNT}`,
      `/prefix/v2/${SERVICE}`,
    ]);
    for (const { headers } of seen) {
      expect(headers).toMatchObject({
        authorization: 'Bearer t',
        'x-goog-user-project': 'q',
        'user-agent': expect.stringContaining('aitenant-operator'),
      });
    }
    expect(loads).toBe(1);
  });

  test('that Google no longer takes are looked for anew', async () => {
    let loads = 0;
    const made = client({ endpoint: guarded(), load: async () => insecure(token(`t${++loads}`)) });
    reply = { status: 401, body: { error: { code: 401, message: 'Expired.', status: 'UNAUTHENTICATED' } } };
    expect(await made.call(rpc.getSecret, { name: SECRET })).toMatchObject({
      ok: false,
      status: { code: 'UNAUTHENTICATED' },
    });
    reply = {};
    expect(await made.call(rpc.getSecret, { name: SECRET })).toMatchObject({ ok: true });
    expect(seen.map(({ headers }) => headers.authorization)).toEqual(['Bearer t1', 'Bearer t2']);
  });

  test('that are missing are UNAUTHENTICATED, and may turn up later', async () => {
    let there = false;
    const load = async () => {
      if (!there) throw new Error('Could not load the default credentials.');
      return insecure(token('t'));
    };
    const made = client({ endpoint: guarded(), load });
    const result = await made.call(rpc.getService, { name: SERVICE });
    expect(result).toMatchObject({ ok: false, status: { code: 'UNAUTHENTICATED' } });
    there = true;
    expect(await made.call(rpc.getService, { name: SERVICE })).toMatchObject({ ok: true });
  });

  test('for which no token can be had because the network is down: UNAVAILABLE', async () => {
    const made = token('');
    made.getRequestHeaders = async () => {
      throw Object.assign(new Error('connect ECONNREFUSED 169.254.169.254:80'), { code: 'ECONNREFUSED' });
    };
    const result = await client({ endpoint: guarded(), load: async () => made }).call(rpc.getSecret, { name: SECRET });
    expect(result).toMatchObject({ ok: false, status: { code: 'UNAVAILABLE' } });
  });

  test('that never come do not outlast the time-out', async () => {
    const made = client({ endpoint: guarded(), load: () => new Promise(() => {}), timeoutMs: 50 });
    for (const [method, name] of [
      [rpc.getSecret, SECRET],
      [rpc.getAccount, ACCOUNT],
    ] as const) {
      expect(await made.call(method, { name })).toMatchObject({ ok: false, status: { code: 'DEADLINE_EXCEEDED' } });
    }
    expect(seen).toHaveLength(0);
  });

  test('of another account are asked for at IAM Credentials, once, with those of the process', async () => {
    const source = insecure(token('own'));
    const asked: string[] = [];
    source.request = async options => {
      asked.push(String(options.url));
      const answer = { accessToken: 'other', expireTime: new Date(Date.now() + 3_600_000).toISOString() };
      return { data: answer } as Awaited<ReturnType<AuthClient['request']>> as never;
    };
    const credentials = createCredentials(async () => source);
    const acting = await credentials.client(EMAIL);
    const headers = await acting.getRequestHeaders();
    expect(headers.get('authorization')).toBe('Bearer other');
    expect(await credentials.client(EMAIL)).toBe(acting);
    expect(asked).toEqual([
      `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${EMAIL}:generateAccessToken`,
    ]);
  });

  test('of an account that may not be impersonated: PERMISSION_DENIED, and the advice names the role', async () => {
    const source = token('own');
    source.request = async () => {
      const data = { error: { status: 'PERMISSION_DENIED', message: 'denied' } };
      throw Object.assign(new Error('denied'), { response: { status: 403, data } });
    };
    const made = client({ endpoint: guarded(), load: async () => source });
    const result = await made.call(rpc.getSecret, { name: SECRET }, { actAs: EMAIL });
    expect(result).toMatchObject({ ok: false, status: { code: 'PERMISSION_DENIED' } });
    if (result.ok) throw new Error('not refused');
    expect(failureOf(rpc.getSecret, result.status).advice).toContain('roles/iam.serviceAccountTokenCreator');
    expect(seen).toHaveLength(0);
  });

  test('of something that is no account are not asked for', async () => {
    const result = await client({ endpoint: guarded() }).call(rpc.getSecret, { name: SECRET }, { actAs: '../x' });
    expect(result).toMatchObject({ ok: false, status: { code: 'INVALID_ARGUMENT' } });
  });
});

describe('endpoints', () => {
  test('are the public ones, or what the variables of gcloud say, with or without a slash or path', () => {
    expect(endpointsFrom({})).toEqual({
      run: { base: 'https://run.googleapis.com', credentials: true },
      secretmanager: { base: 'https://secretmanager.googleapis.com', credentials: true },
      iam: { base: 'https://iam.googleapis.com', credentials: true },
    });
    expect(
      endpointsFrom({
        CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: 'http://127.0.0.1:8085/',
        CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: 'http://localhost:8085',
        CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: 'https://iam.example.com/proxy/iam/',
      }),
    ).toEqual({
      run: { base: 'http://127.0.0.1:8085', credentials: false },
      secretmanager: { base: 'http://localhost:8085', credentials: false },
      iam: { base: 'https://iam.example.com/proxy/iam', credentials: true },
    });
  });

  test.each(['127.0.0.1:8085', 'ftp://x/', 'https://user:pass@x/', 'https://x/?a=b'])(
    '%s is refused, by name',
    address => {
      expect(() => endpointsFrom({ CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: address })).toThrow('OVERRIDES_IAM');
    },
  );
});

test('reads understand what comes over the wire', async () => {
  reply = { body: { name: 'projects/123456/secrets/Key_1', labels: { a: 'b' } } };
  const read = await createReads(client().call).secret(SECRET);
  expect(read).toMatchObject({
    state: 'present',
    value: { name: 'projects/123456/secrets/Key_1', labels: { a: 'b' } },
  });
});

test('after a call to each API nothing of the clients but their credentials is in the process', () => {
  const script = `
    import { createRequire } from 'node:module';
    import { createGcpClient } from './operator/gcp/client.ts';
    import { realRuntime } from './ports/runtime.ts';
    const client = createGcpClient({ runtime: realRuntime, timeouts: { readMs: 9000, writeMs: 9000 } });
    const codes = [];
    for (const [method, name] of ${JSON.stringify([
      [rpc.getService, SERVICE],
      [rpc.getSecret, SECRET],
      [rpc.getAccount, ACCOUNT],
    ])}) codes.push((await client.call(method, { name })).status?.code);
    client.close();
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    const superfluous = loaded.filter(id => /grpc|proto|google-gax|@google-cloud|@googleapis/.test(id));
    console.log(JSON.stringify({ codes, auth: loaded.some(id => id.includes('google-auth-library')), superfluous }));
  `;
  const nowhere = 'http://127.0.0.1:1/';
  const output = execFileSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: nowhere,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: nowhere,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: nowhere,
    },
  });
  expect(JSON.parse(output)).toEqual({ codes: Array(3).fill('UNAVAILABLE'), auth: true, superfluous: [] });
});
