import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { METHODS } from '../../operator/gcp/methods.ts';
import type { JsonObject } from '../../ports/json.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, LEASES, NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { type Instances, startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { type Fault, type OpenAi, startOpenAi } from '../../sandbox/openai/server.ts';
import { type Replica, startReplica } from './support/replica.ts';
import { createWorld, must, PROJECT, REGION, RUN, SECRETS, spec, until, type World } from './support/world.ts';

/**
 * The key's path. Keys that are like no other text are put into Secret Manager, a tenant lives through good and bad days
 * with them (the operator as a process, its log at its finest, the backend as a process), and then everything that anybody
 * wrote is searched for them.
 */

const planted = ['first', 'second', 'not accepted', 'malformed'].map(
  which => `sk-${randomBytes(24).toString('hex')}${which === 'malformed' ? ' and\u0007more' : ''}`,
) as [string, string, string, string];
const [first, second, wrong, malformed] = planted;
const question = `question-${randomBytes(16).toString('hex')}`;
const IMAGE = 'asia-northeast1-docker.pkg.dev/acme/web/ai-backend';

let world: World;
let instances: Instances;
let openAi: OpenAi;
let replica: Replica;
let folder: string;
let metricsUrl: string;
/** Everything that was written for somebody to read, by where. */
const written = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'canary-'));
  openAi = await startOpenAi({ checkKey: key => key === first || key === second });
  instances = await startInstances({
    runtime: realRuntime,
    stateDir: folder,
    images: builtInImages({ OPENAI_BASE_URL: openAi.url }),
    killAfterMs: 1_000,
  });
  world = await createWorld({ noOperator: true, instances, cloud: { startupTimeoutMs: 20_000 } });
  const kubeconfig = join(folder, 'kubeconfig');
  world.cluster.operatorKubeconfig(kubeconfig);
  const port = await freePort();
  metricsUrl = `http://127.0.0.1:${port}/metrics`;
  const flags = ['--log-level=debug', `--metrics-address=127.0.0.1:${port}`, '--cluster-id=cluster-1'];
  replica = await startReplica({ name: 'operator', folder, gcpCore: world.gcpCore, kubeconfig, flags });
});
afterAll(async () => {
  await replica.stop();
  await world.close();
  await instances.stop();
  await openAi.close();
  await rm(folder, { recursive: true });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Text as it might be found again: as it is, any longer piece of it, and in the usual encodings. */
function traces(key: string): string[] {
  const bytes = Buffer.from(key);
  // What base64 makes of it at each of the three places where it may stand in something longer.
  const base64 = [0, 1, 2].map(offset =>
    Buffer.concat([Buffer.alloc(offset), bytes])
      .toString('base64')
      .slice(offset + 2, -4),
  );
  const middle = key.slice(3, 51);
  const pieces = [0, 12, 24, 36].map(at => middle.slice(at, at + 12));
  return [...pieces, ...base64, bytes.toString('hex'), encodeURIComponent(key)];
}

function found(where: Iterable<[string, string]>, keys: readonly string[]): string[] {
  const all = keys.flatMap(traces);
  return [...where].filter(([, text]) => all.some(trace => text.includes(trace))).map(([place]) => place);
}

async function post(url: string, body: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`${url}/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  }).catch((error: unknown) => new Response(String(error), { status: 599 }));
  const text = await response.text().catch(String);
  written.set(`answer ${written.size}`, `${JSON.stringify([...response.headers])} ${text}`);
  return response.status;
}

async function note(when: string): Promise<void> {
  for (const resource of [AI_TENANTS, EVENTS, LEASES, NAMESPACES, CUSTOM_RESOURCE_DEFINITIONS]) {
    const listed = await must(world.kube.list(resource, {}));
    written.set(`${resource.plural} ${when}`, JSON.stringify(listed));
  }
  written.set(`metrics ${when}`, await (await fetch(metricsUrl)).text());
  const services = await world.must(`${RUN}.ListServices`, { parent: `projects/${PROJECT}/locations/${REGION}` });
  written.set(`services ${when}`, JSON.stringify(services));
}

test('the search finds a key however it is written', () => {
  const text = Buffer.from(`xy${first}`);
  for (const hidden of [`a${first}b`, first.slice(20, 45), text.toString('base64'), text.toString('hex')]) {
    expect(found([['here', hidden]], [first])).toEqual(['here']);
  }
  expect(found([['here', `xx${second}`]], [first])).toEqual([]);
});

test('the operator has no way to ask for a key’s value', () => {
  expect(
    [...METHODS.keys()].filter(method => /AccessSecretVersion|AddSecretVersion|(Create|Delete)Secret$/.test(method)),
  ).toEqual([]);
});

test('a key is found nowhere but where it belongs, after good and bad days', { timeout: 120_000 }, async () => {
  await world.secret('tenant-a-openai-key', { value: first });
  const noisy = [
    { name: 'OPENAI_LOG', value: 'debug' },
    { name: 'DEBUG', value: '*' },
  ];
  await world.apply('tenant-a', spec({ image: `${IMAGE}:1`, env: noisy }));
  const { url = '' } = await world.ready('tenant-a');
  const message = JSON.stringify({ message: question });
  expect(await post(url, message)).toBe(200);
  expect(await post(url, message, { accept: 'text/event-stream' })).toBe(200);

  // Errors of the caller's, and of the model's: one whose words hold the key, as some servers' do.
  const said = (status: number): Fault => ({
    kind: 'error',
    status,
    headers: { 'retry-after': first, 'x-key': first },
    error: { message: `Bad request with key ${first}`, type: first, param: first, code: first },
  });
  expect(await post(url, `{"message": "${first}`)).toBe(400);
  expect(await post(url, JSON.stringify({ message: 5, key: first }))).toBe(400);
  const statuses: number[] = [];
  for (const status of [400, 401, 403, 404, 422, 429, 500, 503]) {
    openAi.settings.fault = said(status);
    statuses.push(await post(url, message), await post(url, message, { accept: 'text/event-stream' }));
  }
  expect(new Set(statuses).size).toBeGreaterThan(3);
  openAi.settings.fault = { kind: 'cut' };
  await post(url, message);
  await post(url, message, { accept: 'text/event-stream' });
  openAi.settings.fault = undefined;
  await note('while it runs');

  // A rotation, a version that is switched off, one that the model does not take, and one that is no key.
  const rotated = async (value: string) => {
    const before = (await world.tenant('tenant-a'))?.status?.keys[0]?.version;
    await world.addVersion('tenant-a-openai-key', value);
    await world.check('tenant-a');
    await until(
      async () => {
        const key = (await world.tenant('tenant-a'))?.status?.keys[0];
        return key?.version === before ? undefined : true;
      },
      () => 'the new version to be live',
    );
    await world.ready('tenant-a');
  };
  await rotated(second);
  expect(await post(url, message)).toBe(200);
  await rotated(wrong);
  expect(await post(url, message)).toBe(502);
  await rotated(malformed);
  expect(await post(url, message)).toBe(500);
  const version = `projects/${PROJECT}/secrets/tenant-a-openai-key/versions/4`;
  await world.must(`${SECRETS}.DisableSecretVersion`, { name: version });
  await world.check('tenant-a');
  await world.reason('tenant-a', 'DependencyNotReady');
  await note('with its version switched off');
  await world.must(`${SECRETS}.EnableSecretVersion`, { name: version });

  // A revision that does not come up, a grant that is refused.
  await world.edit('tenant-a', { image: 'gcr.io/acme/nowhere' });
  await world.reason('tenant-a', 'UpdateFailed');
  const allowed = world.gcpCore.faults.deny({ permission: 'secretmanager.secrets.getIamPolicy' });
  await world.check('tenant-a');
  await world.reason('tenant-a', 'PermissionDenied');
  await note('in trouble');
  allowed();
  await world.remove('tenant-a');
  await world.gone('tenant-a');
  await note('after it is gone');

  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    written.set(`file ${path.slice(folder.length + 1)}`, await readFile(path, 'latin1'));
  }
  written.set('what Google Cloud was called with', JSON.stringify(world.gcpCore.requestLog));

  const places = [...written.keys()];
  expect(places.filter(place => place.startsWith('file'))).toEqual(
    expect.arrayContaining(['file operator.log', expect.stringMatching(/^file .*ai-platform-tenant-a-00001/)]),
  );
  expect(written.get('file operator.log')).toContain('env.OPENAI_API_KEY: tenant-a-openai-key:1');
  expect(written.get('metrics in trouble')).toContain('aitenant_');
  expect(found(written, planted)).toEqual([]);
  // What people say to the model is in no log either.
  const files = [...written].filter(([place]) => place.startsWith('file'));
  expect(files.filter(([, text]) => text.includes(question)).map(([place]) => place)).toEqual([]);
  expect(replica.calls.filter(({ method }) => method.endsWith('AccessSecretVersion'))).toEqual([]);
});

describe('an Authenticated tenant', () => {
  const TOKEN_OF = (email: string) =>
    ['header', Buffer.from(JSON.stringify({ email, aud: 'x' })).toString('base64url'), 'signature'].join('.');

  test('answers who has an identity token of an invoker, and nobody else; the backend is not even asked', {
    timeout: 60_000,
  }, async () => {
    await world.secret('closed-key', { value: first });
    const keys = [{ name: 'openai', secretRef: { external: 'closed-key' }, env: 'OPENAI_API_KEY' }];
    const invokers = ['user:jane@example.com', `serviceAccount:caller@${PROJECT}.iam.gserviceaccount.com`];
    await world.must('google.iam.admin.v1.IAM.CreateServiceAccount', {
      name: `projects/${PROJECT}`,
      accountId: 'caller',
    });
    await world.apply('closed', spec({ image: `${IMAGE}:1`, keys, access: 'Authenticated', invokers }));
    const { url = '' } = await world.ready('closed');
    const message = JSON.stringify({ message: 'hello' });
    const as = (token: string) => post(url, message, { authorization: `Bearer ${token}` });
    const before = openAi.counters.requests;

    expect(await post(url, message)).toBe(403);
    expect(await as(TOKEN_OF('stranger@example.com'))).toBe(403);
    expect(await as('emulator:stranger@example.com')).toBe(403);
    expect(await as('not-a-token')).toBe(403);
    expect(openAi.counters.requests).toBe(before);

    expect(await as(TOKEN_OF('jane@example.com'))).toBe(200);
    expect(await as(`emulator:caller@${PROJECT}.iam.gserviceaccount.com`)).toBe(200);
    expect(openAi.counters.requests).toBe(before + 2);

    await world.edit('closed', { invokers: ['user:jane@example.com'] } as JsonObject);
    await world.ready('closed');
    expect(await as(`emulator:caller@${PROJECT}.iam.gserviceaccount.com`)).toBe(403);
    await world.edit('closed', { access: 'Public', invokers: null } as JsonObject);
    await world.ready('closed');
    expect(await post(url, message)).toBe(200);
  });
});
