import { beforeEach, describe, expect, test } from 'vitest';
import type { GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { world } from './sandbox-gcp.support.ts';

/** Cloud Run Admin API v1 over the same state as v2. */

const REGION = 'asia-northeast1';
const PARENT = `projects/demo-project/locations/${REGION}`;
const NAMESPACE = 'namespaces/demo-project';
const V2 = 'google.cloud.run.v2';

let cloud: ReturnType<typeof world>;
beforeEach(() => {
  cloud = world();
});

const invoke = (method: string, request: JsonObject, caller = {}): Promise<GcpResult> =>
  cloud.core.invoke(method, request, { caller, region: REGION });

async function v1(method: string, request: JsonObject): Promise<JsonObject> {
  const result = await invoke(`run.namespaces.${method}`, request);
  if (!result.ok) throw new Error(`${result.status.code}: ${result.status.message}`);
  return result.response;
}

const refusal = async (method: string, request: JsonObject, caller = {}) => {
  const result = await invoke(method, request, caller);
  return result.ok ? undefined : result.status;
};

const settle = () => cloud.runtime.advance(5000);
const v2 = (id = 's') => cloud.ok(`${V2}.Services.GetService`, { name: `${PARENT}/services/${id}` });
const get = (id = 's') => v1('services.get', { name: `${NAMESPACE}/services/${id}` });

function manifest(id = 's', template: JsonObject = {}): JsonObject {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: id, namespace: 'demo-project' },
    spec: { template: { spec: { containers: [{ image: 'gcr.io/cloudrun/hello' }] }, ...template } },
  };
}

async function create(id = 's', template: JsonObject = {}): Promise<JsonObject> {
  const answer = await v1('services.create', { parent: NAMESPACE, service: manifest(id, template) });
  await settle();
  return answer;
}

type Service = JsonObject & { metadata: JsonObject; spec: { template: JsonObject & { spec: JsonObject } } };

async function replace(change: (service: Service) => void, id = 's'): Promise<JsonObject> {
  const service = (await get(id)) as Service;
  change(service);
  return v1('services.replaceService', { name: `${NAMESPACE}/services/${id}`, service });
}

