import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { realRuntime } from '../../ports/runtime.ts';
import { startConsole } from '../../sandbox/console/console.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { openAddresses } from '../../sandbox/gcp/instances/addresses.ts';
import { withoutCodeVariables } from '../../sandbox/gcp/instances/images.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { createKubeCore, startKubeServer } from '../../sandbox/kube/index.ts';
import { createLocalServer } from '../../sandbox/localServer.ts';
import { startOpenAi } from '../../sandbox/openai/server.ts';
import { claimStateFolder } from '../../sandbox/stateFolder.ts';
import { sendAndReset, sendRaw } from '../fuzz/targetForms.ts';

/** What a page of a stranger can do to a sandbox on the same machine: nothing. */

interface Door {
  name: string;
  port: number;
  path: string;
  /** A request with a body that changes something. */
  write?: { path: string; body: string };
}
const doors: Door[] = [];
const closers: (() => Promise<void>)[] = [];
let handled = 0;
const project = { id: 'demo-project', number: '123456789012' };
const gcpCore = createGcpCore({ runtime: realRuntime, projects: [project] });

beforeAll(async () => {
  const cloud = await startGcpServer({ core: gcpCore });
  const kubeCore = createKubeCore({ runtime: realRuntime });
  const kube = await startKubeServer({ core: kubeCore });
  const console = await startConsole({
    kube: kubeCore.api,
    core: gcpCore,
    runtime: realRuntime,
    project: project.id,
    image: 'example.com/image',
    operatorLog: '/nonexistent',
  });
  const openAi = await startOpenAi();
  const addresses = await openAddresses((_target, _request, response) => {
    handled++;
    response.end('ok');
  });
  closers.push(cloud.close, kube.close, console.close, openAi.close, addresses.close);
  const service = addresses.of({ project, location: 'asia-northeast1', id: 'web' });
  const portOf = (url: string) => Number(new URL(url).port);
  doors.push(
    {
      name: 'cloud',
      port: cloud.port,
      path: '/v1/projects/demo-project/secrets',
      write: {
        path: '/v1/projects/demo-project/secrets?secretId=csrf',
        body: '{"replication":{"automatic":{}},"labels":{"ai-tenant-namespace":"default"}}',
      },
    },
    {
      name: 'kube',
      port: portOf(kube.url),
      path: '/api/v1/namespaces',
      write: { path: '/api/v1/namespaces', body: '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"csrf"}}' },
    },
    {
      name: 'openai',
      port: portOf(openAi.url),
      path: '/v1/models',
      write: { path: '/v1/chat/completions', body: '{}' },
    },
    {
      name: 'console',
      port: portOf(console.url),
      path: '/',
      write: { path: '/api/break', body: '{"tenant":"default/tenant-a","what":"outage"}' },
    },
    { name: 'service', port: portOf(service.uri), path: '/' },
  );
});
afterAll(async () => {
  for (const close of closers) await close();
});

const statusOf = async (
  door: Door,
  lines: string[],
  target = door.path,
  method = 'GET',
  body = '',
): Promise<number> => {
  const all = ['Connection: close', ...(body ? [`Content-Length: ${body.length}`] : []), ...lines];
  const answer = await sendRaw(door.port, `${method} ${target} HTTP/1.1\r\n${all.join('\r\n')}\r\n\r\n${body}`, 3_000);
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
};
const own = (door: Door) => `Host: 127.0.0.1:${door.port}`;

const names = fc.oneof(
  fc.domain(),
  fc.ipV4().filter(ip => !ip.startsWith('127.')),
  fc.constantFrom(
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    'evil-127.0.0.1.example',
    '0.0.0.0',
    '',
  ),
  fc.constantFrom('notlocalhost', '127.0.0.1@evil.example', '[::2]', 'localhost.', '127.1.1.1.1'),
);
const DOORS = ['cloud', 'kube', 'openai', 'console', 'service'];

describe.each(DOORS)('%s', name => {
  const door = () => doors.find(each => each.name === name) as Door;

  test('answers to the names of this machine', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]', 'LOCALHOST']) {
      expect(await statusOf(door(), [`Host: ${host}:${door().port}`]), host).not.toBe(403);
    }
    expect(await statusOf(door(), [own(door())], `http://127.0.0.1:${door().port}${door().path}`)).not.toBe(403);
  });

  test('to no other name, in Host or in an absolute target: DNS rebinding', async () => {
    await fc.assert(
      fc.asyncProperty(names, fc.boolean(), async (foreign, port) => {
        const authority = port ? `${foreign}:${door().port}` : foreign;
        const before = handled;
        expect([400, 403]).toContain(await statusOf(door(), [`Host: ${authority}`]));
        expect([400, 403]).toContain(await statusOf(door(), [own(door())], `http://${authority}${door().path}`));
        expect(handled).toBe(before);
      }),
      { numRuns: 60 },
    );
  });

  test('refuses what pages of others send, whatever the method', async () => {
    const before = handled;
    for (const page of [
      'Origin: http://evil.example',
      'Origin: null',
      'Origin: file://',
      'Sec-Fetch-Site: cross-site',
    ]) {
      for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'PATCH']) {
        expect(await statusOf(door(), [own(door()), page], undefined, method), `${method} ${page}`).toBe(403);
      }
    }
    expect(handled).toBe(before);
  });
});

