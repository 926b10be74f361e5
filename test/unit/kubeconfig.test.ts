import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createKubeApi } from '../../operator/kube/kubeApi.ts';
import { KubeconfigError, loadKubeConfig } from '../../operator/kube/kubeconfig.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { CERTIFICATE, KEY } from './support/certificate.ts';

/** How credentials are renewed, and what is said where there are none. What kubectl takes is in test/e2e/kubeconfig.test.ts. */

let folder: string;
let accepted: (token: string) => boolean;
let tokens: string[] = [];
const server = createServer({ key: KEY, cert: CERTIFICATE }, ({ headers }, response) => {
  const token = (headers.authorization ?? '').replace('Bearer ', '');
  tokens.push(token);
  const ok = accepted(token);
  const body = ok ? { metadata: { name: 'x' } } : { kind: 'Status', code: 401, message: 'Unauthorized' };
  response.writeHead(ok ? 200 : 401).end(JSON.stringify(body));
});
const closers: (() => Promise<void>)[] = [];
beforeAll(() => new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  accepted = () => true;
  tokens = [];
  now = 1_000_000;
});
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  rmSync(folder, { recursive: true, force: true });
});

let now = 0;
let timers: { ms: number; fn: () => void }[] = [];
const runtime: Runtime = {
  now: () => now,
  monotonic: () => now,
  random: Math.random,
  after: (ms, fn) => {
    timers.push({ ms, fn });
    return () => {};
  },
};

function kubeconfig(user: object, more: object = {}): string {
  const { port } = server.address() as AddressInfo;
  const authority = Buffer.from(CERTIFICATE).toString('base64');
  const path = join(folder, 'config');
  const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': authority };
  const content = {
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'mine' } }],
    'current-context': 'x',
    ...more,
  };
  writeFileSync(path, JSON.stringify(content));
  return path;
}

