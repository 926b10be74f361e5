import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath, URL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../operator/ports.ts';
import { call, isAlive, startWorld, type World } from './run-instances.support.ts';

const account = 'sa-web@demo.iam.gserviceaccount.com';
const worlds: World[] = [];
async function start(...settings: Parameters<typeof startWorld>): Promise<World> {
  const world = await startWorld(...settings);
  worlds.push(world);
  return world;
}
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.stop();
});

const gone = (pid: number) => expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
const state = (service: JsonObject) => (service.terminalCondition as JsonObject).state;

/** A request whose answer has begun and lasts until its own body ends. */
async function openStream(service: JsonObject) {
  const post = request(`${service.uri}/stream`, { method: 'POST', headers: { 'transfer-encoding': 'chunked' } });
  post.flushHeaders();
  const [response] = (await once(post, 'response')) as [IncomingMessage];
  const chunks = response.setEncoding('utf8')[Symbol.asyncIterator]();
  expect((await chunks.next()).value).toBe('first\n');
  return { pid: Number(response.headers['x-pid']), chunks, end: () => post.end('go on') };
}

async function withKey(world: World, granted: boolean) {
  const manager = 'google.cloud.secretmanager.v1.SecretManagerService';
  await world.ok('google.iam.admin.v1.IAM.CreateServiceAccount', { name: 'projects/demo', accountId: 'sa-web' });
  await world.ok(`${manager}.CreateSecret`, {
    parent: 'projects/demo',
    secretId: 'key',
    secret: { replication: { automatic: {} } },
  });
  const setKey = (value: string) =>
    world.ok(`${manager}.AddSecretVersion`, {
      parent: 'projects/demo/secrets/key',
      payload: { data: Buffer.from(value).toString('base64') },
    });
  const setMembers = (members: string[]) =>
    world.ok(`${manager}.SetIamPolicy`, {
      resource: 'projects/demo/secrets/key',
      policy: { bindings: members.length > 0 ? [{ role: 'roles/secretmanager.secretAccessor', members }] : [] },
    });
  await setKey('first');
  if (granted) await setMembers([`serviceAccount:${account}`]);
  const env = [
    { name: 'PLAIN', value: 'plain' },
    { name: 'KEY', valueSource: { secretKeyRef: { secret: 'key', version: 'latest' } } },
  ];
  return { env, setKey, setMembers };
}

describe('an instance', () => {
  it('has the container contract’s variables, plain ones, the secret’s value of its start, and nothing of this process', async () => {
    const world = await start();
    const { env, setKey } = await withKey(world, true);
    process.env.SANDBOX_ONLY = 'x';
    const service = await world.deploy('web', { env }, { template: { serviceAccount: account } });
    const answer = await call(service);
    const revision = String(service.latestReadyRevision).split('/').pop();
    expect(answer.env).toMatchObject({
      K_SERVICE: 'web',
      K_REVISION: revision,
      K_CONFIGURATION: 'web',
      PLAIN: 'plain',
      KEY: 'first',
      FROM_IMAGE: 'yes',
    });
    expect(answer.env.SANDBOX_ONLY).toBeUndefined();
    expect(Number(answer.env.PORT)).toBeGreaterThan(0);
    await setKey('second');
    expect((await call(service)).env.KEY).toBe('first');
    await fetch(`${service.uri}/crash`);
    await expect.poll(async () => (await call(service)).env.KEY).toBe('second');
    const log = `${world.stateDir}/logs/demo/asia-northeast1/web/${revision}.log`;
    expect(await readFile(log, 'utf8')).toBe('started \nstarted \n');
  });

  it('does not start without its secret, at deployment or later, until the grant is back', async () => {
    const world = await start();
    const { env, setMembers } = await withKey(world, true);
    const service = await world.deploy('web', { env }, { template: { serviceAccount: account } });
    const { pid } = await call(service);
    await setMembers([]);
    expect((await call(service)).pid).toBe(pid);
    await fetch(`${service.uri}/crash`);
    await gone(pid);
    const refused = await fetch(service.uri as string);
    expect(refused.status).toBe(500);
    await setMembers([`serviceAccount:${account}`]);
    expect((await call(service)).pid).not.toBe(pid);
  });

  it('that never listens fails the deployment, and is ended', async () => {
    const world = await start({ startupTimeoutMs: 700 });
    const service = await world.deploy('web', { env: [{ name: 'BEHAVIOUR', value: 'silent' }] });
    expect(state(service)).toBe('CONDITION_FAILED');
    expect((service.terminalCondition as JsonObject).message).toContain(
      'failed to start and listen on the port defined provided by the PORT=8080',
    );
    expect((await fetch(service.uri as string)).status).toBe(404);
  });

  it('of an image that nobody knows fails the deployment', async () => {
    const world = await start();
    const service = await world.deploy('web', { image: 'gcr.io/demo/unknown:1' });
    expect((service.terminalCondition as JsonObject).message).toMatch(/Image 'gcr\.io\/demo\/unknown:1' not found\.$/);
  });
});

