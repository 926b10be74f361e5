import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { API } from '../acceptance/addresses.ts';
import { type Call, type Exchange, fieldIn, isObject } from '../acceptance/exchange.ts';
import { EXPIRES } from '../acceptance/names.ts';
import { readOptions } from '../acceptance/options.ts';
import { compareRecording } from '../acceptance/recording/compareRecording.ts';
import type { DifferenceKind } from '../acceptance/recording/differences.ts';
import { readRecording } from '../acceptance/recording/recorder.ts';
import { recordRun } from '../acceptance/recording/recordRun.ts';
import { replay } from '../acceptance/recording/replay.ts';
import { openSession } from '../acceptance/session.ts';

const PROJECT = 'orchard-4711';
const NUMBER = '604217839925';
const REGION = 'asia-northeast1';
const KEY = 'sk-plums-are-blue';
const folder = mkdtempSync(join(tmpdir(), 'recording-'));
const file = join(folder, 'walk.jsonl');

beforeAll(async () => {
  const core = createGcpCore({
    runtime,
    projects: [{ id: PROJECT, number: NUMBER }],
    // Slow enough that refusals, retries and reads of what is under way are recorded.
    settings: { createVisibleMs: 30, accountPropagationMs: 400, policyPropagationMs: 0, deployMs: 40 },
    limits: {},
  });
  const server = await startGcpServer({ core });
  const options = readOptions(['--project', PROJECT, '--state', folder, '--record', file], {});
  if (options === 'help') throw new Error('not help');
  const session = openSession(options, { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: server.url });
  const stop = recordRun(options, session, () => {});
  await walk(session.caller.call, session.prefix, session.expires);
  stop();
  session.caller.close();
  await server.close();
  core.run.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Something of everything: an account, a key, who may read it, a service that reads it, its edits, its end, and refusals. */
async function walk(call: Call, prefix: string, expires: string): Promise<void> {
  const labels = { [EXPIRES]: expires };
  const id = `${prefix}-walk`;
  const email = `${id}@${PROJECT}.iam.gserviceaccount.com`;
  const accounts = `${API.iam}/v1/projects/${PROJECT}/serviceAccounts`;
  const secrets = `${API.secretmanager}/v1/projects/${PROJECT}/secrets`;
  const secret = `${secrets}/${id}`;
  const services = `${API.run}/v2/projects/${PROJECT}/locations/${REGION}/services`;
  const service = `${services}/${id}`;
  const poll = async (ask: () => Promise<Exchange>, done: (answer: Exchange) => boolean): Promise<Exchange> => {
    for (;;) {
      const answer = await ask();
      if (done(answer)) return answer;
      await new Promise(resolve => setTimeout(resolve, 15));
    }
  };
  const wait = (operation: Exchange) =>
    poll(
      () => call('GET', `${API.run}/v2/${fieldIn(operation, 'name')}`),
      answer => fieldIn(answer, 'done') === true,
    );

  await call('GET', `${API.cloudresourcemanager}/v3/projects/${PROJECT}`);
  await call('POST', `${secrets}?secretId=${id}`, { replication: { automatic: {} }, labels });
  await poll(
    () => call('GET', secret),
    ({ status }) => status === 200,
  );
  const data = Buffer.from(KEY).toString('base64');
  await call('POST', `${secret}:addVersion`, { payload: { data } });
  await call('GET', `${secret}/versions/latest:access`);
  const policy = await call('GET', `${secret}:getIamPolicy?options.requestedPolicyVersion=3`);
  const description = `${EXPIRES}=${expires}`;
  const made = await call('POST', accounts, { accountId: id, serviceAccount: { displayName: 'walk', description } });
  await call('POST', accounts, { accountId: id, serviceAccount: { description } });
  await poll(
    () => call('GET', `${accounts}/${fieldIn(made, 'uniqueId')}`),
    ({ status }) => status === 200,
  );
  const bindings = [{ role: 'roles/secretmanager.secretAccessor', members: [`serviceAccount:${email}`] }];
  const etag = fieldIn(policy, 'etag') ?? null;
  await poll(
    () => call('POST', `${secret}:setIamPolicy`, { policy: { version: 3, bindings, etag } }),
    ({ status }) => status === 200,
  );
  // The etag is stale now.
  await call('POST', `${secret}:setIamPolicy`, { policy: { bindings, etag } });

  const env = [{ name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: id, version: '1' } } }];
  const template = { serviceAccount: email, containers: [{ image: 'gcr.io/cloudrun/hello', env }] };
  await wait(
    await poll(
      () => call('POST', `${services}?serviceId=${id}`, { labels, template }),
      ({ status }) => status === 200,
    ),
  );
  const read = await call('GET', service);
  await call('GET', `${service}:getIamPolicy`);
  const edited = { ...template, timeout: '120s' };
  await wait(
    await call('PATCH', `${service}?updateMask=template`, { template: edited, etag: fieldIn(read, 'etag') ?? null }),
  );
  await call('PATCH', `${service}?updateMask=template`, { template, etag: fieldIn(read, 'etag') ?? null });
  await call('GET', `${service}/revisions`);
  await call(
    'GET',
    `https://${REGION}-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/${PROJECT}/services/${id}`,
  );
  await call('PATCH', `${service}?updateMask=template`, {
    template: { containers: [{ env: [{ name: 'PORT', value: '1' }] }] },
  });
  await call('GET', `${services}/${prefix}-none`);
  await call('GET', `${API.run}/no/such/page`);
  await Promise.all([call('GET', services), call('GET', service), call('DELETE', secret), call('GET', secret)]);
  await wait(await call('DELETE', service));
  await call('DELETE', `${accounts}/${email}`);
  await call('GET', secret);
}

