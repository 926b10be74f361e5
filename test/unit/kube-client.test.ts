import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createKubeApi } from '../../operator/kube/kubeApi.ts';
import { accessTo, readKubeConfig } from '../../operator/kube/kubeconfig.ts';
import { startReflector } from '../../operator/kube/reflector.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeWatchEvent } from '../../ports/kube.ts';
import { LEASES, NAMESPACES } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { CERTIFICATE, KEY } from './support/certificate.ts';

const THINGS = { group: 'test.dev', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: JsonObject | undefined;
  socket: Socket;
}

type Handler = (seen: Seen, response: ServerResponse) => void;

/** An API server of which the test writes the answers, and a client for it. */
async function serve(handler: Handler, options: { user?: JsonObject; tls?: boolean; runtime?: Runtime } = {}) {
  const seen: Seen[] = [];
  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers, socket } = request;
    const one = { method, url, headers, body: text ? JSON.parse(text) : undefined, socket };
    seen.push(one);
    handler(one, response);
  };
  const server = options.tls ? createTlsServer({ key: KEY, cert: CERTIFICATE }, listener) : createServer(listener);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    return new Promise(resolve => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const cluster = options.tls
    ? { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': Buffer.from(CERTIFICATE).toString('base64') }
    : { server: `http://127.0.0.1:${port}` };
  const config = await readKubeConfig(
    JSON.stringify({
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: options.user ?? {} }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  const api = createKubeApi({ config, runtime: options.runtime ?? realRuntime, userAgent: 'the-operator/1.2.3' });
  closers.push(() => api.close());
  return { api, seen, server, port };
}

function json(response: ServerResponse, code: number, body: unknown, headers = {}) {
  response.writeHead(code, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
}

const status = (code: number, reason: string) => ({ kind: 'Status', code, reason, message: `because ${reason}` });

describe('a list of large objects', () => {
  // 40 of 1 MiB, of which the caches keep a few hundred bytes each.
  const large = (i: number) => ({
    metadata: { namespace: 'ns', name: `t-${i}`, uid: `u-${i}`, managedFields: ['f'.repeat(2 ** 20)] },
  });
  const paged = () =>
    serve(({ url }, response) => {
      const query = new URL(url ?? '', 'http://x').searchParams;
      if (query.get('watch')) return response.writeHead(200).flushHeaders();
      const from = Number(query.get('continue') ?? 0);
      const to = Math.min(40, from + Number(query.get('limit')));
      const metadata = { resourceVersion: '7', ...(to < 40 && { continue: String(to) }) };
      json(response, 200, { metadata, items: Array.from({ length: to - from }, (_, n) => large(from + n)) });
    });

  test('is given up at maxBytes', async () => {
    const { api } = await paged();
    expect(await api.list(THINGS, { limit: 3, maxBytes: 2 ** 20 })).toMatchObject({
      ok: false,
      status: { reason: 'PageTooLarge' },
    });
    expect((await api.list(THINGS, { limit: 3, maxBytes: 2 ** 22 })).ok).toBe(true);
  });

  test('is never whole in memory: a page has as few objects as it takes, and none is missing', async () => {
    const { api, seen } = await paged();
    const bytes: number[] = [];
    const counted = {
      ...api,
      list: async (...args: Parameters<typeof api.list>) => {
        const page = await api.list(...args);
        if (page.ok) bytes.push(JSON.stringify(page.value).length);
        return page;
      },
    };
    const reflector = startReflector({ api: counted, runtime: realRuntime, resource: THINGS });
    await reflector.synced;
    expect([...reflector.keys()]).toEqual(Array.from({ length: 40 }, (_, i) => `ns/t-${i}`));
    expect(Math.max(...bytes)).toBeLessThan(12 * 2 ** 20);
    expect(JSON.stringify([...reflector.list()]).length).toBeLessThan(10_000);
    expect(seen.filter(({ url }) => url?.includes('limit=')).length).toBeLessThan(20);
    await reflector.stop();
  });
});

describe('requests', () => {
  test('go where the API server expects them, as it expects them', async () => {
    const { api, seen } = await serve((_, response) => json(response, 200, { metadata: { name: 'a' } }));
    await api.get(THINGS, 'ns', 'a');
    await api.get(NAMESPACES, undefined, 'ns');
    await api.create(LEASES, 'sys', { metadata: { name: 'l' }, spec: {} });
    await api.patch(THINGS, 'ns', 'a', { spec: { x: null } });
    await api.patch(THINGS, 'ns', 'a', { status: {} }, { subresource: 'status' });
    await api.delete(THINGS, 'ns', 'a', { uid: 'u', resourceVersion: '7' });
    await api.list(THINGS, { namespace: 'ns', limit: 500, continue: 'a b/c', labelSelector: 'x in (y,z)' });
    await api.list(THINGS, {});
    expect(seen.map(({ method, url, body }) => [`${method} ${url}`, body])).toEqual([
      ['GET /apis/test.dev/v1/namespaces/ns/things/a', undefined],
      ['GET /api/v1/namespaces/ns', undefined],
      [
        'POST /apis/coordination.k8s.io/v1/namespaces/sys/leases',
        { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l' }, spec: {} },
      ],
      ['PATCH /apis/test.dev/v1/namespaces/ns/things/a', { spec: { x: null } }],
      ['PATCH /apis/test.dev/v1/namespaces/ns/things/a/status', { status: {} }],
      [
        'DELETE /apis/test.dev/v1/namespaces/ns/things/a',
        { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: 'u', resourceVersion: '7' } },
      ],
      [
        'GET /apis/test.dev/v1/namespaces/ns/things?limit=500&continue=a+b%2Fc&labelSelector=x+in+%28y%2Cz%29',
        undefined,
      ],
      ['GET /apis/test.dev/v1/things', undefined],
    ]);
    expect(seen[3]?.headers['content-type']).toBe('application/merge-patch+json');
    expect(new Set(seen.map(one => one.headers['user-agent']))).toEqual(new Set(['the-operator/1.2.3']));
  });

  test('the items of a list say what they are', async () => {
    const { api } = await serve((_, response) =>
      json(response, 200, { metadata: { resourceVersion: '9' }, items: [{ metadata: { name: 'a' } }] }),
    );
    expect(await api.list(THINGS, {})).toEqual({
      ok: true,
      value: {
        metadata: { resourceVersion: '9' },
        items: [{ apiVersion: 'test.dev/v1', kind: 'Thing', metadata: { name: 'a' } }],
      },
    });
  });

  test('a name that would be another URL is never sent', async () => {
    const { api, seen } = await serve((_, response) => json(response, 200, {}));
    for (const name of ['', '.', '..', 'a/b', '../x', '%2e%2e', 'a%2fb']) {
      expect(await api.get(THINGS, 'ns', name)).toMatchObject({ ok: false, status: { code: 400 } });
      expect(await api.delete(THINGS, name, 'a')).toMatchObject({ ok: false, status: { code: 400 } });
    }
    expect(seen).toEqual([]);
    await api.get(THINGS, 'ns', 'a?b#c d\n\u00e9');
    expect(seen[0]?.url).toBe('/apis/test.dev/v1/namespaces/ns/things/a%3Fb%23c%20d%0A%C3%A9');
  });
});

describe('failures', () => {
  test('are what the API server says', async () => {
    const answers: [number, unknown, object][] = [
      [409, status(409, 'Conflict'), {}],
      [429, status(429, 'TooManyRequests'), { 'Retry-After': '3' }],
      [500, { ...status(500, 'ServerTimeout'), details: { retryAfterSeconds: 2 } }, {}],
    ];
    const { api } = await serve((_, response) => {
      const [code, body, headers] = answers.shift() ?? [200, {}, {}];
      json(response, code, body, headers);
    });
    expect(await api.get(THINGS, 'ns', 'a')).toEqual({
      ok: false,
      status: { code: 409, reason: 'Conflict', message: 'because Conflict' },
    });
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ status: { code: 429, retryAfterMs: 3_000 } });
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ status: { code: 500, retryAfterMs: 2_000 } });
  });

  test('of what stands between are told as they are', async () => {
    const pages = ['<html>Bad gateway</html>', '', 'null'];
    const { api } = await serve((_, response) => response.writeHead(502).end(pages.shift()));
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({
      status: { code: 502, reason: '', message: '<html>Bad gateway</html>' },
    });
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ status: { code: 502, message: 'HTTP 502' } });
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ status: { code: 502, message: 'null' } });
  });

  test('with status 200, an answer that is no list or object of Kubernetes is an error, and is not read as one', async () => {
    const foreign = [null, {}, 'ok', [], { items: [] }, { metadata: null, items: [] }];
    const lists = [
      ...foreign,
      { metadata: {}, items: [null] },
      { metadata: {}, items: [{}] },
      { metadata: {}, items: 5 },
    ];
    const message = expect.stringContaining('not that of a Kubernetes API server');
    const answers: unknown[] = [...lists, ...foreign];
    const { api } = await serve((_, response) => response.writeHead(200).end(JSON.stringify(answers.shift())));
    const { signal } = new AbortController();
    for (const answer of lists)
      expect(await api.list(THINGS, { signal }), JSON.stringify(answer)).toMatchObject({
        status: { code: 0, message },
      });
    for (const answer of foreign)
      expect(await api.get(THINGS, 'ns', 'a'), JSON.stringify(answer)).toMatchObject({ status: { code: 0, message } });
    // An empty list of the API server can have null.
    answers.push({ metadata: { resourceVersion: '1' }, items: null });
    expect(await api.list(THINGS, { signal })).toMatchObject({ ok: true, value: { items: [] } });
  });

  test('without an answer have code 0: refused, cut off, broken', async () => {
    const { api, server } = await serve(({ url, socket }, response) => {
      if (url.endsWith('cut')) socket.destroy();
      else response.writeHead(200).end('{"half":');
    });
    expect(await api.get(THINGS, 'ns', 'cut')).toMatchObject({ status: { code: 0, reason: 'NoAnswer' } });
    expect(await api.get(THINGS, 'ns', 'broken')).toMatchObject({ status: { code: 0 } });
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
    const refused = await api.get(THINGS, 'ns', 'a');
    expect(refused).toMatchObject({ status: { code: 0, message: expect.stringContaining('ECONNREFUSED') } });
  });

  test('a request that gets no answer is given up after 30 s, and when the caller says so', async () => {
    const timers: { ms: number; fn: () => void }[] = [];
    const runtime: Runtime = {
      ...realRuntime,
      after: (ms, fn) => {
        timers.push({ ms, fn });
        return () => {};
      },
    };
    const arrived: (() => void)[] = [];
    const { api } = await serve(() => arrived.shift()?.(), { runtime });
    const asked = new Promise<void>(resolve => arrived.push(resolve));
    const hanging = api.get(THINGS, 'ns', 'a');
    await asked;
    expect(timers.map(timer => timer.ms)).toEqual([30_000]);
    timers[0]?.fn();
    expect(await hanging).toMatchObject({ status: { code: 0, message: 'no answer within 30 s' } });

    const abort = new AbortController();
    const again = new Promise<void>(resolve => arrived.push(resolve));
    const listing = api.list(THINGS, { signal: abort.signal });
    await again;
    abort.abort();
    expect(await listing).toMatchObject({ status: { code: 0, message: 'cancelled by the caller' } });
  });
});