async function client(user: object, clock = runtime) {
  const config = await loadKubeConfig({ KUBECONFIG: kubeconfig(user), HOME: folder });
  const kube = createKubeApi({ config, runtime: clock, userAgent: 'test' });
  closers.push(() => kube.close());
  return () => kube.get(NAMESPACES, undefined, 'x');
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const PAIR = { 'client-certificate-data': base64(CERTIFICATE), 'client-key-data': base64(KEY) };
const OTHER_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  .privateKey.export({ type: 'pkcs8', format: 'pem' })
  .toString();
const HTTPS = { server: 'https://127.0.0.1:1' };

/** A plug-in that counts its runs and gives the run's number as the token. */
function counting(status = '"token":"\'$n\'"'): object {
  const answer = `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{${status}}}`;
  return plugin(
    `n=$(($(cat "${folder}/runs" 2>/dev/null || echo 0) + 1)); echo $n > "${folder}/runs"; echo '${answer}'`,
  );
}

function plugin(script: string): object {
  const command = join(folder, 'plug-in');
  writeFileSync(command, `#!/bin/sh\n${script}\n`);
  chmodSync(command, 0o755);
  const apiVersion = 'client.authentication.k8s.io/v1';
  return { exec: { apiVersion, interactiveMode: 'Never', command: './plug-in', installHint: 'Install\nit so.' } };
}

const runs = () => Number(readFileSync(join(folder, 'runs'), 'utf8'));

describe('an exec plug-in', () => {
  test('is run once for many requests, and again after a 401, though it gave no time of expiry', async () => {
    const get = await client(counting());
    const all = await Promise.all([get(), get(), get()]);
    expect(all.every(result => result.ok)).toBe(true);
    await get();
    expect([runs(), new Set(tokens)]).toEqual([1, new Set(['1'])]);

    accepted = token => token !== '1';
    now += 10_000;
    tokens = [];
    expect(await get()).toMatchObject({ ok: true });
    expect(tokens).toEqual(['1', '2']);
    expect(await get()).toMatchObject({ ok: true });
    expect([runs(), tokens]).toEqual([2, ['1', '2', '2']]);
  });

  test('is not run at every request where the API server refuses all', async () => {
    accepted = () => false;
    const get = await client(counting());
    for (let i = 0; i < 10; i++) expect(await get()).toMatchObject({ ok: false, status: { code: 401 } });
    expect(runs()).toBe(1);
    now += 5_000;
    for (let i = 0; i < 10; i++) expect(await get()).toMatchObject({ ok: false, status: { code: 401 } });
    expect(runs()).toBe(2);
  });

  test('is run again when what it gave has expired', async () => {
    const expiry = new Date(1_060_000).toISOString();
    const get = await client(counting(`"token":"'$n'","expirationTimestamp":"${expiry}"`));
    await get();
    now = 1_059_999;
    await get();
    expect(tokens).toEqual(['1', '1']);
    now = 1_060_000;
    await get();
    expect(tokens).toEqual(['1', '1', '2']);
  });

  test('that hangs is stopped with what it started, and the request says so; the next one runs it anew', async () => {
    timers = [];
    const get = await client(plugin(`sleep 1000 & echo $! > "${folder}/child"; echo $$ > "${folder}/parent"; wait`));
    const failing = get();
    const pid = (name: string) => Number(readFileSync(join(folder, name), 'utf8'));
    await expect.poll(() => existsSync(join(folder, 'parent')) && pid('parent') > 0).toBe(true);
    const first = timers.find(timer => timer.ms < 30_000);
    expect(first?.ms).toBe(25_000);
    first?.fn();
    const message =
      `the exec plug-in ${folder}/plug-in gave no answer within 25 s and was stopped. ` +
      '`kubectl get --raw /version` runs it too.';
    expect(await failing).toEqual({ ok: false, status: { code: 0, reason: 'NoAnswer', message } });
    const alive = (name: string) => {
      try {
        // A process that has ended and not been waited for counts as ended.
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid(name)}/status`, 'utf8'));
      } catch {
        return false;
      }
    };
    for (const name of ['child', 'parent']) await expect.poll(() => alive(name)).toBe(false);
    expect(tokens).toEqual([]);
    counting();
    now += 25_000;
    expect(await get()).toMatchObject({ ok: true });
  });

  test('that fails: the request says what the plug-in said, and it is not run at every request', async () => {
    const script = `echo run >> "${folder}/log"; echo "please log in" >&2; exit 3`;
    const get = await client(plugin(script));
    for (let i = 0; i < 5; i++) {
      expect(await get()).toMatchObject({
        status: {
          code: 0,
          message: expect.stringContaining('plug-in failed with exit code 3: please log in. `kubectl'),
        },
      });
    }
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe('run\n');
  });

  test('that answers without end is stopped, and the process goes on', async () => {
    const get = await client(plugin('exec yes'), realRuntime);
    const message =
      `the exec plug-in ${folder}/plug-in answered more than 1 MiB, which no credentials are, and was stopped. ` +
      '`kubectl get --raw /version` runs it too.';
    expect(await get()).toEqual({ ok: false, status: { code: 0, reason: 'NoAnswer', message } });
  });

  test('that is not there: the request has the hint of the kubeconfig', async () => {
    const user = plugin('');
    rmSync(join(folder, 'plug-in'));
    const get = await client(user);
    const message = `the exec plug-in ${folder}/plug-in was not found: install it. Install it so.`;
    expect(await get()).toMatchObject({ status: { code: 0, message } });
  });
});

describe('a request without an answer', () => {
  const asked = async (cluster: object) => {
    const env = { KUBECONFIG: kubeconfig({ token: 'abc' }, { clusters: [{ name: 'c', cluster }] }) };
    const kube = createKubeApi({ config: await loadKubeConfig(env), runtime, userAgent: 'test' });
    closers.push(() => kube.close());
    return kube.get(NAMESPACES, undefined, 'x');
  };

  test('names the proxy that refuses the connection, without its password', async () => {
    const result = await asked({ ...HTTPS, 'proxy-url': 'http://me:hidden@127.0.0.1:1' });
    expect(result).toMatchObject({ status: { message: expect.stringContaining('by way of the proxy 127.0.0.1:1 (') } });
    expect(JSON.stringify(result)).not.toContain('hidden');
  });

  test('says in words that a server does not speak TLS', async () => {
    const plain = createHttpServer(() => {}).listen(0, '127.0.0.1');
    closers.push(async () => void plain.close());
    await once(plain, 'listening');
    const { port } = plain.address() as AddressInfo;
    expect(await asked({ server: `https://127.0.0.1:${port}` })).toMatchObject({
      status: { message: 'the address begins with https, and what answers there does not speak TLS (is it http?)' },
    });
  });
});