test('a recording is for its owner alone, and has nothing of the project, the person and the key', () => {
  const text = readFileSync(file, 'utf8');
  for (const secret of [PROJECT, NUMBER, KEY, Buffer.from(KEY).toString('base64')]) expect(text).not.toContain(secret);
  expect(statSync(file).mode & 0o077).toBe(0);
});

test('a recording that was made here has no difference', async () => {
  const recording = readRecording(file);
  const replayed = await replay(recording);
  expect(
    replayed.flatMap(({ recorded, differences }) => (differences.length > 0 ? [[recorded, differences]] : [])),
  ).toEqual([]);
  expect(replayed.filter(({ part }) => part === 'compared').length).toBeGreaterThan(25);
  // Refusals that were waits are no part of the comparison.
  expect(replayed.some(({ part }) => part === 'sentAgain')).toBe(true);
});

/** A change of the answers to requests whose line matches. */
const changing = (pattern: RegExp, change: (body: JsonObject) => void, status?: number) => (present: Exchange) => {
  if (!pattern.test(`${present.method} ${present.url}`) || !isObject(present.body)) return present;
  const body = structuredClone(present.body);
  change(body);
  return { ...present, body, status: status ?? present.status };
};
const SERVICE = /^GET .*\/v2\/.*\/services\/[^/:]*-walk$/;
const NONE = /^GET .*-none$/;

/** One change of each kind, and where it must be found. */
const CHANGES: [DifferenceKind, string, (present: Exchange) => Exchange][] = [
  ['status', 'status', changing(NONE, () => {}, 403)],
  ['missing', 'ingress', changing(SERVICE, body => delete body.ingress)],
  ['more', 'newField', changing(SERVICE, body => Object.assign(body, { newField: true }))],
  ['value', 'generation', changing(SERVICE, body => Object.assign(body, { generation: '7' }))],
  ['value', 'createTime', changing(SERVICE, body => Object.assign(body, { createTime: 'yesterday' }))],
  ['binding', 'uid', changing(SERVICE, body => Object.assign(body, { uid: 'uuid-99' }))],
  ['text', 'error.message', changing(/:setIamPolicy/, body => withMessage(body, 'Not here at all.'))],
  ['missing', 'bindings[roles/secretmanager.secretAccessor]', changing(/:setIamPolicy/, body => emptied(body))],
  [
    'header',
    'header content-type',
    present =>
      present.url.endsWith('/revisions') ? { ...present, responseHeaders: { 'content-type': 'text/html' } } : present,
  ],
];
const withMessage = (body: JsonObject, message: string) =>
  isObject(body.error) && Object.assign(body.error, { message });
