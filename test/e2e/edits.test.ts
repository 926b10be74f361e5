import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { createWorld, must, NUMBER, PROJECT, REGION, RUN, spec, until, type World } from './support/world.ts';

const MEMBER = `serviceAccount:sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const SERVICE = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`;

const key = (name: string, over: JsonObject = {}): JsonObject => ({ name, secretRef: { external: name }, ...over });
const used = (name: string, over: JsonObject = {}) => key(name, { env: 'OPENAI_API_KEY', ...over });

interface Template extends JsonObject {
  containers: { image: string; env: JsonObject[]; resources: { limits: JsonObject } }[];
}

/** One live tenant; what a test leaves is where the next one starts. */
let world: World;
beforeAll(async () => {
  world = await createWorld({ connector: true, settings: { regionMoveGraceMs: 400 } });
  for (const id of ['openai', 'backup']) await world.secret(id);
  await world.addVersion('openai');
  await world.apply('tenant-a', spec({ keys: [used('openai')] }));
  await world.ready('tenant-a');
});
afterAll(() => world.close());

const serviceNow = async () => (await world.service('tenant-a')) as JsonObject & { template: Template };
const container = async () => {
  const [first] = (await serviceNow()).template.containers;
  if (!first) throw new Error('no container');
  return first;
};
const variables = async () => Object.fromEntries((await container()).env.map(({ name, ...rest }) => [name, rest]));
/** Sets a variable on the service as somebody with gcloud would: the operator has no record of it. */
async function setByHand(name: string, value: string): Promise<void> {
  const { template } = await serviceNow();
  const [first, ...rest] = template.containers;
  const env = [...(first?.env ?? []).filter(variable => variable.name !== name), { name, value }];
  const service = { name: SERVICE, template: { ...template, containers: [{ ...first, env }, ...rest] } };
  await world.must(`${RUN}.UpdateService`, { service: service as JsonObject, updateMask: 'template' });
}
const secretVariable = (secret: string, version: string) => ({ valueSource: { secretKeyRef: { secret, version } } });
const invokers = async () => {
  const { bindings = [] } = await world.must(`${RUN}.GetIamPolicy`, { resource: SERVICE });
  return (bindings as { role: string; members: string[] }[]).flatMap(({ role, members }) =>
    members.map(member => `${role} ${member}`),
  );
};

/** Makes the edit and waits until the tenant is up to date; then a check must find nothing left to write. */
async function edited(patch: JsonObject): Promise<{ revisions: number; writes: string[] }> {
  const before = await serviceNow();
  world.forget();
  await world.edit('tenant-a', patch);
  await world.ready('tenant-a');
  const writes = world.writes();
  const after = await serviceNow();
  world.forget();
  await world.check('tenant-a');
  expect(world.writes()).toEqual([]);
  await world.ready('tenant-a');
  const number = (service: JsonObject) => Number(/-(\d{5})-/.exec(String(service.latestReadyRevision))?.[1]);
  return { revisions: number(after) - number(before), writes };
}

