import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { obey } from './support/handmade.ts';
import {
  createWorld,
  IAM,
  must,
  NUMBER,
  namespace,
  PROJECT,
  REGION,
  RUN,
  SECRETS,
  spec,
  until,
  type World,
} from './support/world.ts';

/**
 * The operator may do what its tenants may not: nobody gets it to do that for him. Rule 3 of the contract, on every way
 * that leads to something in Google Cloud. Every test has names of its own in one world.
 */

const OTHER = 'other-project';
const OTHER_NUMBER = '210987654321';
const numberOf: Record<string, string> = { [PROJECT]: NUMBER, [OTHER]: OTHER_NUMBER };

let world: World;
beforeAll(async () => {
  world = await createWorld({ connector: true });
  await namespace(world, 'team-b');
});
afterAll(() => world.close());
beforeEach(() => world.forget());

const member = (tenant: string) => `serviceAccount:sa-${tenant}@${PROJECT}.iam.gserviceaccount.com`;
const keyed = (external: string, over: JsonObject = {}) =>
  spec({ keys: [{ name: 'openai', secretRef: { external }, env: 'OPENAI_API_KEY' }], ...over });

async function secret(id: string, project: string, labels: Record<string, string>): Promise<void> {
  const made = { replication: { automatic: {} }, labels };
  await world.must(`${SECRETS}.CreateSecret`, { parent: `projects/${project}`, secretId: id, secret: made });
  const payload = { data: Buffer.from('sk-somebodys').toString('base64') };
  await world.must(`${SECRETS}.AddSecretVersion`, { parent: `projects/${project}/secrets/${id}`, payload });
}
const label = (id: string, project: string, labels: Record<string, string>) =>
  world.must(`${SECRETS}.UpdateSecret`, {
    secret: { name: `projects/${project}/secrets/${id}`, labels },
    updateMask: 'labels',
  });
async function members(id: string, project: string): Promise<string[]> {
  const policy = await world.must(`${SECRETS}.GetIamPolicy`, { resource: `projects/${project}/secrets/${id}` });
  return ((policy.bindings ?? []) as { members: string[] }[]).flatMap(binding => binding.members);
}
/** What was called, reads too, that names anything like it. */
const called = (pattern: RegExp) =>
  world.gcpCore.requestLog
    .filter(({ resource }) => pattern.test(resource))
    .map(({ method, resource }) => `${method} ${resource}`);
const touched = (part: string) => world.writes().filter(line => line.includes(part));

describe.each([
  ['its id', PROJECT, (id: string) => id],
  ['its full name', PROJECT, (id: string) => `projects/${PROJECT}/secrets/${id}`],
  ['its full name by number', PROJECT, (id: string) => `projects/${NUMBER}/secrets/${id}`],
  ['its full name in another project', OTHER, (id: string) => `projects/${OTHER}/secrets/${id}`],
  ['its full name by another project’s number', OTHER, (id: string) => `projects/${OTHER_NUMBER}/secrets/${id}`],
] as const)('a secret that is named by %s', (how, project, nameOf) => {
  const slug = `ref-${['its id', 'its full name', 'its full name by number', 'its full name in another project'].indexOf(how) + 2}`;
  const id = `${slug}-key`;

  test.each([
    ['no consent', {}],
    ['consent for another namespace', { 'ai-tenant-namespace': 'team-b' }],
    ['consent for a namespace whose name begins alike', { 'ai-tenant-namespace': 'default-2' }],
    [
      'consent for another cluster’s namespace of that name',
      { 'ai-tenant-namespace': 'default', 'ai-tenant-cluster': 'cluster-2' },
    ],
    ['an owner’s name in place of consent', { 'ai-tenant-owner-namespace': 'default' }],
  ])('and carries %s is not granted', async (why, labels) => {
    const name = `${slug}-${Object.values(labels).join('-').slice(0, 20).replace(/-+$/, '') || 'none'}${why.length}`;
    await secret(`${name}-key`, project, labels);
    world.forget();

    await world.apply(name, keyed(nameOf(`${name}-key`)));
    const { message } = await world.reason(name, 'SecretNotAllowed');

    // Of a project that is not the tenant's own nothing is told, and no command takes a secret from somebody else.
    const isOwn = project === PROJECT;
    const refusal = isOwn ? 'does not let namespace default use it' : 'cannot be used by namespace default';
    expect(message).toContain(refusal);
    const command = `gcloud secrets update ${name}-key --project=`;
    expect(message.includes(command)).toBe(isOwn && !('ai-tenant-namespace' in labels));
    expect(await members(`${name}-key`, project)).toEqual([]);
    expect(touched(`secrets/${name}-key`)).toEqual([]);
    expect(await world.service(name)).toBeUndefined();
  });

  test('is granted once it has given consent, by the command where there is one, and not a moment longer than that holds', async () => {
    await secret(id, project, { team: 'blue' });
    await world.apply(slug, keyed(nameOf(id)));
    const { message } = await world.reason(slug, 'SecretNotAllowed');

    if (message.includes('gcloud')) await obey(world, message);
    else await label(id, project, { team: 'blue', 'ai-tenant-namespace': 'default' });
    await world.check(slug);
    await world.ready(slug);
    expect(await members(id, project)).toEqual([member(slug)]);
    const { inventory } = (await world.tenant(slug))?.status ?? { inventory: [] };
    expect(inventory.filter(({ type }) => type === 'SecretAccess').map(entry => entry.name)).toEqual([
      `projects/${numberOf[project]}/secrets/${id}`,
    ]);

    await label(id, project, { team: 'blue' });
    await world.check(slug);
    await world.reason(slug, 'SecretNotAllowed');
    expect(await members(id, project)).toEqual([]);
  });
});