describe('a token file', () => {
  test('is read anew, and what it last held counts while it is empty or away', async () => {
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'one\n');
    const get = await client({ tokenFile: 'token' }, realRuntime);
    await get();
    writeFileSync(tokenFile, 'two\n');
    await get();
    writeFileSync(tokenFile, '');
    await get();
    rmSync(tokenFile);
    await get();
    writeFileSync(tokenFile, 'three');
    await get();
    expect(tokens).toEqual(['one', 'two', 'two', 'two', 'three']);
  });
});

describe('in a pod', () => {
  const pod = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' };
  const account = () => {
    const path = join(folder, 'account');
    mkdirSync(path);
    for (const [name, text] of Object.entries({ token: 't', namespace: 'system\n', 'ca.crt': 'PEM' })) {
      writeFileSync(join(path, name), text);
    }
    return path;
  };

  test('the service account counts where no kubeconfig says otherwise', async () => {
    const path = account();
    const inPod = {
      server: 'https://10.0.0.1:443',
      namespace: 'system',
      ca: { file: join(path, 'ca.crt') },
      tokenFile: join(path, 'token'),
    };
    expect(await loadKubeConfig({ HOME: folder, ...pod }, path)).toMatchObject(inPod);
    const ipv6 = { ...pod, KUBERNETES_SERVICE_HOST: 'fd00::1' };
    expect(await loadKubeConfig({ HOME: folder, ...ipv6 }, path)).toMatchObject({ server: 'https://[fd00::1]:443' });
    const unused = kubeconfig({ token: 'abc' }, { 'current-context': '' });
    expect(await loadKubeConfig({ KUBECONFIG: unused, ...pod }, path)).toMatchObject(inPod);
    expect(await loadKubeConfig({ KUBECONFIG: kubeconfig({ token: 'abc' }), ...pod }, path)).toMatchObject({
      namespace: 'mine',
      token: 'abc',
    });
    const none = loadKubeConfig({ HOME: folder, ...pod }, join(folder, 'nothing'));
    await expect(none).rejects.toBeInstanceOf(KubeconfigError);
  });
});

