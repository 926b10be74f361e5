import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Json, JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { type Run, command as run } from './support/command.ts';
import { IMAGE, makeByHand, obey, rest } from './support/handmade.ts';
import { createWorld, PROJECT, SECRETS, until, type World } from './support/world.ts';

/** A fleet made by hand, with one tenant for each thing that a hand can do; one import of all of it. */

const OTHER = 'other-project';
const emailOf = (tenant: string) => `sa-${tenant}@${PROJECT}.iam.gserviceaccount.com`;

let world: World;
let folder: string;
let imported: Run;
beforeAll(async () => {
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'import-'));

  await makeByHand(world, 'manual', 'allUsers');
  await makeByHand(world, 'nocheck', 'noCheck');
  await makeSecret('nocheck-backup', PROJECT, 'sa-nocheck');
  await handmade('shaped', {
    service: { scaling: { minInstanceCount: 2, maxInstanceCount: 7 } },
    template: { timeout: '60s', maxInstanceRequestConcurrency: 10, scaling: undefined },
    container: { image: 'gcr.io/acme/own:3', resources: { limits: { cpu: '2', memory: '2Gi' }, cpuIdle: true } },
    env: [
      { name: 'GREETING', value: 'hello: "world" # no comment' },
      { name: 'EMPTY' },
      { name: 'VENDOR_API_KEY', value: 'sk-in-plain-text' },
      { name: 'odd.name', value: 'x' },
    ],
  });
  await makeSecret('shared', OTHER, 'sa-foreign');
  await handmade('foreign', {
    keyless: true,
    env: [{ name: 'SHARED_KEY', ...keyRef(`projects/${OTHER}/secrets/shared`, '1') }],
    region: 'europe-west1',
  });
  await handmade('closed', {
    container: {},
    invokers: ['group:callers@example.com', 'user:jane@example.com'],
  });
  await handmade('otherwise', { account: 'tenants', service: { invokerIamDisabled: true } });
  await handmade('keyless', { keyless: true, service: { invokerIamDisabled: true } });
  await handmade('taken', {
    service: {
      labels: { 'ai-tenant-owner-cluster': 'c', 'ai-tenant-owner-namespace': 'n', 'ai-tenant-owner-name': 'taken' },
    },
  });

  await rest(world, 'POST', `/v2/projects/${PROJECT}/locations/asia-northeast1/services?serviceId=web-shop`, {
    template: { containers: [{ image: IMAGE }] },
  });

  imported = await command('import', '--project', PROJECT);
}, 120_000);
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

const manifestOf = (run: Run, name: string) =>
  parseAllDocuments(run.out)
    .map(document => document.toJS() as KubeObject | null)
    .find(object => object?.kind === 'AiTenant' && object.metadata.name === name);
const specOf = (name: string) => manifestOf(imported, name)?.spec;
const warningsOf = (name: string) => imported.err.split('\n').filter(line => line.startsWith(`${name}: `));
const key = (name: string, external: string, over: JsonObject = {}) => ({ name, secretRef: { external }, ...over });