test('one secret named in three ways is one grant', async () => {
  await secret('three-key', PROJECT, { 'ai-tenant-namespace': 'default' });
  const names = ['three-key', `projects/${PROJECT}/secrets/three-key`, `projects/${NUMBER}/secrets/three-key`];

  await world.apply(
    'three-ways',
    spec({ keys: names.map((external, i) => ({ name: `k${i}`, secretRef: { external } })) }),
  );
  await world.ready('three-ways');

  expect(await members('three-key', PROJECT)).toEqual([member('three-ways')]);
  expect(touched('secrets/three-key').filter(line => line.startsWith('SetIamPolicy'))).toHaveLength(1);
});

describe('consent taken back under a tenant that runs', () => {
  test.each([
    ['the label gone', {}],
    ['another namespace named', { 'ai-tenant-namespace': 'team-b' }],
    ['another cluster named', { 'ai-tenant-namespace': 'default', 'ai-tenant-cluster': 'cluster-2' }],
  ])('%s: the grant goes, the status says so, the service is not touched, other keys stay', async (why, labels) => {
    const name = `taken-${why.replaceAll(' ', '-')}`.slice(0, 26);
    const consent = { 'ai-tenant-namespace': 'default' };
    await secret(`${name}-a`, PROJECT, consent);
    await secret(`${name}-b`, PROJECT, consent);
    const keys = [
      { name: 'used', secretRef: { external: `${name}-a` }, env: 'OPENAI_API_KEY' },
      { name: 'standby', secretRef: { external: `${name}-b` } },
    ];
    await world.apply(name, spec({ keys }));
    await world.ready(name);
    const before = await world.service(name);
    await label(`${name}-a`, PROJECT, labels);
    world.forget();

    await world.check(name);
    const { message } = await world.reason(name, 'SecretNotAllowed');

    expect(message).toContain('Key used: the running service uses it and has no grant any more');
    expect(message).toContain('new instances cannot start');
    expect(message).toContain(`secret ${name}-a does not let namespace default use it`);
    expect(await members(`${name}-a`, PROJECT)).toEqual([]);
    expect(await members(`${name}-b`, PROJECT)).toEqual([member(name)]);
    expect(world.writes()).toEqual([`SetIamPolicy projects/${NUMBER}/secrets/${name}-a`]);
    expect(await world.service(name)).toEqual(before);
    const status = (await world.tenant(name))?.status;
    expect(status?.conditions.find(({ type }) => type === 'Stalled')).toMatchObject({ status: 'True' });
    expect(status?.keys).toMatchObject([
      { name: 'used', granted: false },
      { name: 'standby', granted: true },
    ]);
    expect(await world.events(name)).toContainEqual(expect.stringContaining(`Revoked secret ${name}-a`));

    // A change of the template waits for the key; closing access does not.
    await world.edit(name, { access: 'Authenticated', timeoutSeconds: 60 });
    await world.reason(name, 'SecretNotAllowed');
    await until(
      async () => ((await world.service(name))?.invokerIamDisabled ? undefined : true),
      () => 'access to be closed',
    );
    expect(await world.service(name)).toMatchObject({ template: { timeout: '300s' } });

    await label(`${name}-a`, PROJECT, consent);
    await world.check(name);
    await world.ready(name);
    expect(await members(`${name}-a`, PROJECT)).toEqual([member(name)]);
  });
});

