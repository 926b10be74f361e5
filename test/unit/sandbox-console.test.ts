import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { startConsole } from '../../sandbox/console/console.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { type Actions, createActions } from '../../sandbox/tenants/actions.ts';
import { BREAKERS, type ConsoleState } from '../../sandbox/tenants/contract.ts';
import { ACCESSOR, EMAIL, IAM, SECRETS, world } from './sandbox-gcp.support.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const KEY = 'default/tenant-a';
const IMAGE = 'example.com/ai-backend:1';
const RUN = 'google.cloud.run.v2';
const SERVICE = 'projects/demo-project/locations/asia-northeast1/services/ai-platform-tenant-a';
const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const tenantA = (): KubeObject => ({
  ...(parse(readFileSync(`${ROOT}examples/tenant-a.yaml`, 'utf8')) as KubeObject),
});

/** A cluster and a Google Cloud with tenant-a as the operator leaves it. No operator runs. */
async function given() {
  const cloud = world();
  const kube = createKubeCore({ runtime: realRuntime }).api;
  const crd = parse(readFileSync(`${ROOT}crds/aitenants.yaml`, 'utf8')) as KubeObject;
  await kube.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd);
  await expect.poll(async () => (await kube.list(AI_TENANTS, {})).ok).toBe(true);
  await cloud.createAccount();
  await cloud.createSecret('tenant-a-openai-key', { labels: { 'ai-tenant-namespace': 'default', other: 'stays' } });
  await cloud.addVersion('sk', 'tenant-a-openai-key');
  const secret = 'projects/demo-project/secrets/tenant-a-openai-key';
  await cloud.setPolicy({ bindings: [{ role: ACCESSOR, members: [`serviceAccount:${EMAIL}`] }] }, secret);
  const template = { containers: [{ image: IMAGE }], serviceAccount: EMAIL };
  await cloud.ok(`${RUN}.Services.CreateService`, {
    parent: 'projects/demo-project/locations/asia-northeast1',
    serviceId: 'ai-platform-tenant-a',
    service: { template, scaling: { maxInstanceCount: 10 }, invokerIamDisabled: true },
  });
  await cloud.runtime.advance(20_000);
  const created = await kube.create(AI_TENANTS, 'default', tenantA());
  expect(created).toMatchObject({ ok: true });
  const status = {
    projectId: 'demo-project',
    region: 'asia-northeast1',
    serviceAccountEmail: EMAIL,
    url: 'https://ai-platform-tenant-a.example.com',
    keys: [] as object[],
  };
  status.keys.push({ name: 'openai', secret, version: '1', granted: true });
  await kube.patch(AI_TENANTS, 'default', 'tenant-a', { status } as never, { subresource: 'status' });
  const folder = mkdtempSync(join(tmpdir(), 'console-'));
  closers.push(() => rmSync(folder, { recursive: true }));
  const operatorLog = join(folder, 'operator.log');
  const { core } = cloud;
  // Watches need the time that passes; the outage lasts in the virtual time of the cloud.
  const runtime = { ...realRuntime, now: cloud.runtime.now, after: cloud.runtime.after };
  return {
    cloud,
    kube,
    secret,
    operatorLog,
    console: { kube, core, runtime, project: 'demo-project', image: IMAGE, operatorLog },
  };
}

async function givenActions() {
  const all = await given();
  const actions = createActions(all.console);
  closers.push(actions.stop);
  await expect.poll(async () => (await actions.state(KEY)).picture).toBeDefined();
  return { ...all, actions };
}

const brokenOf = async (actions: Actions) => (await actions.state(KEY)).picture?.broken;

