import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createKubeApi } from '../../operator/kube/kubeApi.ts';
import { KubeconfigError, loadKubeConfig } from '../../operator/kube/kubeconfig.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { CERTIFICATE, KEY } from '../unit/support/certificate.ts';

/**
 * What kubectl takes as a kubeconfig, the operator takes: each case is one request, as an API server of the test records it, by
 * the operator's client and, where this machine has one, by the real kubectl.
 */

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const base64 = (text: string) => Buffer.from(text).toString('base64');

/** What the API server saw of one request; a text where no request came. */
type Outcome =
  | { authorization?: string; as?: string; certificate?: true; sni?: string; proxied?: true; http?: true }
  | 'none';

let folder: string;
let server: string;
let plain: string;
let proxy: string;
let seen: Exclude<Outcome, 'none'>[] = [];
let tunnels = 0;
const servers: Server[] = [];
const sockets = new Set<Socket>();

function record({ url, headers, socket }: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"metadata":{"name":"x"}}');
  // gcloud's kubectl asks a server that it does not know yet for its version.
  if (!url?.includes('/api/v1/namespaces/x')) return;
  const tls = 'encrypted' in socket ? (socket as TLSSocket) : undefined;
  const groups = headers['impersonate-group'];
  seen.push({
    ...(headers.authorization && { authorization: headers.authorization }),
    ...(headers['impersonate-user'] && {
      as: [headers['impersonate-user'], groups].flat().filter(Boolean).join(' of '),
    }),
    ...(!tls && { http: true as const }),
    ...(tls?.getPeerCertificate()?.subject && { certificate: true as const }),
    ...(typeof tls?.servername === 'string' && { sni: tls.servername }),
    ...(tunnels > 0 && { proxied: true as const }),
  });
}

async function listen(one: Server): Promise<number> {
  one.on('connection', (socket: Socket) => sockets.add(socket));
  servers.push(one);
  await new Promise<void>(resolve => one.listen(0, '127.0.0.1', resolve));
  return (one.address() as AddressInfo).port;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  const tls = { key: KEY, cert: CERTIFICATE, requestCert: true, rejectUnauthorized: false };
  server = `https://127.0.0.1:${await listen(createTlsServer(tls, record) as unknown as Server)}`;
  plain = `http://127.0.0.1:${await listen(createServer(record))}`;
  const tunnel = createServer().on('connect', (request: IncomingMessage, client: Socket) => {
    tunnels++;
    const { hostname, port } = new URL(`http://${request.url}`);
    // Names below .test are known to the proxy only.
    const upstream = connect(Number(port), hostname.endsWith('.test') ? '127.0.0.1' : hostname, () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const one of [client, upstream]) one.on('error', () => {});
  });
  proxy = `http://127.0.0.1:${await listen(tunnel)}`;
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'ca.crt'), CERTIFICATE);
  writeFileSync(join(folder, 'client.key'), KEY);
  writeFileSync(join(folder, 'token'), 'of-a-file\n');
  const plugin = '#!/bin/sh\nprintf %s "$KUBERNETES_EXEC_INFO" > "$INFO"\nprintf %s "$ANSWER"\n';
  for (const path of ['plug-in', 'sub/plug-in']) {
    writeFileSync(join(folder, path), plugin);
    chmodSync(join(folder, path), 0o755);
  }
});
afterAll(() => {
  for (const one of servers) one.close();
  for (const socket of sockets) socket.destroy();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
  tunnels = 0;
});

function take(): Outcome {
  expect(seen.length).toBeLessThanOrEqual(1);
  const outcome = seen[0] ?? 'none';
  seen = [];
  tunnels = 0;
  return outcome;
}

async function byOperator(env: NodeJS.ProcessEnv): Promise<Outcome> {
  const config = await loadKubeConfig(env, join(folder, 'no-service-account')).catch((error: unknown) => {
    if (error instanceof KubeconfigError) return undefined;
    throw error;
  });
  if (config) {
    const kube = createKubeApi({ config, runtime: realRuntime, userAgent: 'test' });
    await kube.get(NAMESPACES, undefined, 'x');
    await kube.close();
  }
  return take();
}