describe('a SecretManagerSecret of Config Connector', () => {
  const connector = (
    name: string,
    over: { space?: string; annotations?: Record<string, string>; spec?: JsonObject } = {},
  ) =>
    must(
      world.kube.create(SECRET_MANAGER_SECRETS, over.space ?? 'default', {
        apiVersion: 'secretmanager.cnrm.cloud.google.com/v1beta1',
        kind: 'SecretManagerSecret',
        metadata: { name, namespace: over.space ?? 'default', annotations: over.annotations },
        spec: over.spec ?? {},
      }),
    ).then(() =>
      must(
        world.kube.patch(
          SECRET_MANAGER_SECRETS,
          over.space ?? 'default',
          name,
          { status: { conditions: [{ type: 'Ready', status: 'True' }] } },
          { subresource: 'status' },
        ),
      ),
    );
  const named = (name: string) => spec({ keys: [{ name: 'openai', secretRef: { name }, env: 'OPENAI_API_KEY' }] });

  test('that points at somebody’s secret in another project needs that secret’s consent', async () => {
    await secret('victims-key', OTHER, { 'ai-tenant-namespace': 'team-b' });
    world.forget();
    await connector('pointer', {
      annotations: { 'cnrm.cloud.google.com/project-id': OTHER },
      spec: { resourceID: 'victims-key' },
    });

    await world.apply('pointing', named('pointer'));

    await world.reason('pointing', 'SecretNotAllowed');
    expect(await members('victims-key', OTHER)).toEqual([]);
    expect(touched('victims-key')).toEqual([]);
  });

  test('of another namespace is not seen', async () => {
    await secret('team-b-secret', PROJECT, { 'ai-tenant-namespace': 'default' });
    await connector('team-b-secret', { space: 'team-b' });

    await world.apply('reaching', named('team-b-secret'));

    const { message } = await world.reason('reaching', 'DependencyNotFound');
    expect(message).toContain('no SecretManagerSecret team-b-secret in namespace default');
  });

  test.each([
    ['an id with a path', '../../other-project/secrets/preys-key', undefined],
    ['an escaped slash', 'x%2F..%2Fpreys-key', undefined],
    ['a version in it', 'preys-key/versions/1', undefined],
    ['unicode', 'prеys-key', undefined],
    ['control characters', 'preys\u001b[2J\nkey', undefined],
    ['a project with a path', 'preys-key', '../other-project'],
    ['a project with a query', 'preys-key', 'demo-project?x='],
    ['a project in upper case', 'preys-key', 'Other-Project'],
  ])('with %s never reaches a URL', async (what, resourceID, project) => {
    const name = `hostile-${what.replaceAll(' ', '-')}`.slice(0, 26).replace(/-$/, '');
    await connector(name, {
      spec: { resourceID },
      ...(project !== undefined && { annotations: { 'cnrm.cloud.google.com/project-id': project } }),
    });
    world.forget();

    await world.apply(name, named(name));
    const { message } = await world.reason(name, 'InvalidSpec');

    expect(message).toContain('is not a secret: projects/P/secrets/S');
    expect(message).not.toMatch(/\p{Cc}/u);
    expect(called(/preys|Other-Project|\.\.|[^\x20-\x7e]/)).toEqual([]);
  });
});

