import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { API } from '../acceptance/addresses.ts';
import { createCaller } from '../acceptance/caller.ts';
import { type Exchange, fieldIn } from '../acceptance/exchange.ts';
import type { Fact } from '../acceptance/fact.ts';
import { runFacts } from '../acceptance/factRunner.ts';
import { NotOursError } from '../acceptance/guard.ts';
import { EXPIRES } from '../acceptance/names.ts';
import { readOptions, UsageError } from '../acceptance/options.ts';
import { openSession, type Session } from '../acceptance/session.ts';

const PROJECT = 'demo-project';
const core = createGcpCore({ runtime, projects: [{ id: PROJECT, number: '123456789012' }], limits: {} });
const state = mkdtempSync(join(tmpdir(), 'acceptance-'));
let server: GcpServer;
let session: Session;

beforeAll(async () => {
  server = await startGcpServer({ core });
  const options = readOptions(['--project', PROJECT, '--state', state], {});
  if (options === 'help') throw new Error('not help');
  session = openSession(options, { CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: server.url });
});

afterAll(async () => {
  session.caller.close();
  await server.close();
  core.run.close();
  rmSync(state, { recursive: true });
});

const secrets = `${API.secretmanager}/v1/projects/${PROJECT}/secrets`;

test('a call that changes something of another prefix, another project or without an expiry is not sent', async () => {
  const { call } = session.caller;
  const { prefix, expires } = session;
  const labels = { [EXPIRES]: expires };
  const secret = { replication: { automatic: {} }, labels };
  const service = `${API.run}/v2/projects/${PROJECT}/locations/asia-northeast1/services`;
  const seen: Exchange[] = [];
  const stop = session.log.listen(exchange => seen.push(exchange));
  for (const refused of [
    () => call('POST', `${secrets}?secretId=somebody`, secret),
    () => call('POST', `${secrets}?secretId=${prefix}x`, secret),
    () => call('POST', `${secrets}?secretId=${prefix}-x`, { replication: { automatic: {} } }),
    () => call('DELETE', `${secrets}/somebody`),
    () => call('POST', `${secrets}/somebody:setIamPolicy`, { policy: {} }),
    () => call('GET', `${secrets}/somebody/versions/latest:access`),
    () => call('DELETE', `${API.secretmanager}/v1/projects/other-project/secrets/${prefix}-x`),
    () => call('POST', `${secrets}/somebody`, undefined, { 'X-HTTP-Method-Override': 'DELETE' }),
    () => call('POST', `${API.cloudresourcemanager}/v3/projects/${PROJECT}:setIamPolicy`, { policy: {} }),
    () => call('POST', `${API.iam}/v1/projects/${PROJECT}/serviceAccounts`, { accountId: 'somebody' }),
    () => call('PATCH', `${service}/somebody?updateMask=labels`, { labels }),
    () => call('DELETE', `${API.run}/v2/projects/${PROJECT}/locations/r/operations/x`),
    () => call('POST', `https://example.com/${prefix}-x`, {}),
  ]) {
    await expect(refused()).rejects.toThrow(NotOursError);
  }
  stop();
  expect(seen).toEqual([]);
});

test('what is made is in the journal before the call, and the exchange has the public address', async () => {
  const { call } = session.caller;
  const id = `${session.prefix}-made`;
  const made = await call('POST', `${secrets}?secretId=${id}`, {
    replication: { automatic: {} },
    labels: { [EXPIRES]: session.expires },
  });
  expect(made).toMatchObject({ by: 'acceptance', method: 'POST', url: `${secrets}?secretId=${id}`, status: 200 });
  expect(session.journal.entries()).toMatchObject([{ kind: 'secret', id }]);
  expect(readdirSync(state)).toEqual([`${session.prefix}.jsonl`]);
  expect((await call('DELETE', `${secrets}/${id}`)).status).toBe(200);
});

test('an endpoint that does not answer gives an exchange with status 0', async () => {
  const { addresses, guard, log } = session;
  const caller = createCaller({
    addresses: { ...addresses, destination: () => ({ url: new URL('http://127.0.0.1:1/'), credentials: false }) },
    guard,
    log,
  });
  const answer = await caller.call('GET', `${secrets}/x`);
  expect(answer.status).toBe(0);
  expect(answer.body).toContain('ECONNREFUSED');
});

function fact(id: string, probe: Fact['probe'], over: Partial<Fact> = {}): Fact {
  return { id, text: id, source: '?', unsure: false, section: 'x', probe, ...over };
}

test('probes that crash or do not end are not observable and stop no other; unsure facts come first', async () => {
  const order: string[] = [];
  const confirmed = async () => {
    order.push('unsure');
    return { verdict: 'confirmed' as const };
  };
  const facts = [
    fact('throws', () => {
      order.push('throws');
      throw new Error('a bug');
    }),
    fact('endless', () => new Promise(() => {})),
    fact('dear', confirmed, { expensive: 'needs 1,000 services' }),
    fact('sure', async ({ call, shared }) => {
      const read = await shared('read', () => call('GET', secrets));
      await call('GET', `${secrets}/none`);
      return fieldIn(read, 'error') === undefined ? { verdict: 'confirmed' } : { verdict: 'refuted', answered: 'x' };
    }),
    fact('unsure', confirmed, { unsure: true }),
  ];
  const run = {
    project: PROJECT,
    region: 'asia-northeast1',
    prefix: session.prefix,
    name: (_: string, suffix: string) => suffix,
    call: session.caller.call,
    expires: session.expires,
    labels: {},
    description: '',
    pollMs: 1,
  };
  const results = await runFacts(facts, run, { expensive: false, probeMs: 200 });
  expect(results.map(({ fact: { id }, verdict }) => [id, verdict.verdict])).toEqual([
    ['throws', 'notObservable'],
    ['endless', 'notObservable'],
    ['dear', 'notObservable'],
    ['sure', 'confirmed'],
    ['unsure', 'confirmed'],
  ]);
  expect(order).toEqual(['unsure', 'throws']);
  expect(results[3]?.exchanges.map(({ url }) => url)).toEqual([secrets, `${secrets}/none`]);
});

test('the command line names what is wrong', () => {
  for (const [args, said] of [
    [[], 'Name the project'],
    [['--project', 'demo-project', '--region', 'x'], 'is not a region'],
    [['--project', 'demo-project', '--only', 'x'], '--only facts or --only life'],
    [['--project', 'demo-project', '--second-region', 'asia-northeast1'], 'another region'],
    [['--project', 'demo-project', '--prefix', 'x'], 'is not a prefix'],
    [['--project', 'demo-project', '--nothing'], "Unknown option '--nothing'"],
  ] as const) {
    expect(() => readOptions([...args], {})).toThrow(UsageError);
    expect(() => readOptions([...args], {})).toThrow(said);
  }
});
