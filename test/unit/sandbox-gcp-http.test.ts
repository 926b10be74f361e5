import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { iam_v1 } from '@googleapis/iam';
import { PassThroughClient } from 'google-auth-library';
import * as gax from 'google-gax/fallback';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import { envText } from '../../sandbox/gcp/wire/clientEnv.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { ACCESSOR, EMAIL, PROJECT } from './sandbox-gcp.support.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

let core: GcpCore;
let server: GcpServer;

beforeEach(async () => {
  const settings = { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0 };
  core = createGcpCore({ runtime: fakeRuntime(), projects: [PROJECT], settings });
  server = await startGcpServer({ core });
});
afterEach(() => server.close());

interface Answer {
  status: number;
  headers: Headers;
  text: string;
  body: JsonObject;
}

async function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(server.url + path, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json');
  return { status: response.status, headers: response.headers, text, body: isJson && text ? JSON.parse(text) : {} };
}

const secrets = '/v1/projects/demo-project/secrets';
const accounts = '/v1/projects/demo-project/serviceAccounts';
const createSecret = (id = 'key', secret: JsonObject = {}) =>
  send('POST', `${secrets}?secretId=${id}`, { replication: { automatic: {} }, ...secret });

describe('routes come from the protos', () => {
  test('path, query and body make the request', async () => {
    expect(await createSecret('key', { labels: { a: 'b' } })).toMatchObject({
      status: 200,
      body: { name: 'projects/123456/secrets/key', labels: { a: 'b' } },
    });
    const patched = await send('PATCH', `${secrets}/key?updateMask=labels`, {
      name: 'projects/x/secrets/y',
      labels: { c: '' },
    });
    expect(patched.body).toMatchObject({ name: 'projects/123456/secrets/key', labels: { c: '' } });
    await send('POST', `${secrets}/key:addVersion`, { payload: { data: 'b25l' } });
    expect((await send('GET', `${secrets}/key/versions/latest:access`)).body).toMatchObject({
      payload: { data: 'b25l' },
    });
    const policy = { bindings: [{ role: ACCESSOR, members: ['allUsers'] }] };
    await send('POST', `${secrets}/key:setIamPolicy`, { policy });
    const read = await send(
      'GET',
      `${secrets}/key:getIamPolicy?options.requestedPolicyVersion=3&alt=json&prettyPrint=true`,
    );
    expect(read.body).toMatchObject(policy);
    expect((await send('DELETE', `${secrets}/key`)).body).toEqual({});
  });

  test('names are decoded, but a slash in one stays what it was', async () => {
    await send('POST', accounts, { accountId: 'sa-tenant-a' });
    expect((await send('GET', `${accounts}/${encodeURIComponent(EMAIL)}`)).body).toMatchObject({ email: EMAIL });
    const slash = await send('GET', '/v1/projects/demo-project/secrets/a%2Fb');
    expect(slash.body.error).toMatchObject({ message: 'Secret [projects/123456/secrets/a%2Fb] not found.' });
    expect((await send('GET', `${secrets}/%zz`)).status).toBe(400);
    const dots = await rawGet('/v1/projects/demo-project/secrets/../serviceAccounts');
    expect(dots).toContain('HTTP/1.1 400');
  });

  test.each(['/', '/favicon.ico', '/v1'])('GET %s is a page that says 404', async path => {
    const answer = await send('GET', path);
    expect(answer.status).toBe(404);
    expect(answer.headers.get('content-type')).toContain('text/html');
    expect(answer.text).toContain('was not found on this server');
  });

  test.each([
    ['PUT', '/v1/projects/demo-project/secrets/key', 'not supported'],
    ['GET', '/v1beta2/projects/demo-project/secrets', 'not supported'],
    ['POST', '/v1/projects/demo-project/secrets/key:explode', 'not supported'],
    ['POST', '/v1/projects/demo-project:getIamPolicy', 'policies and IAM roles'],
    ['GET', '/v1/roles?parent=x', 'policies and IAM roles'],
    ['GET', '/v1/roles/viewer', 'policies and IAM roles'],
    ['POST', '/v2/entries:tail', 'Cloud Logging'],
    ['GET', '/v2/projects/demo-project/logs', 'Cloud Logging'],
    ['GET', '/storage/v1/b/demo-project_cloudbuild', 'Nothing is built or stored'],
    ['GET', '/v1/projects/demo-project/locations/europe-west1/repositories/r', 'Nothing is built or stored'],
    ['POST', '/v1/projects/demo-project/builds', 'Nothing is built or stored'],
    ['GET', '/v1/projects/demo-project/locations/-/clusters', 'not supported'],
    ['GET', '/compute/v1/projects/demo-project/regions', 'not supported'],
    ['GET', '/sql/v1beta4/projects/demo-project/instances', 'not supported'],
    ['POST', `/v1/projects/-/serviceAccounts/${EMAIL}:signBlob`, 'signatures'],
    ['POST', `/v1/projects/-/serviceAccounts/${EMAIL}:generateAccessToken`, 'tokens'],
    ['GET', `/v1/projects/demo-project/serviceAccounts/${EMAIL}/keys`, 'keys are not supported'],
    ['GET', '/v1/projects/demo-project/locations/europe-west1/secrets', 'Regional secrets'],
    ['POST', '/v1/projects/demo-project/services/bigquery.googleapis.com:enable', 'has no bigquery.googleapis.com'],
  ])('%s %s says at once that it is not here', async (method, path, message) => {
    const { status, body } = await send(method, path, method === 'GET' ? undefined : {});
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ status: 'FAILED_PRECONDITION', message: expect.stringContaining(message) });
  });

  test('projects and enabled APIs are read as gcloud (v1) and the client libraries (v3) do', async () => {
    const v1 = { projectId: 'demo-project', projectNumber: '123456', lifecycleState: 'ACTIVE' };
    const v3 = { name: 'projects/123456', projectId: 'demo-project', state: 'ACTIVE' };
    expect((await send('GET', '/v1/projects/demo-project')).body).toMatchObject(v1);
    expect((await send('GET', '/v1/projects?filter=lifecycleState:ACTIVE')).body).toMatchObject({ projects: [v1] });
    expect((await send('GET', '/v3/projects/demo-project')).body).toMatchObject(v3);
    expect((await send('GET', '/v3/projects:search')).body).toMatchObject({ projects: [v3] });
    expect((await send('GET', '/v1/projects/nowhere')).status).toBe(403);
    const apis = '/v1/projects/demo-project/services';
    const names = (body: JsonObject) => (body.services as JsonObject[]).map(({ name }) => name);
    expect(names((await send('GET', `${apis}?filter=state:ENABLED`)).body)).toContain(
      'projects/123456/services/run.googleapis.com',
    );
    expect((await send('GET', `${apis}?filter=state:DISABLED`)).body).toEqual({});
    const batch = { serviceIds: ['run.googleapis.com', 'iam.googleapis.com'] };
    expect((await send('POST', `${apis}:batchEnable`, batch)).body).toMatchObject({ done: true });
    expect((await send('POST', `${apis}/run.googleapis.com:enable`, {})).body).toMatchObject({
      done: true,
      response: { service: { state: 'ENABLED' } },
    });
  });

  test('a body may be compressed, as Google’s Java clients do; one that is none, or too large unpacked, is refused', async () => {
    const packed = (bytes: Buffer, encoding = 'gzip') =>
      fetch(`${server.url}${secrets}?secretId=key`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': encoding },
        body: new Uint8Array(bytes),
      });
    const plain = Buffer.from(JSON.stringify({ replication: { automatic: {} }, labels: { a: 'b' } }));
    const message = async (answer: Response) => [answer.status, ((await answer.json()) as JsonObject).error];
    const refused = (words: string) => [400, expect.objectContaining({ message: expect.stringContaining(words) })];
    expect(await message(await packed(plain))).toEqual(refused('not in gzip format'));
    expect(await message(await packed(gzipSync(Buffer.alloc(64 * 2 ** 20, ' '))))).toEqual(
      refused('exceeds the limit'),
    );
    expect(await message(await packed(plain, 'br'))).toEqual(refused("Unsupported Content-Encoding 'br'"));
    expect(await (await packed(gzipSync(plain))).json()).toMatchObject({ labels: { a: 'b' } });
  });

  test.each(['X-HTTP-Method-Override', 'x-http-method-override'])('a POST is what its %s says', async header => {
    const meant = (verb: string, path: string, body?: unknown) => send('POST', path, body, { [header]: verb });
    await send('POST', `${secrets}?secretId=key`, { replication: { automatic: {} } });
    const patched = await meant('PATCH', `${secrets}/key?updateMask=labels`, { labels: { a: 'b' } });
    expect(patched.body).toMatchObject({ labels: { a: 'b' } });
    expect((await meant('GET', `${secrets}/key`)).body).toMatchObject({ labels: { a: 'b' } });
    await send('POST', accounts, { accountId: 'sa-tenant-a' });
    const put = await meant('put', `${accounts}/${EMAIL}`, { displayName: 'D' });
    expect(put.body).toMatchObject({ displayName: 'D', email: EMAIL });
    const long = await fetch(server.url + secrets, {
      method: 'POST',
      headers: { [header]: 'GET', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ filter: `labels.a=b AND NOT name:${'x'.repeat(4000)}`, pageSize: '1' }),
    });
    expect(await long.json()).toMatchObject({ secrets: [{ labels: { a: 'b' } }] });
    expect((await meant('DELETE', `${secrets}/key`)).body).toEqual({});
    expect((await send('GET', `${secrets}/key`, undefined, { [header]: 'DELETE' })).status).toBe(404);
    expect((await meant('EXPLODE', `${secrets}/key`)).status).toBe(405);
  });

  test.each([
    ['/apis/run.googleapis.com/v1/namespaces/demo-project/jobs', 'services only'],
    ['/apis/domains.cloudrun.com/v1/namespaces/demo-project/domainmappings', 'services only'],
    ['/v2/projects/demo-project/locations/asia-northeast1/jobs', 'services only'],
  ])('%s says that it is not here', async (path, message) => {
    const { status, body } = await send('GET', `${path}?alt=json`);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ status: 'FAILED_PRECONDITION', message: expect.stringContaining(message) });
  });

  test('operations of Cloud Run have its own routes', async () => {
    const parent = 'projects/demo-project/locations/asia-northeast1';
    const { name } = core.cloud.operations.start(parent, 'google.cloud.run.v2.Service', {});
    expect((await send('GET', `/v2/${name}`)).body).toMatchObject({ name });
    expect((await send('GET', `/v2/${parent}/operations`)).body).toMatchObject({ operations: [{ name }] });
    core.cloud.operations.finish(name, { responseType: 'google.cloud.run.v2.Service', response: {} });
    expect((await send('POST', `/v2/${name}:wait`, {})).body).toMatchObject({ done: true });
    expect((await send('DELETE', `/v2/${name}`)).status).toBe(200);
    expect((await send('GET', `/v2/${name}`)).status).toBe(404);
  });
});