describe('what is said where there is nothing to talk to', () => {
  const said = async (env: NodeJS.ProcessEnv) =>
    loadKubeConfig({ HOME: folder, ...env }, join(folder, 'nothing')).then(
      () => 'nothing',
      (error: Error) => error.message.replaceAll(folder, 'FOLDER'),
    );

  test('no kubeconfig at all, one that does not exist, an empty one', async () => {
    const advice =
      ' Name a kubeconfig: `KUBECONFIG=FILE …`. (`npm run sandbox` starts a local cluster and prints where its kubeconfig is.)';
    expect(await said({})).toBe(
      `there is no cluster to talk to: KUBECONFIG is not set, there is no FOLDER/.kube/config, and this is not a pod.${advice}`,
    );
    expect(await said({ KUBECONFIG: `${folder}/missing` })).toBe(
      `there is no cluster to talk to: KUBECONFIG names FOLDER/missing, which does not exist.${advice}`,
    );
    writeFileSync(join(folder, 'empty'), '');
    expect(await said({ KUBECONFIG: `${folder}/empty` })).toBe(
      `there is no cluster to talk to: FOLDER/empty is empty.${advice}`,
    );
  });

  test.each([
    [{}, { 'current-context': undefined }, 'Choose one: `kubectl config use-context NAME`, NAME being one of x.'],
    [{}, { 'current-context': 'y' }, 'the current context "y" of FOLDER/config does not exist. Choose one: '],
    [{}, { users: [] }, 'names the user "u", which is not there. See `kubectl config view`.'],
    [{}, { clusters: [] }, 'names the cluster "c", which is not there. See `kubectl config view`.'],
    [{}, {}, 'user "u" has no credentials'],
    [
      { token: 1 },
      {},
      'the kubeconfig FOLDER/config can\u2019t be read: users[0].user.token must be a text'.replace('\u2019', "'"),
    ],
    [{ 'auth-provider': { name: 'gcp' } }, {}, 'kubectl has dropped it: install gke-gcloud-auth-plugin'],
    [{ 'auth-provider': { name: 'azure' } }, {}, 'kubectl has dropped it: run `kubelogin convert-kubeconfig`'],
    [
      { 'auth-provider': { name: 'oidc' } },
      {},
      'it is not supported here: use an exec plug-in, such as `kubectl oidc-login`',
    ],
    [
      { tokenFile: 'other' },
      {},
      "the kubeconfig names FOLDER/other, which can't be read: there is no such file or folder",
    ],
    [
      { 'client-certificate': 'a.crt', 'client-key': 'a.key' },
      {},
      "the kubeconfig names FOLDER/a.crt, which can't be read: there is no such file or folder",
    ],
    [
      { 'client-certificate-data': 'aGVsbG8=', 'client-key-data': 'aGVsbG8=' },
      {},
      "the kubeconfig's client-certificate-data holds no certificate in PEM",
    ],
    [{ ...PAIR, 'client-key-data': 'aGVsbG8=' }, {}, "the kubeconfig's client-key-data holds no key in PEM"],
    [{ ...PAIR, 'client-key-data': base64(OTHER_KEY) }, {}, 'client-key-data does not fit the client certificate'],
    [
      PAIR,
      { clusters: [{ name: 'c', cluster: { ...HTTPS, 'certificate-authority-data': 'aGVsbG8=' } }] },
      "the kubeconfig's certificate-authority-data holds no certificate in PEM",
    ],
    [
      { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'a', interactiveMode: 'Always' } },
      {},
      'set interactiveMode to IfAvailable; else use a token',
    ],
  ])('%j %j', async (user, more, message) => {
    expect(await said({ KUBECONFIG: kubeconfig(user, more) })).toContain(message);
  });

  test('a kubeconfig in UTF-16, as PowerShell writes it, is read as kubectl does', async () => {
    const path = kubeconfig({ token: 'abc' });
    writeFileSync(path, Buffer.from(`\ufeff${readFileSync(path, 'utf8')}`, 'utf16le'));
    expect(await loadKubeConfig({ KUBECONFIG: path })).toMatchObject({ namespace: 'mine', token: 'abc' });
    writeFileSync(path, Buffer.from([0x61, 0xff, 0x3a]));
    expect(await said({ KUBECONFIG: path })).toContain("FOLDER/config can't be read: this is not UTF-8 text");
  });

  test.skipIf(process.platform === 'win32')('a folder, and a file that never ends', async () => {
    mkdirSync(join(folder, 'a-folder'));
    expect(await said({ KUBECONFIG: `${folder}/a-folder` })).toBe(
      "the kubeconfig FOLDER/a-folder can't be read: this is a folder",
    );
    expect(await said({ KUBECONFIG: '/dev/zero' })).toBe(
      "the kubeconfig /dev/zero can't be read: it is larger than 16 MiB, so it is not the file that was meant",
    );
  });

  test('the operator ends with exit code 1, without having listened on any port', async () => {
    const { KUBERNETES_SERVICE_HOST: _, ...env } = process.env;
    const child = spawn(process.execPath, ['operator/main.ts', '--project=demo-project'], {
      env: { ...env, HOME: folder, KUBECONFIG: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
    }
    const code = await new Promise(resolve => child.on('close', resolve));
    expect(text).toMatch(/^aitenant-operator: there is no cluster to talk to: KUBECONFIG is not set, .*\n$/);
    expect(code).toBe(1);
  });
});