describe('the project', () => {
  test('that a Namespace names must be one that --projects allows; nothing is called there otherwise', async () => {
    await namespace(world, 'greedy', { 'ai-platform.dev/project-id': OTHER });
    await secret('greedy-key', OTHER, { 'ai-tenant-namespace': 'greedy' });
    await world.restart({ projects: ['demo-*'] });
    world.forget();

    await world.apply('greedy', keyed('greedy-key'), { namespace: 'greedy' });
    const { message } = await world.reason('greedy', 'InvalidSpec', 'greedy');

    expect(message).toContain('Project other-project is not among those the operator may use (--projects=demo-*)');
    expect(called(/greedy/)).toEqual([]);

    await world.restart({ projects: [] });
    await world.check('greedy', 'greedy');
    await world.ready('greedy', 'greedy');
    const accounts = await world.must(`${IAM}.ListServiceAccounts`, { name: `projects/${OTHER}` });
    expect(JSON.stringify(accounts)).toContain(`sa-greedy@${OTHER}.iam.gserviceaccount.com`);
  });

  test.each([
    ['another project’s number', OTHER_NUMBER],
    ['a path', '../other-project'],
    ['upper case', 'Other-Project'],
    ['a wildcard', 'other-*'],
    ['unicode', 'оther-project'],
    ['control characters', 'other-project\u001b[31m\r\nReady'],
    ['a name without end', 'p'.repeat(100_000)],
  ])('is never taken from an annotation with %s', async (what, value) => {
    const name = `ns-${what.replace(/[^a-z]+/g, '-')}`.slice(0, 26).replace(/-$/, '');
    await namespace(world, name, { 'ai-platform.dev/project-id': value });
    world.forget();

    await world.apply(name, keyed('any-key'), { namespace: name });
    const { message } = await world.reason(name, 'InvalidSpec', name);

    expect(message).toContain('is not a project id');
    // Nothing that a terminal would take for a command, and no more than fits.
    expect(message).not.toMatch(/\p{Cc}/u);
    expect(message.length).toBeLessThanOrEqual(2_000);
    expect(called(new RegExp(`sa-${name}|ai-platform-${name}|any-key`))).toEqual([]);
    for (const line of await world.events(name)) expect(line).not.toMatch(/\p{Cc}/u);
  });

  test('is not chosen by an annotation of the tenant itself', async () => {
    await secret('own-choice-key', PROJECT, { 'ai-tenant-namespace': 'default' });

    await world.apply('own-choice', keyed('own-choice-key'), {
      annotations: { 'ai-platform.dev/project-id': OTHER, 'cnrm.cloud.google.com/project-id': OTHER },
    });

    expect((await world.ready('own-choice')).projectId).toBe(PROJECT);
  });
});

test('a value of the deletion annotation is shown without what a terminal would obey', async () => {
  await world.apply('annotated', keyed('any-key'), {
    annotations: { 'ai-platform.dev/deletion-policy': 'x\u001b]0;pwned\u0007\u202e\nReady  True' },
  });
  await until(
    async () => ((await world.tenant('annotated'))?.metadata.finalizers?.length ? true : undefined),
    () => 'the finalizer',
  );
  await world.remove('annotated');

  const { message } = await world.reason('annotated', 'DeleteFailed');

  expect(message).toContain('nothing is deleted until it is delete or abandon');
  expect(message).not.toMatch(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u);
});

describe('two clusters with a namespace and a tenant of the same names', () => {
  test('the second one takes nothing over from the first, and its deletion takes nothing away', async () => {
    await secret('same-key', PROJECT, { 'ai-tenant-namespace': 'default' });
    await world.apply('same', keyed('same-key'));
    await world.ready('same');
    const seen = async () => [
      await world.service('same'),
      await world.account('same'),
      await members('same-key', PROJECT),
    ];
    const before = await seen();
    // As another cluster sees it: the same Google Cloud, and no resource of that name.
    await world.restart({ clusterId: 'cluster-2', projects: ['nothing-*'] });
    await must(world.kube.patch(AI_TENANTS, 'default', 'same', { metadata: { finalizers: null } }));
    await world.remove('same');
    await world.gone('same');
    await world.restart({ projects: [] });

    await world.apply('same', keyed('same-key', { image: 'gcr.io/acme/theirs', access: 'Authenticated' }));
    const { message } = await world.reason('same', 'ManagementConflict');
    expect(message).toContain('belongs to cluster-1/default/same');
    await world.remove('same');
    await world.gone('same');

    expect(await seen()).toEqual(before);
    await world.restart({ clusterId: 'cluster-1' });
  });

  test('a secret that names the cluster is that cluster’s alone', async () => {
    await secret('one-cluster-key', PROJECT, { 'ai-tenant-namespace': 'default', 'ai-tenant-cluster': 'cluster-1' });
    await world.restart({ clusterId: 'cluster-2' });
    await world.apply('one-cluster', keyed('one-cluster-key'));
    await world.reason('one-cluster', 'SecretNotAllowed');
    expect(await members('one-cluster-key', PROJECT)).toEqual([]);
    await world.remove('one-cluster');
    await world.gone('one-cluster');

    await world.restart({ clusterId: 'cluster-1' });
    await world.apply('one-cluster', keyed('one-cluster-key'));
    await world.ready('one-cluster');
    expect(await members('one-cluster-key', PROJECT)).toEqual([member('one-cluster')]);
  });
});