test('a caller that cuts its connection, at any moment and of any kind, ends no process', async () => {
  const thrown: unknown[] = [];
  const onException = (error: unknown) => thrown.push(error);
  process.on('uncaughtException', onException);
  onTestFinished(() => void process.off('uncaughtException', onException));
  for (const door of doors) {
    const requests = [
      `CONNECT evil.example:443 HTTP/1.1\r\n${own(door)}\r\n\r\n`,
      `GET / HTTP/1.1\r\n${own(door)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
      `GET ${door.path} HTTP/1.1\r\n${own(door)}\r\n\r\n`.repeat(50),
      `POST ${door.path} HTTP/1.1\r\n${own(door)}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`,
    ];
    for (const request of requests)
      await Promise.all(Array.from({ length: 16 }, (_, at) => sendAndReset(door.port, request, at % 4)));
    expect(await statusOf(door, [own(door)]), door.name).toBeLessThan(500);
  }
  expect(thrown).toEqual([]);
});

test('a WebSocket whose connection breaks, with and without a body, ends nothing else', async () => {
  const thrown: unknown[] = [];
  const note = (error: unknown) => thrown.push(error);
  process.on('uncaughtException', note);
  onTestFinished(() => void process.off('uncaughtException', note));
  const server = createLocalServer(
    { pages: 'local', webSockets: true, refuse: response => response.writeHead(403).end() },
    (_request, _response, upgraded) => void upgraded?.client.destroy(new Error('broken')),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  for (const more of ['', 'Content-Length: 9\r\n', 'Transfer-Encoding: chunked\r\n']) {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').resume();
    socket.on('error', () => {});
    socket.write(`GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${more}\r\n`);
    await once(socket, 'close');
  }
  expect(thrown).toEqual([]);
});

test('pages of other local ports may call services, not the APIs', async () => {
  for (const door of doors) {
    const status = await statusOf(door, [own(door), 'Origin: http://localhost:3000', 'Sec-Fetch-Site: cross-site']);
    expect(status === 403, door.name).toBe(door.name !== 'service');
    expect(await statusOf(door, [own(door), `Origin: http://127.0.0.1:${door.port}`]), door.name).not.toBe(403);
  }
});

test('a page of another local port can load nothing of an API as an image, which has no Origin; its links work', async () => {
  const site = 'Sec-Fetch-Site: same-site';
  for (const door of doors) {
    const image = await statusOf(door, [own(door), site, 'Sec-Fetch-Mode: no-cors', 'Sec-Fetch-Dest: image']);
    expect(image === 403, door.name).toBe(door.name !== 'service');
    const link = [own(door), site, 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document'];
    expect(await statusOf(door, link), door.name).not.toBe(403);
  }
});

test('a body that a browser sends without asking first (no type, text, form) changes nothing', async () => {
  const types = [
    [],
    ['Content-Type:'],
    ['Content-Type: text/plain'],
    ['Content-Type: application/x-www-form-urlencoded'],
  ];
  for (const door of doors.filter(({ write }) => write)) {
    const { path, body } = door.write ?? { path: '', body: '' };
    for (const type of types) {
      const lines = [own(door), 'Authorization: Bearer sk-any', ...type];
      expect([400, 403, 415], `${door.name} ${type}`).toContain(await statusOf(door, lines, path, 'POST', body));
    }
  }
  expect(gcpCore.requestLog.filter(({ method }) => method.includes('CreateSecret'))).toEqual([]);
});

describe('a local process', () => {
  test('gets no variable from a template that decides which code runs', () => {
    const dangerous = [
      'NODE_OPTIONS',
      'NODE_PATH',
      'NODE_EXTRA_CA_CERTS',
      'LD_PRELOAD',
      'LD_LIBRARY_PATH',
      'DYLD_INSERT_LIBRARIES',
    ];
    const more = [
      'PATH',
      'CDPATH',
      'A_B_PATH',
      'HOSTALIASES',
      'GIT_SSH_COMMAND',
      'DOTNET_STARTUP_HOOKS',
      'CORECLR_PROFILER_PATH',
      'LUA_INIT',
      'ZDOTDIR',
      'Path',
      'OPENSSL_CONF',
      'GCONV_PATH',
      'PYTHONPATH',
      'PYTHONSTARTUP',
      'BASH_ENV',
      'ENV',
      'JAVA_TOOL_OPTIONS',
    ];
    const harmless = ['OPENAI_MODEL', 'PORTAL', 'LDAP_URL', 'NODES', 'MESSAGE', 'PATHS_ALLOWED', 'ENVIRONMENT'];
    const all = Object.fromEntries([...dangerous, ...more, ...harmless].map(name => [name, 'x']));
    const { env, left } = withoutCodeVariables(all);
    expect(Object.keys(env)).toEqual(harmless);
    expect(left).toEqual([...dangerous, ...more]);
  });
});

describe('a port that takes HTTP/2, too', () => {
  async function listening(): Promise<Server> {
    const server = createLocalServer(
      { pages: 'local', http2: true, refuse: response => response.writeHead(403).end() },
      (_request, response) => void response.end('ok'),
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return server;
  }
  const portOf = (server: Server) => (server.address() as AddressInfo).port;
  const preface = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]);

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['half a line', Buffer.from('GET / HT')],
    ['the beginning of HTTP/2', preface],
  ])('closes a connection whose caller has sent %s and ends it', async (_what, sent) => {
    const server = await listening();
    const socket = connect({ port: portOf(server), host: '127.0.0.1', allowHalfOpen: true });
    const accepted = once(server, 'connection');
    if (sent.length > 0) socket.write(sent);
    await accepted;
    socket.resume().end();
    await once(socket, 'end');
  });

  test('closes a connection that says nothing after the time that a head may take', async () => {
    const server = await listening();
    server.headersTimeout = 20;
    const socket = connect(portOf(server), '127.0.0.1').resume();
    await once(socket, 'end');
  });

  test.each([
    { ':authority': 'evil.example', host: 'localhost' },
    { ':authority': 'localhost', host: 'evil.example' },
    { ':authority': 'localhost', origin: 'https://evil.example' },
    { ':authority': 'localhost', 'sec-fetch-site': 'cross-site' },
  ])('refuses %j as over HTTP/1', async headers => {
    const server = await listening();
    const session = connectHttp2(`http://127.0.0.1:${portOf(server)}`);
    const [answer] = await once(session.request({ ':path': '/', ...headers }), 'response');
    session.destroy();
    expect(answer[':status']).toBe(403);
  });
});