describe('a service', () => {
  test('is under way at first, and ready when v2 says so', async () => {
    expect(await v1('services.create', { parent: NAMESPACE, service: manifest() })).toMatchObject({
      metadata: {
        namespace: '123456',
        generation: 1,
        selfLink: '/apis/serving.knative.dev/v1/namespaces/123456/services/s',
      },
      status: {
        observedGeneration: 1,
        conditions: [{ type: 'Ready', status: 'Unknown' }, { status: 'Unknown' }, { status: 'Unknown' }],
      },
    });
    await settle();
    expect(await get()).toMatchObject({
      metadata: { labels: { 'cloud.googleapis.com/location': REGION } },
      status: {
        conditions: ['Ready', 'ConfigurationsReady', 'RoutesReady'].map(type => ({ type, status: 'True' })),
        latestReadyRevisionName: expect.stringMatching(/^s-00001-/),
        traffic: [{ latestRevision: true, percent: 100, revisionName: expect.stringMatching(/^s-00001-/) }],
      },
    });
    expect(await v2()).toMatchObject({ terminalCondition: { state: 'CONDITION_SUCCEEDED' } });
  });

  test('that fails says why, and for which generation', async () => {
    await create();
    await replace(({ spec }) => {
      spec.template.spec.serviceAccountName = undefined;
      spec.template.spec.containers = [
        { image: 'i', env: [{ name: 'K', valueFrom: { secretKeyRef: { name: 'none', key: '1' } } }] },
      ];
    });
    await settle();
    expect(await get()).toMatchObject({
      metadata: { generation: 2 },
      status: {
        observedGeneration: 2,
        conditions: expect.arrayContaining([
          expect.objectContaining({
            type: 'Ready',
            status: 'False',
            reason: 'SecretsAccessCheckFailed',
            message: expect.stringContaining('Secret projects/123456/secrets/none/versions/1 was not found'),
          }),
        ]),
      },
    });
  });

  test('that names a secret of an unknown project fails, and nothing else does', async () => {
    await create('s', {
      metadata: { annotations: { 'run.googleapis.com/secrets': 'far:projects/no-project/secrets/key' } },
      spec: {
        containers: [{ image: 'i', env: [{ name: 'K', valueFrom: { secretKeyRef: { name: 'far', key: '1' } } }] }],
      },
    });
    expect(await v2()).toMatchObject({
      terminalCondition: {
        state: 'CONDITION_FAILED',
        message: expect.stringContaining('Permission denied on secret: projects/no-project/secrets/key/versions/1'),
      },
    });
  });

  test('whose network is taken away has none', async () => {
    const network = { 'run.googleapis.com/network-interfaces': '[{"network":"default"}]' };
    await create('s', {
      metadata: { annotations: network },
      spec: { containers: [{ image: 'gcr.io/cloudrun/hello' }] },
    });
    expect(await v2()).toMatchObject({ template: { vpcAccess: { networkInterfaces: [{ network: 'default' }] } } });
    await replace(({ spec }) => {
      spec.template.metadata = {};
    });
    expect(await v2()).not.toHaveProperty('template.vpcAccess');
  });

  test('made by v2 can be replaced, also by the project’s number', async () => {
    await cloud.ok(`${V2}.Services.CreateService`, {
      parent: PARENT,
      serviceId: 's',
      service: { template: { containers: [{ image: 'i' }] }, sshEnabled: true },
    });
    await settle();
    const service = (await v1('services.get', { name: 'namespaces/123456/services/s' })) as Service;
    service.metadata.labels = { team: 'a' };
    await v1('services.replaceService', { name: 'namespaces/123456/services/s', service });
    expect(await v2()).toMatchObject({ labels: { team: 'a' }, sshEnabled: true, generation: '2' });
  });

  test('a template that says nothing new makes no revision and keeps what only v2 has', async () => {
    await create();
    const { template } = (await v2()) as { template: JsonObject };
    await cloud.ok(`${V2}.Services.UpdateService`, {
      service: {
        name: `${PARENT}/services/s`,
        template: { ...template, ambientNetworking: { enabled: true }, scaling: { cpuUtilization: 0.5 } },
      },
      updateMask: 'template',
    });
    await settle();
    await replace(({ metadata }) => {
      metadata.annotations = { 'run.googleapis.com/minScale': '1' };
    });
    const kept = { ambientNetworking: { enabled: true }, scaling: { cpuUtilization: 0.5 } };
    expect(await v2()).toMatchObject({ template: kept, scaling: { minInstanceCount: 1 } });
    expect(await v1('revisions.list', { parent: NAMESPACE })).toHaveProperty('items.length', 2);
    await replace(({ spec }) => {
      spec.template.spec.timeoutSeconds = 10;
    });
    expect(await v2()).toMatchObject({ template: { ...kept, timeout: '10s' } });
    expect(await v1('revisions.list', { parent: NAMESPACE })).toHaveProperty('items.length', 3);
  });

  test('a stale resourceVersion is refused, none is taken', async () => {
    await create();
    const stale = (await get()) as Service;
    await replace(({ metadata }) => {
      metadata.labels = { team: 'a' };
    });
    const request = { name: `${NAMESPACE}/services/s`, service: stale };
    expect(await refusal('run.namespaces.services.replaceService', request)).toMatchObject({
      code: 'ABORTED',
      message: expect.stringMatching(
        /^Conflict for resource 's': version '\d+' was specified but current version is '\d+'\.$/,
      ),
    });
    stale.metadata.resourceVersion = undefined;
    await v1('services.replaceService', request);
    expect(await v2()).not.toHaveProperty('labels');
  });

  test('dryRun changes nothing', async () => {
    const request = { parent: NAMESPACE, service: manifest(), dryRun: 'all' };
    expect(await v1('services.create', request)).toMatchObject({ kind: 'Service' });
    await expect(get()).rejects.toThrow("NOT_FOUND: Resource 's' of kind 'SERVICE' in region 'asia-northeast1'");
    expect(await refusal('run.namespaces.services.create', { ...request, dryRun: 'some' })).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  test('its deletion is seen until it is gone', async () => {
    await create();
    expect(await v1('services.delete', { name: `${NAMESPACE}/services/s` })).toMatchObject({
      status: 'Success',
      details: { name: 's', kind: 'Service' },
    });
    expect(await get()).toHaveProperty('metadata.deletionTimestamp');
    await settle();
    await expect(get()).rejects.toThrow('NOT_FOUND');
  });

  test('that fails is deleted without being said to fail at that', async () => {
    await create('s', {
      spec: {
        containers: [{ image: 'i', env: [{ name: 'K', valueFrom: { secretKeyRef: { name: 'none', key: '1' } } }] }],
      },
    });
    const ready = async () => ((await get()).status as { conditions: JsonObject[] }).conditions[0];
    expect(await ready()).toMatchObject({ type: 'Ready', status: 'False' });
    await v1('services.delete', { name: `${NAMESPACE}/services/s` });
    expect(await ready()).toEqual({ type: 'Ready', status: 'Unknown', lastTransitionTime: expect.any(String) });
  });

  test.each([
    ['a/b', "metadata.name: invalid value 'a/b': must not contain '/'."],
    ['', 'metadata.name: a name is required.'],
    [undefined, 'metadata.name: a name is required.'],
  ])('named %j is refused, and none of another name is made', async (name, message) => {
    const service = { ...manifest(), metadata: { name } };
    expect(await refusal('run.namespaces.services.create', { parent: NAMESPACE, service })).toMatchObject({
      code: 'INVALID_ARGUMENT',
      message,
    });
    expect(await v1('services.list', { parent: NAMESPACE })).not.toHaveProperty('items');
  });

  test.each<[string, (service: JsonObject) => void, string]>([
    [
      'another kind',
      service => (service.kind = 'Route'),
      "Expected apiVersion 'serving.knative.dev/v1' and kind 'Service'",
    ],
    ['another name', service => (service.metadata = { name: 't' }), "must be the name in the path, 's'"],
    [
      'another project',
      service => (service.metadata = { name: 's', namespace: 'other-project' }),
      "must be the project, 'demo-project'",
    ],
    [
      'no such resourceVersion',
      service => (service.metadata = { name: 's', resourceVersion: 'x' }),
      'metadata.resourceVersion',
    ],
    ['an unknown field', service => (service.spec = { tempalte: {} }), `Unknown name "tempalte" at 'service.spec'`],
  ])('%s is refused', async (_, change, message) => {
    await create();
    const service = structuredClone(await get());
    change(service);
    const status = await refusal('run.namespaces.services.replaceService', {
      name: `${NAMESPACE}/services/s`,
      service,
    });
    expect(status).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(message) });
  });
});

