import { createServer, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { protoRegistry } from '../../sandbox/gcp/wire/protos.ts';
import { createRouter } from '../../sandbox/gcp/wire/routes.ts';
import { addressesFrom } from '../acceptance/addresses.ts';
import { createCaller } from '../acceptance/caller.ts';
import { createExchangeLog, type Exchange } from '../acceptance/exchange.ts';
import type { Fact, FactResult, RunOfFacts } from '../acceptance/fact.ts';
import { runFacts } from '../acceptance/factRunner.ts';
import { FACTS } from '../acceptance/facts/all.ts';
import { newPrefix } from '../acceptance/names.ts';
import { comparisonText } from '../acceptance/recording/comparisonText.ts';
import { readRecording } from '../acceptance/recording/recorder.ts';
import { replay } from '../acceptance/recording/replay.ts';

/** An endpoint that speaks the protocols, but for one method: the runner of the facts and the comparison go on and give a verdict. */

const PAGE = '<!DOCTYPE html>\n<html lang=en>\n  <title>Error</title>\n  <p>That is an error.\n</html>\n';
const NOT_FOUND = { error: { code: 404, message: 'Method not found.', status: 'NOT_FOUND' } };

/** What an endpoint answers in place of a method that it does not have. */
const FORMS = {
  '404 in JSON': { status: 404, type: 'application/json', text: JSON.stringify(NOT_FOUND) },
  '404 with a page': { status: 404, type: 'text/html', text: PAGE },
  '501 with a page': { status: 501, type: 'text/html', text: PAGE },
  '200 with a page': { status: 200, type: 'text/html', text: PAGE },
  'a closed connection': undefined,
} as const;
type Form = keyof typeof FORMS;

const PROJECT = 'demo-project';
const route = createRouter(protoRegistry().methods.values());
/** The name of the method that a request calls. */
const methodOf = (verb: string, path: string) => route(verb, path.replace(/[?#].*$/, ''))?.route.method.name;

const core = createGcpCore({
  runtime,
  projects: [{ id: PROJECT, number: '123456789012' }],
  settings: { createVisibleMs: 0, accountPropagationMs: 0, policyPropagationMs: 0, deployMs: 1 },
  limits: {},
  accountsPerProject: 100_000,
});
/** What is taken away at the moment. */
let missing: { method: string; form: Form } | undefined;
let server: GcpServer;
const proxy = createServer((asked, response) => {
  if (missing && methodOf(asked.method ?? '', asked.url ?? '') === missing.method) {
    asked.resume();
    refuse(response, missing.form);
    return;
  }
  const { headers, method, url } = asked;
  const passed = send(`${server.url}${url}`, { method, headers }, answer => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    answer.pipe(response);
  });
  passed.on('error', () => response.destroy());
  asked.pipe(passed);
});

function refuse(response: ServerResponse, form: Form): void {
  const answer = FORMS[form];
  if (answer === undefined) response.destroy();
  else response.writeHead(answer.status, { 'content-type': answer.type }).end(answer.text);
}

/** The facts that call a method, by its name. */
const usedBy = new Map<string, Fact[]>();

beforeAll(async () => {
  server = await startGcpServer({ core });
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve));
  for (const { fact, exchanges } of await probed(FACTS, 5_000)) {
    for (const method of new Set(exchanges.map(called))) {
      if (method !== undefined) usedBy.set(method, [...(usedBy.get(method) ?? []), fact]);
    }
  }
}, 120_000);

afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await server.close();
  core.run.close();
});

const called = ({ method, url, requestHeaders }: Exchange): string | undefined =>
  methodOf(requestHeaders['x-http-method-override'] ?? method, url.replace(/^https:\/\/[^/]+/, ''));

/** Probes the facts through the proxy by the real runner. A probe that waits for what does not come is ended after `probeMs`. */
async function probed(facts: readonly Fact[], probeMs: number): Promise<FactResult[]> {
  const { port } = proxy.address() as AddressInfo;
  const caller = createCaller({
    addresses: addressesFrom({ CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: `http://127.0.0.1:${port}` }),
    guard: { check() {}, learn() {}, permit() {} },
    log: createExchangeLog(),
  });
  const prefix = newPrefix();
  const expires = String(Math.floor(Date.now() / 1000) + 3600);
  const run: RunOfFacts = {
    project: PROJECT,
    projectNumber: '123456789012',
    region: 'asia-northeast1',
    prefix,
    name: (_, suffix) => `${prefix}-${suffix}`,
    call: caller.call,
    expires,
    labels: { 'ai-acceptance-expires': expires },
    description: `ai-acceptance-expires=${expires}`,
    pollMs: 1,
  };
  const results = await runFacts(facts, run, { expensive: false, probeMs });
  caller.close();
  return results;
}

/** What is said where a probe did not expect an answer. */
const CRASH = /Cannot (read|set|destructure|convert)|is not (a function|iterable|an object|valid JSON)|Invalid URL/;

test.each(Object.keys(FORMS) as Form[])(
  'a method that answers with %s: every fact that calls it has a verdict',
  { timeout: 240_000 },
  async form => {
    expect(usedBy.size).toBeGreaterThan(30);
    for (const [method, facts] of usedBy) {
      missing = { method, form };
      const results = await probed(facts, 150).finally(() => {
        missing = undefined;
      });
      expect(results.map(({ fact: { id } }) => id).sort(), method).toEqual(facts.map(({ id }) => id).sort());
      for (const { verdict, fact } of results) {
        expect(verdict.verdict, `${method}: ${fact.id}`).toMatch(/^(confirmed|refuted|notObservable)$/);
        if (verdict.verdict !== 'confirmed')
          expect(JSON.stringify(verdict), `${method}: ${fact.id}`).not.toMatch(CRASH);
      }
    }
  },
);

/** The beginning of a tenant's life, which calls most methods. */
const life = readRecording(new URL('../acceptance/recordings/local-life.jsonl', import.meta.url).pathname);
const recording = { ...life, exchanges: life.exchanges.slice(0, 120) };
const recorded = [...new Set(recording.exchanges.map(called))].filter(method => method !== undefined);

test('the comparison tells of each method that is taken away, in every form', { timeout: 240_000 }, async () => {
  expect(recorded.length).toBeGreaterThan(8);
  const forms = Object.keys(FORMS) as Form[];
  for (const [index, method] of recorded.entries()) {
    const answer = FORMS[forms[index % forms.length] as Form];
    const replayed = await replay(recording, present =>
      called(present) === method ? { ...present, ...broken(answer) } : present,
    );
    const calls = replayed.filter(one => called(one.recorded) === method && one.present !== undefined);
    expect(calls.filter(({ recorded: { status }, differences }) => status === 200 && differences.length === 0)).toEqual(
      [],
    );
    expect(comparisonText(replayed, []), method).toMatch(/^\d+ exchanges differ: /m);
  }
});

function broken(answer: (typeof FORMS)[Form]): Pick<Exchange, 'status' | 'responseHeaders' | 'body'> {
  if (answer === undefined) return { status: 0, responseHeaders: {}, body: 'socket hang up' };
  const { status, type, text } = answer;
  return { status, responseHeaders: { 'content-type': type }, body: type === 'text/html' ? text : JSON.parse(text) };
}
