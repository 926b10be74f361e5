import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, IAM, PROJECT, RUN, SECRETS, spec, until, type World } from './support/world.ts';

/** What somebody changes behind the operator's back, found by the interval alone: nobody asks for a check here. */

const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const ACCOUNT = `projects/${PROJECT}/serviceAccounts/${EMAIL}`;
const SECRET = `projects/${PROJECT}/secrets/tenant-a-openai-key`;

let world: World;
beforeEach(async () => {
  world = await createWorld({ settings: { syncIntervalMs: 500 } });
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec());
  await world.ready('tenant-a');
});
afterEach(() => world.close());

const service = async () =>
  (await world.service('tenant-a')) as JsonObject & { template: { containers: JsonObject[] } };
async function update(fields: JsonObject): Promise<void> {
  const { name } = await service();
  await world.must(`${RUN}.UpdateService`, { service: { name, ...fields }, updateMask: Object.keys(fields).join(',') });
}
const event = (pattern: RegExp) =>
  until(
    async () => (await world.events('tenant-a')).find(text => pattern.test(text)),
    () => `an event ${pattern}`,
  );

describe('drift', () => {
  test.each([
    [
      'a service field',
      async () => update({ template: { ...(await service()).template, timeout: '17s' } }),
      async () => expect((await service()).template).toMatchObject({ timeout: '300s' }),
      /DriftCorrected .*timeoutSeconds/,
    ],
    [
      'a variable of ours',
      async () => {
        const { template } = await service();
        const [container] = template.containers;
        await update({ template: { ...template, containers: [{ ...container, env: [] }] } });
      },
      async () => expect(JSON.stringify((await service()).template)).toContain('OPENAI_API_KEY'),
      /DriftCorrected .*env\.OPENAI_API_KEY/,
    ],
    [
      'labels',
      async () =>
        update({ labels: { 'ai-tenant-owner-cluster': 'cluster-1', 'ai-tenant-owner-namespace': 'default' } }),
      async () => expect((await service()).labels).toMatchObject({ 'ai-tenant-owner-name': 'tenant-a' }),
      /DriftCorrected .*labels\.ai-tenant-owner-name/,
    ],
    [
      'access',
      () => update({ invokerIamDisabled: false }),
      async () => expect((await service()).invokerIamDisabled).toBe(true),
      /DriftCorrected .*access/,
    ],
    [
      'scaling',
      () => update({ scaling: { maxInstanceCount: 99 } }),
      async () => expect((await service()).scaling).toMatchObject({ maxInstanceCount: 10 }),
      /DriftCorrected .*scaling\.maxInstances: 99 → 10/,
    ],
    [
      'an account deleted',
      async () => {
        await world.must(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });
        // A fresh account may merely be invisible: after some minutes it is gone.
        world.later(180_000);
      },
      async () => expect(await world.secretMembers('tenant-a-openai-key')).toEqual([`serviceAccount:${EMAIL}`]),
      /DriftCorrected service account/,
    ],
    [
      'a grant removed',
      () => world.must(`${SECRETS}.SetIamPolicy`, { resource: SECRET, policy: { bindings: [] } }),
      async () => expect(await world.secretMembers('tenant-a-openai-key')).toEqual([`serviceAccount:${EMAIL}`]),
      /DriftCorrected .*secretAccessor/,
    ],
    [
      'a service deleted',
      async () => {
        const { name, template } = await service();
        const containers = [{ ...template.containers[0], image: 'gcr.io/acme/app:3' }];
        await update({ template: { ...template, containers } });
        await until(
          async () => ((await world.tenant('tenant-a'))?.status?.image === 'gcr.io/acme/app:3' ? true : undefined),
          () => 'the image to be seen',
        );
        // What goes while its revision is still coming up is not drift.
        await world.ready('tenant-a');
        await world.must(`${RUN}.DeleteService`, { name });
      },
      // Not the default image: the last one seen.
      async () => expect((await service()).template.containers).toMatchObject([{ image: 'gcr.io/acme/app:3' }]),
      /DriftCorrected Cloud Run service/,
    ],
  ])('%s is put right within the interval, and an event names it', async (_, spoil, check, words) => {
    await spoil();
    await event(words);
    await world.ready('tenant-a');
    await check();
  });

  test('what the spec never named survives all of it', async () => {
    const { labels, template } = await service();
    const [container] = template.containers;
    const foreign = { name: 'THEIRS', value: 'x' };
    await update({
      labels: { ...(labels as JsonObject), team: 'blue' },
      template: {
        ...template,
        timeout: '17s',
        annotations: { 'example.com/note': 'kept' },
        sessionAffinity: true,
        containers: [{ ...container, env: [...((container?.env ?? []) as JsonObject[]), foreign] }],
      },
    });
    const others = { role: 'roles/secretmanager.viewer', members: ['group:auditors@example.com'] };
    await world.must(`${SECRETS}.SetIamPolicy`, { resource: SECRET, policy: { bindings: [others] } });

    await event(/DriftCorrected .*timeoutSeconds/);
    await event(/DriftCorrected .*secretAccessor/);
    await world.ready('tenant-a');

    const after = await service();
    expect(after.labels).toMatchObject({ team: 'blue' });
    expect(after.template).toMatchObject({ annotations: { 'example.com/note': 'kept' }, sessionAffinity: true });
    expect(after.template.containers[0]?.env).toEqual(expect.arrayContaining([foreign]));
    const { bindings } = await world.must(`${SECRETS}.GetIamPolicy`, { resource: SECRET });
    expect(bindings).toEqual(expect.arrayContaining([others]));
  });

  test('a hand-made traffic split is undone, unless the tenant is suspended', async () => {
    const { latestReadyRevision: first = '' } = (await world.tenant('tenant-a'))?.status ?? {};
    await world.edit('tenant-a', { timeoutSeconds: 60 });
    await world.ready('tenant-a');
    const named = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';
    const latest = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
    const split = [
      { type: named, revision: first, percent: 90 },
      { type: latest, percent: 10 },
    ];
    await update({ traffic: split });
    await event(new RegExp(`DriftCorrected .*traffic: ${first}=90%, latest=10% → latest=100%`));
    expect((await service()).traffic).toEqual([{ type: latest, percent: 100 }]);

    await world.edit('tenant-a', { suspend: true });
    await world.reason('tenant-a', 'Suspended');
    await update({ traffic: split });
    world.forget();
    await world.restart();
    await world.reason('tenant-a', 'Suspended');
    expect((await service()).traffic).toEqual(split);
    expect(world.writes()).toEqual([]);
  });
});