describe('revisions, configurations and routes', () => {
  test('a revision says whose it is and whether it is active', async () => {
    await create('s', { metadata: { labels: { 'client.knative.dev/nonce': 'abc' } } });
    await replace(({ spec }) => {
      spec.template.spec.timeoutSeconds = 10;
      spec.template.metadata = { labels: { 'client.knative.dev/nonce': 'def' } };
    });
    await settle();
    const list = (labelSelector: string) => v1('revisions.list', { parent: NAMESPACE, labelSelector });
    expect(await list('client.knative.dev/nonce = abc')).toMatchObject({
      kind: 'RevisionList',
      items: [
        {
          metadata: {
            name: expect.stringMatching(/^s-00001-/),
            ownerReferences: [{ kind: 'Configuration', name: 's' }],
          },
          status: {
            conditions: expect.arrayContaining([expect.objectContaining({ type: 'Active', status: 'False' })]),
          },
        },
      ],
    });
    const { items } = (await list('serving.knative.dev/service = s')) as { items: Service[] };
    expect(items).toMatchObject([
      { status: { conditions: expect.arrayContaining([expect.objectContaining({ type: 'Active', status: 'True' })]) } },
      {},
    ]);
    expect(await list('serving.knative.dev/service = t')).not.toHaveProperty('items');
    const [latest, oldest] = items.map(({ metadata }) => `${NAMESPACE}/revisions/${metadata.name}`);
    expect(await v1('revisions.get', { name: latest })).toEqual(items[0]);
    expect(await refusal('run.namespaces.revisions.delete', { name: latest })).toMatchObject({
      code: 'FAILED_PRECONDITION',
    });
    await v1('revisions.delete', { name: oldest });
    expect(await refusal('run.namespaces.revisions.get', { name: oldest })).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining("of kind 'REVISION' in region 'asia-northeast1'"),
    });
  });

  test('a configuration and a route are the two halves of a service', async () => {
    await create();
    const service = (await get()) as Service & { status: JsonObject };
    for (const read of ['get', 'list'] as const) {
      const request = read === 'get' ? { name: `${NAMESPACE}/configurations/s` } : { parent: NAMESPACE };
      const answer = await v1(`configurations.${read}`, request);
      expect(read === 'get' ? answer : (answer.items as JsonObject[])[0]).toMatchObject({
        kind: 'Configuration',
        spec: { template: service.spec.template },
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      });
    }
    expect(await v1('routes.get', { name: `${NAMESPACE}/routes/s` })).toMatchObject({
      kind: 'Route',
      status: { traffic: service.status.traffic, url: service.status.url },
    });
  });
});

describe('lists', () => {
  test('limit and continue, and no watch', async () => {
    for (const id of ['a', 'b', 'c']) await create(id);
    const first = await v1('services.list', { parent: NAMESPACE, limit: 2 });
    expect(first).toMatchObject({ items: [{}, {}], metadata: { continue: '2' } });
    expect(await v1('services.list', { parent: NAMESPACE, limit: 2, continue: '2' })).toMatchObject({
      items: [{ metadata: { name: 'a' } }],
    });
    expect(await refusal('run.namespaces.services.list', { parent: NAMESPACE, watch: true })).toMatchObject({
      message: 'watch is not supported.',
    });
  });

  test('every region at once, and the regions', async () => {
    await create();
    await cloud.core.invoke(
      'run.namespaces.services.create',
      { parent: NAMESPACE, service: manifest('other') },
      { caller: {}, region: 'us-central1' },
    );
    const everywhere = await invoke('run.projects.locations.services.list', {
      parent: 'projects/demo-project/locations/-',
    });
    expect(everywhere).toMatchObject({
      response: { items: [{ metadata: { name: 's' } }, { metadata: { name: 'other' } }] },
    });
    const regions = await invoke('run.projects.locations.list', { name: 'projects/demo-project' });
    expect(regions).toMatchObject({
      response: { locations: expect.arrayContaining([expect.objectContaining({ locationId: REGION })]) },
    });
  });
});