describe('npm run import', () => {
  test('finds a tenant made exactly as in the manual, and says no more than differs from the defaults', () => {
    expect(imported.code).toBe(0);
    expect(specOf('manual')).toEqual({
      region: 'asia-northeast1',
      labels: { team: 'blue' },
      keys: [key('openai', 'manual-openai-key', { env: 'OPENAI_API_KEY', rollout: 'OnRestart' })],
      env: [{ name: 'BY_HAND', value: 'kept' }],
    });
    expect(warningsOf('manual')).toEqual([]);
    expect(imported.out).toContain(`# Its image, ${IMAGE}, is left to whoever deploys it`);
  });

  test('names the project on a Namespace document', () => {
    const [first] = parseAllDocuments(imported.out);
    expect(first?.toJS()).toEqual({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'default', annotations: { 'ai-platform.dev/project-id': PROJECT } },
    });
  });

  test('finds a standby key by the grant on it', () => {
    expect(specOf('nocheck')).toMatchObject({
      keys: [expect.objectContaining({ env: 'OPENAI_API_KEY' }), key('backup', 'nocheck-backup')],
    });
  });

  test('tells scaling, resources, time-out and variables; a key in plain text is not copied', () => {
    expect(specOf('shaped')).toEqual({
      region: 'asia-northeast1',
      keys: [key('openai', 'shaped-key', { env: 'OPENAI_API_KEY', version: 1 })],
      env: [
        { name: 'GREETING', value: 'hello: "world" # no comment' },
        { name: 'EMPTY', value: '' },
      ],
      scaling: { minInstances: 2, maxInstances: 7, concurrency: 10 },
      // Google's default with limits that somebody has set is without; the spec's default is with.
      resources: { cpu: '2', memory: '2Gi', startupBoost: false },
      timeoutSeconds: 60,
      access: 'Authenticated',
    });
    expect(warningsOf('shaped')).toEqual([
      expect.stringContaining('Variable VENDOR_API_KEY looks like a key in plain text'),
      expect.stringContaining("Variable odd.name has a name that a spec can't hold"),
    ]);
    expect(imported.out + imported.err).not.toContain('sk-in-plain-text');
  });

  test('names a secret of another project in full, and the version that is pinned; in whatever region', () => {
    expect(specOf('foreign')).toMatchObject({
      region: 'europe-west1',
      keys: [key('shared', `projects/${OTHER}/secrets/shared`, { env: 'SHARED_KEY', version: 1 })],
    });
    expect(imported.out).toContain(`gcloud secrets update shared --project=${OTHER} `);
  });

  test('a service that is not public keeps its callers', () => {
    expect(specOf('closed')).toMatchObject({
      access: 'Authenticated',
      invokers: ['group:callers@example.com', 'user:jane@example.com'],
    });
  });

  test('says what it cannot express: another account, no key at all, an owner', () => {
    expect(warningsOf('otherwise')).toEqual([
      expect.stringContaining('has no grant on secret otherwise-key itself'),
      expect.stringContaining(`runs as tenants@${PROJECT}.iam.gserviceaccount.com`),
      expect.stringContaining(`There is no service account ${emailOf('otherwise')}`),
    ]);
    expect(specOf('keyless')).toBeUndefined();
    expect(imported.out).toContain('#   name: keyless');
    expect(warningsOf('keyless')).toEqual([expect.stringContaining('spec.keys')]);
    expect(specOf('taken')).toBeUndefined();
    expect(warningsOf('taken')).toEqual([expect.stringContaining('has an owner already (c/n/taken)')]);
  });

  test('services of other names are mentioned', () => {
    expect(imported.err).toContain("can be a tenant's: web-shop in asia-northeast1.");
  });

  test('a forgotten -- gets a hint; the project may come from GOOGLE_CLOUD_PROJECT', async () => {
    process.env.npm_lifecycle_event = 'import';
    process.env.npm_config_project = 'true';
    const hinted = await command('import', PROJECT).finally(() => {
      delete process.env.npm_config_project;
      delete process.env.npm_lifecycle_event;
    });
    expect(hinted).toMatchObject({ code: 1, out: '', err: expect.stringContaining('npm took --project for itself') });
    process.env.GOOGLE_CLOUD_PROJECT = PROJECT;
    const ambient = await command('import').finally(() => delete process.env.GOOGLE_CLOUD_PROJECT);
    expect(ambient.out).toBe(imported.out);
  });

  test('a region may be named; one that does not exist is an error, not an empty answer', async () => {
    const one = await command('import', '--project', PROJECT, '--region', 'europe-west1');
    expect(manifestOf(one, 'foreign')).toBeDefined();
    expect(manifestOf(one, 'manual')).toBeUndefined();
    const two = ['europe-west1', 'asia-northeast1'].flatMap(region => ['--region', region]);
    expect((await command('import', '--project', PROJECT, ...two)).out).toBe(imported.out);

    const none = await command('import', '--project', PROJECT, '--region', 'mars-north1');
    expect(none).toMatchObject({ code: 1, out: '', err: expect.stringContaining('mars-north1') });
  });

  test('rights that are missing are an error with Google Cloud’s words', async () => {
    const restore = world.gcpCore.faults.deny({ permission: 'secretmanager.secrets.list' });
    const refused = await command('import', '--project', PROJECT);
    restore();
    expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('secretmanager.secrets.list') });
  });

  test('waits where the quota asks for it', async () => {
    const error = { code: 'RESOURCE_EXHAUSTED' as const, message: 'Quota exceeded.', retryAfterMs: 10 };
    world.gcpCore.faults.add({ method: 'GetIamPolicy', times: 3, error });
    expect((await command('import', '--project', PROJECT)).out).toBe(imported.out);
  });

  test('writes nothing, and says how it is used', async () => {
    expect(imported.writes).toBe(0);
    expect(await command('import', '--help')).toMatchObject({ code: 0, out: expect.stringContaining('Usage:') });
    expect(await command('import')).toMatchObject({ code: 1, err: expect.stringContaining('name the project') });
  });
});