describe('a fault', () => {
  test('none is in force at first', async () => {
    const { actions } = await givenActions();
    const { picture, tenants } = await actions.state(KEY);
    expect(picture).toMatchObject({
      broken: [],
      account: { email: EMAIL, exists: true },
      wanted: { minInstances: 0, maxInstances: 10 },
      keys: [
        {
          env: 'OPENAI_API_KEY',
          exists: true,
          consents: true,
          granted: true,
          versions: [{ number: '1', state: 'ENABLED' }],
        },
      ],
      service: { name: 'ai-platform-tenant-a', isPublic: true, maxInstances: 10 },
    });
    expect(picture?.service?.revisions).toMatchObject([{ image: IMAGE, state: 'ready', percent: 100 }]);
    expect(tenants).toEqual([{ key: KEY, status: 'Unknown', reason: '' }]);
  });

  test.each(['key', 'consent', 'permission', 'image', 'outage'] as const)(
    '%s: is caused, and put right',
    async what => {
      const { actions, secret, cloud } = await givenActions();
      const labels = async () =>
        await cloud.core.invoke(`${SECRETS}.GetSecret`, { name: secret }, { caller: {}, internal: true });
      const before = await labels();
      await actions.act('break', KEY, { what });
      await expect.poll(() => brokenOf(actions)).toEqual([what]);
      await actions.act('mend', KEY, { what });
      await expect.poll(() => brokenOf(actions)).toEqual([]);
      const { moments = [] } = (await actions.state(KEY)).picture ?? {};
      expect(moments.filter(({ from }) => from === 'user')).toMatchObject([
        { what, how: 'mend' },
        { what, how: 'break' },
      ]);
      expect(await labels()).toMatchObject({
        response: { labels: (before as unknown as { response: { labels: object } }).response.labels },
      });
    },
  );

  test.each(['drift', 'deletion'] as const)('%s: is caused, and only the operator puts it right', async what => {
    const { actions, cloud } = await givenActions();
    await actions.act('break', KEY, { what });
    await cloud.runtime.advance(10_000);
    await expect.poll(() => brokenOf(actions)).toEqual([what]);
    await expect(actions.act('mend', KEY, { what })).rejects.toMatchObject({ status: 409 });
  });

  test('deletion: a tenant whose service has not been made yet is not broken', async () => {
    const { actions, kube, cloud } = await givenActions();
    await kube.patch(AI_TENANTS, 'default', 'tenant-a', { status: { url: null } } as never, { subresource: 'status' });
    await cloud.ok(`${RUN}.Services.DeleteService`, { name: SERVICE });
    await cloud.runtime.advance(10_000);
    await expect.poll(async () => (await actions.state(KEY)).picture).toMatchObject({ hasServed: false });
    const { picture } = await actions.state(KEY);
    expect(picture).toMatchObject({ account: { exists: true }, broken: [] });
    expect(picture?.service).toBeUndefined();
  });

  test('permission: the operator is refused, for this secret only', async () => {
    const { actions, cloud, secret } = await givenActions();
    await cloud.createSecret('tenant-a-openai-key-backup');
    await actions.act('break', KEY, { what: 'permission' });
    expect(await cloud.refused(`${SECRETS}.GetIamPolicy`, { resource: secret })).toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    await cloud.ok(`${SECRETS}.GetIamPolicy`, { resource: 'projects/demo-project/secrets/tenant-a-openai-key-backup' });
  });

  test('image: the tenant gets back the image that it had', async () => {
    const { actions, kube } = await givenActions();
    await kube.patch(AI_TENANTS, 'default', 'tenant-a', { spec: { image: 'example.com/mine:7' } });
    const image = async () => (await actions.state(KEY)).picture?.wanted.image;
    await expect.poll(image).toBe('example.com/mine:7');
    await actions.act('break', KEY, { what: 'image' });
    await expect.poll(image).toMatch(/never-listens/);
    await actions.act('break', KEY, { what: 'image' });
    await actions.act('mend', KEY, { what: 'image' });
    await expect.poll(image).toBe('example.com/mine:7');
  });

  test('image: a tenant without spec.image gets back the image that served', async () => {
    const { actions, console } = await givenActions();
    console.image = 'example.com/another:1';
    await actions.act('break', KEY, { what: 'image' });
    await expect.poll(() => brokenOf(actions)).toEqual(['image']);
    await actions.act('mend', KEY, { what: 'image' });
    await expect.poll(async () => (await actions.state(KEY)).picture?.wanted.image).toBe(IMAGE);
  });

  test('outage: every call fails for a minute and no longer, but those of the console', async () => {
    const { actions, cloud } = await givenActions();
    const list = () => cloud.core.call(`${IAM}.ListServiceAccounts`, { name: 'projects/demo-project' });
    await actions.act('break', KEY, { what: 'outage' });
    await cloud.runtime.advance(30_000);
    // A second press begins the minute anew, and leaves nothing behind.
    await actions.act('break', KEY, { what: 'outage' });
    await cloud.runtime.advance(59_000);
    for (let call = 0; call < 50; call++) expect(await list()).toMatchObject({ status: { code: 'UNAVAILABLE' } });
    expect((await actions.state(KEY)).picture?.account.exists).toBe(true);
    await cloud.runtime.advance(1_001);
    expect(await list()).toMatchObject({ ok: true });
    const { outageEndsAt, picture } = await actions.state(KEY);
    expect(outageEndsAt).toBeUndefined();
    expect(picture?.moments[0]).toMatchObject({ what: 'outage', how: 'end' });
  });

  test('what the console reads uses no quota, needs no permission and is not counted', async () => {
    const { actions, cloud } = await givenActions();
    cloud.core.quotas.limits = { secretmanager: { read: 0 }, iam: { read: 0 }, run: { read: 0 } };
    cloud.core.faults.deny({ permission: 'run.services.get' });
    const [logged, counted] = [cloud.core.requestLog.length, cloud.core.counters.reads];
    expect((await actions.state(KEY)).picture).toMatchObject({
      service: {},
      keys: [{ exists: true }],
      account: { exists: true },
    });
    expect([cloud.core.requestLog.length, cloud.core.counters.reads]).toEqual([logged, counted]);
  });
});