async function byKubectl(env: NodeJS.ProcessEnv): Promise<Outcome> {
  // Where nothing is configured kubectl asks localhost:8080, at which others may listen on this machine.
  const whole = { PATH: process.env.PATH, KUBERNETES_MASTER: 'http://127.0.0.1:1', ...env };
  await new Promise<void>(resolve => {
    const args = ['get', '--raw', '/api/v1/namespaces/x', '--request-timeout=20s'];
    const child = execFile('kubectl', args, { env: whole, timeout: 30_000 }, () => resolve());
    child.stdin?.end();
  });
  return take();
}

/** The outcome, the same by both. */
async function outcome(env: NodeJS.ProcessEnv): Promise<Outcome> {
  const whole = { HOME: join(folder, 'nobody'), ...env };
  const ours = await byOperator(whole);
  if (hasKubectl) expect({ kubectl: await byKubectl(whole) }).toEqual({ kubectl: ours });
  return ours;
}

function write(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

interface Parts {
  cluster?: object;
  user?: object;
  context?: object;
  more?: object;
}

/** A kubeconfig of one cluster, one user and one context. */
function config({ cluster, user, context, more }: Parts = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': base64(CERTIFICATE), ...cluster } }],
    users: [{ name: 'u', user: user ?? { token: 'abc' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...context } }],
    'current-context': 'x',
    ...more,
  };
}

const one = (parts: Parts) => outcome({ KUBECONFIG: write('config', config(parts)) });
const V1 = 'client.authentication.k8s.io/v1';
const answer = (status: object, apiVersion = V1) => JSON.stringify({ kind: 'ExecCredential', apiVersion, status });
const exec = (ANSWER: string, more: object = {}) => ({
  apiVersion: V1,
  interactiveMode: 'IfAvailable',
  command: join(folder, 'plug-in'),
  env: Object.entries({ INFO: join(folder, 'info'), ANSWER }).map(([name, value]) => ({ name, value })),
  ...more,
});

describe('identity', () => {
  test('a token, a token file beside the kubeconfig, a password, a certificate', async () => {
    expect(await one({ user: { token: 'abc' } })).toEqual({ authorization: 'Bearer abc' });
    expect(await one({ user: { tokenFile: 'token' } })).toEqual({ authorization: 'Bearer of-a-file' });
    expect(await one({ user: { token: 'abc', tokenFile: 'token' } })).toEqual({ authorization: 'Bearer of-a-file' });
    expect(await one({ user: { username: 'me', password: 'pw' } })).toEqual({
      authorization: `Basic ${base64('me:pw')}`,
    });
    const files = { 'client-certificate': 'ca.crt', 'client-key': 'client.key' };
    expect(await one({ user: files })).toEqual({ certificate: true });
    const data = { 'client-certificate-data': base64(CERTIFICATE), 'client-key-data': base64(KEY), token: 'abc' };
    expect(await one({ user: data })).toEqual({ certificate: true, authorization: 'Bearer abc' });
  });

  test('over plain HTTP no credentials are sent', async () => {
    const bare = { server: plain, 'certificate-authority-data': undefined };
    for (const user of [{ token: 'abc' }, { username: 'me', password: 'pw' }, { exec: exec(answer({ token: 'p' })) }]) {
      expect(await one({ cluster: bare, user })).toEqual({ http: true });
    }
    expect(await one({ cluster: { ...bare, server: plain.slice(7) } })).toEqual({ http: true });
  });

  test('impersonation, with groups', async () => {
    expect(await one({ user: { token: 'abc', as: 'jane' } })).toEqual({ authorization: 'Bearer abc', as: 'jane' });
    const groups = {
      token: 'abc',
      as: 'jane',
      'as-groups': ['dev', 'ops'],
      'as-uid': '7',
      'as-user-extra': { 'a/b': ['1'] },
    };
    expect(await one({ user: groups })).toEqual({ authorization: 'Bearer abc', as: 'jane of dev, ops' });
    expect(await one({ user: { token: 'abc', 'as-groups': ['dev'] } })).toBe('none');
  });

  test.each([
    ['nothing, for which kubectl asks for a name and a password', {}],
    ['an impersonation by nobody', { as: 'jane' }],
    ['a token and a password', { token: 'abc', username: 'me', password: 'pw' }],
    [
      'a certificate in two ways',
      { 'client-certificate': 'ca.crt', 'client-certificate-data': 'YQ==', 'client-key': 'client.key' },
    ],
    ['a certificate without a key', { 'client-certificate': 'ca.crt' }],
    ['a file that does not exist', { 'client-certificate': 'other.crt', 'client-key': 'client.key' }],
    ['a token file that does not exist', { tokenFile: 'other' }],
    ['a number for a token', { token: 123 }],
    ['data that is not base64', { 'client-certificate-data': '###', 'client-key-data': '###' }],
    ['the provider gcp, which is gone', { 'auth-provider': { name: 'gcp' } }],
    ['a provider that never was', { 'auth-provider': { name: 'tokenFile', config: { tokenFile: 'token' } } }],
  ])('%s: no request is made', async (_, user) => {
    expect(await one({ user })).toBe('none');
  });
});

