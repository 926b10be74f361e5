import { afterEach, beforeEach, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, PROJECT, RUN, SECRETS, spec, until, type World } from './support/world.ts';

/**
 * Settings of Cloud Run that are newer than the client packages' protos, set by somebody with Google's own tools, survive
 * everything that the operator writes: here over real HTTP, and against a Cloud Run that knows them.
 */

const VOLUME = `projects/${PROJECT}/locations/asia-northeast1/volumePools/p/volumes/v`;
const IN_TEMPLATE = {
  ambientNetworking: { enabled: true, ambientScope: 'AMBIENT_SCOPE_GLOBAL' },
  workloadIdentityConfig: { identity: 'spiffe://pool/ns/tenant', identityType: 'IDENTITY_TYPE_SERVICE_ACCOUNT' },
  sandboxes: { templates: [{ name: 'tools', image: 'gcr.io/cloudrun/hello', args: ['--quiet'] }] },
};
const VOLUMES = [
  { name: 'share', filestore: { volume: VOLUME } },
  { name: 'scratch', emptyDir: { medium: 'DISK', sizeLimit: '1Gi' } },
];
const MOUNTS = [{ name: 'share', mountPath: '/share' }];
const UTILIZATION = { cpuUtilization: 0.55, concurrencyUtilization: 0.8 };
const ON_SERVICE = { functionalType: 'FUNCTIONAL_TYPE_AGENT', sshEnabled: true };

const EXPECTED = {
  ...IN_TEMPLATE,
  volumes: VOLUMES,
  scaling: UTILIZATION,
  containers: [{ sandboxLauncher: true, volumeMounts: MOUNTS }],
};

let world: World;
beforeEach(async () => {
  world = await createWorld({ settings: { regionMoveGraceMs: 500 } });
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec({ image: 'registry/app:1' }));
  await world.ready('tenant-a');
  await setNewerFields();
  await world.check('tenant-a');
  await world.ready('tenant-a');
});
afterEach(() => world.close());

const templateOf = (service: JsonObject | undefined) =>
  (service?.template ?? {}) as JsonObject & { containers: JsonObject[]; scaling: JsonObject };

async function setNewerFields(): Promise<void> {
  const service = await world.service('tenant-a');
  const template = templateOf(service);
  const [container] = template.containers;
  const changed = {
    ...template,
    ...IN_TEMPLATE,
    volumes: VOLUMES,
    scaling: { ...template.scaling, ...UTILIZATION },
    containers: [{ ...container, sandboxLauncher: true, volumeMounts: MOUNTS }],
  };
  await world.must(`${RUN}.UpdateService`, {
    service: { name: String(service?.name), template: changed, ...ON_SERVICE },
    updateMask: 'template,functionalType,sshEnabled',
  });
}

test('a check writes nothing because of them', async () => {
  world.forget();
  await world.check('tenant-a');
  expect(world.writes()).toEqual([]);
});

test.each<[string, () => Promise<void>, JsonObject]>([
  [
    'an image',
    () => world.edit('tenant-a', { image: 'registry/app:2' }),
    { containers: [{ image: 'registry/app:2' }] },
  ],
  ['variables', () => world.edit('tenant-a', { env: [{ name: 'MODEL', value: 'm' }] }), {}],
  [
    'size and time',
    () => world.edit('tenant-a', { resources: { cpu: '2', memory: '4Gi' }, timeoutSeconds: 17 }),
    { timeout: '17s' },
  ],
  [
    'instances',
    () => world.edit('tenant-a', { scaling: { minInstances: 2, maxInstances: 300, concurrency: 9 } }),
    { maxInstanceRequestConcurrency: 9 },
  ],
  ['access', () => world.edit('tenant-a', { access: 'Authenticated', invokers: ['user:a@example.com'] }), {}],
])('a change of %s keeps them', async (_, change, template) => {
  const before = await world.service('tenant-a');
  await change();
  await world.ready('tenant-a');
  const service = await world.service('tenant-a');
  expect(service?.generation).not.toBe(before?.generation);
  expect(service).toMatchObject({ ...ON_SERVICE, template: EXPECTED });
  expect(service).toMatchObject({ template });
});

test('a newer version of a key makes a revision that has them', async () => {
  await world.addVersion('tenant-a-openai-key');
  await world.check('tenant-a');
  const service = await until(
    async () => {
      const found = await world.service('tenant-a');
      return JSON.stringify(found).includes('"version":"2"') ? found : undefined;
    },
    () => 'version 2 on the service',
  );
  expect(service).toMatchObject({ ...ON_SERVICE, template: EXPECTED });
});

test('a move to another region takes them along', async () => {
  await world.edit('tenant-a', { region: 'europe-west1' });
  await world.ready('tenant-a');
  expect(await world.service('tenant-a', 'europe-west1')).toMatchObject({ ...ON_SERVICE, template: EXPECTED });
});

test('a grant keeps what others wrote into the policy of the secret', async () => {
  const resource = `projects/${PROJECT}/secrets/second-key`;
  await world.secret('second-key');
  const condition = { title: 'office hours', description: 'd', expression: 'request.time.getHours() > 8' };
  const theirs = { role: 'roles/secretmanager.viewer', members: ['user:a@example.com'], condition };
  await world.must(`${SECRETS}.SetIamPolicy`, {
    resource,
    policy: {
      version: 3,
      bindings: [theirs],
      auditConfigs: [{ service: 'allServices', auditLogConfigs: [{ logType: 'DATA_READ' }] }],
    },
    updateMask: 'bindings,auditConfigs',
  });
  await world.edit('tenant-a', {
    keys: [
      { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' },
      { name: 'second', secretRef: { external: 'second-key' }, env: 'SECOND_KEY' },
    ],
  });
  await world.ready('tenant-a');
  const policy = await world.must(`${SECRETS}.GetIamPolicy`, { resource, options: { requestedPolicyVersion: 3 } });
  expect(policy).toMatchObject({
    bindings: [theirs, { members: [expect.stringContaining('sa-tenant-a@')] }],
    auditConfigs: [{ service: 'allServices' }],
  });
});