describe('instances', () => {
  it('come with the first request and go when idle', async () => {
    const world = await start({ idleMs: 200 });
    const service = await world.deploy('web');
    const { pid } = await call(service);
    await gone(pid);
    const next = await call(service);
    expect(next.pid).not.toBe(pid);
    await gone(next.pid);
  });

  it('stay as many as the minimum says, and come back after a crash', async () => {
    const world = await start({ idleMs: 50 });
    const service = await world.deploy(
      'web',
      {},
      { template: { maxInstanceRequestConcurrency: 1 }, service: { scaling: { minInstanceCount: 2 } } },
    );
    const both = async () =>
      new Set((await Promise.all([call(service, '/?ms=100'), call(service, '/?ms=100')])).map(({ pid }) => pid));
    const first = await both();
    expect(first.size).toBe(2);
    await new Promise(resolve => setTimeout(resolve, 300));
    expect([...first].every(isAlive)).toBe(true);
    expect(await both()).toEqual(first);
    await world.update({ name: service.name, scaling: {} }, 'scaling');
    for (const pid of first) await gone(pid);
  });

  it('take no more requests at once than the concurrency, and are no more than the maximum', async () => {
    const world = await start();
    const service = await world.deploy(
      'web',
      {},
      { template: { maxInstanceRequestConcurrency: 2, scaling: { maxInstanceCount: 2 } } },
    );
    const held = await Promise.all(Array.from({ length: 4 }, () => openStream(service)));
    const pids = held.map(({ pid }) => pid);
    expect(new Set(pids).size).toBe(2);
    const fifth = call(service);
    held[0]?.end();
    expect(pids).toContain((await fifth).pid);
    for (const { end } of held.slice(1)) end();
    const mosts = await Promise.all(Array.from({ length: 8 }, async () => (await call(service)).most));
    expect(Math.max(...mosts)).toBe(2);
  });

  it('are given SIGKILL where SIGTERM does nothing, and what they hold ends with the service', async () => {
    const world = await start();
    const service = await world.deploy('web', { env: [{ name: 'BEHAVIOUR', value: 'deaf' }] });
    const { pid } = await call(service);
    await world.settled(await world.ok('Services.DeleteService', { name: service.name }));
    expect((await fetch(service.uri as string)).status).toBe(404);
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  it.skipIf(process.platform !== 'linux')('end with what has left them for a session of its own', async () => {
    const world = await start();
    const service = await world.deploy('web');
    const child = Number(await (await fetch(`${service.uri}/leave`)).text());
    expect(isAlive(child)).toBe(true);
    await world.settled(await world.ok('Services.DeleteService', { name: service.name }));
    await gone(child);
  });

  it('don’t outlive a sandbox that is killed', async () => {
    const parent = spawn(process.execPath, [fileURLToPath(new URL('./run-instances.parent.ts', import.meta.url))], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await once(createInterface({ input: parent.stdout }), 'line');
    const { pid, stateDir, child } = JSON.parse(line);
    expect([pid, child].map(isAlive)).toEqual([true, true]);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await gone(pid);
    if (process.platform === 'linux') await gone(child);
    await rm(stateDir, { recursive: true });
  });
});

describe('a request', () => {
  it('reaches its service by curl, by fetch and by name, and no other by a name that is not its own', async () => {
    const world = await start();
    const here = await world.deploy('web');
    const there = await world.deploy('web', {}, { parent: 'projects/other/locations/us-central1' });
    const hello = await world.deploy('hello', { image: 'gcr.io/cloudrun/hello:latest' });
    expect(await call(here, '/a?b=c', { headers: { 'x-own': '1' } })).toMatchObject({
      url: '/a?b=c',
      headers: { 'x-own': '1', 'x-forwarded-for': '127.0.0.1' },
    });
    expect((await call(here)).pid).not.toBe((await call(there)).pid);
    const [named] = here.urls as string[];
    const { stdout } = await promisify(execFile)('curl', ['-sS', `${named}/x`]);
    expect(JSON.parse(stdout)).toMatchObject({ url: '/x', pid: (await call(here)).pid });
    expect(await (await fetch(hello.uri as string)).text()).toContain('Service: hello');
    const { stdout: status } = await promisify(execFile)('curl', [
      '-sS',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '-H',
      'Host: evil.example',
      here.uri as string,
    ]);
    expect(status).toBe('403');
  });

  it('carries a WebSocket both ways until one side ends it, and refuses one of a page of others', async () => {
    const world = await start();
    const service = await world.deploy('web');
    const port = Number(new URL(service.uri as string).port);
    const open = (more = '') => {
      const socket = connect(port, '127.0.0.1');
      const lines = `Host: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}`;
      socket.write(`GET /ws HTTP/1.1\r\n${lines}\r\nearly`);
      return socket.setEncoding('latin1');
    };
    const socket = open();
    let answer = '';
    socket.on('data', text => {
      answer += text;
    });
    await expect.poll(() => answer).toMatch(/^HTTP\/1\.1 101 [\s\S]*x-saw: Upgrade[\s\S]*\r\n\r\nearly$/);
    socket.write(' and late');
    await expect.poll(() => answer).toMatch(/early and late$/);
    socket.destroy();
    expect((await call(service)).most, 'its place is free again').toBe(1);
    const foreign = open('Origin: http://evil.example\r\n');
    const [refusal] = await once(foreign, 'data');
    expect(refusal).toMatch(/^HTTP\/1\.1 403 /);
  });

  it('comes with what Cloud Run’s front end adds; of the caller’s own words only its trace is believed', async () => {
    const world = await start();
    const service = await world.deploy('web');
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const { headers } = await call(service, '/', {
      headers: {
        'x-forwarded-proto': 'https',
        forwarded: 'for=1.2.3.4;proto=https',
        'x-forwarded-for': '1.2.3.4',
        traceparent: `00-${trace}-b7ad6b7169203331-01`,
      },
    });
    expect(headers).toMatchObject({
      'x-forwarded-proto': 'http',
      forwarded: 'for="127.0.0.1";proto=http',
      'x-forwarded-for': '1.2.3.4, 127.0.0.1',
      traceparent: expect.stringMatching(new RegExp(`^00-${trace}-(?!b7ad6b7169203331)[0-9a-f]{16}-0\\d$`)),
      'x-cloud-trace-context': expect.stringMatching(new RegExp(`^${trace}/\\d+$`)),
    });
    const fresh = (await call(service, '/', { headers: { traceparent: 'x' } })).headers;
    expect(fresh.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0\d$/);
    expect(fresh.traceparent).not.toContain(trace);
  });

  it('whose answer is no HTTP that can be passed on gets 503, and nobody else notices', async () => {
    const world = await start();
    const service = await world.deploy('web');
    for (const line of ['099 x', '000 x', '200 a\u0001b', '101 x', 'x', '']) {
      const bytes = encodeURIComponent(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
      expect((await fetch(`${service.uri}/raw?bytes=${bytes}`)).status, line).toBe(503);
    }
    expect((await call(service)).most, 'their places are free again').toBe(1);
  });

  it.each(['a length', 'chunks'])('of more than 32 MiB is refused with 413 (%s)', async how => {
    const world = await start();
    const service = await world.deploy('web');
    const post = request(`${service.uri}/drain`, {
      method: 'POST',
      headers: how === 'chunks' ? { 'transfer-encoding': 'chunked' } : { 'content-length': 33 * 1024 * 1024 },
    });
    post.on('error', () => {});
    const answered = once(post, 'response') as Promise<[IncomingMessage]>;
    for (let i = 0; i < 33; i++) post.write(Buffer.alloc(1024 * 1024));
    const [response] = await answered;
    expect(response.statusCode).toBe(413);
    post.destroy();
  });

  it('its process gets no variable that decides which code this machine runs, and listens on this machine only', async () => {
    const world = await start();
    const planted = `--import=data:text/javascript,${encodeURIComponent('process.env.PLANTED = "yes"')}`;
    const variables = { NODE_OPTIONS: planted, LD_PRELOAD: '/x.so', PATH: '/x', HOST: '0.0.0.0', HARMLESS: 'kept' };
    const env = Object.entries(variables).map(([name, value]) => ({ name, value }));
    const service = await world.deploy('web', { env });
    const { env: seen } = await call(service);
    expect(seen).toMatchObject({ HARMLESS: 'kept', HOST: '127.0.0.1' });
    for (const name of ['NODE_OPTIONS', 'LD_PRELOAD', 'PLANTED']) expect(seen).not.toHaveProperty(name);
    expect(seen.PATH).not.toBe('/x');
  });

  it('reaches this repository’s backend under its image’s name, with defaults that its service does not show', async () => {
    const world = await start();
    const service = await world.deploy('chat', { image: 'asia-docker.pkg.dev/demo/repo/ai-backend:v2@sha256:0a' });
    expect(await (await fetch(`${service.uri}/health`)).json()).toEqual({ status: 'ok' });
    expect(JSON.stringify(service)).not.toContain('OPENAI_BASE_URL');
  });

  it('needs an invoker unless the service is public', async () => {
    const world = await start();
    const service = await world.deploy('web', {}, { service: { invokerIamDisabled: false } });
    const refused = await fetch(`${service.uri}/a<b>`);
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain(
      'Your client does not have permission to get URL <code>/a%3Cb%3E</code> from this server.',
    );
    const policy = { bindings: [{ role: 'roles/run.invoker', members: ['user:a@example.com'] }] };
    await world.ok('Services.SetIamPolicy', { resource: service.name, policy });
    const as = (email: string) =>
      fetch(service.uri as string, { headers: { authorization: `Bearer emulator:${email}` } });
    expect((await as('a@example.com')).status).toBe(200);
    expect((await as('b@example.com')).status).toBe(403);
    const token = `x.${Buffer.from(JSON.stringify({ email: 'a@example.com' })).toString('base64url')}.x`;
    expect((await fetch(service.uri as string, { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
  });

  it('ends with 504 at the service’s time-out', async () => {
    const world = await start();
    const service = await world.deploy('web', {}, { template: { timeout: '1s' } });
    const response = await fetch(`${service.uri}/?ms=60000`);
    expect(response.status).toBe(504);
    expect(await response.text()).toBe('upstream request timeout');
  });

  it('streams both ways', async () => {
    const world = await start();
    const service = await world.deploy('web');
    const { chunks, end } = await openStream(service);
    end();
    expect((await chunks.next()).value).toBe('last\n');
    expect((await chunks.next()).done).toBe(true);
  });

  it('frees its place when the caller goes away', async () => {
    const world = await start();
    const service = await world.deploy(
      'web',
      {},
      { template: { maxInstanceRequestConcurrency: 1, scaling: { maxInstanceCount: 1 } } },
    );
    const caller = new AbortController();
    const first = fetch(`${service.uri}/?ms=60000`, { signal: caller.signal });
    const second = call(service);
    caller.abort();
    await expect(first).rejects.toThrow();
    await expect(second).resolves.toMatchObject({ url: '/' });
  });

  it('never fails while one revision takes over from another', async () => {
    const world = await start();
    const service = await world.deploy('web', { env: [{ name: 'N', value: '0' }] });
    const old = await call(service);
    let rolling = true;
    const seen = new Set<string>();
    const caller = async () => {
      while (rolling) seen.add((await call(service, '/?ms=30')).env.N ?? '');
    };
    const callers = Array.from({ length: 4 }, caller);
    for (const n of ['1', '2', '3']) {
      const containers = [{ image: 'gcr.io/demo/app:1', env: [{ name: 'N', value: n }] }];
      await world.update({ name: service.name, template: { containers } }, 'template');
      expect((await call(service)).env.N).toBe(n);
      await expect.poll(() => seen.has(n)).toBe(true);
    }
    rolling = false;
    await Promise.all(callers);
    expect([...seen].sort()).toEqual(['0', '1', '2', '3']);
    await gone(old.pid);
  });
});
