import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { acceptance } from '../acceptance/acceptance.ts';
import { readOptions } from '../acceptance/options.ts';

/** The life of a tenant on endpoints that lack a method, each answered in one of three ways, and with an operator that breaks a rule. */

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

/** What stands before the local Google Cloud: it may answer a request itself, or change the body of one. */
interface Front {
  missing?: (verb: string, path: string) => (typeof ANSWERS)[number] | undefined;
  /** For the operator's writes only. */
  changed?: (verb: string, path: string, body: JsonObject) => JsonObject;
}

/** A local Google Cloud without delays, behind a server. */
async function cloudBehind({ missing, changed }: Front = {}) {
  const core = createGcpCore({
    runtime,
    projects: [{ id: PROJECT, number: '123456789012' }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 5 },
    limits: {},
    containers: scriptedContainers(runtime, new Map([['gcr.io/cloudrun/acceptance-missing', 'missing']]), 5),
  });
  const behind = await startGcpServer({ core });
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer(async (request, response) => {
    const { method = '', url = '' } = request;
    const path = url.replace(/\?.*/, '');
    let body = Buffer.concat(await request.toArray());
    const instead = missing?.(method, path);
    if (instead) {
      const [status, type, text] = instead;
      response.writeHead(status, { 'content-type': type }).end(text);
      return;
    }
    if (changed && body.length > 0 && request.headers['user-agent']?.includes('aitenant-operator'))
      body = Buffer.from(JSON.stringify(changed(method, path, JSON.parse(body.toString()) as JsonObject)));
    const host = request.headers.host?.replace(/:\d+$/, `:${behind.port}`);
    const headers = { ...request.headers, host, 'content-length': String(body.length) };
    http
      .request({ port: behind.port, method, path: url, headers, agent }, answer => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      })
      .end(body);
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

/** Leads a tenant through its life, `until` a line fits; answers with the exit code and what was printed. */
async function lived(
  url: string,
  waitMs: number,
  { args = [], until }: { args?: string[]; until?: RegExp } = {},
): Promise<{ code: number; printed: string }> {
  const options = readOptions(['--project', PROJECT, '--state', state, '--only', 'life', ...args], {});
  const stopping = new AbortController();
  if (options === 'help') throw new Error('not help');
  const env = Object.fromEntries(
    ['RUN', 'SECRETMANAGER', 'IAM'].map(api => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`, url]),
  );
  const lines: string[] = [];
  const code = await acceptance(
    options,
    env,
    {
      print(line) {
        lines.push(line);
        if (until?.test(line)) stopping.abort();
      },
      confirm: async () => true,
      signal: stopping.signal,
    },
    { pollMs: 25, settleMs: 0, waitMs },
  );
  return { code, printed: lines.join('\n') };
}

test('a whole life passes', { timeout: 180_000 }, async () => {
  const cloud = await cloudBehind();
  const { code, printed } = await lived(cloud.url, 40_000, { args: ['--second-region', 'europe-west1'] });
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
    const cloud = await cloudBehind({
      missing: (asked, at) => (asked === verb && path.test(at) ? (answer as (typeof ANSWERS)[number]) : undefined),
    });
    const { code, printed } = await lived(cloud.url, 1_000);
    expect(printed).toContain('life of a tenant  outcome');
    expect(printed).not.toMatch(/TypeError|undefined|is not a function|node:internal/);
    // Whatever is left is named, with the command that removes it.
    for (const id of await leftIn(cloud.core)) expect(printed).toContain(id);
    expect([0, 1]).toContain(code);
    await cloud.close();
  },
);

/** What an operator would do that breaks a rule, as it reaches Google Cloud, and the check that must find it. */
const BROKEN: [rule: string, found: RegExp, changed: Front['changed']][] = [
  [
    'keeps only its own member on the policy of a secret',
    /not so: the policy of secret acc-\w{8}-key has the bindings of others unchanged/,
    (_, path, body) => {
      if (!/\/secrets\/[^/]+:setIamPolicy$/.test(path)) return body;
      const policy = body.policy as JsonObject & { bindings: { members: string[] }[] };
      const bindings = policy.bindings.filter(({ members }) => members.some(member => member.includes(':sa-')));
      return { ...body, policy: { ...policy, bindings } };
    },
  ],
  [
    'takes a variable off that the spec never named',
    /not so: a variable that the spec never named survives/,
    (verb, path, body) => {
      if (verb !== 'PATCH' || !/\/services\//.test(path) || !body.template) return body;
      const template = body.template as JsonObject & { containers: { env?: { name: string }[] }[] };
      const containers = template.containers.map(container => ({
        ...container,
        env: container.env?.filter(({ name }) => name !== 'BY_HAND'),
      }));
      return { ...body, template: { ...template, containers } };
    },
  ],
  [
    'opens a service that is to be closed',
    /FAILED +life: closed\./,
    (verb, path, body) =>
      verb === 'PATCH' && /\/services\//.test(path) && 'invokerIamDisabled' in body
        ? { ...body, invokerIamDisabled: true }
        : body,
  ],
];

test.concurrent.each(BROKEN)('an operator that %s is found', { timeout: 180_000 }, async (_, found, changed) => {
  const cloud = await cloudBehind({ changed });
  const { printed } = await lived(cloud.url, 8_000, { until: found });
  expect(printed).toMatch(found);
  await cloud.close();
});

type Core = Awaited<ReturnType<typeof cloudBehind>>['core'];

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