describe('the state folder', () => {
  async function given(files: Record<string, string>): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'state-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    return folder;
  }

  test('with files of somebody else is refused and left as it is', async () => {
    for (const name of ['kubeconfig', 'logs', 'env', 'x']) {
      const folder = await given({ [name]: 'mine' });
      await expect(claimStateFolder(folder)).rejects.toThrow('contains files that were not made by a sandbox');
      expect(await readdir(folder)).toEqual([name]);
      expect(await readFile(join(folder, name), 'utf8')).toBe('mine');
    }
  });

  test('has no links left through which files elsewhere would be written', async () => {
    const elsewhere = await given({ config: 'mine' });
    const folder = await given({ '.aitenant-sandbox': '' });
    const names = ['kubeconfig', 'env', 'operator.log'];
    for (const name of names) await symlink(join(elsewhere, 'config'), join(folder, name));
    const folders = ['logs', 'volumes', 'buckets', 'nfs'];
    for (const name of folders) await symlink(elsewhere, join(folder, name));
    await claimStateFolder(folder);
    expect(await readdir(folder)).toEqual(['.aitenant-sandbox']);
    for (const name of names) await writeFile(join(folder, name), 'ours');
    await rm(join(folder, 'logs'), { recursive: true, force: true });
    expect(await readFile(join(elsewhere, 'config'), 'utf8')).toBe('mine');
  });

  test('that is new, empty, marked or of version 0.1 is taken', async () => {
    const folder = await given({});
    await claimStateFolder(join(folder, 'new', 'er'));
    await claimStateFolder(join(folder, 'new', 'er'));
    await writeFile(join(folder, 'new', 'er', 'kubeconfig'), 'ours');
    await claimStateFolder(join(folder, 'new', 'er'));
    const old = await given({ kubeconfig: '' });
    await writeFile(
      join(old, 'env'),
      `export CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN=http://127.0.0.1:7641/\nexport CLOUDSDK_CONFIG=${join(old, 'gcloud')}\n`,
    );
    await claimStateFolder(old);
    expect(await readdir(old)).toContain('.aitenant-sandbox');
  });
});
