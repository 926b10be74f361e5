import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, NUMBER, PROJECT, REGION, RUN, SECRETS, spec, type World } from './support/world.ts';

const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const MEMBER = `serviceAccount:${EMAIL}`;

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

describe('a tenant that is applied', () => {
  test('becomes what the manual makes by hand', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());

    const status = await world.ready('tenant-a');

    expect(await world.account('tenant-a')).toMatchObject({ email: EMAIL });
    const policy = await world.must(`${SECRETS}.GetIamPolicy`, {
      resource: `projects/${PROJECT}/secrets/tenant-a-openai-key`,
    });
    expect(policy.bindings).toEqual([{ role: 'roles/secretmanager.secretAccessor', members: [MEMBER] }]);
    const service = await world.service('tenant-a');
    expect(service).toMatchObject({
      name: `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`,
      invokerIamDisabled: true,
      scaling: { maxInstanceCount: 10 },
      template: {
        serviceAccount: EMAIL,
        timeout: '300s',
        maxInstanceRequestConcurrency: 80,
        containers: [
          {
            image: 'gcr.io/cloudrun/hello',
            resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true },
            env: [
              {
                name: 'OPENAI_API_KEY',
                valueSource: { secretKeyRef: { secret: 'tenant-a-openai-key', version: '1' } },
              },
            ],
          },
        ],
      },
    });
    expect(status).toMatchObject({
      url: (service as JsonObject).uri,
      serviceAccountEmail: EMAIL,
      projectId: PROJECT,
      region: REGION,
      keys: [{ name: 'openai', version: '1', granted: true }],
      image: 'gcr.io/cloudrun/hello',
    });
    expect(status.conditions.map(({ type, status: value }) => `${type}=${value}`)).toEqual([
      'Ready=True',
      'ServiceAccountReady=True',
      'SecretAccessReady=True',
      'ServiceReady=True',
    ]);
    expect(
      status.inventory.map(entry => [entry.type, entry.name, entry.type === 'Variable' ? entry.variable : undefined]),
    ).toEqual([
      ['ServiceAccount', `projects/${PROJECT}/serviceAccounts/${EMAIL}`, undefined],
      ['SecretAccess', `projects/${NUMBER}/secrets/tenant-a-openai-key`, undefined],
      ['Service', `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`, undefined],
      ['Variable', `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`, 'OPENAI_API_KEY'],
    ]);
  });

  test('is written once: a second check writes nothing', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    world.gcpCore.counters.reset();
    const before = await world.tenant('tenant-a');

    await world.check('tenant-a');

    expect(world.gcpCore.counters.writes).toBe(0);
    const after = await world.tenant('tenant-a');
    expect({ ...after?.status, lastHandledReconcileAt: undefined }).toEqual({
      ...before?.status,
      lastHandledReconcileAt: undefined,
    });
  });

  test('that is deleted leaves nothing behind, and can come again at once', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await world.service('tenant-a')).toBeUndefined();
    expect(await world.account('tenant-a')).toBeUndefined();
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);

    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);
  });

  test('with three keys, one used: the standby keys are granted and not on the service; a switch is one revision', async () => {
    for (const id of ['tenant-a-openai-key', 'backup', 'third']) await world.secret(id);
    const keys = [
      { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' },
      { name: 'backup', secretRef: { external: 'backup' } },
      { name: 'third', secretRef: { external: `projects/${NUMBER}/secrets/third` } },
    ];
    await world.apply('tenant-a', spec({ keys }));
    const first = await world.ready('tenant-a');
    for (const id of ['tenant-a-openai-key', 'backup', 'third'])
      expect(await world.secretMembers(id)).toEqual([MEMBER]);

    const switched = [keys[0], keys[1], keys[2]].map(key => ({ name: key?.name, secretRef: key?.secretRef }));
    await world.edit('tenant-a', {
      keys: switched.map(key => (key.name === 'backup' ? { ...key, env: 'OPENAI_API_KEY' } : key)) as JsonObject[],
    });
    const second = await world.ready('tenant-a');

    expect(first.latestReadyRevision).toMatch(/-00001-/);
    expect(second.latestReadyRevision).toMatch(/-00002-/);
    const service = await world.service('tenant-a');
    const template = service?.template as { containers: { env: unknown[] }[] };
    expect(template.containers[0]?.env).toEqual([
      { name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: 'backup', version: '1' } } },
    ]);
  });

  test('leaves an image alone that somebody else deployed', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const service = (await world.service('tenant-a')) as { name: string; template: { containers: JsonObject[] } };
    const [container] = service.template.containers;
    await world.must(`${RUN}.UpdateService`, {
      service: {
        name: service.name,
        template: { ...service.template, containers: [{ ...container, image: 'gcr.io/acme/ai-backend:1' }] },
      },
      updateMask: 'template',
    });
    world.gcpCore.counters.reset();

    await world.check('tenant-a');

    const status = await world.ready('tenant-a');
    expect(status.image).toBe('gcr.io/acme/ai-backend:1');
    expect(world.gcpCore.counters.writes).toBe(0);
  });
});

describe('what it costs', () => {
  test('a check of an unchanged tenant reads each thing once', async () => {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    world.gcpCore.counters.reset();

    await world.check('tenant-a');

    const calls = Object.entries(world.gcpCore.counters.calls).map(([method, count]) => [
      method.split('.').at(-1),
      count,
    ]);
    expect(Object.fromEntries(calls)).toEqual({
      ListServiceAccounts: 1,
      ListSecrets: 1,
      GetIamPolicy: 1,
      ListSecretVersions: 1,
      ListServices: 1,
    });
  });
});
