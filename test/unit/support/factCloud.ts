import http from 'node:http';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { createGcpCore, type GcpCore, type GcpCoreOptions } from '../../../sandbox/gcp/core.ts';
import { startGcpServer } from '../../../sandbox/gcp/wire/http.ts';
import { type Call, type Exchange, fieldIn } from '../../acceptance/exchange.ts';
import type { Fact, FactContext, Verdict } from '../../acceptance/fact.ts';
import { FACTS } from '../../acceptance/facts/all.ts';
import { verdictsText } from '../../acceptance/verdicts/verdicts.ts';
import { fakeRuntime } from './fakeRuntime.ts';
import { POLICIES, UNDER_POLICY } from './observable.ts';

/** A local Google Cloud in virtual time, behind real HTTP, and the context with which probes ask it. */
export interface FactCloud {
  core: GcpCore;
  call: Call;
  /** Probes one fact. `through` stands between the probe and the cloud. */
  probe(fact: Fact, through?: (call: Call) => Call): Promise<Verdict>;
  /** Gives the project a deny policy, as its administrators may have made one. */
  addDenyPolicy(): Promise<void>;
  close(): Promise<void>;
}

const PROJECT = { id: 'demo-project', number: '123456' };
const REGION = 'asia-northeast1';
const PREFIX = 'acc-0a1b2c3d';

/** Delays, so that the facts about new accounts show; virtual milliseconds. */
const DELAYS = {
  createVisibleMs: 20_000,
  accountPropagationMs: 30_000,
  policyPropagationMs: 5_000,
  deployMs: 6_000,
};

export async function factCloud(options: Partial<GcpCoreOptions> = {}): Promise<FactCloud> {
  const runtime = fakeRuntime(22);
  const core = createGcpCore({
    runtime,
    projects: [PROJECT],
    ...options,
    settings: { ...DELAYS, ...options.settings },
  });
  const server = await startGcpServer({ core });
  const agent = new http.Agent({ keepAlive: true });
  let last = 0;

  const call: Call = async (method, url, body, headers = {}) => {
    const { hostname, pathname, search } = new URL(url);
    const [, region] = /^(.+)-run\.googleapis\.com$/.exec(hostname) ?? [];
    const answer = await send(agent, `${server.url}${pathname}${search}`, method, body, {
      ...headers,
      ...(region && { host: `${region}-127.0.0.1:${server.port}` }),
    });
    const asked = body === undefined ? {} : { requestBody: structuredClone(body) };
    return { id: ++last, by: 'acceptance', method, url, requestHeaders: headers, ...asked, ...answer };
  };

  const shared = new Map<string, Promise<unknown>>();

  function contextOf(asked: Call): FactContext {
    return {
      project: PROJECT.id,
      projectNumber: PROJECT.number,
      region: REGION,
      prefix: PREFIX,
      name: (_, suffix) => `${PREFIX}-${suffix}`,
      call: asked,
      async wait(started) {
        const name = fieldIn(started, 'name');
        if (!/\/operations\//.test(String(name))) return started;
        let read = started;
        for (let waited = 0; fieldIn(read, 'done') !== true && waited < 150; waited++) {
          await runtime.advance(1000);
          read = await asked('GET', `https://run.googleapis.com/v2/${name}`);
        }
        return read;
      },
      async until(condition, timeoutMs) {
        for (let waited = 0; ; waited += 1000) {
          const value = await condition();
          if (value !== undefined || waited >= timeoutMs) return value;
          await runtime.advance(1000);
        }
      },
      shared<T>(key: string, make: () => Promise<T>): Promise<T> {
        const made = shared.get(key) ?? make();
        shared.set(key, made);
        return made as Promise<T>;
      },
      expires: String(Math.floor(runtime.now() / 1000) + 3600),
      labels: { 'ai-acceptance-expires': '1900000000' },
      description: 'ai-acceptance-expires=1900000000',
    };
  }

  return {
    core,
    call,
    probe: (fact, through = same => same) =>
      fact
        .probe(contextOf(through(call)))
        .catch((error: Error): Verdict => ({ verdict: 'notObservable', why: error.message })),
    async addDenyPolicy() {
      const parent = `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${PROJECT.id}/denypolicies`;
      const denyRule = {
        deniedPrincipals: ['principalSet://goog/public:all'],
        deniedPermissions: ['iam.googleapis.com/serviceAccountKeys.create'],
      };
      const policy = { rules: [{ denyRule }] };
      await core.call('google.iam.v2.Policies.CreatePolicy', { parent, policyId: 'no-keys', policy });
    },
    async close() {
      agent.destroy();
      core.run.close();
      await server.close();
    },
  };
}

type Answer = Pick<Exchange, 'status' | 'responseHeaders' | 'body' | 'when'>;

function send(
  agent: http.Agent,
  url: string,
  method: string,
  body: Json | undefined,
  headers: Record<string, string>,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const type = content !== undefined && { 'content-type': 'application/json' };
    const request = http.request(url, { agent, method, headers: { ...headers, ...type } }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const isJson = response.headers['content-type']?.startsWith('application/json');
        const parsed: Json = isJson ? (JSON.parse(text) as JsonObject) : text;
        resolve({ status: response.statusCode ?? 0, responseHeaders: {}, body: parsed, when: '' });
      });
    });
    request.on('error', reject).end(content);
  });
}

/** The text of test/acceptance/verdicts/local.json: every fact, probed in a local Google Cloud in which it can be seen. */
export async function localVerdicts(): Promise<string> {
  const usual = await factCloud();
  const strict = await factCloud({ settings: POLICIES });
  await usual.addDenyPolicy();
  const results = [];
  for (const fact of FACTS) {
    const own = fact.expensive === undefined ? undefined : await factCloud();
    const cloud = own ?? (UNDER_POLICY.includes(fact.id) ? strict : usual);
    results.push({ fact, verdict: await cloud.probe(fact) });
    await own?.close();
  }
  await Promise.all([usual.close(), strict.close()]);
  return verdictsText(results, { project: PROJECT.id, projectNumber: PROJECT.number, prefix: PREFIX });
}
