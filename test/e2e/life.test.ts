import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CUSTOM_RESOURCE_DEFINITIONS } from '../../operator/kube/resources.ts';
import type { JsonObject, KubeObject } from '../../operator/ports.ts';
import { SECRET_MANAGER_SECRETS } from '../../operator/tenantResource.ts';
import { createWorld, IAM, namespace, PROJECT, RUN, SECRETS, spec, until, type World } from './support/world.ts';

/** What a tenant goes through after its first day. */

const SECRET = `projects/${PROJECT}/secrets/tenant-a-openai-key`;
const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const MEMBER = `serviceAccount:${EMAIL}`;

let world: World;
beforeEach(async () => {
  world = await createWorld({ settings: { regionMoveGraceMs: 1_500 } });
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const running = async (over: JsonObject = {}) => {
  await world.apply('tenant-a', spec(over));
  return world.ready('tenant-a');
};
const key = (over: JsonObject = {}): JsonObject => ({
  name: 'openai',
  secretRef: { external: 'tenant-a-openai-key' },
  env: 'OPENAI_API_KEY',
  ...over,
});
const template = async (region?: string) =>
  (await world.service('tenant-a', region))?.template as JsonObject & {
    containers: { image: string; env: JsonObject[] }[];
  };
const pinned = async () => {
  const [variable] = (await template()).containers[0]?.env ?? [];
  return ((variable as { valueSource: { secretKeyRef: JsonObject } }).valueSource.secretKeyRef as JsonObject).version;
};

describe('key rotation', () => {
  test('a newer enabled version is pinned and rolled as one new revision', async () => {
    const before = await running();
    await world.addVersion('tenant-a-openai-key');

    await world.check('tenant-a');
    const after = await world.ready('tenant-a');

    expect(await pinned()).toBe('2');
    expect(before.latestReadyRevision).toMatch(/-00001-/);
    expect(after.latestReadyRevision).toMatch(/-00002-/);
    expect(after.keys).toMatchObject([{ name: 'openai', version: '2', granted: true }]);
  });

  test('a disabled newest version changes nothing: what is live stays, an older one never comes back by itself', async () => {
    await world.addVersion('tenant-a-openai-key');
    const before = await running();
    expect(before.keys[0]?.version).toBe('2');
    await world.must(`${SECRETS}.DisableSecretVersion`, { name: `${SECRET}/versions/2` });

    await world.check('tenant-a');
    const condition = await world.reason('tenant-a', 'DependencyNotReady');

    expect(condition.message).toContain('version 2 of tenant-a-openai-key was live and is no longer enabled');
    expect(await pinned()).toBe('2');
    // Only an explicit version goes back.
    await world.edit('tenant-a', { keys: [key({ version: 1 })] });
    const back = await world.ready('tenant-a');
    expect(await pinned()).toBe('1');
    expect(back.keys[0]?.version).toBe('1');
  });

  test('a disabled newest version that was never live is passed over', async () => {
    await running();
    await world.addVersion('tenant-a-openai-key');
    await world.must(`${SECRETS}.DisableSecretVersion`, { name: `${SECRET}/versions/2` });

    await world.check('tenant-a');

    expect((await world.ready('tenant-a')).latestReadyRevision).toMatch(/-00001-/);
  });

  test('OnRestart writes latest; switching either way works', async () => {
    await running({ keys: [key({ rollout: 'OnRestart' })] });
    expect(await pinned()).toBe('latest');

    await world.edit('tenant-a', { keys: [key({ rollout: 'OnNewVersion' })] });
    await world.ready('tenant-a');
    expect(await pinned()).toBe('1');

    await world.edit('tenant-a', { keys: [key({ rollout: 'OnRestart' })] });
    await world.ready('tenant-a');
    expect(await pinned()).toBe('latest');
  });

  test('a grant goes only after the last revision that reads it has stopped serving', async () => {
    await world.secret('backup');
    await running();
    world.images.set('gcr.io/acme/x:broken', { ok: false, why: 'notListening' });
    await world.edit('tenant-a', {
      image: 'gcr.io/acme/x:broken',
      keys: [{ name: 'backup', secretRef: { external: 'backup' }, env: 'OPENAI_API_KEY' }],
    });
    await world.reason('tenant-a', 'UpdateFailed');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);

    await world.edit('tenant-a', { image: 'gcr.io/acme/x:good' });
    await world.ready('tenant-a');

    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
    expect(await world.secretMembers('backup')).toEqual([MEMBER]);
  });
});

describe('safe rollouts', () => {
  test('a revision that does not come up leaves the last good one serving, and the next good spec recovers', async () => {
    const before = await running({ image: 'gcr.io/acme/app:1' });

    await world.edit('tenant-a', { image: 'gcr.io/acme/app:broken' });
    const condition = await world.reason('tenant-a', 'UpdateFailed');

    expect(condition.message).toContain('failed to start and listen on the port');
    expect(condition.message).toContain(`${before.latestReadyRevision} goes on serving.`);
    const status = (await world.tenant('tenant-a'))?.status;
    expect(status?.url).toBe(before.url);
    expect(status?.latestReadyRevision).toBe(before.latestReadyRevision);

    await world.edit('tenant-a', { image: 'gcr.io/acme/app:2' });
    expect((await world.ready('tenant-a')).latestReadyRevision).not.toBe(before.latestReadyRevision);
  });
});

describe('a region move', () => {
  test('the new service is ready before the old one goes, and the old one stays for the grace', async () => {
    const before = await running({ image: 'gcr.io/acme/app:1' });

    await world.edit('tenant-a', { region: 'europe-west1' });
    const moved = await world.ready('tenant-a');

    expect(moved.region).toBe('europe-west1');
    expect(moved.url).not.toBe(before.url);
    expect(await world.service('tenant-a')).toBeDefined();
    const ready = moved.conditions.find(({ type }) => type === 'Ready');
    expect(ready?.message).toMatch(
      /The former Cloud Run service ai-platform-tenant-a in asia-northeast1 .* stay until/,
    );

    await until(
      async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
      () => 'the old service to go',
    );
    await until(
      async () =>
        (await world.tenant('tenant-a'))?.status?.inventory.every(({ name }) => !name.includes('asia-'))
          ? true
          : undefined,
      () => 'the inventory to forget the old service',
    );
    expect((await world.ready('tenant-a')).url).toBe(moved.url);
  });

  test('an image that is not ours moves along', async () => {
    await running();
    const service = (await world.service('tenant-a')) as JsonObject & { template: { containers: JsonObject[] } };
    const [container] = service.template.containers;
    await world.must(`${RUN}.UpdateService`, {
      service: {
        name: service.name,
        template: { ...service.template, containers: [{ ...container, image: 'gcr.io/acme/app:7' }] },
      },
      updateMask: 'template',
    });

    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.ready('tenant-a');

    expect((await template('europe-west1')).containers[0]?.image).toBe('gcr.io/acme/app:7');
  });

  test('a failure in the new region leaves the old one serving', async () => {
    const before = await running();
    world.gcpCore.faults.add({
      method: 'CreateService',
      times: 1000,
      error: { code: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded.' },
    });

    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.reason('tenant-a', 'QuotaExceeded');

    expect((await world.tenant('tenant-a'))?.status).toMatchObject({ url: before.url, region: 'asia-northeast1' });
    expect(await world.service('tenant-a')).toBeDefined();
  });

  test('moving back within the grace keeps the old service', async () => {
    const before = await running();
    await world.restart({ regionMoveGraceMs: 3_600_000 });
    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.ready('tenant-a');

    await world.edit('tenant-a', { region: 'asia-northeast1' });
    const back = await world.ready('tenant-a');

    expect(back.url).toBe(before.url);
    expect(back.inventory.filter(({ type, retireAt }) => type === 'Service' && retireAt === undefined)).toHaveLength(1);
  });
});

describe('drift', () => {
  test.each([
    [
      'labels',
      { labels: { 'ai-tenant-owner-cluster': 'cluster-1', 'ai-tenant-owner-namespace': 'default', other: 'x' } },
    ],
    ['traffic', { traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision: 'FIRST', percent: 100 }] }],
    ['access', { invokerIamDisabled: false }],
    ['scaling', { scaling: { maxInstanceCount: 99 } }],
  ])('of %s is put right, and told', async (field, change) => {
    const status = await running();
    const name = ((await world.service('tenant-a')) as JsonObject).name as string;
    const patch = JSON.parse(JSON.stringify(change).replace('FIRST', status.latestReadyRevision ?? '')) as JsonObject;
    await world.must(`${RUN}.UpdateService`, { service: { name, ...patch }, updateMask: Object.keys(change)[0] });

    await world.check('tenant-a');
    await world.ready('tenant-a');

    const service = await world.service('tenant-a');
    expect(service?.labels).toMatchObject({ 'ai-tenant-owner-name': 'tenant-a' });
    expect(service?.invokerIamDisabled).toBe(true);
    expect(service?.scaling).toMatchObject({ maxInstanceCount: 10 });
    expect((await world.ready('tenant-a')).latestReadyRevision).toBe(status.latestReadyRevision);
    await until(
      async () =>
        (await world.events('tenant-a')).some(event => event.includes('DriftCorrected') && event.includes(field))
          ? true
          : undefined,
      () => `an event that names ${field}`,
    );
    if (field === 'labels') expect(service?.labels).toMatchObject({ other: 'x' });
  });

  test('of the account, the grant and the service is put right', async () => {
    await running({ image: 'gcr.io/acme/app:3' });
    const name = `projects/${PROJECT}/serviceAccounts/${EMAIL}`;

    await world.must(`${IAM}.DisableServiceAccount`, { name });
    await world.check('tenant-a');
    await world.ready('tenant-a');
    expect((await world.account('tenant-a'))?.disabled).toBeUndefined();

    await world.must(`${SECRETS}.SetIamPolicy`, { resource: SECRET, policy: { bindings: [] } });
    await world.check('tenant-a');
    await world.ready('tenant-a');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);

    await world.edit('tenant-a', { image: null });
    await world.ready('tenant-a');
    await world.must(`${RUN}.DeleteService`, { name: ((await world.service('tenant-a')) as JsonObject).name });
    await until(
      async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
      () => 'the service to go',
    );
    await world.check('tenant-a');
    await world.ready('tenant-a');
    // The last image seen, not the default one.
    expect((await template()).containers[0]?.image).toBe('gcr.io/acme/app:3');
  });

  test('what the spec never named survives', async () => {
    await running();
    const service = (await world.service('tenant-a')) as JsonObject & { template: { containers: JsonObject[] } };
    const [container] = service.template.containers;
    const env = [...((container as JsonObject).env as JsonObject[]), { name: 'EXTRA', value: 'x' }];
    const mine = { labels: { mine: 'yes' }, annotations: { 'example.com/mine': 'yes' }, sessionAffinity: true };
    await world.must(`${RUN}.UpdateService`, {
      service: { name: service.name, template: { ...service.template, ...mine, containers: [{ ...container, env }] } },
      updateMask: 'template',
    });

    await world.edit('tenant-a', { timeoutSeconds: 60, env: [{ name: 'OURS', value: '1' }] });
    await world.ready('tenant-a');
    await world.edit('tenant-a', { env: [] });
    await world.ready('tenant-a');

    const after = await template();
    expect(after).toMatchObject({ timeout: '60s', ...mine });
    expect(after.containers[0]?.env.map(({ name }) => name)).toEqual(['OPENAI_API_KEY', 'EXTRA']);
  });
});