describe('permissions, faults, quotas and policies are those of v2', () => {
  const caller = { email: 'dev@example.com' };

  test.each([
    ['services.get', { name: `${NAMESPACE}/services/s` }, 'run.services.get'],
    ['services.list', { parent: NAMESPACE }, 'run.services.list'],
    ['services.create', { parent: NAMESPACE, service: manifest('t') }, 'run.services.create'],
    ['services.replaceService', { name: `${NAMESPACE}/services/s`, service: manifest() }, 'run.services.update'],
    ['services.delete', { name: `${NAMESPACE}/services/s` }, 'run.services.delete'],
    ['revisions.list', { parent: NAMESPACE }, 'run.revisions.list'],
    ['services.create', { parent: NAMESPACE, service: manifest('t') }, 'iam.serviceAccounts.actAs'],
  ])('%s needs %s', async (method, request, permission) => {
    await create();
    cloud.core.faults.deny({ permission, caller: caller.email });
    expect(await refusal(`run.namespaces.${method}`, request, caller)).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect((await invoke(`run.namespaces.${method}`, request)).ok).toBe(true);
  });

  test('locations need a permission of their own, also in a project without services', async () => {
    cloud.core.faults.deny({ permission: 'run.locations.list', caller: caller.email });
    cloud.core.faults.deny({ permission: 'run.services.list', caller: caller.email });
    const denied = { code: 'PERMISSION_DENIED' };
    expect(await refusal('run.projects.locations.list', { name: 'projects/demo-project' }, caller)).toMatchObject(
      denied,
    );
    const everywhere = { parent: 'projects/demo-project/locations/-' };
    expect(await refusal('run.projects.locations.services.list', everywhere, caller)).toMatchObject(denied);
  });

  test('a fault of v2 and its quota strike v1, and its calls are counted once', async () => {
    await create();
    cloud.core.faults.add({ method: 'GetService', error: { code: 'UNAVAILABLE', message: 'down' } });
    await expect(get()).rejects.toThrow('UNAVAILABLE: down');
    cloud.core.counters.reset();
    await replace(() => {});
    expect(cloud.core.counters).toMatchObject({ reads: 1, writes: 1 });
    cloud.core.quotas.limits = { run: { write: 0 } };
    await expect(replace(() => {})).rejects.toThrow('RESOURCE_EXHAUSTED');
  });

  test('an outage of every API strikes the lists of regions and log entries too', async () => {
    const error = { code: 'UNAVAILABLE', message: 'down' } as const;
    cloud.core.faults.add({ times: Number.POSITIVE_INFINITY, error });
    const listLogEntriesRequest = { resourceNames: ['projects/demo-project'] };
    expect(await refusal('logging.entries.list', { listLogEntriesRequest })).toMatchObject(error);
    expect(await refusal('run.projects.locations.list', { name: 'projects/demo-project' })).toMatchObject(error);
    expect(await refusal('run.namespaces.services.list', { parent: NAMESPACE })).toMatchObject(error);
  });

  test('one policy for both; a service that does not exist yet is answered for', async () => {
    await create();
    const resource = `${PARENT}/services/s`;
    const bindings = [{ role: 'roles/run.invoker', members: ['allUsers'] }];
    const iam = (method: string, request: JsonObject) => invoke(`run.projects.locations.services.${method}`, request);
    await iam('setIamPolicy', { resource, setIamPolicyRequest: { policy: { bindings } } });
    expect(await cloud.ok(`${V2}.Services.GetIamPolicy`, { resource })).toMatchObject({ bindings });
    expect(await iam('getIamPolicy', { resource, options: { requestedPolicyVersion: 3 } })).toMatchObject({
      response: { bindings },
    });
    const permissions = ['run.services.setIamPolicy'];
    expect(
      await iam('testIamPermissions', { resource: `${PARENT}/services/t`, testIamPermissionsRequest: { permissions } }),
    ).toMatchObject({ response: { permissions } });
  });

  test('a namespace needs a region in the host', async () => {
    const result = await cloud.core.invoke('run.namespaces.services.list', { parent: NAMESPACE }, { caller: {} });
    expect(result).toMatchObject({ status: { message: expect.stringContaining('The host must begin with a region') } });
    expect(await invoke('run.projects.locations.services.list', { parent: PARENT })).toMatchObject({ ok: true });
  });
});
