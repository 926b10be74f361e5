import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { identityOf } from '../../operator/tenant/inventory.ts';
import type { JsonObject } from '../../ports/json.ts';
import { AI_TENANTS, NAMESPACES } from '../../ports/kubeResources.ts';
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

const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const ACCOUNT = `projects/${PROJECT}/serviceAccounts/${EMAIL}`;
const SECRET = `projects/${NUMBER}/secrets/tenant-a-openai-key`;
const SERVICE = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`;
const POLICY = 'ai-platform.dev/deletion-policy';
const CONNECTOR_POLICY = 'cnrm.cloud.google.com/deletion-policy';
const HOUR = 3_600_000;

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

/** A tenant that has been up for an hour. */
async function running(annotations?: Record<string, string>): Promise<void> {
  await world.apply('tenant-a', spec(), { annotations });
  await world.ready('tenant-a');
  world.later(HOUR);
  world.forget();
}

/** Sets the finalizers of the tenant. */
const keptBy = async (finalizers: string[]) =>
  must(world.kube.patch(AI_TENANTS, 'default', 'tenant-a', { metadata: { finalizers } }));

async function left(): Promise<Record<'service' | 'account' | 'grant', boolean>> {
  return {
    service: (await world.service('tenant-a')) !== undefined,
    account: (await world.account('tenant-a')) !== undefined,
    grant: (await world.secretMembers('tenant-a-openai-key')).includes(`serviceAccount:${EMAIL}`),
  };
}
const NOTHING = { service: false, account: false, grant: false };
const EVERYTHING = { service: true, account: true, grant: true };

describe('a deletion', () => {
  test('takes service, grants and account, in that order, and only then the finalizer', async () => {
    await running();
    const uniqueId = (await world.account('tenant-a'))?.uniqueId;
    const stillThere: boolean[] = [];
    world.gcpCore.faults.add({
      match: ({ method }) => {
        // Asked of the API while each write waits: the finalizer holds the tenant until the last of them.
        const writes = /Delete|Set/.test(method);
        if (writes) void world.tenant('tenant-a').then(tenant => stillThere.push(tenant !== undefined));
        return writes;
      },
      delayMs: 200,
      times: 10,
    });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(world.writes()).toEqual([
      `DeleteService ${SERVICE}`,
      `SetIamPolicy ${SECRET}`,
      // By its unique id: a successor of the same e-mail is never hit.
      `DeleteServiceAccount projects/${PROJECT}/serviceAccounts/${uniqueId}`,
    ]);
    expect(stillThere).toEqual([true, true, true]);
    expect(await left()).toEqual(NOTHING);
  });

  test('waits with the grant until the service is gone, and with the account until the grant is', async () => {
    await running();
    const served: (string | undefined)[] = [];
    const members: string[][] = [];
    world.gcpCore.faults.add({
      match: ({ method }) => {
        if (method === `${SECRETS}.SetIamPolicy`) served.push(world.run.route(SERVICE));
        if (method === `${IAM}.DeleteServiceAccount`) {
          const { bindings = [] } = world.gcpCore.cloud.policies.get(SECRET, 3);
          members.push(bindings.flatMap(binding => binding.members));
        }
        return false;
      },
    });
    world.gcpCore.cloud.settings.deployMs = 400;

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(served).toEqual([undefined]);
    expect(members).toEqual([[]]);
  });

  test('and the same name again at once: the grant is the new identity’s, and no deleted: member is left', async () => {
    await running();
    const before = (await world.account('tenant-a'))?.uniqueId;

    await world.remove('tenant-a');
    await world.gone('tenant-a');
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');

    expect((await world.account('tenant-a'))?.uniqueId).not.toBe(before);
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([`serviceAccount:${EMAIL}`]);
  });

  test('of a tenant that was never up: what half of it was made goes', async () => {
    await world.apply('tenant-a', spec({ image: 'gcr.io/acme/app:broken' }));
    await world.reason('tenant-a', 'UpdateFailed');

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(NOTHING);
  });

  test('of a refused tenant does not wait for anything', async () => {
    await world.restart({ project: undefined });
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'InvalidSpec');
    world.forget();

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(world.gcpCore.counters.calls).toEqual({});
  });
});

describe('an account that somebody deletes behind the operator’s back', () => {
  test('is made anew: the new identity gets the grant, and no deleted: member is left', async () => {
    await running();
    const before = await world.account('tenant-a');
    await world.must(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([
      `deleted:serviceAccount:${EMAIL}?uid=${before?.uniqueId}`,
    ]);

    await world.check('tenant-a');
    const status = await world.ready('tenant-a');

    const after = await world.account('tenant-a');
    expect(after?.uniqueId).not.toBe(before?.uniqueId);
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([`serviceAccount:${EMAIL}`]);
    await world.check('tenant-a');
    const { inventory } = await world.ready('tenant-a');
    const identities = inventory.flatMap(entry => identityOf(entry) ?? []);
    expect(new Set(identities)).toEqual(new Set([after?.uniqueId]));
    expect(status.keys).toMatchObject([{ name: 'openai', granted: true }]);
  });

  test('right before the deletion: its deleted: member goes too', async () => {
    await running();
    await world.must(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
    expect(await left()).toEqual(NOTHING);
  });
});

describe('the deletion policy', () => {
  test.each([POLICY, CONNECTOR_POLICY])('%s=abandon only takes the marks off', async annotation => {
    await running({ [annotation]: 'abandon' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(EVERYTHING);
    expect((await world.service('tenant-a'))?.labels).toBeUndefined();
    expect(await world.account('tenant-a')).not.toHaveProperty('description');
    expect(world.writes()).toEqual([`UpdateService ${SERVICE}`, `PatchServiceAccount ${ACCOUNT}`]);
  });

  test('ours wins', async () => {
    await running({ [POLICY]: 'delete', [CONNECTOR_POLICY]: 'abandon' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(NOTHING);
  });

  test('any other word holds the deletion, with a message, until it is one of the two', async () => {
    await running({ [POLICY]: 'orphan' });

    await world.remove('tenant-a');
    const { message } = await world.reason('tenant-a', 'DeleteFailed');

    expect(message).toContain(`The annotation ${POLICY} is "orphan"`);
    expect(message).toContain(`kubectl annotate aitenant tenant-a -n default ${POLICY}=`);
    // Consent is still read while the deletion waits; nothing is written.
    expect(world.writes()).toEqual([]);

    await world.annotate('tenant-a', { [POLICY]: 'delete' });
    await world.gone('tenant-a');
    expect(await left()).toEqual(NOTHING);
  });

  test('abandon does not wait for rights that are gone, nor for what is gone', async () => {
    await running({ [POLICY]: 'abandon' });
    world.gcpCore.faults.deny({ permission: 'run.services.update' });
    world.gcpCore.faults.deny({ permission: 'iam.serviceAccounts.update' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');
    expect(await left()).toEqual(EVERYTHING);

    world.gcpCore.faults.clear();
    await world.apply('tenant-b', spec(), { annotations: { [POLICY]: 'abandon' } });
    await world.ready('tenant-b');
    await world.must(`${IAM}.DeleteServiceAccount`, { name: ACCOUNT.replace('tenant-a', 'tenant-b') });
    await world.must(`${RUN}.DeleteService`, { name: SERVICE.replace('tenant-a', 'tenant-b') });

    await world.remove('tenant-b');
    await world.gone('tenant-b');
  });
});

describe('a deletion that Google Cloud refuses', () => {
  test.each([
    ['run.services.delete', 'service ai-platform-tenant-a'],
    ['secretmanager.secrets.setIamPolicy', 'secret tenant-a-openai-key'],
    ['iam.serviceAccounts.delete', 'service account'],
    ['iam.serviceAccounts.get', 'service account'],
  ])('for want of %s: DeleteFailed, and it goes on by itself', async (permission, named) => {
    await running();
    const allow = world.gcpCore.faults.deny({ permission });

    await world.remove('tenant-a');
    const { message } = await world.reason('tenant-a', 'DeleteFailed');

    expect(message).toContain(permission);
    expect(message).toContain(named);

    allow();
    expect((await left()).account).toBe(true);
    await world.gone('tenant-a');
    expect(await left()).toEqual(NOTHING);
  });

  test('once, for want of quota: tried again', async () => {
    await running();
    world.gcpCore.faults.add({
      method: 'DeleteService',
      error: { code: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded.', retryAfterMs: 300 },
    });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(NOTHING);
  });
});

describe('a deletion finds', () => {
  test('a secret gone: its grant is gone with it', async () => {
    await running();
    await world.must(`${SECRETS}.DeleteSecret`, { name: SECRET });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await world.account('tenant-a')).toBeUndefined();
  });

  test('the namespace’s annotation changed: the inventory’s project counts', async () => {
    await namespace(world, 'team', { 'ai-platform.dev/project-id': PROJECT });
    await world.secret('team-key', { labels: { 'ai-tenant-namespace': 'team' } });
    const keys = [{ name: 'openai', secretRef: { external: 'team-key' }, env: 'OPENAI_API_KEY' }];
    await world.apply('tenant-a', spec({ keys }), { namespace: 'team' });
    await world.ready('tenant-a', 'team');

    const annotations = { 'ai-platform.dev/project-id': 'other-project' };
    await must(world.kube.patch(NAMESPACES, undefined, 'team', { metadata: { annotations } }));
    const { message } = await world.reason('tenant-a', 'InvalidSpec', 'team');
    expect(message).toContain(`lives in project ${PROJECT} and cannot move to other-project`);
    await world.restart({ projects: ['none-of-these'] });

    await world.remove('tenant-a', 'team');
    await world.gone('tenant-a', 'team');

    expect(await left()).toEqual(NOTHING);
    expect(await world.secretMembers('team-key')).toEqual([]);
  });

  test('consent taken back: everything goes all the same', async () => {
    await running();
    await world.must(`${SECRETS}.UpdateSecret`, { secret: { name: SECRET, labels: {} }, updateMask: 'labels' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(NOTHING);
  });

  test('a service with another owner’s mark: skipped', async () => {
    await running();
    const labels = {
      'ai-tenant-owner-cluster': 'cluster-2',
      'ai-tenant-owner-namespace': 'default',
      'ai-tenant-owner-name': 'tenant-a',
    };
    await world.must(`${RUN}.UpdateService`, { service: { name: SERVICE, labels }, updateMask: 'labels' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await world.service('tenant-a')).toMatchObject({ labels });
    // The service still runs as the account and reads the key.
    expect(await left()).toEqual(EVERYTHING);
    expect((await world.account('tenant-a'))?.description ?? '').toBe('');
  });

  test('a service whose owner labels somebody took off: left running, and an event says so with the command', async () => {
    await running();
    const service = { name: SERVICE, labels: { team: 'blue' } };
    await world.must(`${RUN}.UpdateService`, { service, updateMask: 'labels' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await left()).toEqual(EVERYTHING);
    const told = (await world.events('tenant-a')).filter(event => event.startsWith('Warning LeftBehind: '));
    expect(told).toHaveLength(2);
    expect(told.join('\n')).toContain('has lost this tenant');
    expect(told.join('\n')).toContain(
      `gcloud run services delete ai-platform-tenant-a --region=${REGION} --project=${PROJECT}`,
    );
    expect(told.join('\n')).toContain(`gcloud iam service-accounts delete ${EMAIL} --project=${PROJECT}`);
  });

  test('an object that others’ finalizers keep: the last status says that all is done, and whom it waits for', async () => {
    await running();
    await keptBy(['ai-platform.dev/finalizer', 'example.com/audit']);

    await world.remove('tenant-a');
    const isReleased = async () => (await world.tenant('tenant-a'))?.metadata.finalizers?.length === 1 || undefined;
    await until(isReleased, () => 'the finalizer to go');

    expect(await left()).toEqual(NOTHING);
    const tenant = await world.tenant('tenant-a');
    const ready = tenant?.status?.conditions?.find(({ type }) => type === 'Ready');
    expect(ready).toMatchObject({ status: 'False', reason: 'Deleting' });
    expect(ready?.message).toBe(
      'Everything in Google Cloud that carried this tenant’s owner marks is deleted. The object itself waits for finalizers that are not the operator’s: example.com/audit.',
    );
    expect(tenant?.status?.inventory ?? []).toEqual([]);
    await keptBy([]);
    await world.gone('tenant-a');
  });

  test('an account with another owner’s mark: skipped, and so is its grant', async () => {
    await running();
    const description = 'ai-tenant-owner=cluster-2/default/tenant-a';
    const serviceAccount: JsonObject = { name: ACCOUNT, description };
    await world.must(`${IAM}.PatchServiceAccount`, { serviceAccount, updateMask: 'description' });

    await world.remove('tenant-a');
    await world.gone('tenant-a');

    expect(await world.account('tenant-a')).toMatchObject({ description });
    expect(await left()).toEqual({ service: false, account: true, grant: true });
  });
});

describe('a tenant whose status was lost', () => {
  /** As a restore from a backup without status leaves it, before the operator has seen it. */
  async function restored(status: JsonObject | null): Promise<void> {
    await world.operator.stop();
    await must(world.kube.patch(AI_TENANTS, 'default', 'tenant-a', { status }, { subresource: 'status' }));
  }

  test.each<[string, (type: string) => boolean]>([
    ['whole', () => false],
    ['but for the service', type => type === 'Service'],
    ['but for the account and its grant', type => type === 'ServiceAccount' || type === 'SecretAccess'],
  ])('(%s) takes everything with it all the same', async (_how, kept) => {
    await running();
    const inventory = (await world.ready('tenant-a')).inventory.filter(({ type }) => kept(type));
    await restored(inventory.length > 0 ? ({ inventory } as unknown as JsonObject) : null);
    await world.remove('tenant-a');
    await world.restart();
    await world.gone('tenant-a');
    expect(await left()).toEqual(NOTHING);
  });

  test('waits while Cloud Run does not answer, then takes everything with it', async () => {
    await running();
    await restored(null);
    const outage = world.gcpCore.faults.add({
      match: ({ method }) => method.startsWith(RUN),
      times: 10_000,
      error: { code: 'UNAVAILABLE', message: 'The service is currently unavailable.' },
    });
    await world.restart();
    await world.reason('tenant-a', 'ManagementConflict');
    await world.remove('tenant-a');
    await world.reason('tenant-a', 'Deleting');
    expect(world.writes()).toEqual([]);
    outage();
    await world.gone('tenant-a');
    expect(await left()).toEqual(NOTHING);
  });

  test('waits where it may not be read, and abandons what it is told to', async () => {
    await running();
    await restored(null);
    const denied = world.gcpCore.faults.add({
      match: ({ method }) => method === `${RUN}.GetService`,
      times: 10_000,
      error: { code: 'PERMISSION_DENIED', message: "Permission 'run.services.get' denied on resource." },
    });
    await world.remove('tenant-a');
    await world.restart();
    const { message } = await world.reason('tenant-a', 'DeleteFailed');
    expect(message).toContain(`kubectl annotate aitenant tenant-a -n default ${POLICY}=abandon`);
    expect(world.writes()).toEqual([]);
    await world.annotate('tenant-a', { [POLICY]: 'abandon' });
    await world.gone('tenant-a');
    denied();
    expect(await left()).toEqual(EVERYTHING);
  });

  test('leaves a namesake’s things alone', async () => {
    await namespace(world, 'other');
    await running();
    await must(
      world.kube.create(AI_TENANTS, 'other', {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name: 'tenant-a', namespace: 'other', finalizers: ['ai-platform.dev/finalizer'] },
        spec: spec(),
      }),
    );
    await world.remove('tenant-a', 'other');
    await world.gone('tenant-a', 'other');
    expect(world.writes()).toEqual([]);
    expect(await left()).toEqual(EVERYTHING);
  });

  test('with an inventory entry of a newer version waits, and changes nothing', async () => {
    await running();
    const { inventory } = await world.ready('tenant-a');
    const job = {
      type: 'Job',
      name: 'projects/demo-project/locations/us-central1/jobs/x',
      time: '2026-01-01T00:00:00Z',
    };
    await restored({ inventory: [job, ...inventory] as unknown as JsonObject[] });
    await world.restart();
    await world.check('tenant-a');
    expect(((await world.tenant('tenant-a'))?.status?.inventory ?? []).map(({ type }) => type)).toContain('Job');
    await world.remove('tenant-a');
    expect((await world.reason('tenant-a', 'DeleteFailed')).message).toContain(`Job ${job.name}`);
    expect(world.writes()).toEqual([]);
    await world.annotate('tenant-a', { [POLICY]: 'abandon' });
    await world.gone('tenant-a');
  });
});

test('a request for a check that is longer than the status has room for is answered, and the tenant can be deleted', async () => {
  await running();
  await world.annotate('tenant-a', { 'ai-platform.dev/reconcile-requested-at': 'x'.repeat(20_000) });
  await until(
    async () =>
      (await world.tenant('tenant-a'))?.status?.lastHandledReconcileAt?.startsWith('sha256:') ? true : undefined,
    () => 'an answer to the request',
  );
  await world.edit('tenant-a', { timeoutSeconds: 77 });
  await world.ready('tenant-a');
  await world.remove('tenant-a');
  await world.gone('tenant-a');
  expect(await left()).toEqual(NOTHING);
});