describe('errors', () => {
  test('are google.rpc.Status; IAM’s carry the older form too', async () => {
    const missing = await send('GET', `${secrets}/none`);
    expect(missing.status).toBe(404);
    expect(missing.body).toEqual({
      error: { code: 404, message: 'Secret [projects/123456/secrets/none] not found.', status: 'NOT_FOUND' },
    });
    const account = await send('GET', `${accounts}/${EMAIL}`);
    expect(account.body).toMatchObject({
      error: { code: 404, status: 'NOT_FOUND', errors: [{ domain: 'global', reason: 'notFound' }] },
    });
  });

  test.each([
    ['an unknown field', { bogus: 1 }, `Unknown name "bogus" at 'secret': Cannot find field.`],
    ['no JSON', '{', 'Invalid JSON payload received. Unexpected token.'],
    ['no object', '[]', 'Root element must be a message.'],
  ])('%s in the body', async (_, body, message) => {
    const { status, body: answer } = await send('POST', `${secrets}?secretId=key`, body);
    expect(status).toBe(400);
    expect(answer.error).toMatchObject({ status: 'INVALID_ARGUMENT', message: expect.stringContaining(message) });
  });

  test('an unknown query parameter', async () => {
    const { status, body } = await send('GET', `${secrets}?pageSizes=2`);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({
      message: `Invalid JSON payload received. Unknown name "pageSizes": Cannot bind query parameter. Field 'pageSizes' could not be found in request message.`,
    });
  });

  test('a body that is too large, of another type, or where none belongs', async () => {
    const large = await send('POST', `${secrets}?secretId=key`, { annotations: { a: 'x'.repeat(5_000_000) } });
    expect(large.body.error).toMatchObject({ code: 400, message: expect.stringContaining('payload size') });
    const form = await send('POST', `${secrets}?secretId=key`, '{}', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(form.body.error).toMatchObject({ code: 400, message: expect.stringContaining('Content-Type') });
    await send('POST', accounts, { accountId: 'sa-tenant-a' });
    expect((await send('POST', `${accounts}/${EMAIL}:getIamPolicy`, { options: {} })).status).toBe(400);
    expect((await send('POST', `${accounts}/${EMAIL}:getIamPolicy`, {})).status).toBe(200);
  });

  test('a used-up quota says when to come back', async () => {
    core.quotas.limits = { secretmanager: { read: 0 } };
    const { status, headers, body } = await send('GET', secrets);
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(body.error).toMatchObject({ status: 'RESOURCE_EXHAUSTED' });
  });
});

describe('HTTP', () => {
  test('HEAD is a GET without a body, other verbs are 405', async () => {
    const head = await send('HEAD', secrets);
    expect(head).toMatchObject({ status: 200, text: '' });
    const options = await send('OPTIONS', secrets);
    expect(options.status).toBe(405);
    expect(options.headers.get('allow')).toContain('PATCH');
  });

  test('enums come as numbers where asked for', async () => {
    await createSecret();
    await send('POST', `${secrets}/key:addVersion`, { payload: { data: 'b25l' } });
    const read = (alt: string) => send('GET', `${secrets}/key/versions/1?${alt}`);
    expect((await read('alt=json')).body).toMatchObject({ state: 'ENABLED' });
    expect((await read('$alt=json%3Benum-encoding=int')).body).toMatchObject({ state: 1 });
  });

  test('an emulator’s token says who calls; any other is taken too', async () => {
    core.faults.deny({ permission: 'secretmanager.secrets.list', caller: 'robot@example.com' });
    const as = (token: string) => send('GET', secrets, undefined, { authorization: `Bearer ${token}` });
    expect((await as('emulator:robot@example.com')).status).toBe(403);
    expect((await as('emulator:other@example.com')).status).toBe(200);
    expect((await as('ya29.something')).status).toBe(200);
  });

  test('a caller that goes away ends its call', async () => {
    core.faults.add({ method: 'ListSecrets', delayMs: 60_000 });
    const gone = new AbortController();
    const call = fetch(server.url + secrets, { signal: gone.signal });
    await expect.poll(() => core.requestLog.length).toBe(1);
    gone.abort();
    await expect(call).rejects.toThrow();
    await expect.poll(() => core.requestLog[0]?.code).toBe('CANCELLED');
  });

  test('as gcloud’s proxy it serves absolute URLs of this machine, also with a region before it, and lets nothing out', async () => {
    expect(await rawGet(`http://asia-northeast1-127.0.0.1:${server.port}${secrets}`)).toContain('HTTP/1.1 200');
    const knative = '/apis/serving.knative.dev/v1/namespaces/demo-project/services';
    expect(await rawGet(`http://asia-northeast1-127.0.0.1:${server.port}${knative}`)).toContain(
      '"kind": "ServiceList"',
    );
    expect(await rawGet(`http://nowhere1-127.0.0.1:${server.port}${knative}`)).toContain("'locations/nowhere1'");
    expect(await rawGet(`http://secretmanager.googleapis.com${secrets}`)).toContain('HTTP/1.1 403');
    const answer = await raw('CONNECT secretmanager.googleapis.com:443 HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(answer).toContain('403 Forbidden: secretmanager.googleapis.com:443 is outside the local Google Cloud');
  });
});

describe('the vendor’s clients', () => {
  test('Secret Manager over REST: create, add, list by pages, access, policies, errors', async () => {
    const client = new SecretManagerServiceClient(
      {
        fallback: true,
        protocol: 'http',
        apiEndpoint: '127.0.0.1',
        port: server.port,
        authClient: new PassThroughClient(),
      } as never,
      gax as never,
    );
    const parent = 'projects/demo-project';
    for (const secretId of ['a', 'b', 'c']) {
      await client.createSecret({
        parent,
        secretId,
        secret: { replication: { automatic: {} }, labels: { of: secretId } },
      });
    }
    const listed: string[] = [];
    for await (const { name } of client.listSecretsAsync({ parent, pageSize: 2 })) listed.push(String(name));
    expect(listed).toEqual(['c', 'b', 'a'].map(id => `projects/123456/secrets/${id}`));

    const name = `${parent}/secrets/a`;
    const [version] = await client.addSecretVersion({ parent: name, payload: { data: Buffer.from('one') } });
    expect(version).toMatchObject({ name: 'projects/123456/secrets/a/versions/1', state: 'ENABLED' });
    const [read] = await client.accessSecretVersion({ name: `${name}/versions/latest` });
    expect(String(read.payload?.data)).toBe('one');

    const [policy] = await client.getIamPolicy({ resource: name, options: { requestedPolicyVersion: 3 } });
    policy.bindings = [{ role: ACCESSOR, members: ['allAuthenticatedUsers'] }];
    const [set] = await client.setIamPolicy({ resource: name, policy });
    expect(set.bindings).toMatchObject([{ role: ACCESSOR, members: ['allAuthenticatedUsers'] }]);
    await expect(client.setIamPolicy({ resource: name, policy })).rejects.toMatchObject({
      message: expect.stringContaining('There were concurrent policy changes.'),
    });
    await expect(client.getSecret({ name: `${parent}/secrets/none` })).rejects.toMatchObject({ code: 5 });
    const update = { secret: { name, labels: { x: 'y' } }, updateMask: { paths: ['labels'] } };
    expect((await client.updateSecret(update))[0].labels).toEqual({ x: 'y' });
    await client.deleteSecret({ name });
    await client.close();
  });

  test('IAM: create, read, patch, list, disable, delete', async () => {
    const iam = new iam_v1.Iam({ rootUrl: `${server.url}/` });
    const { serviceAccounts } = iam.projects;
    const requestBody = { accountId: 'sa-tenant-a', serviceAccount: { displayName: 'A' } };
    const made = await serviceAccounts.create({ name: 'projects/demo-project', requestBody });
    const name = String(made.data.name);
    expect((await serviceAccounts.get({ name })).data).toEqual(made.data);
    const patch = { serviceAccount: { description: 'words' }, updateMask: 'description' };
    expect((await serviceAccounts.patch({ name, requestBody: patch })).data).toMatchObject({
      displayName: 'A',
      description: 'words',
    });
    await serviceAccounts.disable({ name });
    const listed = await serviceAccounts.list({ name: 'projects/demo-project' });
    expect(listed.data.accounts?.find(({ email }) => email === EMAIL)).toMatchObject({ disabled: true });
    expect((await serviceAccounts.getIamPolicy({ resource: name, 'options.requestedPolicyVersion': 3 })).data).toEqual({
      etag: 'ACAB',
    });
    await serviceAccounts.delete({ name });
    await expect(serviceAccounts.get({ name })).rejects.toMatchObject({ status: 404 });
  });
});

test.each([
  ['/v1/projects', 'filter', 'id:demo-project'],
  ['/v1/projects', 'filter', 'lifecycleState:ACTIVE AND (id=demo-project)'],
  ['/v1/projects', 'filter', 'name:demo*'],
  ['/v3/projects:search', 'query', 'id:demo-project'],
  ['/v3/projects:search', 'query', 'projectId:*-project state:ACTIVE'],
])('%s finds a project by the field names of filters: %s=%s', async (path, name, filter) => {
  const found = (text: string) => send('GET', `${path}?${name}=${encodeURIComponent(text)}`);
  expect((await found(filter)).body.projects).toMatchObject([
    { projectId: 'demo-project', createTime: expect.stringMatching(/^\d{4}-.*Z$/) },
  ]);
  expect((await found(`${filter} AND id:none*`)).body).toEqual({});
});

test('the permissions on a secret that does not exist are none, and no error', async () => {
  const permissions = ['secretmanager.secrets.get'];
  const ask = (id: string) => send('POST', `${secrets}/${id}:testIamPermissions`, { permissions });
  expect(await ask('absent')).toMatchObject({ status: 200, body: {} });
  await createSecret();
  expect((await ask('key')).body).toEqual({ permissions });
});

test('DIR/env is read by a shell as it is meant, whatever the folder is called', () => {
  const stateDir = "/tmp/it's a $(folder)";
  const text = envText({ url: 'http://127.0.0.1:8085', project: 'demo-project', stateDir });
  const shown = execFileSync('sh', ['-c', `${text}env`], { env: { PATH: process.env.PATH } }).toString();
  expect(shown).toContain(`CLOUDSDK_CONFIG=${stateDir}/gcloud\n`);
  expect(shown).toContain('CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http://127.0.0.1:8085/\n');
  expect(shown).not.toContain('KUBECONFIG');
});

const rawGet = (target: string) => raw(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);

function raw(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(server.port, '127.0.0.1', () => socket.write(request));
    socket.on('data', chunk => {
      answer += chunk;
    });
    socket.on('end', () => resolve(answer));
    socket.on('error', reject);
  });
}