describe('credentials', () => {
  test('a token, a name and password, TLS by the cluster\u2019s own authority, a few connections for many requests', async () => {
    const { api, seen } = await serve((_, response) => json(response, 200, { metadata: {} }), {
      tls: true,
      user: { token: 'abc' },
    });
    for (let i = 0; i < 20; i++) expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ ok: true });
    expect(seen[0]?.headers.authorization).toBe('Bearer abc');
    expect(new Set(seen.map(one => one.socket)).size).toBeLessThanOrEqual(3);

    const basic = await serve((_, response) => json(response, 200, { metadata: {} }), {
      tls: true,
      user: { username: 'me', password: 'pw' },
    });
    await basic.api.get(THINGS, 'ns', 'a');
    expect(basic.seen[0]?.headers.authorization).toBe(`Basic ${Buffer.from('me:pw').toString('base64')}`);
  });

  test('a token file may end in a newline; an exec plug-in is asked', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kube-client-'));
    closers.push(() => rm(folder, { recursive: true }));
    const tokenFile = join(folder, 'token');
    writeFileSync(tokenFile, 'from-a-file\n');
    const file = await serve((_, response) => json(response, 200, { metadata: {} }), {
      tls: true,
      user: { tokenFile },
    });
    expect(await file.api.get(THINGS, 'ns', 'a')).toMatchObject({ ok: true });
    expect(file.seen[0]?.headers.authorization).toBe('Bearer from-a-file');

    const apiVersion = 'client.authentication.k8s.io/v1';
    const credential = { kind: 'ExecCredential', apiVersion, status: { token: 'from-a-plug-in' } };
    const exec = { apiVersion, interactiveMode: 'Never', command: 'echo', args: [JSON.stringify(credential)] };
    const plugIn = await serve((_, response) => json(response, 200, { metadata: {} }), { tls: true, user: { exec } });
    await plugIn.api.get(THINGS, 'ns', 'a');
    expect(plugIn.seen[0]?.headers.authorization).toBe('Bearer from-a-plug-in');

    const failing = { ...exec, command: 'false' };
    const broken = await serve((_, response) => json(response, 200, { metadata: {} }), {
      tls: true,
      user: { exec: failing },
    });
    expect(await broken.api.get(THINGS, 'ns', 'a')).toMatchObject({ status: { code: 0 } });
    expect(broken.seen).toEqual([]);
  });

  test('another server certificate than the cluster\u2019s is refused', async () => {
    const { port } = await serve((_, response) => json(response, 200, { metadata: {} }), { tls: true });
    const config = accessTo(`https://127.0.0.1:${port}`);
    const api = createKubeApi({ config, runtime: realRuntime, userAgent: 'x' });
    closers.push(() => api.close());
    expect(await api.get(THINGS, 'ns', 'a')).toMatchObject({ ok: false, status: { code: 0 } });
  });
});