const emptied = (body: JsonObject) => Array.isArray(body.bindings) && Object.assign(body, { bindings: [] });

test('changed answers are found, each kind of change at its place', async () => {
  const wrap = (present: Exchange) => CHANGES.reduce((changed, [, , change]) => change(changed), present);
  const replayed = await replay(readRecording(file), wrap);
  const found = replayed.flatMap(({ differences }) => differences.map(one => `${one.kind} ${one.path}`));
  expect(found).toEqual(expect.arrayContaining(CHANGES.map(([kind, path]) => `${kind} ${path}`)));
});

describe('npm run acceptance -- --compare', () => {
  async function compared(lines: string[], allowed?: string): Promise<{ code: number; text: string }> {
    const changed = join(folder, 'changed.jsonl');
    writeFileSync(changed, `${lines.join('\n')}\n`);
    const allow = join(folder, 'some.yaml');
    if (allowed !== undefined) writeFileSync(allow, allowed);
    const printed: string[] = [];
    const code = await compareRecording(changed, allowed === undefined ? undefined : allow, line => printed.push(line));
    return { code, text: printed.join('\n') };
  }
  const lines = () => readFileSync(file, 'utf8').trimEnd().split('\n');
  const elsewhere = () =>
    lines().map(line => line.replaceAll('"ingress":"INGRESS_TRAFFIC_ALL"', '"ingress":"ELSEWHERE"'));

  test('prints the request, both answers and each difference, and ends with 1', async () => {
    const { code, text } = await compared(elsewhere());
    expect(code).toBe(1);
    expect(text).toMatch(/^Exchange \d+ \(acceptance\): GET \/v2\/projects\/project-1\/locations\/\S+-walk$/m);
    expect(text).toMatch(/^ {2}recorded {2}HTTP 200: \{/m);
    expect(text).toMatch(/^ {2}now {7}HTTP 200: \{/m);
    expect(text).toMatch(/^ {2}another value +ingress +ELSEWHERE +INGRESS_TRAFFIC_ALL$/m);
    expect(text).toMatch(/\d+ exchanges differ: \d+ × another value\.$/);
  });

  test('ends with 0 if a list allows what differs, and names what the list need not have', async () => {
    const { code, text } = await compared(
      elsewhere(),
      [
        '- { request: "* /v2/*", path: "*ingress", kind: value, reason: this project forbids it }',
        '- { request: "GET /v3/*", reason: once it was so }',
      ].join('\n'),
    );
    expect(text).toMatch(/^Allowed \d+ ×: \* \/v2\/\*, \*ingress: this project forbids it$/m);
    expect(text).toMatch(/^Not needed any more: the allowed difference GET \/v3\/\*, \*$/m);
    expect([code, text.split('\n').at(-1)]).toEqual([0, 'No difference.']);
  });

  test.each([
    ['this is not a list', 'a: 1'],
    ['the entry 1 has no reason', '- { request: GET * }'],
    ['the entry 1 has no request', '- { reason: x }'],
    ['the entry 1 has an unknown field field', '- { request: GET *, reason: x, field: y }'],
    ['the entry 1 has a kind that is none of status', '- { request: GET *, reason: x, kind: y }'],
    ['the entry 2 is not an object', '- { request: GET *, reason: x }\n- 7'],
  ])('refuses a list where %s', async (message, list) => {
    await expect(compared(lines(), list)).rejects.toThrow(message);
  });

  test.each([
    ['line 1 is not the head of a recording', (all: string[]) => all.slice(1)],
    ['line 3 is not a JSON object', (all: string[]) => all.with(2, 'x')],
    ['the exchange 2 has no method, url or status', (all: string[]) => all.with(2, '{}')],
  ])('refuses a file where %s', async (message, change) => {
    await expect(compared(change(lines()))).rejects.toThrow(message);
  });
});
