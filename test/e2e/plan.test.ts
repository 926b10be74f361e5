import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import { makeByHand } from './support/handmade.ts';
import { createWorld, PROJECT, SECRETS, spec, type World } from './support/world.ts';

/** util-linux's, which gives a command a terminal. */
const hasScript = process.platform === 'linux' && spawnSync('script', ['--version']).status === 0;
if (!hasScript) console.warn('script (util-linux) is not installed: colours on a terminal are not tested');

let world: World;
let folder: string;
let colours = false;
let extraEnv: NodeJS.ProcessEnv = {};
beforeEach(async () => {
  extraEnv = {};
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'plan-'));
});
afterEach(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

const manifest = (name: string, over: JsonObject = {}) => ({
  apiVersion: 'ai-platform.dev/v1alpha1',
  kind: 'AiTenant',
  metadata: { name },
  spec: spec(over),
});

function file(name: string, ...documents: object[]): string {
  const path = join(folder, name);
  writeFileSync(path, documents.map(document => stringify(document)).join('---\n'));
  return path;
}

function writeKubeconfig(path: string, server: string): void {
  const context = { name: 'c', context: { cluster: 'c', user: 'u' } };
  const config = {
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: {} }],
    contexts: [context],
  };
  writeFileSync(path, stringify({ apiVersion: 'v1', kind: 'Config', ...config, 'current-context': 'c' }));
}

function plan(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return run([process.execPath, 'operator/cli/aitenant.ts', 'plan', ...args]);
}

function run([command = '', ...args]: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const env = {
    ...process.env,
    NO_COLOR: colours ? undefined : '1',
    FORCE_COLOR: colours ? '1' : undefined,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: world.gcpUrl,
    ...extraEnv,
  };
  const child = spawn(command, args, { env });
  let [out, err] = ['', ''];
  child.stdout.on('data', chunk => {
    out += chunk;
  });
  child.stderr.on('data', chunk => {
    err += chunk;
  });
  return new Promise(resolve => child.on('close', code => resolve({ code, out, err })));
}

