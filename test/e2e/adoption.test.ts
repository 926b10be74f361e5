import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConditionType } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import { IMAGE, makeByHand, obey } from './support/handmade.ts';
import { createWorld, NUMBER, PROJECT, REGION, spec, until, type World } from './support/world.ts';

const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const ACCOUNT = `projects/${PROJECT}/serviceAccounts/${EMAIL}`;
const SECRET = `projects/${PROJECT}/secrets/tenant-a-openai-key`;
const SERVICE = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`;

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const adopting = (over: JsonObject = {}) =>
  spec({
    keys: [
      {
        name: 'openai',
        secretRef: { external: 'tenant-a-openai-key' },
        env: 'OPENAI_API_KEY',
        rollout: 'OnRestart',
      },
    ],
    ...over,
  });

/** Everything of the tenant in Google Cloud, as it is read back once it has settled. */
async function snapshot() {
  const get = (method: string, resource: string) =>
    world.must(`${method}.GetIamPolicy`, { resource, options: { requestedPolicyVersion: 3 } });
  const {
    conditions: _,
    terminalCondition: __,
    ...service
  } = await until(
    async () => {
      const found = await world.service('tenant-a');
      return found?.reconciling ? undefined : found;
    },
    () => 'the service to settle',
  );
  return {
    account: await world.account('tenant-a'),
    service,
    secret: await world.must('google.cloud.secretmanager.v1.SecretManagerService.GetSecret', { name: SECRET }),
    access: await get('google.cloud.secretmanager.v1.SecretManagerService', SECRET),
    callers: await get('google.cloud.run.v2.Services', SERVICE),
  };
}

/** Gives consent, one aspect after the other, with the very commands that the conditions print. */
async function giveConsent(): Promise<void> {
  await world.annotate('tenant-a', { 'ai-platform.dev/adopt': 'true' });
  await until(
    async () => {
      const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
      return conditions.length > 0 && !/kubectl annotate/.test(JSON.stringify(conditions)) ? true : undefined;
    },
    () => 'the AiTenant to be seen to ask',
  );
  const given = new Set<string>();
  for (const type of ['ServiceAccountReady', 'SecretAccessReady', 'ServiceReady'] satisfies ConditionType[]) {
    const message = await until(
      async () => {
        const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
        const condition = conditions.find(other => other.type === type);
        return condition && /gcloud|curl/.test(condition.message) ? condition.message : undefined;
      },
      () => `${type} to print a command`,
    );
    expect(given).not.toContain(message);
    given.add(message);
    await obey(world, message);
  }
}

describe.each(['allUsers', 'noCheck'] as const)('a tenant made by hand as in the manual, opened by %s', openedBy => {
  beforeEach(() => makeByHand(world, 'tenant-a', openedBy));

  test('without consent is refused, and nothing is touched', async () => {
    const before = await snapshot();
    world.forget();

    await world.apply('tenant-a', adopting());
    const { message } = await world.reason('tenant-a', 'ManagementConflict');
    await world.check('tenant-a');

    expect(message).toContain(`Service account ${EMAIL} exists already and does not name namespace default.`);
    expect(message).toContain('lets this tenant adopt it (makes no revision) with: curl');
    expect(message).toContain('kubectl annotate aitenant tenant-a -n default ai-platform.dev/adopt=true');
    const { conditions = [], inventory } = (await world.tenant('tenant-a'))?.status ?? {};
    expect(conditions.map(({ type, reason }) => [type, reason])).toEqual([
      ['Ready', 'ManagementConflict'],
      ['ServiceAccountReady', 'ManagementConflict'],
      ['SecretAccessReady', 'SecretNotAllowed'],
      ['ServiceReady', 'ManagementConflict'],
      ['Stalled', 'ManagementConflict'],
    ]);
    expect(inventory).toEqual([]);
    expect(world.writes()).toEqual([]);
    expect(await snapshot()).toEqual(before);

    await world.remove('tenant-a');
    await world.gone('tenant-a');
    expect(await snapshot()).toEqual(before);
  });

  test('with the consent that the messages ask for is adopted by its owner marks and nothing else', async () => {
    await world.apply('tenant-a', adopting());
    await world.reason('tenant-a', 'ManagementConflict');
    const unasked = await snapshot();
    await giveConsent();
    const before = await snapshot();
    expect(before.service).toMatchObject({ latestReadyRevision: unasked.service?.latestReadyRevision });
    world.forget();

    await world.check('tenant-a');
    const status = await world.ready('tenant-a');

    expect(world.writes().sort()).toEqual([`PatchServiceAccount ${ACCOUNT}`, `UpdateService ${SERVICE}`]);
    const masks = world.gcpCore.requestLog.flatMap(({ request }) => request.updateMask ?? []);
    expect(masks).toEqual(['description', 'labels']);
    const after = await snapshot();
    expect(after).toEqual({
      ...before,
      account: {
        ...before.account,
        description: 'Made by hand [ai-tenant-namespace=default] ai-tenant-owner=cluster-1/default/tenant-a',
      },
      service: {
        ...before.service,
        labels: {
          team: 'blue',
          'ai-tenant-namespace': 'default',
          'ai-tenant-owner-cluster': 'cluster-1',
          'ai-tenant-owner-namespace': 'default',
          'ai-tenant-owner-name': 'tenant-a',
        },
        etag: expect.any(String),
        generation: expect.any(String),
        observedGeneration: expect.any(String),
        updateTime: expect.any(String),
      },
    });
    expect(status).toMatchObject({
      image: IMAGE,
      latestReadyRevision: 'ai-platform-tenant-a-00001-abc',
      keys: [{ name: 'openai', version: '1', granted: true }],
    });
    world.forget();
    await world.check('tenant-a');
    expect(world.writes()).toEqual([]);
  });

  test('once adopted is edited like any other, and what was set by hand survives', async () => {
    await world.apply('tenant-a', adopting());
    await giveConsent();
    await world.check('tenant-a');
    await world.ready('tenant-a');

    await world.edit('tenant-a', {
      timeoutSeconds: 60,
      scaling: { maxInstances: 20 },
      env: [{ name: 'X', value: 'y' }],
    });
    await world.ready('tenant-a');
    await world.edit('tenant-a', { env: null });
    await world.ready('tenant-a');

    const service = await world.service('tenant-a');
    expect(service).toMatchObject({
      labels: { team: 'blue' },
      scaling: { maxInstanceCount: 20 },
      template: { timeout: '60s' },
    });
    const template = service?.template as { containers: JsonObject[]; scaling?: JsonObject };
    expect(Number(template.scaling?.maxInstanceCount ?? 20)).toBeGreaterThanOrEqual(20);
    expect(template.containers).toMatchObject([
      {
        image: IMAGE,
        env: [
          {
            name: 'OPENAI_API_KEY',
            valueSource: { secretKeyRef: { secret: 'tenant-a-openai-key', version: 'latest' } },
          },
          { name: 'BY_HAND', value: 'kept' },
        ],
      },
    ]);
    expect(world.run.mayInvoke(SERVICE)).toBe(true);
  });

  test('is given back by abandon as it was taken', async () => {
    await world.apply('tenant-a', adopting());
    await giveConsent();
    const before = await snapshot();
    await world.check('tenant-a');
    await world.ready('tenant-a');

    await world.annotate('tenant-a', { 'ai-platform.dev/deletion-policy': 'abandon' });
    await world.remove('tenant-a');
    await world.gone('tenant-a');

    const after = await snapshot();
    expect(after.account).toEqual(before.account);
    expect(after.service?.labels).toEqual(before.service?.labels);
    expect(after.service?.template).toEqual(before.service?.template);
    expect([after.access, after.callers]).toEqual([before.access, before.callers]);
  });
});

describe('adoption', () => {
  test('with OnNewVersion pins the version: one revision, the service’s own name gone from the template', async () => {
    await makeByHand(world, 'tenant-a', 'allUsers');
    const keys = [{ name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' }];
    await world.apply('tenant-a', spec({ keys }));
    await giveConsent();

    await world.check('tenant-a');
    const status = await world.ready('tenant-a');

    expect(status.latestReadyRevision).toMatch(/^ai-platform-tenant-a-00002-/);
    expect(await world.service('tenant-a')).toMatchObject({ template: { containers: [{ image: IMAGE }] } });
  });

  test('closes a service that the spec says is not public', async () => {
    await makeByHand(world, 'tenant-a', 'allUsers');
    await world.apply('tenant-a', adopting({ access: 'Authenticated' }));
    await giveConsent();

    await world.check('tenant-a');
    await world.ready('tenant-a');

    expect(world.run.mayInvoke(SERVICE)).toBe(false);
  });

  test('of one part waits for the others: a consented service keeps its template until the key is allowed', async () => {
    await makeByHand(world, 'tenant-a', 'noCheck');
    await world.apply('tenant-a', adopting({ timeoutSeconds: 60 }));
    const { message } = await world.reason('tenant-a', 'ManagementConflict');
    expect(message).toContain(`projects/${PROJECT}`);
    await giveConsent();
    const secret = { name: `projects/${NUMBER}/secrets/tenant-a-openai-key`, labels: {} };
    await world.must('google.cloud.secretmanager.v1.SecretManagerService.UpdateSecret', {
      secret,
      updateMask: 'labels',
    });

    await world.check('tenant-a');
    await world.reason('tenant-a', 'SecretNotAllowed');

    expect(await world.service('tenant-a')).toMatchObject({ template: { timeout: '300s' } });
  });

  test.each([
    ['Cloud Run refuses the service', 'true', 'PermissionDenied'],
    ['Cloud Run refuses the service, and then the AiTenant no longer asks', null, 'ManagementConflict'],
  ])('in part, before a deletion: %s, and it goes on with its account and its key', async (_how, adopt, reason) => {
    await makeByHand(world, 'tenant-a', 'noCheck');
    await world.apply('tenant-a', adopting());
    world.gcpCore.faults.add({
      match: ({ request }) => JSON.stringify(request).includes('ai-tenant-owner-cluster'),
      times: 1e9,
      error: { code: 'PERMISSION_DENIED', message: "Permission 'run.services.update' denied on resource." },
    });
    await giveConsent();
    const { account, ...before } = await snapshot();
    await world.check('tenant-a');
    await world.reason('tenant-a', 'PermissionDenied');
    expect((await world.account('tenant-a'))?.description).toContain('ai-tenant-owner=');
    await world.annotate('tenant-a', { 'ai-platform.dev/adopt': adopt });
    await world.check('tenant-a');
    await world.reason('tenant-a', reason);

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await snapshot()).toEqual({ ...before, account });
    const told = (await world.events('tenant-a')).filter(event => event.startsWith('Warning LeftBehind: '));
    expect(told.join('\n')).toContain(`gcloud iam service-accounts delete ${EMAIL} --project=${PROJECT}`);
  });

  test('with --claim-policy=any asks nobody', async () => {
    await makeByHand(world, 'tenant-a', 'noCheck');
    await world.restart({ claimPolicy: 'any' });
    world.forget();

    await world.apply('tenant-a', adopting());
    await world.ready('tenant-a');

    expect(world.writes()).toEqual([`PatchServiceAccount ${ACCOUNT}`, `UpdateService ${SERVICE}`]);
  });
});