describe('the timeline', () => {
  test('has the events and the changes of Ready, newest first, an event that occurs again once', async () => {
    const { actions, kube, cloud } = await givenActions();
    const condition = {
      type: 'Ready',
      status: 'False',
      reason: 'Updating',
      message: '',
      lastTransitionTime: '2030-01-01T00:00:00Z',
    };
    const setReady = (more: object) =>
      kube.patch(AI_TENANTS, 'default', 'tenant-a', { status: { conditions: [{ ...condition, ...more }] } } as never, {
        subresource: 'status',
      });
    const moments = async () => (await actions.state(KEY)).picture?.moments ?? [];
    await setReady({});
    await expect.poll(moments).toMatchObject([{ from: 'ready', status: 'False', reason: 'Updating' }]);
    const about = { kind: 'AiTenant', namespace: 'default', name: 'tenant-a' };
    const event = { involvedObject: about, type: 'Warning', reason: 'R', message: 'M', count: 1 };
    await cloud.runtime.advance(1);
    await kube.create(EVENTS, 'default', { apiVersion: 'v1', kind: 'Event', metadata: { name: 'e' }, ...event });
    await expect
      .poll(moments)
      .toMatchObject([{ from: 'event', warning: true, reason: 'R', count: 1 }, { from: 'ready' }]);
    await cloud.runtime.advance(1);
    await setReady({ status: 'True', reason: 'UpToDate' });
    await expect.poll(async () => (await moments()).length).toBe(3);
    await setReady({ status: 'True', reason: 'UpToDate', message: 'a message alone is no change' });
    await cloud.runtime.advance(1);
    await kube.patch(EVENTS, 'default', 'e', { count: 2 });
    await expect
      .poll(moments)
      .toMatchObject([{ from: 'event', count: 2 }, { from: 'ready', status: 'True' }, { status: 'False' }]);
  });

  test('shows of the operator’s log the lines about the tenant, and its last ones', async () => {
    const { actions, operatorLog } = await givenActions();
    const line = (tenant: string, at: number) => `{"at":${at},"tenant":${JSON.stringify(tenant)}}\n`;
    const lines = Array.from({ length: 5_000 }, (_, at) => line(KEY, at) + line('default/tenant-ab', at));
    writeFileSync(operatorLog, lines.join(''));
    const { operator = '' } = (await actions.state(KEY)).picture?.logs ?? {};
    expect(operator.split('\n')).toEqual(Array.from({ length: 20 }, (_, at) => line(KEY, 4_980 + at).trim()));
  });
});

