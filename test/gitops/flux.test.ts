import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject, KubeResource } from '../../ports/kube.ts';
import { freePorts } from '../../sandbox/envtest/envtest.ts';
import { must } from '../e2e/support/world.ts';
import { waitFor } from './support/argocd.ts';
import { createRepository, type GitRepository } from './support/git.ts';
import { applyAll, objectsIn, objectsOf } from './support/objects.ts';
import { type Stack, startStack } from './support/stack.ts';
import { keyOf, tenantFile } from './support/tenants.ts';

/**
 * The Kustomization of docs/flux.md in Flux's kustomize-controller. The Go proxy does not serve all that source-controller needs, so the
 * test stands in for it: it packs the repository, serves the archive, and writes the status of the GitRepository.
 */

const KUSTOMIZATIONS: KubeResource = {
  group: 'kustomize.toolkit.fluxcd.io',
  version: 'v1',
  plural: 'kustomizations',
  kind: 'Kustomization',
  namespaced: true,
};
const TEAM = 'team-a';
const NAME = 'tenant-one';

let stack: Stack;
let git: GitRepository;
let server: Server;
let archive: Buffer = Buffer.alloc(0);

beforeAll(async () => {
  stack = await startStack();
  git = createRepository(`${stack.folder}/tenants.git`);
  server = createServer((_, response) => response.end(archive));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  await applyAll(stack.envtest, stack.binaries.fluxCrds.flatMap(objectsOf), 'flux-system');
  await applyAll(stack.envtest, objectsIn('{ apiVersion: v1, kind: Namespace, metadata: { name: flux-system } }'), '');
  const [health, metrics] = await freePorts(2);
  stack.run(
    'kustomize-controller',
    stack.binaries.kustomizeController,
    [`--metrics-addr=127.0.0.1:${metrics}`, `--health-addr=127.0.0.1:${health}`, '--watch-all-namespaces=true'],
    { KUBECONFIG: stack.envtest.kubeconfigPath, RUNTIME_NAMESPACE: 'flux-system' },
  );
  await stack.world.secret(keyOf(TEAM), { labels: { 'ai-tenant-namespace': TEAM } });
});
afterAll(async () => {
  server?.close();
  await stack?.close();
});

/** The Kustomization `tenants` of docs/flux.md; its `dependsOn` is left out, because the operator runs in this process. */
function kustomization(): KubeObject {
  const page = readFileSync(new URL('../../docs/flux.md', import.meta.url), 'utf8');
  const [, block = ''] = /```yaml\n([^`]*)```/.exec(page) ?? [];
  const found = parseAllDocuments(block)
    .map(document => document.toJS() as KubeObject)
    .find(({ metadata }) => metadata.name === 'tenants');
  if (!found) throw new Error('docs/flux.md has no Kustomization of the tenants');
  const { dependsOn: _, ...spec } = found.spec as JsonObject;
  return { ...found, spec: { ...spec, timeout: '2m' } };
}

/** What source-controller does after a commit: packs the files, and names the archive in the status of the GitRepository. */
async function pull(revision: string): Promise<void> {
  archive = execFileSync('tar', ['-czf', '-', '--exclude=.git', '-C', git.folder, '.']);
  const repository = {
    apiVersion: 'source.toolkit.fluxcd.io/v1',
    kind: 'GitRepository',
    metadata: { name: 'tenants', namespace: 'flux-system' },
    spec: { url: 'https://git.example.com/platform/tenants.git', interval: '1m' },
  };
  await applyAll(stack.envtest, [repository as unknown as KubeObject], 'flux-system');
  const now = new Date().toISOString();
  const artifact = {
    digest: `sha256:${createHash('sha256').update(archive).digest('hex')}`,
    lastUpdateTime: now,
    path: 'tenants.tar.gz',
    revision: `main@sha1:${revision}`,
    size: archive.length,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${revision}.tar.gz`,
  };
  const conditions = [
    { type: 'Ready', status: 'True', reason: 'Succeeded', message: 'stored', lastTransitionTime: now },
  ];
  const path = '/apis/source.toolkit.fluxcd.io/v1/namespaces/flux-system/gitrepositories/tenants/status';
  const status = { observedGeneration: 1, artifact, conditions };
  const answer = await stack.envtest.ask('PATCH', path, { status }, 'application/merge-patch+json');
  expect(answer.code, answer.body).toBe(200);
}

interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
}

/** Resolves when the Kustomization's Ready has that status and reason for the revision. */
async function untilReady(revision: string, status: string, reason: string): Promise<Condition> {
  let last: KubeObject | undefined;
  return waitFor(
    async () => {
      last = await must(stack.world.kube.get(KUSTOMIZATIONS, 'flux-system', 'tenants'));
      const { conditions = [], lastAttemptedRevision = '' } = (last.status ?? {}) as {
        conditions?: Condition[];
        lastAttemptedRevision?: string;
      };
      const ready = conditions.find(({ type }) => type === 'Ready');
      const isNow = lastAttemptedRevision.endsWith(revision);
      return isNow && ready?.status === status && ready.reason === reason ? ready : undefined;
    },
    () => `tenants to be ${status} ${reason} at ${revision}; it is ${JSON.stringify(last?.status, null, 1)}`,
  );
}

async function commit(files: Record<string, string | null>, message: string): Promise<string> {
  const revision = git.commit(files, message);
  await pull(revision);
  return revision;
}

const FILE = 'tenants/tenant-one.yaml';
/** In Flux, each manifest names its namespace. */
const file = (over: JsonObject = {}) => {
  const object = objectsIn(tenantFile(TEAM, NAME, over))[0] as KubeObject;
  return stringify({ ...object, metadata: { ...object.metadata, namespace: TEAM } });
};

test('a tenant is ready: the Kustomization waits for its URL', async () => {
  const revision = git.commit({ [FILE]: file() }, 'a tenant');
  await pull(revision);
  await applyAll(stack.envtest, [kustomization()], 'flux-system');
  await untilReady(revision, 'True', 'ReconciliationSucceeded');
  const tenant = await stack.world.tenant(NAME, TEAM);
  expect(tenant?.status?.url).toMatch(/^http/);
});

test('an edit in git reaches Cloud Run before the Kustomization is ready', async () => {
  const revision = await commit({ [FILE]: file({ scaling: { minInstances: 0, maxInstances: 7 } }) }, 'an edit');
  await untilReady(revision, 'True', 'ReconciliationSucceeded');
  expect(await stack.world.service(NAME)).toMatchObject({ scaling: { maxInstanceCount: 7 } });
});

test('a spec that the operator refuses fails at once, not at the timeout', async () => {
  await stack.world.secret('of-another-team', { labels: { 'ai-tenant-namespace': 'team-b' } });
  const keys = [{ name: 'openai', secretRef: { external: 'of-another-team' }, env: 'OPENAI_API_KEY' }];
  const revision = await commit({ [FILE]: file({ keys }) }, 'the key of another team');
  const { message } = await untilReady(revision, 'False', 'HealthCheckFailed');
  expect(message).toContain(NAME);
  const healed = await commit({ [FILE]: file() }, 'its own key again');
  await untilReady(healed, 'True', 'ReconciliationSucceeded');
});

test('a removed file: Flux deletes the tenant, and everything of it goes', async () => {
  await commit({ [FILE]: null, 'tenants/empty.yaml': '---\n' }, 'the tenant leaves');
  await stack.world.gone(NAME, TEAM);
  expect(await stack.world.service(NAME)).toBe(undefined);
  expect(await stack.world.account(NAME)).toBe(undefined);
});
