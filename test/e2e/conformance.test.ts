import { accessSync, constants, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { createKubeCore, type KubeServer, startKubeServer, writeKubeconfig } from '../../sandbox/kube/index.ts';
import { CRD_PATH, widgetCrd } from '../unit/sandbox-kube.support.ts';
import { applySequence } from './conformance/applySequences.ts';
import { type Difference, differences } from './conformance/compare.ts';
import { KNOWN } from './conformance/differences.ts';
import { asAUser } from './conformance/kubectlScenarios.ts';
import { malformedRequests } from './conformance/malformedRequests.ts';
import { SCENARIOS } from './conformance/scenarios.ts';
import { openSession, type Session, type Target } from './conformance/session.ts';
import { wrongApplies } from './conformance/wrongApplies.ts';

/**
 * The sandbox's Kubernetes API is asked the same as a real kube-apiserver, and must answer the same, but for what
 * `conformance/differences.ts` lists.
 */

const folder = mkdtempSync(join(tmpdir(), 'aitenant-conformance-'));
let envtest: Envtest;
let memory: KubeServer;
let targets: { sandbox: Target; real: Target };
/** Which of the known differences have shown. */
const shown = new Set<(typeof KNOWN)[number]>();

beforeAll(async () => {
  const core = createKubeCore({ runtime });
  memory = await startKubeServer({ core });
  envtest = await startEnvtest({ stateDir: join(folder, 'envtest') });
  await writeKubeconfig(join(folder, 'sandbox.kubeconfig'), memory.url);
  targets = {
    sandbox: {
      url: memory.url,
      kubeconfig: join(folder, 'sandbox.kubeconfig'),
      folder: join(folder, 'sandbox'),
      forget: async () => core.compact(),
    },
    real: {
      url: envtest.url,
      ca: envtest.ca,
      token: envtest.token,
      kubeconfig: envtest.kubeconfigPath,
      folder: join(folder, 'real'),
      async forget() {
        await envtest.stopApiServer();
        await envtest.compact();
        // What it remembers itself of the past goes with it.
        await envtest.startApiServer();
      },
    },
  };
  const tenants = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as object;
  for (const target of Object.values(targets)) {
    mkdirSync(target.folder);
    const session = openSession(target);
    for (const body of [tenants, widgetCrd]) await session.ask('POST', CRD_PATH, { body });
    for (const path of ['/apis/ai-platform.dev/v1alpha1/aitenants', '/apis/shop.example/v1/widgets']) {
      await session.until(path, ({ code }) => code === 200);
    }
    await session.close();
  }
});
afterAll(async () => {
  await envtest?.stop();
  await memory?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Plays on both servers; answers what they differ in and nobody has listed. */
async function unlisted(
  name: string,
  play: (session: Session) => Promise<void>,
  kubectl?: string,
): Promise<Difference[]> {
  const [sandbox, real] = await Promise.all(
    [targets.sandbox, targets.real].map(async target => {
      const session = openSession(target, kubectl);
      try {
        await play(session);
      } finally {
        await session.close();
      }
      return session.transcript;
    }),
  );
  return Object.keys({ ...sandbox, ...real })
    .flatMap(step => differences(`${name} › ${step}: `, sandbox?.[step], real?.[step]))
    .filter(({ at, sandbox }) => {
      const listed = KNOWN.filter(known => known.at.test(at) && (!known.absent || sandbox === undefined));
      for (const known of listed) shown.add(known);
      return listed.length === 0;
    });
}

const inNamespace = async (session: Session, namespace: string) => {
  const { code } = await session.ask('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
  });
  expect(code).toBe(201);
};

describe('the sandbox’s Kubernetes API answers as kube-apiserver does', () => {
  test.each(Object.entries(SCENARIOS))('%s', { timeout: 120_000 }, async (name, scenario) => {
    const namespace = `conf-${Object.keys(SCENARIOS).indexOf(name)}`;
    const found = await unlisted(name, async session => {
      await inNamespace(session, namespace);
      await scenario(session, `/apis/shop.example/v1/namespaces/${namespace}/widgets`, namespace);
    });
    expect(found).toEqual([]);
  });
});

test('server-side apply: 100 random sequences of several managers', { timeout: 240_000 }, async () => {
  const found = await unlisted('apply', async session => {
    await inNamespace(session, 'applied');
    for (let seed = 1; seed <= 100; seed += 1) await applySequence(session, 'applied', seed);
  });
  expect(found).toEqual([]);
});

test('server-side apply: objects that the schema refuses', { timeout: 120_000 }, async () => {
  const found = await unlisted('wrong applies', async session => {
    await inNamespace(session, 'wrong-applies');
    await wrongApplies(session, 'wrong-applies');
  });
  expect(found).toEqual([]);
});

test('access reviews and health checks of kube-apiserver, as far as everybody may do everything', async () => {
  const found = await unlisted('reviews', async session => {
    const reviews = '/apis/authorization.k8s.io/v1';
    for (const path of ['selfsubjectaccessreviews', 'selfsubjectrulesreviews']) {
      await session.call(path, 'POST', `${reviews}/${path}`, { body: { spec: {} } });
    }
    for (const [kind, user] of [
      ['self', {}],
      ['', { user: 'root', groups: ['system:masters'] }],
    ] as const) {
      const spec = { ...user, resourceAttributes: { verb: 'get', resource: 'aitenants' } };
      const { code, body } = await session.ask('POST', `${reviews}/${kind}subjectaccessreviews`, { body: { spec } });
      session.note(`${kind}: review`, [code, body.kind, body.spec, body.status.allowed]);
    }
    for (const path of ['/healthz/ping', '/livez/ping', '/readyz/ping']) await session.call(path, 'GET', path);
    const { code, body } = await session.ask('GET', '/');
    session.note('paths', [code, ['/apis/ai-platform.dev', '/readyz'].filter(path => body.paths.includes(path))]);
  });
  expect(found).toEqual([]);
});

test('malformed requests: 300 random ones are answered alike', { timeout: 240_000 }, async () => {
  const found = await unlisted('malformed', async session => {
    await inNamespace(session, 'malformed');
    await malformedRequests(session, 'malformed', 7, 300);
  });
  expect(found).toEqual([]);
});

test('a deletion with a body does not read the options of its query', { timeout: 60_000 }, async () => {
  const found = await unlisted('deletion', async session => {
    await inNamespace(session, 'deletions');
    const path = '/api/v1/namespaces/deletions/configmaps';
    const options = { apiVersion: 'v1', kind: 'DeleteOptions' };
    for (const [name, query, body] of [
      ['a', 'dryRun=All', undefined],
      ['b', 'dryRun=All', options],
      ['c', 'propagationPolicy=Foreground', options],
      ['d', 'dryRun=All', { ...options, dryRun: ['All'] }],
    ] as const) {
      await session.call(`make ${name}`, 'POST', path, { body: { metadata: { name } } });
      await session.call(`delete ${name}`, 'DELETE', `${path}/${name}?${query}`, { body });
      await session.call(`get ${name}`, 'GET', `${path}/${name}`);
    }
  });
  expect(found).toEqual([]);
});

/** The Google Cloud CLI ships these beside gcloud. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/lib/google-cloud-sdk/bin'];
const kubectls = ['1.27', '1.30', '1.33'].flatMap(version => {
  const path = FOLDERS.map(each => join(each, `kubectl.${version}`)).find(isProgram);
  if (!path) console.log(`kubectl.${version} is not on this machine: NOT compared`);
  return path ? [{ version, path }] : [];
});

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

describe.each(kubectls)('kubectl $version sees no difference', ({ version, path }) => {
  test('in what a user of the operator does', { timeout: 180_000 }, async () => {
    const namespace = `kubectl-${version.replace('.', '-')}`;
    const found = await unlisted(
      `kubectl ${version}`,
      async session => {
        await inNamespace(session, namespace);
        await asAUser(session, namespace);
      },
      path,
    );
    expect(found).toEqual([]);
  });
});

test('every listed difference is still there', () => {
  expect(KNOWN.filter(known => !shown.has(known))).toEqual([]);
});