describe('a forged status', () => {
  test('that claims another tenant’s things gets nothing of them changed, in life and in death', async () => {
    await secret('victim-key', PROJECT, { 'ai-tenant-namespace': 'team-b' });
    await secret('forger-key', PROJECT, { 'ai-tenant-namespace': 'default' });
    await world.apply('victim', keyed('victim-key'), { namespace: 'team-b' });
    await world.ready('victim', 'team-b');
    await world.apply('forger', keyed('forger-key'));
    await world.ready('forger');
    const seen = async () => [
      await world.service('victim'),
      await world.account('victim'),
      await members('victim-key', PROJECT),
    ];
    const before = await seen();
    const forged = ((await world.tenant('victim', 'team-b'))?.status?.inventory ?? []).map(entry =>
      entry.type === 'Service' ? { ...entry, retireAt: '2020-01-01T00:00:00Z' } : entry,
    );
    expect(forged.map(({ type }) => type).sort()).toEqual(['SecretAccess', 'Service', 'ServiceAccount', 'Variable']);

    const own = (await world.tenant('forger'))?.status?.inventory ?? [];
    await must(
      world.kube.patch(
        AI_TENANTS,
        'default',
        'forger',
        { status: { inventory: forged as unknown as JsonObject[], image: 'gcr.io/evil/image' } },
        { subresource: 'status' },
      ),
    );
    await world.check('forger');
    // Its own things are no longer known to it.
    await world.reason('forger', 'ManagementConflict');
    expect(await seen()).toEqual(before);

    await must(
      world.kube.patch(
        AI_TENANTS,
        'default',
        'forger',
        { status: { inventory: [...forged, ...own] as unknown as JsonObject[] } },
        { subresource: 'status' },
      ),
    );
    await world.remove('forger');
    await world.gone('forger');
    expect(await seen()).toEqual(before);
    await world.check('victim', 'team-b');
    await world.ready('victim', 'team-b');
  });
});

describe('objects that the CRD’s own rules would have refused', () => {
  /** An older schema: everything is accepted and nothing pruned. */
  async function withoutRules(): Promise<void> {
    const found = await must(world.kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, 'aitenants.ai-platform.dev'));
    const crd = found.spec as { versions: { schema: JsonObject }[] };
    const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    const versions = crd.versions.map(version => ({
      ...version,
      // Only a field of the schema can be selected.
      selectableFields: [],
      schema: { openAPIV3Schema: { type: 'object', properties: { spec: anything, status: anything } } },
    }));
    await must(
      world.kube.patch(CUSTOM_RESOURCE_DEFINITIONS, undefined, 'aitenants.ai-platform.dev', {
        spec: { versions: versions as unknown as JsonObject[] },
      }),
    );
    // A real server goes by the old schema for a moment.
    const probe = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata: { name: 'probe' }, spec: {} };
    await until(
      async () => (await world.kube.create(AI_TENANTS, 'default', probe)).ok || undefined,
      () => 'an object that only the new schema takes to be taken',
    );
    await world.remove('probe');
  }
  const raw = (name: string, hostile: unknown) =>
    must(
      world.kube.create(AI_TENANTS, 'default', {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name, namespace: 'default' },
        spec: hostile,
      } as KubeObject),
    );

  test('never open a service that is not public, and never reach a URL', async () => {
    await secret('lawless-key', PROJECT, { 'ai-tenant-namespace': 'default' });
    await withoutRules();
    try {
      await raw(
        'lawless',
        keyed('lawless-key', { access: 'Authenticated', invokers: ['allUsers', 'user:jane@example.com'] }),
      );
      await world.ready('lawless');
      const name = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-lawless`;
      const { bindings } = await world.must(`${RUN}.GetIamPolicy`, { resource: name });
      expect(bindings).toEqual([{ role: 'roles/run.invoker', members: ['user:jane@example.com'] }]);
      expect(world.run.mayInvoke(name)).toBe(false);

      world.forget();
      await raw('wrong-region', keyed('lawless-key', { region: '../../other-project/locations/x' }));
      await raw('wrong-secret', keyed('projects/other-project/secrets/../../x'));
      await raw('dotted.name', keyed('lawless-key'));
      await raw('odd-types', { region: {}, keys: 'none', scaling: [], access: 7, invokers: { a: 1 } });
      for (const tenant of ['wrong-region', 'wrong-secret', 'dotted.name', 'odd-types']) {
        await world.reason(tenant, 'InvalidSpec');
      }
      expect(called(/\.\.|dotted|%|wrong-region.*locations/)).toEqual([]);
    } finally {
      for (const tenant of ['lawless', 'wrong-region', 'wrong-secret', 'dotted.name', 'odd-types']) {
        if (await world.tenant(tenant)) await world.remove(tenant);
      }
    }
  });
});