describe('an edit of the container', () => {
  test('image: the image is ours from then on', async () => {
    expect(await edited({ image: 'gcr.io/acme/backend:1' })).toMatchObject({ revisions: 1 });
    expect(await container()).toMatchObject({ image: 'gcr.io/acme/backend:1' });
  });

  test('image taken out of the spec: it stays on the service, and is left to whoever deploys it', async () => {
    expect(await edited({ image: null })).toEqual({ revisions: 0, writes: [] });
    expect(await container()).toMatchObject({ image: 'gcr.io/acme/backend:1' });
  });

  test('env: a variable comes, changes and goes', async () => {
    expect(await edited({ env: [{ name: 'MODEL', value: 'a' }] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ MODEL: { value: 'a' } });

    expect(await edited({ env: [{ name: 'MODEL', value: 'b' }] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ MODEL: { value: 'b' } });

    expect(await edited({ env: [{ name: 'OTHER', value: '' }] })).toMatchObject({ revisions: 1 });
    expect(Object.keys(await variables())).toEqual(['OPENAI_API_KEY', 'OTHER']);

    expect(await edited({ env: null })).toMatchObject({ revisions: 1 });
    expect(Object.keys(await variables())).toEqual(['OPENAI_API_KEY']);
  });

  test('env: a value keeps what ends a line in JavaScript, or means something in HTML', async () => {
    const value = 'a\u2028b\u2029c <d> & é';
    expect(await edited({ env: [{ name: 'MODEL', value }] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ MODEL: { value } });
    await edited({ env: [] });
  });

  test('cpu and memory', async () => {
    expect(await edited({ resources: { cpu: 2, memory: '2Gi' } })).toMatchObject({ revisions: 1 });
    expect(await container()).toMatchObject({ resources: { limits: { cpu: '2', memory: '2Gi' }, cpuIdle: true } });
  });

  test('the same quantities written otherwise are no change', async () => {
    expect(await edited({ resources: { cpu: '2000m', memory: '2048Mi' } })).toEqual({ revisions: 0, writes: [] });
  });

  test('resources taken out of the spec are the defaults', async () => {
    expect(await edited({ resources: null })).toMatchObject({ revisions: 1 });
    expect(await container()).toMatchObject({ resources: { limits: { cpu: '1', memory: '1Gi' } } });
  });

  test('timeoutSeconds', async () => {
    expect(await edited({ timeoutSeconds: 60 })).toMatchObject({ revisions: 1 });
    expect(await serviceNow()).toMatchObject({ template: { timeout: '60s' } });
  });

  test('scaling.concurrency', async () => {
    expect(await edited({ scaling: { concurrency: 5 } })).toMatchObject({ revisions: 1 });
    expect(await serviceNow()).toMatchObject({ template: { maxInstanceRequestConcurrency: 5 } });
  });

  test('a variable set by hand survives all of it', async () => {
    await setByHand('BY_HAND', 'x');

    await edited({ env: [{ name: 'MODEL', value: 'a' }] });
    await edited({ env: null });

    expect(Object.keys(await variables())).toEqual(['OPENAI_API_KEY', 'BY_HAND']);
  });
});

describe('an edit of scaling', () => {
  test('minInstances and maxInstances are the service’s: no revision', async () => {
    const update = `UpdateService ${SERVICE}`;
    expect(await edited({ scaling: { minInstances: 1 } })).toEqual({ revisions: 0, writes: [update] });
    expect(await edited({ scaling: { maxInstances: 3 } })).toEqual({ revisions: 0, writes: [update] });
    expect(await serviceNow()).toMatchObject({ scaling: { minInstanceCount: 1, maxInstanceCount: 3 } });

    expect(await edited({ scaling: { minInstances: 0, maxInstances: 10 } })).toEqual({
      revisions: 0,
      writes: [update],
    });
    expect((await serviceNow()).scaling).toEqual({ maxInstanceCount: 10 });
  });
});

describe('an edit of who may call', () => {
  test('Authenticated with invokers: closed, and open to them alone; no revision', async () => {
    const patch = { access: 'Authenticated', invokers: ['user:jane@example.com', 'group:team@example.com'] };

    expect(await edited(patch)).toMatchObject({ revisions: 0 });

    expect((await serviceNow()).invokerIamDisabled).toBeUndefined();
    expect(world.run.mayInvoke(SERVICE)).toBe(false);
    expect(world.run.mayInvoke(SERVICE, 'jane@example.com')).toBe(true);
  });

  test('an invoker that has left the spec is taken off; one that somebody else added stays', async () => {
    const policy = await world.must(`${RUN}.GetIamPolicy`, { resource: SERVICE });
    const bindings = [...(policy.bindings as JsonObject[])];
    bindings.push({ role: 'roles/run.invoker', members: ['user:hand@example.com'] });
    await world.must(`${RUN}.SetIamPolicy`, { resource: SERVICE, policy: { ...policy, bindings } });

    expect(await edited({ invokers: ['group:team@example.com'] })).toMatchObject({ revisions: 0 });

    expect(await invokers()).toEqual([
      'roles/run.invoker group:team@example.com',
      'roles/run.invoker user:hand@example.com',
    ]);
  });

  test('allUsers and allAuthenticatedUsers are taken off an authenticated service', async () => {
    const policy = await world.must(`${RUN}.GetIamPolicy`, { resource: SERVICE });
    const bindings = [...(policy.bindings as JsonObject[])];
    bindings.push({ role: 'roles/run.invoker', members: ['allUsers', 'allAuthenticatedUsers'] });
    await world.must(`${RUN}.SetIamPolicy`, { resource: SERVICE, policy: { ...policy, bindings } });

    await world.check('tenant-a');
    await world.ready('tenant-a');

    expect(await invokers()).toEqual([
      'roles/run.invoker group:team@example.com',
      'roles/run.invoker user:hand@example.com',
    ]);
  });

  test('Public again: open to all, and the former invoker is taken off', async () => {
    expect(await edited({ access: 'Public', invokers: null })).toMatchObject({ revisions: 0 });

    expect(await serviceNow()).toMatchObject({ invokerIamDisabled: true });
    expect(await invokers()).toEqual(['roles/run.invoker user:hand@example.com']);
    const { inventory = [] } = (await world.tenant('tenant-a'))?.status ?? {};
    expect(inventory.filter(({ type }) => type === 'Invoker')).toEqual([]);
  });
});

describe('an edit of the keys', () => {
  test('a standby key is granted, and that is all', async () => {
    expect(await edited({ keys: [used('openai'), key('backup')] })).toEqual({
      revisions: 0,
      writes: [`SetIamPolicy projects/${NUMBER}/secrets/backup`],
    });
    expect(await world.secretMembers('backup')).toEqual([MEMBER]);
  });

  test('the variable moves to the other key', async () => {
    expect(await edited({ keys: [key('openai'), used('backup')] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ OPENAI_API_KEY: secretVariable('backup', '1') });
  });

  test('env renamed: the old variable goes', async () => {
    expect(await edited({ keys: [key('openai'), used('backup', { env: 'API_KEY' })] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ API_KEY: secretVariable('backup', '1') });
    expect(await variables()).not.toHaveProperty('OPENAI_API_KEY');
  });

  test('a key that was in use leaves: its grant goes, and not before the last revision that reads it', async () => {
    let routedAtRevocation: string | undefined;
    world.gcpCore.faults.add({
      method: 'SetIamPolicy',
      resource: 'secrets/backup',
      match: () => {
        routedAtRevocation = world.run.route(SERVICE);
        return false;
      },
    });

    expect(await edited({ keys: [used('openai')] })).toEqual({
      revisions: 1,
      writes: [`UpdateService ${SERVICE}`, `SetIamPolicy projects/${NUMBER}/secrets/backup`],
    });

    world.gcpCore.faults.clear();
    expect(await world.secretMembers('backup')).toEqual([]);
    expect((await serviceNow()).latestReadyRevision).toBe(`${SERVICE}/revisions/${routedAtRevocation}`);
    const { inventory = [], keys } = (await world.tenant('tenant-a'))?.status ?? {};
    expect(inventory.filter(({ type }) => type === 'SecretAccess').map(({ name }) => name)).toEqual([
      `projects/${NUMBER}/secrets/openai`,
    ]);
    const secret = `projects/${NUMBER}/secrets/openai`;
    expect(keys).toEqual([{ name: 'openai', version: '2', secret, granted: true }]);
  });

  test.each([
    ['with the project’s id', PROJECT],
    ['with the project’s number', NUMBER],
  ])('a secret’s full name %s means the same as its id', async (_, project) => {
    const external = `projects/${project}/secrets/openai`;
    expect(await edited({ keys: [used('openai', { secretRef: { external } })] })).toEqual({ revisions: 0, writes: [] });
    expect(await edited({ keys: [used('openai')] })).toEqual({ revisions: 0, writes: [] });
  });

  test('version: an older one on purpose, then latest again', async () => {
    expect(await edited({ keys: [used('openai', { version: 1 })] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ OPENAI_API_KEY: secretVariable('openai', '1') });

    expect(await edited({ keys: [used('openai')] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ OPENAI_API_KEY: secretVariable('openai', '2') });
  });

  test('rollout OnRestart: the service itself says latest', async () => {
    expect(await edited({ keys: [used('openai', { rollout: 'OnRestart' })] })).toMatchObject({ revisions: 1 });
    expect(await variables()).toMatchObject({ OPENAI_API_KEY: secretVariable('openai', 'latest') });
  });

  test('secretRef.name: waits for Config Connector’s secret, then uses it', async () => {
    const metadata = { name: 'by-connector', namespace: 'default' };
    await world.edit('tenant-a', { keys: [used('openai', { secretRef: { name: 'by-connector' } })] });
    const missing = await world.reason('tenant-a', 'DependencyNotFound');
    expect(missing.message).toContain('kubectl get secretmanagersecret by-connector -n default');

    await must(world.kube.create(SECRET_MANAGER_SECRETS, 'default', { metadata, spec: { resourceID: 'backup' } }));
    await world.reason('tenant-a', 'DependencyNotReady');
    expect(world.run.route(SERVICE)).toBeDefined();

    const status = { conditions: [{ type: 'Ready', status: 'True' }] };
    await must(
      world.kube.patch(SECRET_MANAGER_SECRETS, 'default', 'by-connector', { status }, { subresource: 'status' }),
    );
    await world.ready('tenant-a');
    expect(await variables()).toMatchObject({ OPENAI_API_KEY: secretVariable('backup', '1') });
    expect(await world.secretMembers('openai')).toEqual([]);
  });
});

describe('an edit of the region', () => {
  test('the new service is ready before the old one goes, and takes its template along', {
    timeout: 180_000,
  }, async () => {
    await setByHand('BY_HAND', 'x');
    await world.check('tenant-a');
    await world.ready('tenant-a');
    const before = await container();
    const moved = 'europe-west1';
    const newName = SERVICE.replace(REGION, moved);
    let routedAtDeletion: string | undefined;
    world.gcpCore.faults.add({
      method: 'DeleteService',
      match: ({ resource }) => {
        if (resource === SERVICE) routedAtDeletion = world.run.route(newName);
        return false;
      },
    });

    await world.edit('tenant-a', { region: moved });
    const status = await world.ready('tenant-a');

    expect(status).toMatchObject({ region: moved, url: (await world.service('tenant-a', moved))?.uri });
    await until(
      async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
      () => 'the former service to go',
    );
    expect(routedAtDeletion).toMatch(/^ai-platform-tenant-a-00001-/);
    const template = (await world.service('tenant-a', moved))?.template as Template;
    expect(template.containers[0]).toMatchObject({ image: before.image, env: before.env });
    expect(template.containers[0]?.env).toContainEqual({ name: 'BY_HAND', value: 'x' });
    await world.check('tenant-a');
    await until(
      async () => {
        const { inventory = [] } = await world.ready('tenant-a');
        return inventory.some(({ name }) => name === SERVICE) ? undefined : true;
      },
      () => 'the former service to leave the inventory',
      // If the status write after its deletion meets a conflict, the entry stays until two minutes after the service was created.
      150_000,
    );
  });
});
