import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { json } from 'node:stream/consumers';
import { fileURLToPath, URL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
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
    { name: '__proto__', value: 'own' },
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
    expect(Object.getOwnPropertyDescriptor(answer.env, '__proto__')?.value).toBe('own');
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

describe('several containers of one instance', () => {
  const ports = [{ containerPort: 8080 }];
  const sidecar = (port: number, more: JsonObject = {}): JsonObject => ({
    name: 'helper',
    image: 'gcr.io/demo/sidecar:1',
    env: [{ name: 'SIDECAR_PORT', value: String(port) }],
    startupProbe: { tcpSocket: { port } },
    ...more,
  });
  const atHelper = async (port: number) =>
    (await (await fetch(`http://127.0.0.1:${port}`)).json()) as { pid: number; env: Record<string, string> };

  it('start in the order of their dependencies, have variables of their own, and end together', async () => {
    const world = await start();
    const port = await freePort();
    const service = await world.deploy('web', { ports, dependsOn: ['helper'] }, { sidecars: [sidecar(port)] });
    expect(state(service)).toBe('CONDITION_SUCCEEDED');
    const [main, helper] = [await call(service), await atHelper(port)];
    expect(main.env.SIDECAR_PORT).toBeUndefined();
    expect(helper.env).toMatchObject({ K_SERVICE: 'web', SIDECAR_PORT: String(port) });
    expect(helper.env.PORT).toBeUndefined();
    expect(((service.template as JsonObject).containers as JsonObject[]).map(one => 'ports' in one)).toEqual([
      true,
      false,
    ]);
    await fetch(`http://127.0.0.1:${port}/crash`).catch(() => {});
    await gone(main.pid);
    const next = await call(service);
    const helped = await atHelper(port);
    expect(helped.pid).not.toBe(helper.pid);
    await world.ok('Services.DeleteService', { name: service.name as string });
    await gone(next.pid);
    await gone(helped.pid);
  });

  it('do not come up where one of them does not', async () => {
    const world = await start({ startupTimeoutMs: 2_500 });
    const silent = sidecar(await freePort(), { env: [{ name: 'BEHAVIOUR', value: 'silent' }] });
    const service = await world.deploy('web', { ports, dependsOn: ['helper'] }, { sidecars: [silent] });
    expect(state(service)).toBe('CONDITION_FAILED');
    const collector = { image: 'otel/opentelemetry-collector-contrib:0.140.0', name: 'otel' };
    const probed = { ...collector, startupProbe: { httpGet: { port: await freePort() } } };
    const observed = await world.deploy('third', { ports, dependsOn: ['otel'] }, { sidecars: [probed] });
    expect(state(observed), 'a stand-in takes a collector’s place').toBe('CONDITION_SUCCEEDED');
    const unknown = await world.deploy('other', { ports }, { sidecars: [{ image: 'gcr.io/demo/unknown:1' }] });
    expect((unknown.terminalCondition as JsonObject).message).toMatch(/Image 'gcr\.io\/demo\/unknown:1' not found\.$/);
  });
});

describe('a volume', () => {
  const mounted = (name: string, mountPath: string) => ({ volumeMounts: [{ name, mountPath }] });

  it('of a secret holds its versions as files, and is checked as a variable is', async () => {
    const world = await start();
    const { setMembers } = await withKey(world, true);
    const volumes = [{ name: 'keys', secret: { secret: 'key', items: [{ path: 'a/openai', version: 'latest' }] } }];
    const template = { serviceAccount: account, volumes };
    const file = [{ name: 'KEY_FILE', value: '/secrets/a/openai' }];
    const service = await world.deploy('web', { env: file, ...mounted('keys', '/secrets') }, { template });
    const { pid, env } = await call(service);
    const here = env.KEY_FILE ?? '';
    expect(here.startsWith(world.stateDir)).toBe(true);
    expect(await readFile(here, 'utf8')).toBe('first');
    // Taken back under a revision that runs: a new instance starts, without the file.
    await setMembers([]);
    await fetch(`${service.uri}/crash`);
    await gone(pid);
    const later = await call(service);
    await expect(readFile(later.env.KEY_FILE ?? '', 'utf8')).rejects.toThrow(/ENOENT/);
    await expect(readFile(here, 'utf8')).rejects.toThrow(/ENOENT/);
    const refused = await world.deploy('other', mounted('keys', '/secrets'), { template });
    expect((refused.terminalCondition as JsonObject).message).toContain('Permission denied on secret');
  });

  it('in memory is the instance’s own, shared by its containers; a bucket’s is everybody’s and stays', async () => {
    const world = await start();
    const port = await freePort();
    const volumes = [
      { name: 'scratch', emptyDir: { medium: 'MEMORY' } },
      { name: 'data', gcs: { bucket: 'demo-data' } },
    ];
    const env = [
      { name: 'SCRATCH', value: '/scratch' },
      { name: 'DATA', value: '/mnt/data/file' },
      { name: 'SIDECAR_PORT', value: String(port) },
    ];
    const volumeMounts = [
      { name: 'scratch', mountPath: '/scratch' },
      { name: 'data', mountPath: '/mnt/data' },
    ];
    const sidecars = [
      {
        image: 'sidecar',
        env,
        volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
        startupProbe: { tcpSocket: { port } },
      },
    ];
    const service = await world.deploy('web', { ports: [{}], env, volumeMounts }, { template: { volumes }, sidecars });
    const first = await call(service);
    const helper = (await (await fetch(`http://127.0.0.1:${port}`)).json()) as { env: Record<string, string> };
    expect(helper.env.SCRATCH).toBe(first.env.SCRATCH);
    expect(helper.env.DATA, 'not mounted there').toBe('/mnt/data/file');
    await writeFile(first.env.DATA ?? '', 'kept');
    await writeFile(`${first.env.SCRATCH}/x`, 'lost');
    await fetch(`${service.uri}/crash`);
    await gone(first.pid);
    const second = await call(service);
    expect(await readFile(second.env.DATA ?? '', 'utf8')).toBe('kept');
    expect(second.env.SCRATCH).not.toBe(first.env.SCRATCH);
  });

  it.each<[string, JsonObject, JsonObject, RegExp]>([
    ['two ports', { ports: [{}] }, { image: 'sidecar', ports: [{}] }, /exactly one container with an exposed port/],
    ['no port', {}, { image: 'sidecar' }, /exactly one container with an exposed port/],
    ['a dependency that is not there', { ports: [{}], dependsOn: ['x'] }, { image: 'sidecar' }, /is not defined/],
    [
      'one without a probe',
      { ports: [{}], dependsOn: ['s'] },
      { image: 'sidecar', name: 's' },
      /must have startup probe/,
    ],
    ['an unknown volume', { ports: [{}], ...mounted('v', '/v') }, { image: 'sidecar' }, /volume 'v' is not defined/],
  ])('and containers that do not fit are refused: %s', async (_what, container, other, message) => {
    const world = await start();
    await expect(world.deploy('web', container, { sidecars: [other] })).rejects.toThrow(message);
  });

  it.each<[JsonObject, RegExp]>([
    [{ name: 'v', secret: { secret: 'key', items: [{ path: '../../x', version: '1' }] } }, /must be a relative path/],
    [{ name: 'v', gcs: { bucket: '../x' } }, /not the name of a bucket/],
    [{ name: 'v', nfs: { server: 'a', path: '/x/../../..' } }, /a server and an absolute path/],
    [{ name: 'v', emptyDir: {}, gcs: { bucket: 'abc' } }, /already set/],
    [{ name: 'v', cloudSqlInstance: { instances: ['a:b:c'] } }, /must be named 'cloudsql'/],
  ])('%j is refused', async (volume, message) => {
    const world = await start();
    await expect(world.deploy('web', mounted('v', '/v'), { template: { volumes: [volume] } })).rejects.toThrow(message);
  });
});

describe('a volume that this machine cannot make', () => {
  const items = (...paths: string[]) => ({
    name: 'v',
    secret: { secret: 'key', items: paths.map(path => ({ path, version: '1' })) },
  });
  it.each<[string, JsonObject]>([
    ['a file below another one', items('a', 'a/b')],
    ['a name too long', items('a'.repeat(300))],
    ['a name with a zero byte', items('a\0b')],
    ['a file server’s path that is too long', { name: 'v', nfs: { server: 'a', path: `/${'a'.repeat(300)}` } }],
  ])('fails its revision and nothing else: %s', async (_what, volume) => {
    const world = await start();
    await withKey(world, true);
    const told = vi.spyOn(console, 'error').mockReturnValue();
    onTestFinished(() => told.mockRestore());
    const container = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const service = await world.deploy('web', container, { template: { serviceAccount: account, volumes: [volume] } });
    expect(state(service)).toBe('CONDITION_FAILED');
    expect(told.mock.calls.join()).toContain("The local Cloud Run can't start it");
    expect((await call(await world.deploy('other'))).url).toBe('/');
  });

  it.each(['..', '.', '-a', 'a.', 'a'.repeat(300)])('and the file server %j is refused', async server => {
    const world = await start();
    const template = { volumes: [{ name: 'v', nfs: { server, path: '/' } }] };
    await expect(world.deploy('web', {}, { template })).rejects.toThrow(/a server and an absolute path/);
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

  it('refuses a WebSocket to a container that speaks HTTP/2 only, and does not send it HTTP/1', async () => {
    const world = await start();
    const env = [{ name: 'BEHAVIOUR', value: 'h2c' }];
    const service = await world.deploy('web', { ports: [{ name: 'h2c', containerPort: 8080 }], env });
    const port = Number(new URL(service.uri as string).port);
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    socket.write(`GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1\.1 503 /);
  });

  it.each(['Content-Length: 4', 'Transfer-Encoding: chunked'])(
    'keeps the frame of its body, also where Connection names it away (%s)',
    async frame => {
      const world = await start();
      const port = Number(new URL((await world.deploy('web')).uri as string).port);
      const socket = connect(port, '127.0.0.1').setEncoding('latin1');
      const [name = ''] = frame.split(':');
      const lines = ['GET / HTTP/1.1', 'Host: localhost', `Connection: close, ${name}, host`, frame];
      const body = name === 'Content-Length' ? 'four' : '4\r\nfour\r\n0\r\n\r\n';
      socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
      let answer = '';
      for await (const text of socket) answer += text;
      expect(answer).toContain(`"${frame.toLowerCase().replace(': ', '":"')}"`);
      expect(answer).toContain('"host":"localhost"');
    },
  );

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

  it.each([
    ['h2c', [{ name: 'h2c', containerPort: 8080 }]],
    ['http1', [{ containerPort: 8080 }]],
  ])('by HTTP/1 or HTTP/2 reaches a container that speaks %s', async (name, ports) => {
    const world = await start();
    const env = name === 'h2c' ? [{ name: 'BEHAVIOUR', value: 'h2c' }] : [];
    const service = await world.deploy('web', { ports, env });
    const seen = await call(service, '/a?b=1', { method: 'POST', body: 'four', headers: { 'x-own': 'y' } });
    expect(seen).toMatchObject({ url: '/a?b=1', headers: { 'x-own': 'y', 'x-forwarded-proto': 'http' } });
    const session = connectHttp2(service.uri as string);
    const post = (path: string, body: Buffer) => {
      const stream = session.request({ ':method': 'POST', ':path': path, te: 'trailers', 'x-own': 'z' });
      const answered = Promise.all([once(stream, 'response'), json(stream) as Promise<JsonObject>]);
      const trailed = name === 'h2c' && path === '/status' ? once(stream, 'trailers') : undefined;
      stream.end(body);
      return Promise.all([answered, trailed]);
    };
    const many = await Promise.all(Array.from({ length: 10 }, (_, at) => post(`/${at}`, Buffer.from('four'))));
    for (const [at, [[[head], body]]] of many.entries()) {
      expect(head[':status']).toBe(200);
      expect(body).toMatchObject({ url: `/${at}`, headers: { 'x-own': 'z' } });
    }
    const [, trailers] = await post('/status', Buffer.from('four'));
    if (name === 'h2c') {
      expect(seen).toMatchObject({ httpVersion: '2.0', length: 4 });
      expect(trailers?.[0]).toMatchObject({ 'grpc-status': '0' });
      // The bound of 32 MiB is HTTP/1's.
      const [[, large]] = await post('/large', Buffer.alloc(33 * 1024 * 1024));
      expect(large.length).toBe(33 * 1024 * 1024);
    }
    session.close();
    const foreign = connectHttp2(service.uri as string);
    const refused = foreign.request({ ':path': '/', ':authority': 'evil.example' });
    expect((await once(refused, 'response'))[0][':status']).toBe(403);
    foreign.close();
  });

  it('whose answer is no HTTP that can be passed on gets 503, and nobody else notices', async () => {
    const world = await start();
    const service = await world.deploy('web');
    for (const line of ['099 x', '000 x', '200 a\u0001b', '101 x', 'x', '']) {
      const bytes = encodeURIComponent(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
      expect((await fetch(`${service.uri}/raw?bytes=${bytes}`)).status, line).toBe(503);
    }
    const session = connectHttp2(service.uri as string);
    // HTTP/2 in Node.js has no status above 599; HTTP/1 passes it on.
    for (const line of ['600 x', '999 x', '099 x']) {
      const bytes = encodeURIComponent(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
      const stream = session.request({ ':path': `/raw?bytes=${bytes}` });
      expect((await once(stream, 'response'))[0][':status'], line).toBe(503);
      stream.close();
    }
    session.close();
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