describe('exec plug-ins', () => {
  const info = () => JSON.parse(readFileSync(join(folder, 'info'), 'utf8'));

  test('a token, a certificate, both; known by its path, relative to the kubeconfig', async () => {
    const token = answer({ token: 'p' });
    expect(await one({ user: { exec: exec(token) } })).toEqual({ authorization: 'Bearer p' });
    expect(await one({ user: { exec: exec(token, { command: './plug-in' }) } })).toEqual({ authorization: 'Bearer p' });
    expect(await one({ user: { exec: exec(token, { command: 'sub/plug-in' }) } })).toEqual({
      authorization: 'Bearer p',
    });
    const certificate = { clientCertificateData: CERTIFICATE, clientKeyData: KEY };
    expect(await one({ user: { exec: exec(answer(certificate)) } })).toEqual({ certificate: true });
    expect(await one({ user: { exec: exec(answer({ ...certificate, token: 'p' })) } })).toEqual({
      certificate: true,
      authorization: 'Bearer p',
    });
  });

  test('is not run where there is a token, a password or a certificate', async () => {
    const plugin = { exec: exec(answer({ token: 'p' })) };
    expect(await one({ user: { ...plugin, token: 'abc' } })).toEqual({ authorization: 'Bearer abc' });
    expect(await one({ user: { ...plugin, username: 'a', password: 'b' } })).toEqual({ authorization: 'Basic YTpi' });
    const certificate = { 'client-certificate': 'ca.crt', 'client-key': 'client.key' };
    expect(await one({ user: { ...plugin, ...certificate } })).toEqual({ certificate: true });
  });

  test('is told of the cluster where it asks for that', async () => {
    const told = async (more: object, cluster: object) => {
      const path = write('config', config({ user: { exec: exec(answer({ token: 'p' }), more) }, cluster }));
      const infos = [];
      for (const run of hasKubectl ? [byOperator, byKubectl] : [byOperator]) {
        expect(await run({ KUBECONFIG: path, HOME: folder })).toMatchObject({ authorization: 'Bearer p' });
        infos.push(info());
      }
      if (infos.length > 1) expect(infos[1]).toEqual(infos[0]);
      return infos[0];
    };
    const kind = { kind: 'ExecCredential', apiVersion: V1 };
    expect(await told({}, {})).toEqual({ ...kind, spec: { interactive: false } });
    expect(await told({ provideClusterInfo: true }, { 'disable-compression': true })).toEqual({
      ...kind,
      spec: {
        cluster: {
          server,
          'certificate-authority-data': base64(CERTIFICATE),
          'disable-compression': true,
          config: null,
        },
        interactive: false,
      },
    });
    const extension = { name: 'client.authentication.k8s.io/exec', extension: { audience: 'a' } };
    const cluster = {
      'certificate-authority-data': undefined,
      'certificate-authority': 'ca.crt',
      'tls-server-name': 'localhost',
      'proxy-url': proxy,
      extensions: [extension],
    };
    expect(await told({ provideClusterInfo: true }, cluster)).toEqual({
      ...kind,
      spec: {
        cluster: {
          server,
          'certificate-authority-data': base64(CERTIFICATE),
          'tls-server-name': 'localhost',
          'proxy-url': proxy,
          config: { audience: 'a' },
        },
        interactive: false,
      },
    });
  });

  test.each([
    ['another version than configured', answer({ token: 'p' }, `${V1}beta1`), {}],
    ['no JSON', 'hello', {}],
    ['no status', JSON.stringify({ kind: 'ExecCredential', apiVersion: V1 }), {}],
    ['nothing in it', answer({}), {}],
    ['half a pair', answer({ token: 'p', clientKeyData: KEY }), {}],
    ['a version that is gone', answer({ token: 'p' }, `${V1}alpha1`), { apiVersion: `${V1}alpha1` }],
    ['no version', answer({ token: 'p' }), { apiVersion: undefined }],
    ['no interactiveMode', answer({ token: 'p' }), { interactiveMode: undefined }],
    ['a terminal wanted', answer({ token: 'p' }), { interactiveMode: 'Always' }],
    ['no command', answer({ token: 'p' }), { command: '' }],
    ['a command that does not exist', answer({ token: 'p' }), { command: './other' }],
    ['a bare name that is not in PATH', answer({ token: 'p' }), { command: 'plug-in' }],
    ['a failing command', answer({ token: 'p' }), { command: 'false' }],
  ])('%s: no request is made', async (_, text, more) => {
    expect(await one({ user: { exec: exec(text, more) } })).toBe('none');
  });

  test('v1beta1 needs no interactiveMode', async () => {
    const apiVersion = `${V1}beta1`;
    const plugin = exec(answer({ token: 'p' }, apiVersion), { apiVersion, interactiveMode: undefined });
    expect(await one({ user: { exec: plugin } })).toEqual({ authorization: 'Bearer p' });
  });
});

