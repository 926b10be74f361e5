import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import {
  createWorld,
  IAM,
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

/** Every test has names of its own in one world. */
let world: World;
beforeAll(async () => {
  world = await createWorld();
  await namespace(world, 'other');
});
afterAll(() => world.close());

const serviceName = (tenant: string) => `projects/${PROJECT}/locations/${REGION}/services/ai-platform-${tenant}`;
const email = (tenant: string) => `sa-${tenant}@${PROJECT}.iam.gserviceaccount.com`;
const accountName = (tenant: string) => `projects/${PROJECT}/serviceAccounts/${email(tenant)}`;
const ownerLabels = (cluster: string, space: string, name: string) => ({
  'ai-tenant-owner-cluster': cluster,
  'ai-tenant-owner-namespace': space,
  'ai-tenant-owner-name': name,
});
const keyed = (secret: string, over: JsonObject = {}) =>
  spec({ keys: [{ name: 'openai', secretRef: { external: secret }, env: 'OPENAI_API_KEY' }], ...over });

async function makeService(tenant: string, labels: Record<string, string>): Promise<void> {
  await world.must(`${RUN}.CreateService`, {
    parent: `projects/${PROJECT}/locations/${REGION}`,
    serviceId: `ai-platform-${tenant}`,
    service: { labels, template: { containers: [{ image: 'gcr.io/acme/theirs' }] } },
  });
  await until(
    async () => ((await world.service(tenant))?.reconciling ? undefined : true),
    () => 'the service to be up',
  );
}

const makeAccount = (tenant: string, description: string) =>
  world.must(`${IAM}.CreateServiceAccount`, {
    name: `projects/${PROJECT}`,
    accountId: `sa-${tenant}`,
    serviceAccount: { description },
  });

describe('a service that exists already', () => {
  test('and carries another owner: untouched, also by the tenant’s deletion', async () => {
    await world.secret('theirs-key');
    await makeService('theirs', ownerLabels('cluster-2', 'default', 'theirs'));
    const before = await world.service('theirs');

    await world.apply('theirs', keyed('theirs-key'));
    const { message } = await world.reason('theirs', 'ManagementConflict');

    expect(message).toContain('belongs to cluster-2/default/theirs');
    expect(message).toContain('not to cluster-1/default/theirs');
    expect(await world.service('theirs')).toEqual(before);

    // A deletion amid the calls would wait for the grant that may still come.
    await world.check('theirs');
    await world.remove('theirs');
    await world.gone('theirs');
    expect(await world.service('theirs')).toEqual(before);
    expect(await world.account('theirs')).toBeUndefined();
  });

  test('and carries another owner beside consent for us: an owner beats consent', async () => {
    await world.secret('beaten-key');
    await makeService('beaten', {
      ...ownerLabels('cluster-2', 'default', 'beaten'),
      'ai-tenant-namespace': 'default',
      'ai-tenant-cluster': 'cluster-1',
    });
    const before = await world.service('beaten');

    await world.apply('beaten', keyed('beaten-key'));
    await world.reason('beaten', 'ManagementConflict');

    expect(await world.service('beaten')).toEqual(before);
  });

  test('and gives consent to another cluster alone', async () => {
    await world.secret('cluster-key');
    await makeService('clusters', { 'ai-tenant-namespace': 'default', 'ai-tenant-cluster': 'cluster-2' });
    const before = await world.service('clusters');

    await world.apply('clusters', keyed('cluster-key'));
    await world.reason('clusters', 'ManagementConflict');
    expect(await world.service('clusters')).toEqual(before);

    const labels = { 'ai-tenant-namespace': 'default', 'ai-tenant-cluster': 'cluster-1' };
    await world.must(`${RUN}.UpdateService`, {
      service: { name: serviceName('clusters'), labels },
      updateMask: 'labels',
    });
    await world.check('clusters');
    const { message } = await world.reason('clusters', 'ManagementConflict');
    expect(message).toContain('kubectl annotate aitenant clusters -n default ai-platform.dev/adopt=true');
    await world.annotate('clusters', { 'ai-platform.dev/adopt': 'true' });
    await world.ready('clusters');
    expect(await world.service('clusters')).toMatchObject({
      labels: { ...labels, ...ownerLabels('cluster-1', 'default', 'clusters') },
    });
  });

  test('and is Config Connector’s: refused, consent or not', async () => {
    await world.secret('cnrm-key');
    await makeService('cnrm', { 'managed-by-cnrm': 'true', 'ai-tenant-namespace': 'default' });
    const before = await world.service('cnrm');

    await world.apply('cnrm', keyed('cnrm-key'));
    const { message } = await world.reason('cnrm', 'ManagementConflict');

    expect(message).toContain('Config Connector');
    expect(message).toContain('cnrm.cloud.google.com/deletion-policy=abandon');
    expect(await world.service('cnrm')).toEqual(before);
  });
});

describe('an account that exists already', () => {
  test('and carries another owner: untouched, and nothing is granted to it; also on deletion', async () => {
    await world.secret('account-key');
    await makeAccount('account', 'ai-tenant-owner=cluster-2/default/account ai-tenant-namespace=default');
    const before = await world.account('account');

    await world.apply('account', keyed('account-key'));
    const { message } = await world.reason('account', 'ManagementConflict');

    expect(message).toContain(`Service account ${email('account')} belongs to cluster-2/default/account`);
    expect(await world.account('account')).toEqual(before);
    expect(await world.secretMembers('account-key')).toEqual([]);
    expect(await world.service('account')).toBeUndefined();

    await world.remove('account');
    await world.gone('account');
    expect(await world.account('account')).toEqual(before);
  });

  test('and whose description has no room for the mark', async () => {
    await world.secret('room-key');
    await makeAccount('noroom', `ai-tenant-namespace=default ${'x'.repeat(225)}`);
    const before = await world.account('noroom');

    await world.apply('noroom', keyed('room-key'), { annotations: { 'ai-platform.dev/adopt': 'true' } });
    const { message } = await world.reason('noroom', 'ManagementConflict');

    expect(message).toContain('has no room (256 bytes)');
    expect(await world.account('noroom')).toEqual(before);

    const serviceAccount = { name: accountName('noroom'), description: 'by hand ai-tenant-namespace=default' };
    await world.must(`${IAM}.PatchServiceAccount`, { serviceAccount, updateMask: 'description' });
    await world.check('noroom');
    await world.ready('noroom');
    expect((await world.account('noroom'))?.description).toBe(
      'by hand ai-tenant-namespace=default ai-tenant-owner=cluster-1/default/noroom',
    );
  });

  test('a word that only begins like the consent is none', async () => {
    await world.secret('word-key');
    await makeAccount('words', 'ai-tenant-namespace=default2 xai-tenant-namespace=default');

    await world.apply('words', keyed('word-key'));

    await world.reason('words', 'ManagementConflict');
  });
});

describe('two tenants of one name', () => {
  test('in two namespaces: the second one gets a conflict and touches nothing of the first', async () => {
    await world.secret('twin-key');
    await world.secret('twin-other-key', { labels: { 'ai-tenant-namespace': 'other' } });
    await world.apply('twin', keyed('twin-key'));
    await world.ready('twin');
    const before = [await world.service('twin'), await world.account('twin')];

    await world.apply('twin', keyed('twin-other-key', { image: 'gcr.io/acme/other' }), { namespace: 'other' });
    const { message } = await world.reason('twin', 'ManagementConflict', 'other');
    expect(message).toContain('cluster-1/default/twin');
    await world.remove('twin', 'other');
    await world.gone('twin', 'other');

    expect([await world.service('twin'), await world.account('twin')]).toEqual(before);
    expect(await world.secretMembers('twin-other-key')).toEqual([]);
    await world.check('twin');
    await world.ready('twin');
  });
});

describe('a secret’s policy', () => {
  const ACCESSOR = 'roles/secretmanager.secretAccessor';
  const foreign = [
    { role: ACCESSOR, members: ['user:jane@example.com'] },
    { role: 'roles/secretmanager.viewer', members: ['group:team@example.com'] },
    {
      role: ACCESSOR,
      members: ['user:guest@example.com'],
      condition: { title: 'for a while', expression: 'request.time < timestamp("2030-01-01T00:00:00Z")' },
    },
  ];
  const auditConfigs = [{ service: 'allServices', auditLogConfigs: [{ logType: 'DATA_READ' }] }];

  const policyOf = (secret: string) =>
    world.must(`${SECRETS}.GetIamPolicy`, {
      resource: `projects/${PROJECT}/secrets/${secret}`,
      options: { requestedPolicyVersion: 3 },
    });
  async function withPolicy(secret: string, members: string[] = []): Promise<void> {
    await world.secret(secret);
    const [first, ...rest] = foreign;
    const bindings = [{ ...first, members: [...(first?.members ?? []), ...members] }, ...rest] as JsonObject[];
    await world.must(`${SECRETS}.SetIamPolicy`, {
      resource: `projects/${PROJECT}/secrets/${secret}`,
      policy: { version: 3, bindings, auditConfigs, etag: (await policyOf(secret)).etag },
      updateMask: 'bindings,etag,auditConfigs',
    });
  }

  test('keeps every other binding, condition and audit config when the grant comes and goes', async () => {
    await withPolicy('shared-key');

    await world.apply('shared', keyed('shared-key'));
    await world.ready('shared');
    const member = `serviceAccount:${email('shared')}`;
    expect(await policyOf('shared-key')).toMatchObject({
      version: 3,
      bindings: [{ role: ACCESSOR, members: ['user:jane@example.com', member] }, foreign[1], foreign[2]],
      auditConfigs,
    });

    await world.remove('shared');
    await world.gone('shared');
    expect(await policyOf('shared-key')).toMatchObject({ version: 3, bindings: foreign, auditConfigs });
  });

  test('keeps what somebody else writes between our read and our write', async () => {
    await withPolicy('raced-key');
    const resource = `projects/${NUMBER}/secrets/raced-key`;
    const { policies } = world.gcpCore.cloud;
    const rivals = ['user:rival1@example.com', 'user:rival2@example.com'];
    const late = [...rivals];
    // Right before each of our writes somebody else's takes effect: ours comes with a stale etag.
    const rival = world.gcpCore.faults.add({
      method: 'SetIamPolicy',
      resource: 'raced-key',
      match: () => {
        const member = late.shift();
        if (member === undefined) return false;
        const policy = policies.get(resource, 3);
        const bindings = [...(policy.bindings ?? []), { role: 'roles/secretmanager.viewer', members: [member] }];
        policies.set(resource, { ...policy, version: 3, bindings } as unknown as JsonObject);
        return false;
      },
    });

    await world.apply('raced', keyed('raced-key'));
    await world.ready('raced');
    rival();

    const { bindings = [] } = await policyOf('raced-key');
    expect(bindings).toContainEqual({
      role: ACCESSOR,
      members: ['user:jane@example.com', `serviceAccount:${email('raced')}`],
    });
    expect(bindings).toContainEqual({
      role: 'roles/secretmanager.viewer',
      members: ['group:team@example.com', ...rivals],
    });
    expect(bindings).toContainEqual(foreign[2]);
    const refused = world.gcpCore.requestLog.filter(
      ({ resource, code }) => code === 'ABORTED' && resource.includes('raced-key'),
    );
    expect(refused).toHaveLength(2);
  });

  test('a service written by somebody else between our read and our write keeps that', async () => {
    await world.secret('edited-key');
    await world.apply('edited', keyed('edited-key'));
    await world.ready('edited');
    const name = serviceName('edited');
    let rivals = 1;
    const rival = world.gcpCore.faults.add({
      method: 'UpdateService',
      resource: name,
      match: ({ request }) => {
        if (rivals === 0 || request.updateMask === 'labels') return false;
        rivals -= 1;
        const labels = { ...((request.service as JsonObject).labels as JsonObject), team: 'blue' };
        void world.gcpCore.call(`${RUN}.UpdateService`, {
          service: { name, labels: { ...ownerLabels('cluster-1', 'default', 'edited'), ...labels } },
          updateMask: 'labels',
        });
        return false;
      },
    });

    await world.edit('edited', { timeoutSeconds: 60 });
    await world.ready('edited');
    rival();

    expect(await world.service('edited')).toMatchObject({ labels: { team: 'blue' }, template: { timeout: '60s' } });
  });
});