describe('aitenant plan', () => {
  test('shows what a new tenant would get, and writes nothing', async () => {
    await world.secret('tenant-a-openai-key');
    world.gcpCore.counters.reset();

    const { code, out } = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);

    expect(out).toContain(`+ Create service account sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`);
    expect(out).toContain('+ Grant secret tenant-a-openai-key');
    expect(out).toContain('+ Create Cloud Run service ai-platform-tenant-a in asia-northeast1');
    expect(out).toContain('Plan: 3 to add, 0 to change, 0 to remove.');
    expect(code).toBe(2);
    expect(world.gcpCore.counters.writes).toBe(0);
  });

  test('shows every attribute of a new service, above all who may call it, and no plain value', async () => {
    await world.secret('tenant-a-openai-key');
    const env = [{ name: 'GREETING', value: 'sk-typed-by-hand' }];
    const { out } = await plan('-f', file('a.yaml', manifest('tenant-a', { env })), '--project', PROJECT);
    const closed = { access: 'Authenticated', invokers: ['user:a@example.com'] };
    const authenticated = await plan('-f', file('b.yaml', manifest('tenant-a', closed)), '--project', PROJECT);

    for (const line of [
      'access: Public (anyone may call it)',
      'image: gcr.io/cloudrun/hello',
      'scaling.minInstances: 0',
      'scaling.maxInstances: 10',
      'scaling.concurrency: 80',
      'resources.cpu: 1',
      'resources.memory: 1Gi',
      'timeoutSeconds: 300s',
      `serviceAccount: sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`,
      'env.OPENAI_API_KEY: tenant-a-openai-key:1',
      'env.GREETING: (value)',
      'labels.ai-tenant-owner-name: tenant-a',
    ]) {
      expect(out).toContain(`      ${line}\n`);
    }
    expect(out).not.toContain('sk-typed-by-hand');
    expect(authenticated.out).toContain('access: Authenticated (only callers that IAM lets in)');
    expect(authenticated.out).toContain('roles/run.invoker: user:a@example.com');
  });

  test('a tenant that is being deleted: what goes, in the operator’s order', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const live = (await world.tenant('tenant-a')) as unknown as { metadata: JsonObject };
    const metadata = { ...live.metadata, deletionTimestamp: '2030-01-01T00:00:00Z' };

    const { out, code } = await plan('-f', file('a.yaml', { ...live, metadata }), '--project', PROJECT);
    const abandon = { ...metadata, annotations: { 'ai-platform.dev/deletion-policy': 'abandon' } };
    const abandoned = await plan('-f', file('b.yaml', { ...live, metadata: abandon }), '--project', PROJECT);
    const hold = { ...metadata, annotations: { 'ai-platform.dev/deletion-policy': 'keep' } };
    const held = await plan('-f', file('c.yaml', { ...live, metadata: hold }), '--project', PROJECT);

    expect(code).toBe(2);
    expect(out).toMatch(/- Delete Cloud Run service .*- Revoke secret .*- Delete service account /s);
    expect(out).toContain('Plan: 0 to add, 0 to change, 3 to remove.');
    expect(out).toContain('· It is being deleted, since 2030-01-01T00:00:00Z.');
    expect(abandoned.out).toMatch(
      /~ Abandon Cloud Run service .*~ Abandon service account .*· Abandoned: .* may still read/s,
    );
    expect(held).toMatchObject({ code: 2, out: expect.stringContaining('"keep": nothing is deleted until') });
  });

  test('--live reads status and Namespace from the cluster, whatever id its operator has; without files all tenants', async () => {
    await world.secret('tenant-a-openai-key');
    await world.secret('backup');
    const keys = [...(spec().keys as JsonObject[]), { name: 'backup', secretRef: { external: 'backup' } }];
    await world.apply('tenant-a', spec({ keys }));
    await world.ready('tenant-a');
    extraEnv = { KUBECONFIG: join(folder, 'kubeconfig') };
    world.cluster.adminKubeconfig(extraEnv.KUBECONFIG ?? '');
    const bare = file('a.yaml', manifest('tenant-a'), manifest('tenant-b'));

    const blind = await plan('-f', bare, '--project', PROJECT);
    const seeing = await plan('-f', bare, '--project', PROJECT, '--live');
    const all = await plan('--live', '--project', PROJECT);

    expect(blind.out).not.toContain('Revoke');
    expect(blind.out.match(/· The manifest has no status, so what has left the spec is not shown/g)).toHaveLength(2);
    expect(seeing.out).toContain('- Revoke secret backup');
    expect(seeing.out).not.toContain('has no status');
    expect(all).toMatchObject({ code: 0, out: expect.stringContaining('default/tenant-a') });
    expect(all.out).not.toContain('tenant-b');
    const empty = await plan('--live', '-n', 'nowhere', '--project', PROJECT);
    expect(empty).toMatchObject({ code: 0, out: 'There is no AiTenant here.\n' });
  });

  test('--live merges a file as kubectl apply does', async () => {
    await world.secret('tenant-a-openai-key');
    extraEnv = { KUBECONFIG: join(folder, 'kubeconfig') };
    world.cluster.adminKubeconfig(extraEnv.KUBECONFIG ?? '');
    const first = {
      ...manifest('tenant-a', { timeoutSeconds: 60 }),
      metadata: { name: 'tenant-a', namespace: 'default' },
    };
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(first),
      'ai-platform.dev/reconcile-interval-in-seconds': '600',
    };
    await world.apply('tenant-a', first.spec, { annotations });
    const { metadata } = (await world.tenant('tenant-a')) ?? {};
    await world.ready('tenant-a');
    await world.edit('tenant-a', { scaling: { maxInstances: 4 } });
    await world.ready('tenant-a');
    const files = ['--live', '--project', PROJECT, '--cluster-id', 'cluster-1', '-o', 'json', '-f'];

    // The time-out was applied and is gone from the file: the default. The maximum is the file's, the minimum nobody's.
    const { out } = await plan(...files, file('a.yaml', manifest('tenant-a')));
    // Somebody else has paused it, and the file does not say otherwise.
    await world.edit('tenant-a', { suspend: true });
    const paused = await plan(...files, file('a.yaml', manifest('tenant-a')));

    expect(metadata?.annotations).toMatchObject(annotations);
    const [tenant] = (JSON.parse(out) as { tenants: { steps: { changes: { field: string; to: string }[] }[] }[] })
      .tenants;
    expect(tenant?.steps.flatMap(({ changes }) => changes.map(({ field, to }) => [field, to]))).toEqual([
      ['scaling.maxInstances', '10'],
      ['timeoutSeconds', '300s'],
    ]);
    expect(JSON.parse(paused.out)).toMatchObject({ tenants: [{ state: 'suspended', steps: [] }] });
  });

  test('--live without a cluster is an error in one line', async () => {
    extraEnv = { KUBECONFIG: join(folder, 'kubeconfig') };
    writeKubeconfig(extraEnv.KUBECONFIG ?? '', 'http://127.0.0.1:1');
    const { code, out, err } = await plan('--live', '--project', PROJECT);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^plan: --live can't read AiTenants in the cluster: .*\n$/);
  });

  test('without --project takes GOOGLE_CLOUD_PROJECT and says where the project comes from', async () => {
    await world.secret('tenant-a-openai-key');
    const path = file('a.yaml', manifest('tenant-a'));
    extraEnv = { GOOGLE_CLOUD_PROJECT: undefined };
    const none = await plan('-f', path);
    extraEnv = { GOOGLE_CLOUD_PROJECT: PROJECT };
    const ambient = await plan('-f', path);
    const named = await plan('-f', path, '--project', 'other-project');
    extraEnv = { GOOGLE_CLOUD_PROJECT: '123456' };
    const number = await plan('-f', path);

    expect(none.out).toContain('No Google Cloud project is known for namespace default. Add --project=PROJECT');
    expect(none.out).not.toContain('operator');
    expect(ambient.out).toContain(`default/tenant-a in project ${PROJECT} (from GOOGLE_CLOUD_PROJECT)`);
    expect(ambient.out).toContain('Plan: 3 to add');
    expect(named.out).toContain('default/tenant-a in project other-project (from --project)');
    expect(number).toMatchObject({ code: 1, err: expect.stringContaining('GOOGLE_CLOUD_PROJECT=123456 is not') });
  });

  test('JSON has a version, counts and each tenant’s state', async () => {
    await world.secret('tenant-a-openai-key');
    const suspended = manifest('tenant-b', { suspend: true });
    const blocked = manifest('tenant-c', { keys: [{ name: 'k', secretRef: { external: 'none' } }] });
    const path = file('a.yaml', manifest('tenant-a'), suspended, blocked);
    const { out, code } = await plan('-f', path, '--project', PROJECT, '-o', 'json');
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({
      schemaVersion: 1,
      counts: { tenants: 3, add: 5, change: 0, remove: 0, blocked: 1, unread: 0 },
      tenants: [{ state: 'changes', projectFrom: '--project' }, { state: 'suspended' }, { state: 'blocked' }],
    });
  });

  test('where nothing can be read: one paragraph, soon, and no plan', async () => {
    const path = file('a.yaml', manifest('tenant-a'), manifest('tenant-b'), manifest('tenant-c'));
    const nobody = 'http://127.0.0.1:1';
    extraEnv = Object.fromEntries(
      ['RUN', 'SECRETMANAGER', 'IAM'].map(api => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`, nobody]),
    );
    const refused = await plan('-f', path, '--project', PROJECT);
    const secure = 'https://127.0.0.1:1';
    extraEnv = Object.fromEntries(
      ['RUN', 'SECRETMANAGER', 'IAM'].map(api => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`, secure]),
    );
    Object.assign(extraEnv, {
      HOME: folder,
      GOOGLE_APPLICATION_CREDENTIALS: undefined,
      METADATA_SERVER_DETECTION: 'none',
      CLOUDSDK_CONFIG: folder,
    });
    const stranger = await plan('-f', path, '--project', PROJECT);

    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toMatch(/^plan: Google Cloud can't be reached, so nothing was read \(.*ECONNREFUSED.*\n$/);
    expect(stranger).toMatchObject({ code: 1, out: '' });
    expect(stranger.err).toMatch(
      /^plan: There are no credentials that Google Cloud takes.*application-default login.*\n$/,
    );
  });

  test.each([
    [['a.yaml'], { npm_config_force: 'true' }, 'npm took -f for itself'],
    [[], { npm_config_filename: 'a.yaml' }, 'npm took --filename for itself'],
    [['-f', 'a.yaml'], { npm_config_project: 'p' }, 'npm took --project for itself'],
    [['a.yaml'], {}, 'Files are named with -f: npm run -s plan -- -f a.yaml'],
  ])('a forgotten -- gets a hint: %j %j', async (args, taken, hint) => {
    extraEnv = { npm_lifecycle_event: 'plan', npm_config_force: undefined, ...taken };
    const { code, out, err } = await plan(...args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain(hint);
    expect(err).toMatch(/npm run -s plan -- (?:-f a|-f tenant-a|--filename=a|--project=p -f a)\.yaml\n/);
  });

  test('agrees with the operator: nothing to do for a tenant that is up to date, field by field for an edit', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');

    const same = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);
    const edited = await plan(
      '-f',
      file('b.yaml', manifest('tenant-a', { timeoutSeconds: 60, scaling: { maxInstances: 3 } })),
      '--project',
      PROJECT,
    );

    expect(same).toMatchObject({ code: 0 });
    expect(same.out).toContain('Nothing to change.');
    expect(edited.code).toBe(2);
    expect(edited.out).toContain('timeoutSeconds: 300s → 60s');
    expect(edited.out).toContain('scaling.maxInstances: 10 → 3');
  });

  test('shows revocations where the manifest carries its status', async () => {
    await world.secret('tenant-a-openai-key');
    await world.secret('backup');
    const keys = [...(spec().keys as JsonObject[]), { name: 'backup', secretRef: { external: 'backup' } }];
    await world.apply('tenant-a', spec({ keys }));
    await world.ready('tenant-a');
    const live = (await world.tenant('tenant-a')) as unknown as JsonObject;

    const { out, code } = await plan(
      '-f',
      file('a.yaml', { ...live, spec: spec() }),
      '--project',
      PROJECT,
      '-o',
      'json',
    );

    expect(code).toBe(2);
    expect(JSON.parse(out).tenants[0].steps).toEqual([
      expect.objectContaining({ action: 'Revoke', target: 'secret backup' }),
    ]);
  });

  test('shows a move as it will go: the new service first, the old one deleted once its time has come', async () => {
    await world.restart({ regionMoveGraceMs: 0 });
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const live = (await world.tenant('tenant-a')) as unknown as JsonObject;
    const moving = { ...live, spec: spec({ region: 'europe-west1' }) };

    const later = await plan('-f', file('later.yaml', moving), '--project', PROJECT);
    const { out } = await plan('-f', file('now.yaml', moving), '--project', PROJECT, '--region-move-grace', '0s');

    expect(later.out).toContain('+ Create Cloud Run service ai-platform-tenant-a in europe-west1');
    expect(later.out).toMatch(/The former Cloud Run service ai-platform-tenant-a in asia-northeast1 .* stay until/);
    expect(out).toMatch(
      /\+ Create Cloud Run service .* in europe-west1.*- Delete Cloud Run service .* in asia-northeast1/s,
    );
    expect(out).toContain('Plan: 1 to add, 0 to change, 1 to remove.');
  });

  test('has colours where they are asked for, as a terminal does, and none in a file', async () => {
    await world.secret('tenant-a-openai-key');
    const path = file('a.yaml', manifest('tenant-a'));
    const plain = await plan('-f', path, '--project', PROJECT);
    colours = true;
    const coloured = await plan('-f', path, '--project', PROJECT);
    colours = false;
    expect(plain.out).not.toContain('\u001b[');
    expect(coloured.out).toContain('\u001b[32m  + Create service account');
  });

  test.skipIf(!hasScript)('has colours on a terminal', async () => {
    await world.secret('tenant-a-openai-key');
    const command = `${process.execPath} operator/cli/aitenant.ts plan -f ${file('a.yaml', manifest('tenant-a'))} --project ${PROJECT}`;
    extraEnv = { NO_COLOR: undefined, FORCE_COLOR: undefined, CI: undefined, TERM: 'xterm-256color' };
    const { out } = await run(['script', '-qec', command, '/dev/null']);
    expect(out).toContain('\u001b[32m  + Create service account');
  });

  test('reads folders and the folders in them, lists and files of several documents; other kinds are skipped', async () => {
    await world.secret('tenant-a-openai-key');
    mkdirSync(join(folder, 'deep', 'er'), { recursive: true });
    file('one.yaml', manifest('tenant-a'), { kind: 'Service', apiVersion: 'v1', metadata: { name: 'x' } });
    file('deep/two.yml', manifest('tenant-b'), manifest('tenant-c'));
    file('deep/er/three.json', { apiVersion: 'v1', kind: 'List', items: [manifest('tenant-d'), { kind: 'Pod' }] });
    writeFileSync(join(folder, 'README.md'), 'no: [manifest');

    const { out, code, err } = await plan('-f', folder, '-o', 'json', '--project', PROJECT);

    expect(err).toBe('');
    expect(code).toBe(2);
    const { tenants } = JSON.parse(out) as { tenants: { name: string; steps: object[] }[] };
    expect(tenants.map(({ name, steps }) => [name, steps.length])).toEqual([
      ['tenant-d', 3],
      ['tenant-b', 3],
      ['tenant-c', 3],
      ['tenant-a', 3],
    ]);
  });

  test('looks once for a whole fleet, and waits where the quota asks for it', async () => {
    await world.secret('tenant-a-openai-key');
    const names = Array.from({ length: 20 }, (_, i) => `tenant-${i}`);
    const error = { code: 'RESOURCE_EXHAUSTED' as const, message: 'Quota exceeded.', retryAfterMs: 10 };
    world.gcpCore.faults.add({ method: 'ListServices', error });
    world.gcpCore.faults.add({ method: 'GetIamPolicy', error });
    world.forget();

    const path = file('fleet.yaml', ...names.map(name => manifest(name)));
    const { out, code } = await plan('-f', path, '--project', PROJECT);

    expect(code).toBe(2);
    expect(out).toContain('Plan: 60 to add, 0 to change, 0 to remove.');
    const calls = (method: string) => world.gcpCore.requestLog.filter(call => call.method.endsWith(`.${method}`));
    // That something is not there is believed for a second.
    expect(calls('ListServices').length).toBeLessThan(names.length / 2);
    expect([...calls('GetService'), ...calls('GetSecret'), ...calls('GetServiceAccount')]).toEqual([]);
  });

  test('that can’t read is an error, with Google Cloud’s words', async () => {
    await world.secret('tenant-a-openai-key');
    world.gcpCore.faults.deny({ permission: 'secretmanager.secrets.getIamPolicy' });
    const { out, code } = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);
    expect(code).toBe(1);
    expect(out).toMatch(/! PermissionDenied: Cannot read the IAM policy .*secretmanager\.secrets\.getIamPolicy/);
  });

  test('says what stands in the way of what was made by hand', async () => {
    await makeByHand(world, 'tenant-a', 'allUsers');
    const { out, code } = await plan('-f', file('a.yaml', manifest('tenant-a')), '--project', PROJECT);
    expect(code).toBe(2);
    expect(out).toContain('! ManagementConflict: ');
    expect(out).toContain('! SecretNotAllowed: ');
    expect(out).toContain('Plan: 0 to add, 0 to change, 0 to remove; 1 of 1 tenants blocked.');
  });

  test('takes the operator’s flags, and their variables; the identity of a Namespace too', async () => {
    await world.secret('tenant-a-openai-key');
    const account = `robot@${PROJECT}.iam.gserviceaccount.com`;
    const annotations = { 'ai-platform.dev/impersonate-service-account': account };
    const path = file(
      'a.yaml',
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', annotations } },
      manifest('tenant-a'),
    );
    extraEnv = { AITENANT_PROJECT: PROJECT, AITENANT_DEFAULT_IMAGE: 'gcr.io/acme/first:1' };

    const refused = await plan('-f', path);
    expect(refused.out).toContain('! InvalidSpec: Namespace default asks the operator to act as');
    const allowed = await plan('-f', path, '--impersonation-accounts', `*@${PROJECT}.iam.gserviceaccount.com`);
    expect(allowed.out).toContain('image: gcr.io/acme/first:1');
    expect(allowed.out).toContain('Plan: 3 to add');
    const other = await plan('-f', path, '--projects', 'team-*');
    expect(other.out).toContain('is not among those the operator may use (--projects=team-*)');
  });

  test('finds Config Connector’s secrets in the files, in the project that the operator would look in', async () => {
    await world.secret('theirs', { project: 'other-project', value: null });
    await world.must(`${SECRETS}.AddSecretVersion`, {
      parent: 'projects/other-project/secrets/theirs',
      payload: { data: 'eA==' },
    });
    const annotations = {
      'ai-platform.dev/project-id': PROJECT,
      'cnrm.cloud.google.com/project-id': 'other-project',
    };
    const keys = [{ name: 'openai', secretRef: { name: 'their-key' }, env: 'OPENAI_API_KEY' }];
    const path = file(
      'a.yaml',
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'default', annotations } },
      {
        apiVersion: 'secretmanager.cnrm.cloud.google.com/v1beta1',
        kind: 'SecretManagerSecret',
        metadata: { name: 'their-key' },
        spec: { resourceID: 'theirs' },
      },
      manifest('tenant-a', { keys }),
    );

    const { out, code } = await plan('-f', path);

    expect(code).toBe(2);
    expect(out).toContain('+ Grant secret theirs');
    expect(out).toContain(`default/tenant-a in project ${PROJECT}`);
  });

  test('reads the project from a Namespace document, skips other kinds, and says what blocks', async () => {
    const path = file(
      'all.yaml',
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: 'team', annotations: { 'ai-platform.dev/project-id': PROJECT } },
      },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'other' } },
      { ...manifest('tenant-a'), metadata: { name: 'tenant-a', namespace: 'team' } },
    );

    const { out, code } = await plan('-f', path);

    expect(out).toContain('! DependencyNotFound: Key openai: secret tenant-a-openai-key does not exist');
    expect(code).toBe(2);
  });

  test('refuses invalid manifests with the CRD’s own messages and the lines, all of them and nothing else', async () => {
    const path = join(folder, 'bad.yaml');
    writeFileSync(
      path,
      `# A comment.
apiVersion: ai-platform.dev/v1alpha1
kind: AiTenant
metadata: { name: tenant-a }
spec:
  region: asia-northeast1
  keys:
    - name: openai
      secretRef: { external: a-key }
      env: PORT
  scaling:
    maxInstances: 3
    minInstances: 5
---
apiVersion: ai-platform.dev/v1alpha1
kind: AiTenant
metadata: { name: tenant-b }
spec:
  region: asia-northeast1
  colour: blue
  keys: []
`,
    );
    world.forget();

    const { out, err, code } = await plan('-f', path, '--project', PROJECT);

    expect(code).toBe(1);
    expect(out).toBe('');
    const lines = err.trim().split('\n');
    expect(lines).toEqual([
      expect.stringContaining(`${path}:10: AiTenant tenant-a: spec.keys[0].env: `),
      expect.stringMatching(
        /bad\.yaml:13: AiTenant tenant-a: spec\.scaling\.minInstances: .*minInstances 5 is more than/,
      ),
      `${path}:20: AiTenant tenant-b: spec.colour: unknown field`,
      expect.stringContaining(`${path}:21: AiTenant tenant-b: spec.keys: `),
    ]);
    expect(world.gcpCore.requestLog).toEqual([]);
  });

  test('says where an alias has no anchor, without a stack trace', async () => {
    const path = join(folder, 'alias.yaml');
    writeFileSync(path, 'kind: AiTenant\nspec: *gone\n');
    const { code, err } = await plan('-f', path, '--project', PROJECT);
    expect({ code, err: err.trim() }).toEqual({
      code: 1,
      err: expect.stringMatching(/^\S+alias\.yaml:2: no anchor &gone stands before \*gone$/),
    });
  });

  test('says how it is used', async () => {
    expect(await plan('--help')).toMatchObject({ code: 0, out: expect.stringContaining('Usage: aitenant plan') });
    expect(await plan()).toMatchObject({ code: 1, err: expect.stringContaining('name the manifests') });
    expect(await plan('-f', join(folder, 'none.yaml'))).toMatchObject({
      code: 1,
      err: expect.stringContaining('none.yaml'),
    });
  });
});