test('the chat calls the tenant’s own service, and says why there is no answer', async () => {
  const { actions, cloud } = await givenActions();
  const heard: string[] = [];
  const server = createServer((request, response) => {
    request.on('data', chunk => heard.push(`${request.method} ${request.url} ${chunk}`));
    request.on('end', () => response.end('{"response":"<b>hi</b>"}'));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => new Promise(resolve => server.close(resolve)));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const invoke = cloud.core.invoke.bind(cloud.core);
  cloud.core.invoke = async (...call) => {
    const result = await invoke(...call);
    if (result.ok && result.response.name === SERVICE) result.response.uri = url;
    return result;
  };
  expect(await actions.act('chat', KEY, { message: 'hello' })).toEqual({ status: 200, text: '<b>hi</b>' });
  expect(heard).toEqual(['POST /chat {"message":"hello"}']);
  server.closeAllConnections();
  await new Promise(resolve => server.close(resolve));
  expect(await actions.act('chat', KEY, { message: 'hello' })).toMatchObject({ status: 0 });
  for (const message of ['', 7, undefined, {}]) {
    await expect(actions.act('chat', KEY, { message })).rejects.toMatchObject({ status: 400 });
  }
});

describe('the server', () => {
  async function served() {
    const all = await given();
    const { url, close } = await startConsole(all.console);
    closers.push(close);
    const page = await (await fetch(url)).text();
    const token = /name="console-token" content="([\w-]{32})"/.exec(page)?.[1] ?? '';
    const post = (action: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(`${url}/api/${action}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'X-Console-Token': token, ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
    await expect.poll(async () => (await post('check', { tenant: KEY })).status).toBe(200);
    return { ...all, url, token, post };
  }

  test('allows only what the page needs, on every answer', async () => {
    const { url } = await served();
    for (const path of ['/', '/console.js', '/style.css', '/icon.svg', '/nothing', '/api/break']) {
      const { headers } = await fetch(url + path);
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy.split('; '), path).toEqual(
        expect.arrayContaining([
          "default-src 'none'",
          "script-src 'self'",
          "frame-ancestors 'none'",
          "require-trusted-types-for 'script'",
        ]),
      );
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('access-control-allow-origin')).toBe(null);
    }
    const script = await (await fetch(`${url}/console.js`)).text();
    expect(script).not.toMatch(/^import /m);
  });

  test('serves the page in the language that is asked for', async () => {
    const { url } = await served();
    const language = async (query: string, accepted?: string) => {
      const page = await (
        await fetch(url + query, { headers: accepted ? { 'Accept-Language': accepted } : {} })
      ).text();
      return /<html lang="(\w+)"/.exec(page)?.[1];
    };
    expect(await language('/')).toBe('en');
    expect(await language('/', 'ja-JP,ja;q=0.9,en;q=0.8')).toBe('ja');
    expect(await language('/', 'fr,ja;q=0.5')).toBe('en');
    expect(await language('/?lang=ja', 'en')).toBe('ja');
    expect(await language('/?lang=en', 'ja')).toBe('en');
    expect(await language('/?lang="><script>')).toBe('en');
  });

  test('changes nothing without the token of its page', async () => {
    const { post, token, cloud } = await served();
    const other = 'A'.repeat(token.length);
    for (const given of ['', 'short', other, `${token}x`, token.toLowerCase()]) {
      const answer = await post('break', { tenant: KEY, what: 'outage' }, { 'X-Console-Token': given });
      expect([answer.status, (await answer.json()) as object]).toMatchObject([403, { error: expect.any(String) }]);
    }
    expect(await cloud.core.call(`${IAM}.ListServiceAccounts`, { name: 'projects/demo-project' })).toMatchObject({
      ok: true,
    });
  });

  test('takes each path with its method only', async () => {
    const { url, token } = await served();
    const cases: [method: string, path: string, status: number, allow?: string][] = [
      ['HEAD', '/', 200],
      ['POST', '/', 405, 'GET, HEAD'],
      ['DELETE', '/style.css', 405, 'GET, HEAD'],
      ['GET', '/api/break', 405, 'POST'],
      ['PUT', '/api/break', 405, 'POST'],
      ['POST', '/api/stream', 405, 'GET, HEAD'],
      ['GET', '/../main.ts', 404],
      ['GET', '/page/consolePage.ts', 404],
      ['POST', '/nothing', 404],
    ];
    for (const [method, path, status, allow] of cases) {
      const answer = await fetch(url + path, { method, headers: { 'X-Console-Token': token } });
      expect(answer.status, `${method} ${path}`).toBe(status);
      if (allow) expect(answer.headers.get('allow'), `${method} ${path}`).toBe(allow);
    }
  });

  test('takes a JSON object that is not too large, known actions, faults and tenants', async () => {
    const { post } = await served();
    const cases: [action: string, body: unknown, status: number, headers?: Record<string, string>][] = [
      ['break', { tenant: KEY, what: 'key' }, 415, { 'Content-Type': 'text/plain' }],
      ['break', { tenant: KEY, what: 'key' }, 415, { 'Content-Type': 'application/x-www-form-urlencoded' }],
      ['break', { tenant: KEY, what: 'key', more: 'x'.repeat(16 * 1024) }, 413],
      ['break', '{', 400],
      ['break', '[]', 400],
      ['break', 'null', 400],
      ['break', { what: 'key' }, 400],
      ['break', { tenant: KEY, what: 'everything' }, 400],
      ['break', { tenant: KEY, what: ['key'] }, 400],
      ['break', { tenant: KEY, what: 'constructor' }, 400],
      ['constructor', { tenant: KEY }, 404],
      ['__proto__', { tenant: KEY }, 404],
      ['break', { tenant: 'default/nobody', what: 'key' }, 404],
      ['check', { tenant: '../../x' }, 404],
    ];
    for (const [action, body, status, headers] of cases) {
      const answer = await post(action, body, headers);
      expect(answer.status, `${action} ${JSON.stringify(body).slice(0, 100)}`).toBe(status);
      expect(await answer.json()).toEqual({ error: expect.any(String) });
    }
  });

  test('sends the state at once, and serves 20 pages at a time', async () => {
    const { url } = await served();
    const stop = new AbortController();
    onTestFinished(() => stop.abort());
    const open = () => fetch(`${url}/api/stream?tenant=${encodeURIComponent(KEY)}`, { signal: stop.signal });
    const streams = await Promise.all(Array.from({ length: 20 }, open));
    const first = await streams[0]?.body?.getReader().read();
    const state = JSON.parse(
      Buffer.from(first?.value ?? [])
        .toString()
        .replace(/^data: /, ''),
    ) as ConsoleState;
    expect(state.picture?.key).toBe(KEY);
    expect((await open()).status).toBe(503);
    await streams[7]?.body?.cancel();
    await expect.poll(async () => (await open()).status).toBe(200);
  });
});

test('every text of the page is in words.md, in English and in Japanese with the same values', () => {
  const page = `${ROOT}sandbox/console/page/`;
  const rows = readFileSync(`${page}words.md`, 'utf8')
    .trim()
    .split('\n')
    .slice(2)
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    );
  const values = (text = '') => [...text.matchAll(/\{\d\}/g)].map(String).sort();
  for (const row of rows) {
    expect(row, row[0]).toHaveLength(3);
    expect(row.filter(Boolean), row[0]).toHaveLength(3);
    expect(values(row[2]), row[0]).toEqual(values(row[1]));
  }
  const keys = rows.map(([key]) => key);
  expect(new Set(keys).size).toBe(keys.length);
  const source = readdirSync(page)
    .filter(name => name.endsWith('.ts'))
    .map(name => readFileSync(page + name, 'utf8'))
    .join('');
  const used = [...source.matchAll(/words\((?:[^`)]*\? )?'([\w.]+)'(?: : '([\w.]+)')?/g)].flatMap(([, ...found]) =>
    found.filter(Boolean),
  );
  const faults = BREAKERS.flatMap(what => [`${what}.title`, `${what}.text`, `${what}.break`]);
  expect(used.length).toBeGreaterThan(20);
  expect([...used, ...faults].filter(key => !keys.includes(key as string))).toEqual([]);
});