describe('watching', () => {
  const options = { resourceVersion: '7', timeoutSeconds: 20, namespace: 'ns' };
  const line = (type: string, name: string, resourceVersion: string) =>
    `${JSON.stringify({ type, object: { metadata: { name, resourceVersion } } })}\n`;

  test('asks for bookmarks, passes events on, and ends when the server ends it', async () => {
    const { api, seen } = await serve((_, response) => {
      const whole = line('ADDED', 'a', '8') + line('BOOKMARK', '', '9') + line('ERROR', '', '');
      response.writeHead(200).write(whole.slice(0, 30));
      setImmediate(() => response.end(whole.slice(30)));
    });
    const events: KubeWatchEvent[] = [];
    const ended = await api.watch(THINGS, { ...options, signal: AbortSignal.any([]) }, event => events.push(event));
    expect(ended).toEqual({ ok: true, value: undefined });
    expect(events.map(event => event.type)).toEqual(['ADDED', 'BOOKMARK', 'ERROR']);
    const { pathname, searchParams } = new URL(seen[0]?.url ?? '', 'http://x');
    expect(pathname).toBe('/apis/test.dev/v1/namespaces/ns/things');
    expect(Object.fromEntries(searchParams)).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: '7',
      timeoutSeconds: '20',
    });
    expect(seen[0]?.headers['user-agent']).toBe('the-operator/1.2.3');
  });

  test('a refusal has its code, a cut connection code 0', async () => {
    const { api } = await serve(({ url, socket }, response) => {
      if (url.includes('cut')) {
        response.writeHead(200).write(line('ADDED', 'a', '8'), () => socket.destroy());
      } else json(response, 410, status(410, 'Expired'));
    });
    const signal = AbortSignal.any([]);
    expect(await api.watch(THINGS, { ...options, signal }, () => {})).toMatchObject({ status: { code: 410 } });
    const cut = await api.watch(THINGS, { ...options, namespace: 'cut', signal }, () => {});
    expect(cut).toMatchObject({ ok: false, status: { code: 0 } });
  });

  test('ends at once when aborted, answered or not, and closes its connection', async () => {
    for (const answered of [true, false]) {
      const arrived = Promise.withResolvers<Seen>();
      const { api } = await serve((seen, response) => {
        if (answered) response.writeHead(200).flushHeaders();
        arrived.resolve(seen);
      });
      const abort = new AbortController();
      const watching = api.watch(THINGS, { ...options, signal: abort.signal }, () => {});
      const { socket } = await arrived.promise;
      const closed = new Promise(resolve => socket.on('close', resolve));
      abort.abort();
      expect(await watching).toEqual({ ok: true, value: undefined });
      if (answered) await closed;
      await api.close();
      await closed;
    }
  });

  test('many watches over TLS leave no connections behind', async () => {
    const sockets = new Set<Socket>();
    const { api } = await serve(
      ({ socket }, response) => {
        sockets.add(socket);
        response.writeHead(200).end(line('BOOKMARK', '', '9'));
      },
      { tls: true },
    );
    for (let i = 0; i < 20; i++) await api.watch(THINGS, { ...options, signal: AbortSignal.any([]) }, () => {});
    expect(sockets.size).toBeLessThanOrEqual(3);
  });

  test('carries a reflector through the end and the loss of connections', async () => {
    let version = 10;
    const names = new Map<string, number>();
    const watches = new Set<{ response: ServerResponse; socket: Socket }>();
    const { api } = await serve(({ url, socket }, response) => {
      const { searchParams } = new URL(url, 'http://x');
      const items = [...names].map(([name, at]) => ({ metadata: { name, namespace: 'ns', resourceVersion: `${at}` } }));
      if (!searchParams.has('watch'))
        return json(response, 200, { metadata: { resourceVersion: `${version}` }, items });
      response.writeHead(200).flushHeaders();
      const from = Number(searchParams.get('resourceVersion'));
      for (const { metadata } of items) {
        if (Number(metadata.resourceVersion) > from)
          response.write(`${JSON.stringify({ type: 'ADDED', object: { metadata } })}\n`);
      }
      watches.add({ response, socket });
      socket.on('close', () => watches.clear());
    });
    const told = new Map<string, () => void>();
    const toldOf = (key: string) => new Promise<void>(resolve => told.set(key, resolve));
    const reflector = startReflector({
      api,
      runtime: realRuntime,
      resource: THINGS,
      onChange: key => told.get(key)?.(),
    });
    closers.push(() => reflector.stop());
    await reflector.synced;
    for (const how of ['end', 'cut', 'end', 'cut'] as const) {
      const name = `after-${how}-${version}`;
      const seen = toldOf(`ns/${name}`);
      names.set(name, ++version);
      for (const { response, socket } of watches) how === 'end' ? response.end() : socket.destroy();
      await seen;
    }
    expect(reflector.size).toBe(4);
    expect(reflector.counters.lists).toBe(1);
  });
});