describe('the server', () => {
  test('its authority, its name, no check at all, a proxy', async () => {
    const token = { authorization: 'Bearer abc' };
    const none = { 'certificate-authority-data': undefined };
    expect(await one({ cluster: { ...none, 'certificate-authority': 'ca.crt' } })).toEqual(token);
    expect(await one({ cluster: none })).toBe('none');
    expect(await one({ cluster: { ...none, 'insecure-skip-tls-verify': true } })).toEqual(token);
    expect(await one({ cluster: { 'insecure-skip-tls-verify': true } })).toBe('none');
    expect(await one({ cluster: { 'certificate-authority': 'ca.crt' } })).toBe('none');
    expect(await one({ cluster: { ...none, 'certificate-authority': 'other.crt' } })).toBe('none');
    expect(await one({ cluster: { 'tls-server-name': 'localhost' } })).toEqual({ ...token, sni: 'localhost' });
    expect(await one({ cluster: { 'tls-server-name': 'other.test' } })).toBe('none');
    expect(await one({ cluster: { 'proxy-url': proxy } })).toEqual({ ...token, proxied: true });
    expect(await one({ cluster: { 'proxy-url': 'ftp://127.0.0.1' } })).toBe('none');
    expect(await one({ cluster: { server: `${server}/?a=b` } })).toEqual(token);
    expect(await one({ cluster: { server: undefined } })).toBe('none');
  });

  test('a proxy of the environment, but for what NO_PROXY names', async () => {
    const port = new URL(server).port;
    const by = (variables: NodeJS.ProcessEnv, host = 'cluster.test') => {
      const cluster = { server: `https://${host}:${port}`, 'tls-server-name': 'localhost' };
      return outcome({ KUBECONFIG: write('config', config({ cluster })), ...variables });
    };
    const proxied = { authorization: 'Bearer abc', sni: 'localhost', proxied: true };
    expect(await by({})).toBe('none');
    expect(await by({ HTTPS_PROXY: proxy })).toEqual(proxied);
    expect(await by({ https_proxy: proxy.replace('http://', '') })).toEqual(proxied);
    expect(await by({ HTTP_PROXY: proxy })).toBe('none');
    expect(await by({ HTTPS_PROXY: proxy, NO_PROXY: 'other.test, .cluster.test,cluster.test:1,10.0.0.0/8' })).toEqual(
      proxied,
    );
    expect(await by({ HTTPS_PROXY: proxy, no_proxy: 'test' })).toBe('none');
    expect(await by({ HTTPS_PROXY: 'ftp://127.0.0.1:1' })).toBe('none');
    expect(await by({ HTTPS_PROXY: 'http://127.0.0.1:1' }, '127.0.0.1')).toEqual({ ...proxied, proxied: undefined });
  });

  test('an authority of this machine', async () => {
    // Both read it at their start: Node.js by this variable at the first use, so this case has a process of its own.
    const path = write('config', config({ cluster: { 'certificate-authority-data': undefined } }));
    const env = { KUBECONFIG: path, HOME: folder, SSL_CERT_FILE: join(folder, 'ca.crt'), PATH: process.env.PATH };
    const script = `
      const { createKubeApi } = await import('./operator/kube/kubeApi.ts');
      const { loadKubeConfig } = await import('./operator/kube/kubeconfig.ts');
      const { realRuntime } = await import('./ports/runtime.ts');
      const { NAMESPACES } = await import('./ports/kubeResources.ts');
      const kube = createKubeApi({ config: await loadKubeConfig(), runtime: realRuntime, userAgent: 'test' });
      await kube.get(NAMESPACES, undefined, 'x');
      await kube.close();`;
    const run = () =>
      new Promise<void>(resolve => {
        execFile(process.execPath, ['--input-type=module', '-e', script], { env, timeout: 30_000 }, () => resolve());
      });
    await run();
    expect(take()).toEqual({ authorization: 'Bearer abc' });
    if (hasKubectl) expect(await byKubectl(env)).toEqual({ authorization: 'Bearer abc' });
  });
});