describe('what was imported, once consent is given by the printed commands', () => {
  /** What AiTenant can say in full. */
  const EXPRESSIBLE = ['closed', 'foreign', 'manual', 'nocheck', 'shaped'];

  test('is planned without a change but the owner marks, and taken over without one', async () => {
    const path = join(folder, 'tenants.yaml');
    writeFileSync(path, imported.out);
    const before = await command('plan', '-f', path, '-o', 'json');
    expect(before.code).toBe(2);
    const refused = (JSON.parse(before.out) as Planned).tenants.find(({ name }) => name === 'manual');
    expect(refused?.blocked.map(({ reason }) => reason).sort()).toEqual([
      'ManagementConflict',
      'ManagementConflict',
      'SecretNotAllowed',
    ]);

    for (const [, consent = ''] of imported.out.matchAll(/^#\$ (.*)$/gm)) await obey(world, consent);

    const { tenants } = JSON.parse((await command('plan', '-f', path, '-o', 'json')).out) as Planned;
    expect(
      tenants
        .filter(changesMarksOnly)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(EXPRESSIBLE);
    expect(tenants.map(({ name }) => name).sort()).toEqual([...EXPRESSIBLE, 'otherwise'].sort());

    const revisions = await Promise.all(EXPRESSIBLE.map(latestRevision));
    for (const name of EXPRESSIBLE) {
      await world.kube.create(AI_TENANTS, 'default', manifestOf(imported, name) as KubeObject);
      await world.ready(name);
    }
    expect(await Promise.all(EXPRESSIBLE.map(latestRevision))).toEqual(revisions);
    const again = await command('import', '--project', PROJECT);
    expect(manifestOf(again, 'manual')).toBeUndefined();
  }, 60_000);
});

// --------------------------------------------------------------------------------------------------------- helpers

interface Planned {
  tenants: {
    name: string;
    steps: { action: string; changes: { field: string }[] }[];
    blocked: { reason: string }[];
  }[];
}

const changesMarksOnly = ({ steps, blocked }: Planned['tenants'][number]): boolean =>
  blocked.length === 0 &&
  steps.length === 2 &&
  steps.every(
    ({ action, changes }) =>
      action === 'Adopt' && changes.every(({ field }) => /^(description|labels\.ai-tenant-owner-\w+)$/.test(field)),
  );

const latestRevision = async (name: string) => {
  const service = (await world.service(name)) ?? (await world.service(name, 'europe-west1'));
  return service?.latestCreatedRevision;
};

const keyRef = (secret: string, version: string) => ({ valueSource: { secretKeyRef: { secret, version } } });

/** A secret with one version, which the account of that id may read. */
async function makeSecret(id: string, project: string, account: string): Promise<void> {
  await world.secret(id, { project, labels: {}, value: null });
  const name = `projects/${project}/secrets/${id}`;
  await world.must(`${SECRETS}.AddSecretVersion`, { parent: name, payload: { data: 'eA==' } });
  await makeAccount(account);
  const members = [`serviceAccount:${account}@${PROJECT}.iam.gserviceaccount.com`];
  const bindings = [{ role: 'roles/secretmanager.secretAccessor', members }];
  await world.must(`${SECRETS}.SetIamPolicy`, { resource: name, policy: { bindings } });
}

async function makeAccount(accountId: string): Promise<void> {
  const name = `projects/${PROJECT}`;
  const found = await world.gcp('google.iam.admin.v1.IAM.GetServiceAccount', {
    name: `${name}/serviceAccounts/${accountId}@${PROJECT}.iam.gserviceaccount.com`,
  });
  if (!found.ok) await rest(world, 'POST', `/v1/${name}/serviceAccounts`, { accountId, serviceAccount: {} });
}

/** A tenant by hand that differs from the manual's in what is given. */
async function handmade(
  name: string,
  given: {
    service?: JsonObject;
    template?: JsonObject;
    container?: JsonObject;
    env?: Json[];
    invokers?: string[];
    account?: string;
    region?: string;
    /** No key of its own. */
    keyless?: boolean;
  },
): Promise<void> {
  const { region = 'asia-northeast1', account = `sa-${name}` } = given;
  await makeAccount(account);
  const own = given.keyless ? [] : [`${name}-key`];
  for (const id of own) await makeSecret(id, PROJECT, account);
  const env = [...own.map(id => ({ name: 'OPENAI_API_KEY', ...keyRef(id, '1') })), ...(given.env ?? [])];
  const parent = `projects/${PROJECT}/locations/${region}`;
  await rest(world, 'POST', `/v2/${parent}/services?serviceId=ai-platform-${name}`, {
    ...given.service,
    template: {
      serviceAccount: `${account}@${PROJECT}.iam.gserviceaccount.com`,
      scaling: { maxInstanceCount: 10 },
      ...given.template,
      containers: [
        {
          image: IMAGE,
          ports: [{ containerPort: 8080 }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true },
          ...given.container,
          env,
        },
      ],
    },
  } as JsonObject);
  const service = `${parent}/services/ai-platform-${name}`;
  if (given.invokers) {
    await rest(world, 'POST', `/v2/${service}:setIamPolicy`, {
      policy: { bindings: [{ role: 'roles/run.invoker', members: given.invokers }] },
    });
  }
  await until(
    async () => ((await world.service(name, region))?.reconciling ? undefined : true),
    () => `${name} to be up`,
  );
}

const command = (name: 'import' | 'plan', ...args: string[]): Promise<Run> => run(world, name, ...args);