describe('together with Config Connector', () => {
  const connectorCrd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'secretmanagersecrets.secretmanager.cnrm.cloud.google.com' },
    spec: {
      group: SECRET_MANAGER_SECRETS.group,
      scope: 'Namespaced',
      names: {
        kind: 'SecretManagerSecret',
        plural: 'secretmanagersecrets',
        singular: 'secretmanagersecret',
        listKind: 'SecretManagerSecretList',
      },
      versions: [
        {
          name: 'v1beta1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };

  test('a SecretManagerSecret is waited for until it is Ready, and followed', async () => {
    const created = await world.kube.create(
      CUSTOM_RESOURCE_DEFINITIONS,
      undefined,
      connectorCrd as unknown as KubeObject,
    );
    expect(created.ok).toBe(true);
    await world.restart();
    await world.apply('tenant-a', spec({ keys: [key({ secretRef: { name: 'their-key' } })] }));
    await world.reason('tenant-a', 'DependencyNotFound');

    const secret = {
      apiVersion: 'secretmanager.cnrm.cloud.google.com/v1beta1',
      kind: 'SecretManagerSecret',
      metadata: { name: 'their-key', namespace: 'default' },
      spec: { resourceID: 'tenant-a-openai-key' },
    };
    await world.kube.create(SECRET_MANAGER_SECRETS, 'default', secret as KubeObject);
    await world.reason('tenant-a', 'DependencyNotReady');

    const status = { conditions: [{ type: 'Ready', status: 'True', reason: 'UpToDate' }] };
    await world.kube.patch(SECRET_MANAGER_SECRETS, 'default', 'their-key', { status }, { subresource: 'status' });
    await world.ready('tenant-a');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);
  });

  test('the namespace’s project annotation is honoured, and a tenant never moves between projects', async () => {
    await namespace(world, 'team', { 'cnrm.cloud.google.com/project-id': 'other-project' });
    await world.secret('other-key', {
      project: 'other-project',
      labels: { 'ai-tenant-namespace': 'team' },
      value: null,
    });
    await world.must(`${SECRETS}.AddSecretVersion`, {
      parent: 'projects/other-project/secrets/other-key',
      payload: { data: 'eA==' },
    });
    await world.apply('tenant-b', spec({ keys: [key({ secretRef: { external: 'other-key' } })] }), {
      namespace: 'team',
    });
    expect((await world.ready('tenant-b', 'team')).projectId).toBe('other-project');

    await world.kube.patch(
      { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false },
      undefined,
      'team',
      {
        metadata: { annotations: { 'cnrm.cloud.google.com/project-id': PROJECT } },
      },
    );
    expect((await world.reason('tenant-b', 'InvalidSpec', 'team')).message).toContain('lives in project other-project');
  });
});