describe('files', () => {
  const token = (name: string) => ({ authorization: `Bearer ${name}` });

  test('a list with a missing, an empty, a doubled and an overlapping file: the first that has a name counts', async () => {
    const a = write('a', config({ user: { token: 'a' } }));
    const b = write('b', config({ user: { token: 'b' }, more: { 'current-context': 'y' } }));
    const empty = write('empty', '');
    const comment = write('comment', '# nothing\n---\n');
    const missing = join(folder, 'missing');
    const list = (...paths: string[]) => outcome({ KUBECONFIG: paths.join(delimiter) });
    expect(await list(missing, a)).toEqual(token('a'));
    expect(await list(a, missing)).toEqual(token('a'));
    expect(await list('', empty, comment, a, a)).toEqual(token('a'));
    expect(await list(a, b)).toEqual(token('a'));
    expect(await list(b, a)).toBe('none');
    expect(await list(missing)).toBe('none');
    expect(await list(empty)).toBe('none');
    expect(await list(folder, a)).toBe('none');
  });

  test('an entry of the first file counts as a whole', async () => {
    const users = write('users', { users: [{ name: 'u', user: { token: 'first' } }] });
    const whole = write('whole', config({ user: { token: 'abc', as: 'jane' } }));
    expect(await outcome({ KUBECONFIG: [users, whole].join(delimiter) })).toEqual(token('first'));
    expect(await outcome({ KUBECONFIG: [whole, users].join(delimiter) })).toEqual({ ...token('abc'), as: 'jane' });
  });

  test('~/.kube/config, unless KUBECONFIG says otherwise', async () => {
    mkdirSync(join(folder, 'home', '.kube'), { recursive: true });
    write('home/.kube/config', config({ user: { token: 'home' } }));
    const HOME = join(folder, 'home');
    expect(await outcome({ HOME })).toEqual(token('home'));
    expect(await outcome({ HOME, KUBECONFIG: '' })).toEqual(token('home'));
    expect(await outcome({ HOME, KUBECONFIG: join(folder, 'missing') })).toBe('none');
    expect(await outcome({ HOME: folder })).toBe('none');
  });

  test.each([
    ['a tab', 'a: b\n\tc: d\n'],
    ['a list', '[]'],
    ['another kind', JSON.stringify({ apiVersion: 'v1', kind: 'Pod' })],
    ['another version', JSON.stringify({ apiVersion: 'v2', kind: 'Config' })],
    ['a name twice', JSON.stringify({ users: [{ name: 'u' }, { name: 'u' }] })],
    ['clusters as a map', JSON.stringify({ clusters: { c: {} } })],
  ])('one that is broken by %s stops everything', async (_, text) => {
    const good = write('good', config());
    const bad = write('bad', text);
    expect(await outcome({ KUBECONFIG: [good, bad].join(delimiter) })).toBe('none');
  });

  test('contexts: none is current, one that does not exist, without a cluster', async () => {
    expect(await one({ more: { 'current-context': undefined } })).toBe('none');
    expect(await one({ more: { 'current-context': '' } })).toBe('none');
    expect(await one({ more: { 'current-context': 'y' } })).toBe('none');
    expect(await one({ context: { cluster: 'other' } })).toBe('none');
    expect(await one({ context: { user: 'nobody' } })).toBe('none');
    expect(await one({ context: { cluster: undefined } })).toBe('none');
  });

  test('YAML as kubectl reads it', async () => {
    const yaml = (user: string, rest = '') => `clusters:
- name: c
  cluster: { server: '${server}', certificate-authority: ca.crt, unknown: 1 }
users:
- name: u
  user: { ${user} }
contexts: [{ name: x, context: { cluster: c, user: u } }]
current-context: x
${rest}`;
    const read = (...parts: [string, string?]) => outcome({ KUBECONFIG: write('yaml', yaml(...parts)) });
    expect(await read('token: a, token: b')).toEqual(token('b'));
    expect(await read('token: "012"')).toEqual(token('012'));
    expect(await read('token: 012')).toBe('none');
    expect(await read('token: no')).toBe('none');
    expect(await read('token: a, username: null')).toEqual(token('a'));
    expect(await read('token: a', '---\ncurrent-context: y\n')).toEqual(token('a'));
  });

  const NAMES = ['c', 'd'];
  const entries = (key: string, value: fc.Arbitrary<object>): fc.Arbitrary<object[]> =>
    fc
      .uniqueArray(fc.constantFrom(...NAMES), { maxLength: 2 })
      .chain(names => fc.tuple(...names.map(name => value.map(one => ({ name, [key]: one })))));
  const file = () =>
    fc.record(
      {
        clusters: entries(
          'cluster',
          fc.constantFrom('a', 'b').map(name => ({ server: `${server}/${name}`, 'certificate-authority': 'ca.crt' })),
        ),
        users: entries(
          'user',
          fc.constantFrom(
            { token: '1' },
            { token: '2', as: 'jane' },
            { tokenFile: 'token' },
            { username: 'a', password: 'b' },
            {},
          ),
        ),
        contexts: entries(
          'context',
          fc.record(
            { cluster: fc.constantFrom(...NAMES), user: fc.constantFrom(...NAMES) },
            { requiredKeys: ['cluster'] },
          ),
        ),
        'current-context': fc.constantFrom('', ...NAMES),
      },
      { requiredKeys: [] },
    );

  test.runIf(hasKubectl)(
    'random lists of files: what kubectl asks, the operator asks',
    { timeout: 240_000 },
    async () => {
      let asked = 0;
      const lists = () =>
        fc.array(fc.oneof({ weight: 5, arbitrary: file() }, fc.constantFrom('', undefined)), {
          minLength: 1,
          maxLength: 4,
        });
      await fc.assert(
        fc.asyncProperty(lists(), async files => {
          const paths = files.map((content, index) => {
            if (content === undefined) return join(folder, 'missing');
            return write(`random-${index}`, content);
          });
          const result = await outcome({ KUBECONFIG: paths.join(delimiter) });
          if (result !== 'none') asked++;
        }),
        { numRuns: 50 },
      );
      expect(asked).toBeGreaterThan(0);
    },
  );
});
