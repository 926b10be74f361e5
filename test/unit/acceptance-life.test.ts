import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { acceptance } from '../acceptance/acceptance.ts';
import { readOptions } from '../acceptance/options.ts';

/** The life of a tenant on endpoints that lack a method, each answered in one of three ways. */

const PROJECT = 'demo-project';
const state = mkdtempSync(join(tmpdir(), 'acceptance-life-'));
afterAll(() => rmSync(state, { recursive: true }));

/** How an endpoint answers a method that it does not have. */
const ANSWERS: [status: number, type: string, body: string][] = [
  [404, 'text/html', '<!DOCTYPE html><title>Error 404 (Not Found)</title>'],
  [501, 'application/json', '{"error":{"code":501,"status":"UNIMPLEMENTED","message":"not here"}}'],
  [200, 'text/html', '<!DOCTYPE html><title>Sign in</title>'],
];

const METHODS: [name: string, verb: string, path: RegExp][] = [
  ['list accounts', 'GET', /\/serviceAccounts$/],
  ['create account', 'POST', /\/serviceAccounts$/],
  ['get account', 'GET', /\/serviceAccounts\/[^/]+$/],
  ['patch account', 'PATCH', /\/serviceAccounts\//],
  ['delete account', 'DELETE', /\/serviceAccounts\//],
  ['disable account', 'POST', /\/serviceAccounts\/.*:disable$/],
  ['enable account', 'POST', /\/serviceAccounts\/.*:enable$/],
  ['list secrets', 'GET', /\/secrets$/],
  ['create secret', 'POST', /\/secrets$/],
  ['get secret', 'GET', /\/secrets\/[^/:]+$/],
  ['patch secret', 'PATCH', /\/secrets\//],
  ['delete secret', 'DELETE', /\/secrets\//],
  ['add version', 'POST', /:addVersion$/],
  ['list versions', 'GET', /\/versions$/],
  ['get version', 'GET', /\/versions\/[^/:]+$/],
  ['get policy of a secret', 'GET', /\/secrets\/.*:getIamPolicy$/],
  ['set policy of a secret', 'POST', /\/secrets\/.*:setIamPolicy$/],
  ['list services', 'GET', /^\/v2\/.*\/services$/],
  ['create service', 'POST', /^\/v2\/.*\/services$/],
  ['get service', 'GET', /\/services\/[^/:]+$/],
  ['patch service', 'PATCH', /\/services\//],
  ['delete service', 'DELETE', /\/services\//],
  ['get policy of a service', 'GET', /\/services\/.*:getIamPolicy$/],
  ['set policy of a service', 'POST', /\/services\/.*:setIamPolicy$/],
  ['list revisions', 'GET', /\/revisions$/],
  ['deploy by v1', 'POST', /^\/apis\/serving/],
  ['get project', 'GET', /^\/v3\/projects\/[^/]+$/],
];

/** A local Google Cloud without delays, behind a server that answers the methods for which `missing` says so. */
async function cloudWithout(missing: (verb: string, path: string) => (typeof ANSWERS)[number] | undefined) {
  const core = createGcpCore({
    runtime,
    projects: [{ id: PROJECT, number: '123456789012' }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 5 },
    limits: {},
    containers: scriptedContainers(runtime, new Map([['gcr.io/cloudrun/acceptance-missing', 'missing']]), 5),
  });
  const behind = await startGcpServer({ core });
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const { method = '', url = '' } = request;
    const instead = missing(method, url.replace(/\?.*/, ''));
    if (instead) {
      const [status, type, body] = instead;
      request.resume();
      response.writeHead(status, { 'content-type': type }).end(body);
      return;
    }
    const host = request.headers.host?.replace(/:\d+$/, `:${behind.port}`);
    const headers = { ...request.headers, host };
    const forward = http.request({ port: behind.port, method, path: url, headers, agent }, answer => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    request.pipe(forward);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    core,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await behind.close();
      core.run.close();
    },
  };
}

/** Leads a tenant through its life; answers with the exit code and what was printed. */
async function lived(url: string, waitMs: number, ...args: string[]): Promise<{ code: number; printed: string }> {
  const options = readOptions(['--project', PROJECT, '--state', state, '--only', 'life', ...args], {});
  if (options === 'help') throw new Error('not help');
  const env = Object.fromEntries(
    ['RUN', 'SECRETMANAGER', 'IAM'].map(api => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`, url]),
  );
  const lines: string[] = [];
  const code = await acceptance(
    options,
    env,
    { print: line => lines.push(line), confirm: async () => true, signal: new AbortController().signal },
    { pollMs: 25, settleMs: 0, waitMs },
  );
  return { code, printed: lines.join('\n') };
}

test('a whole life passes', { timeout: 180_000 }, async () => {
  const cloud = await cloudWithout(() => undefined);
  const { code, printed } = await lived(cloud.url, 40_000, '--second-region', 'europe-west1');
  expect(printed).not.toMatch(/FAILED|not so:/);
  // The addresses of this cloud's services lead nowhere.
  expect(printed.match(/ {2}skipped /g)).toHaveLength(1);
  expect(code).toBe(0);
  await cloud.close();
});

test.concurrent.each(METHODS.map((method, index) => [...method, ANSWERS[index % 3] ?? []] as const))(
  'without %s it says what failed, and does not crash',
  { timeout: 120_000 },
  async (_, verb, path, answer) => {
    const cloud = await cloudWithout((asked, at) =>
      asked === verb && path.test(at) ? (answer as (typeof ANSWERS)[number]) : undefined,
    );
    const { code, printed } = await lived(cloud.url, 1_000);
    expect(printed).toContain('life of a tenant  outcome');
    expect(printed).not.toMatch(/TypeError|undefined|is not a function|node:internal/);
    // Whatever is left is named, with the command that removes it.
    for (const id of await leftIn(cloud.core)) expect(printed).toContain(id);
    expect([0, 1]).toContain(code);
    await cloud.close();
  },
);

type Core = Awaited<ReturnType<typeof cloudWithout>>['core'];

/** The ids of what the run has left. */
async function leftIn(core: Core): Promise<string[]> {
  const parent = `projects/${PROJECT}`;
  const lists: [string, Record<string, string>, string][] = [
    ['google.iam.admin.v1.IAM.ListServiceAccounts', { name: parent }, 'accounts'],
    ['google.cloud.secretmanager.v1.SecretManagerService.ListSecrets', { parent }, 'secrets'],
    ['google.cloud.run.v2.Services.ListServices', { parent: `${parent}/locations/asia-northeast1` }, 'services'],
  ];
  const names: string[] = [];
  for (const [method, request, field] of lists) {
    const result = await core.call(method, request);
    if (result.ok) names.push(...((result.response[field] ?? []) as { name: string }[]).map(({ name }) => name));
  }
  return names.map(name => (name.split('/').at(-1) ?? '').replace(/@.*/, '')).filter(id => /acc-[a-z0-9]{8}/.test(id));
}
