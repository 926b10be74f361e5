import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, NAMESPACES, SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { envText } from '../../sandbox/gcp/wire/clientEnv.ts';
import { openCluster } from './support/cluster.ts';
import { makeByHand, obey } from './support/handmade.ts';
import { createWorld, IAM, must, PROJECT, SECRETS, type World } from './support/world.ts';

/** Every example comes up, and every command that a guide's page shows does what the page says. */

const ROOT = new URL('../../', import.meta.url).pathname;
/** The Google Cloud CLI brings kubectl along, in a folder of its own. */
const PATH = `${process.env.PATH}:/usr/lib/google-cloud-sdk/bin`;
const MISSING = ['kubectl', 'gcloud'].filter(
  tool => spawnSync('sh', ['-c', `command -v ${tool}`], { env: { PATH } }).status !== 0,
);
if (MISSING.length > 0) console.warn(`${MISSING.join(', ')}: not installed, so the guides' commands are not tested`);

let world: World;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'examples-'));
  const cluster = await openCluster(realRuntime);
  cluster.adminKubeconfig(join(folder, 'kubeconfig'));
  world = await createWorld({
    cluster,
    connector: true,
    settings: {
      syncIntervalMs: 2_000,
      impersonationAccounts: [`operator-NAMESPACE@${PROJECT}.iam.gserviceaccount.com`],
    },
  });
});
afterEach(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

const documents = (path: string) =>
  parseAllDocuments(readFileSync(join(ROOT, path), 'utf8')).map(document => document.toJS() as KubeObject);
const examples = readdirSync(join(ROOT, 'examples'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.yaml') && !name.endsWith('crd.yaml'))
  .map(name => `examples/${name}`)
  .filter(path => documents(path).some(({ kind }) => kind === AI_TENANTS.kind))
  .sort();

interface Key {
  secretRef: { external?: string; name?: string };
  version?: string | number;
}

/** The secret that a key names, with as many versions as it asks for. */
async function makeSecret(key: Key, namespace: string, ownProject: string): Promise<void> {
  const id = (key.secretRef.external ?? key.secretRef.name ?? '').split('/').at(-1) ?? '';
  const project = /^projects\/([^/]+)/.exec(key.secretRef.external ?? '')?.[1] ?? ownProject;
  const name = `projects/${project}/secrets/${id}`;
  if ((await world.gcp(`${SECRETS}.GetSecret`, { name })).ok) return;
  await world.secret(id, { project, labels: { 'ai-tenant-namespace': namespace }, value: null });
  for (let version = 1; version <= (Number(key.version) || 1); version++) {
    await world.must(`${SECRETS}.AddSecretVersion`, { parent: name, payload: { data: 'eA==' } });
  }
}

/** What `kubectl apply -f` does, and Config Connector's part. */
async function apply(objects: KubeObject[]): Promise<void> {
  for (const object of objects) {
    const { name, namespace = 'default' } = object.metadata;
    if (object.kind === 'Namespace') await must(world.kube.create(NAMESPACES, undefined, object));
    else if (object.kind === AI_TENANTS.kind) await must(world.kube.create(AI_TENANTS, namespace, object));
    if (object.kind !== SECRET_MANAGER_SECRETS.kind) continue;
    await must(world.kube.create(SECRET_MANAGER_SECRETS, namespace, object));
    await connectorIsReady(name, namespace);
  }
}

const connectorIsReady = (name: string, namespace: string) =>
  must(
    world.kube.patch(
      SECRET_MANAGER_SECRETS,
      namespace,
      name,
      { status: { conditions: [{ type: 'Ready', status: 'True', reason: 'UpToDate' }] } },
      { subresource: 'status' },
    ),
  );

describe('examples', () => {
  test.each(examples.filter(path => path !== 'examples/imported.yaml'))('%s comes up', async path => {
    const objects = documents(path);
    const tenants = objects.filter(({ kind }) => kind === AI_TENANTS.kind);
    for (const { metadata, spec } of tenants) {
      const namespace = metadata.namespace ?? 'default';
      const declared = objects.find(({ kind, metadata: { name } }) => kind === 'Namespace' && name === namespace);
      if (!declared) await world.kube.create(NAMESPACES, undefined, { metadata: { name: namespace } });
      const project = declared?.metadata.annotations?.['ai-platform.dev/project-id'] ?? PROJECT;
      for (const key of (spec as { keys: Key[] }).keys) {
        await makeSecret(key, namespace, project);
        const { name } = key.secretRef;
        if (name === undefined || objects.some(({ kind }) => kind === SECRET_MANAGER_SECRETS.kind)) continue;
        await apply([{ kind: SECRET_MANAGER_SECRETS.kind, metadata: { name, namespace }, spec: {} }]);
      }
    }
    await world.must(`${IAM}.CreateServiceAccount`, { name: `projects/${PROJECT}`, accountId: 'frontend' });
    await apply(objects);
    for (const { metadata } of tenants) await world.ready(metadata.name, metadata.namespace);
  });

  test('examples/imported.yaml is what import prints for the manual’s tenant, and takes it over', async () => {
    await makeByHand(world, 'manual', 'allUsers');
    const { code, out } = await shell('npm run -s import -- --project demo-project');
    expect(code).toBe(0);
    const [tenant] = documents('examples/imported.yaml');
    expect(parseAllDocuments(out)[1]?.toJS()).toEqual(tenant);

    for (const [, consent = ''] of out.matchAll(/^#\$ (.*)$/gm)) await obey(world, consent);
    await apply([tenant as KubeObject]);
    await world.ready('manual');
    expect((await world.service('manual')) as JsonObject).toMatchObject({
      latestReadyRevision: expect.stringContaining('-00001-'),
    });
  });
});

/** A script as a reader runs it: from this repository, with the sandbox's exports. */
function shell(script: string): Promise<{ code: number; out: string; err: string }> {
  const exports = envText({ url: world.gcpUrl, project: PROJECT, stateDir: folder });
  writeFileSync(join(folder, 'script'), `${exports}export KUBECONFIG=${join(folder, 'kubeconfig')}\nset -e\n${script}`);
  const env = { PATH, HOME: folder, TMPDIR: folder, NO_COLOR: '1' };
  return new Promise(resolve =>
    execFile('sh', [join(folder, 'script')], { cwd: ROOT, env, timeout: 100_000 }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    ),
  );
}

const GUIDES = [
  'rotation',
  'rollouts',
  'region-move',
  'config-connector',
  'plan',
  'drift',
  'projects',
  'import',
  'identity',
];

describe.skipIf(MISSING.length > 0)('the commands of', () => {
  test.each(GUIDES)('docs/%s.md do what the page says', { timeout: 120_000 }, async guide => {
    const page = readFileSync(join(ROOT, 'docs', `${guide}.md`), 'utf8');
    const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
    // What only the real Google Cloud can do, or only a repository that Argo CD follows (test/gitops), says so in its first line.
    const here = blocks.filter(code => !/^# (On Google Cloud|In the repository of the tenants)/.test(code));
    expect(here.length).toBeGreaterThan(0);
    if (guide === 'import') await makeByHand(world, 'manual', 'allUsers');
    const { code, out, err } = await shell(here.join('\n'));
    expect(code, `${out}\n${err}`).toBe(0);
  });
});
