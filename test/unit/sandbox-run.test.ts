import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { account, image, name, parent, template, world } from './sandbox-run.support.ts';

describe('a new service', () => {
  it('exists from the first answer on, is reconciling, then ready, with every default filled in', async () => {
    const w = world();
    const operation = await w.create({ template: template() });
    expect(operation.name).toMatch(/^projects\/demo\/locations\/asia-northeast1\/operations\//);
    expect((operation.metadata as JsonObject).reconciling).toBe(true);
    const early = await w.get();
    expect(early).toMatchObject({
      reconciling: true,
      generation: '1',
      terminalCondition: { type: 'Ready', state: 'CONDITION_RECONCILING' },
    });
    expect(early.observedGeneration).toBeUndefined();
    expect(early.latestReadyRevision).toBeUndefined();

    await w.runtime.advance(1100);
    const service = await w.get();
    expect(service).toMatchObject({
      name,
      generation: '1',
      observedGeneration: '1',
      launchStage: 'GA',
      ingress: 'INGRESS_TRAFFIC_ALL',
      traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
      trafficStatuses: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
      template: {
        timeout: '300s',
        maxInstanceRequestConcurrency: 80,
        serviceAccount: '123456-compute@developer.gserviceaccount.com',
        scaling: { maxInstanceCount: 100 },
        containers: [
          {
            image,
            resources: { limits: { cpu: '1000m', memory: '512Mi' }, cpuIdle: true, startupCpuBoost: true },
            ports: [{ name: 'http1', containerPort: 8080 }],
            startupProbe: { timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1, tcpSocket: { port: 8080 } },
          },
        ],
      },
      terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED' },
      conditions: [
        { type: 'RoutesReady', state: 'CONDITION_SUCCEEDED' },
        { type: 'ConfigurationsReady', state: 'CONDITION_SUCCEEDED' },
      ],
    });
    expect(service.reconciling ?? false).toBe(false);
    expect(service.latestReadyRevision).toMatch(
      /^projects\/demo\/locations\/asia-northeast1\/services\/web\/revisions\/web-00001-[a-z0-9]{3}$/,
    );
    expect(service.latestCreatedRevision).toBe(service.latestReadyRevision);
    expect(service.uri).toMatch(/^https:\/\/web-[a-z2-7]{10}-an\.a\.run\.app$/);
    expect(service.urls).toEqual(['https://web-123456.asia-northeast1.run.app', service.uri]);
    expect(await w.operation(operation)).toMatchObject({ done: true, response: { name, observedGeneration: '1' } });
    expect(w.runtime.pending()).toBe(0);
  });

  it('keeps CPU always on where resources are set without cpuIdle, and takes one request at once below one CPU', async () => {
    const w = world();
    await w.create({ template: template({ resources: { limits: { cpu: '0.5' } } }) });
    const { template: stored } = (await w.get()) as { template: JsonObject };
    expect(stored.maxInstanceRequestConcurrency).toBe(1);
    expect((stored.containers as JsonObject[])[0]?.resources).toEqual({ limits: { cpu: '0.5', memory: '512Mi' } });
  });

  it('is there from the first answer on, however long accounts and secrets take to be visible', async () => {
    const w = world({ createVisibleMs: 60_000 });
    await w.create({ template: template() });
    for (let i = 0; i < 4; i++) expect(await w.get()).toMatchObject({ name, reconciling: true });
  });

  it('says who made and who changed it last', async () => {
    const w = world();
    await w.core.call(
      'google.cloud.run.v2.Services.CreateService',
      { parent, serviceId: 'web', service: { template: template() } },
      { actAs: 'robot@example.com' },
    );
    expect(await w.get()).toMatchObject({ creator: 'robot@example.com', lastModifier: 'robot@example.com' });
    await w.update({ description: 'new' }, 'description');
    expect(await w.get()).toMatchObject({
      creator: 'robot@example.com',
      lastModifier: 'sandbox-owner@example.com',
    });
    expect((await w.revisions())[0]).toMatchObject({ creator: 'robot@example.com' });
  });

  it('takes and keeps the fields that are newer than the protos of the client packages', async () => {
    const w = world();
    const volume = 'projects/demo/locations/asia-northeast1/volumePools/p/volumes/v';
    const newer = {
      ambientNetworking: { enabled: true, ambientScope: 'AMBIENT_SCOPE_REGIONAL' },
      workloadIdentityConfig: { identity: 'spiffe://x', identityCertificateEnabled: true },
      sandboxes: { templates: [{ name: 's', image, env: [{ name: 'A', value: '1' }], args: ['-x'] }] },
      client: 'tool',
      clientVersion: '7',
      volumes: [
        { name: 'share', filestore: { volume } },
        { name: 'disk', emptyDir: { medium: 'DISK', sizeLimit: '1Gi' } },
      ],
    };
    const container = {
      sandboxLauncher: true,
      buildConfig: { imageRepositoryUri: 'r', buildpacksBuild: { environmentVariables: { a: 'b' } }, dockerBuild: {} },
      sourceCode: { inlinedSource: { sources: [{ filename: 'f', content: 'c' }] } },
    };
    const scaling = { cpuUtilization: 0.6, concurrencyUtilization: 0.7 };
    const service = {
      functionalType: 'FUNCTIONAL_TYPE_AGENT',
      sshEnabled: true,
      template: template(container, { ...newer, scaling }),
    };
    await w.create(service);
    const expected = { ...newer, scaling, containers: [container] };
    const { functionalType, sshEnabled } = service;
    expect(await w.get()).toMatchObject({ functionalType, sshEnabled, template: expected });
    expect((await w.revisions())[0]).toMatchObject(expected);
    await w.update(
      { template: template(container, { ...newer, scaling: { cpuUtilization: 0.3 } }) },
      'template.scaling.cpuUtilization,sshEnabled',
    );
    expect(await w.get()).toMatchObject({
      template: { ...expected, scaling: { ...scaling, cpuUtilization: 0.3 } },
    });
    expect(await w.get()).not.toHaveProperty('sshEnabled');
    const both = { volumes: [{ name: 'v', filestore: { volume }, emptyDir: {} }] };
    expect(
      (await w.refused('Services.CreateService', { parent, serviceId: 'x', service: { template: template({}, both) } }))
        .code,
    ).toBe('INVALID_ARGUMENT');
  });

  it('makes a revision of an unchanged template where forceNewRevision asks for it', async () => {
    const w = world();
    await w.create({ template: template() });
    await w.runtime.advance(10_000);
    const before = await w.get();
    await w.update({ template: template() }, 'template');
    expect(await w.get()).toMatchObject({ generation: before.generation });
    expect(await w.revisions()).toHaveLength(1);
    await w.update({ template: template() }, 'template', { forceNewRevision: true });
    await w.runtime.advance(10_000);
    expect(await w.revisions()).toHaveLength(2);
    const after = await w.get();
    expect(after.latestReadyRevision).not.toBe(before.latestReadyRevision);
    expect(after.generation).not.toBe(before.generation);
  });

  it('is missing in turns until it is visible everywhere, while creating it again conflicts', async () => {
    const w = world({ serviceVisibleMs: 10_000 });
    await w.create({ template: template() });
    const codes: string[] = [];
    for (let i = 0; i < 4; i++) {
      const result = await w.core.call('google.cloud.run.v2.Services.GetService', { name });
      codes.push(result.ok ? 'OK' : result.status.code);
    }
    expect(codes).toEqual(['NOT_FOUND', 'OK', 'NOT_FOUND', 'OK']);
    expect(
      await w.refused('Services.CreateService', { parent, serviceId: 'web', service: { template: template() } }),
    ).toMatchObject({
      code: 'ALREADY_EXISTS',
      message: "Resource 'web' already exists.",
    });
    await w.runtime.advance(10_000);
    await expect(w.get()).resolves.toMatchObject({ name });
  });

  it('is only validated with validateOnly', async () => {
    const w = world();
    const operation = await w.create({ template: template() }, { validateOnly: true });
    expect(operation).toMatchObject({ done: true, response: { template: { timeout: '300s' } } });
    expect(await w.refused('Services.GetService', { name })).toMatchObject({
      code: 'NOT_FOUND',
      message: "Resource 'web' of kind 'SERVICE' in region 'asia-northeast1' in project 'demo' does not exist.",
    });
    expect(w.containers.started).toEqual([]);
  });

  it('answers by project number too, and echoes the id', async () => {
    const w = world();
    await w.create({ template: template() });
    expect(await w.ok('Services.GetService', { name: name.replace('demo', '123456') })).toMatchObject({ name });
  });

  it('counts 1,000 services a project and region', async () => {
    const w = world();
    for (let i = 0; i < 1000; i++) {
      await w.ok('Services.CreateService', { parent, serviceId: `s${i}`, service: { template: template() } });
    }
    const more = { serviceId: 'more', service: { template: template() } };
    expect(await w.refused('Services.CreateService', { parent, ...more })).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
    });
    await w.ok('Services.CreateService', { parent: 'projects/demo/locations/us-central1', ...more });
    const first = await w.ok('Services.ListServices', { parent, pageSize: 600 });
    const second = await w.ok('Services.ListServices', { parent, pageSize: 600, pageToken: first.nextPageToken });
    const listed = [...(first.services as JsonObject[]), ...(second.services as JsonObject[])];
    expect(listed.map(service => service.name)).toEqual(
      Array.from({ length: 1000 }, (_, i) => `${parent}/services/s${999 - i}`),
    );
    expect(second.nextPageToken).toBeUndefined();
  });
});

describe('an update', () => {
  async function deployed() {
    const w = world();
    await w.create({ template: template({ env: [{ name: 'A', value: '1' }] }), labels: { a: '1', b: '2' } });
    await w.runtime.advance(1100);
    return w;
  }

  it('makes a revision when the template changes, and only then', async () => {
    const w = await deployed();
    const first = (await w.get()).latestReadyRevision;
    const others: [JsonObject, string][] = [
      [{ labels: { a: '2' } }, 'labels'],
      [{ invokerIamDisabled: true }, 'invokerIamDisabled'],
      [{ scaling: { minInstanceCount: 1 } }, 'scaling'],
      [{ traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }] }, 'traffic'],
      [{ template: template({ env: [{ name: 'A', value: '1' }] }) }, 'template'],
      [{ template: template({ env: [{ name: 'A', value: '1' }], ports: [{ containerPort: 8080 }] }) }, 'template'],
    ];
    for (const [change, mask] of others) {
      await w.update(change, mask);
      await w.runtime.advance(1100);
      expect((await w.get()).latestCreatedRevision, mask).toBe(first);
    }
    const before = await w.get();
    expect(before).toMatchObject({ labels: { a: '2' }, generation: '4', observedGeneration: '4' });

    const operation = await w.update({ template: template({ env: [{ name: 'A', value: '2' }] }) }, 'template');
    expect(await w.get()).toMatchObject({
      reconciling: true,
      generation: '5',
      observedGeneration: '4',
      latestReadyRevision: first,
    });
    await w.runtime.advance(1100);
    const after = await w.get();
    expect(after.latestReadyRevision).toMatch(/\/revisions\/web-00002-/);
    expect(after.observedGeneration).toBe('5');
    expect(await w.operation(operation)).toMatchObject({ done: true, response: { generation: '5' } });
    expect(w.containers.started.map(({ scale }) => scale.serving)).toEqual([false, true]);
    expect((await w.revisions()).map(revision => String(revision.name).split('/').pop()?.slice(0, 9))).toEqual([
      'web-00002',
      'web-00001',
    ]);
  });

  it.each<[string, JsonObject, string | undefined, JsonObject]>([
    [
      'one nested field',
      { template: { scaling: { maxInstanceCount: 3 } } },
      'template.scaling.max_instance_count',
      { template: { scaling: { maxInstanceCount: 3 }, timeout: '300s' }, labels: { a: '1', b: '2' } },
    ],
    [
      'a nested field in JSON case',
      { template: { timeout: '9s' } },
      'template.timeout',
      { template: { timeout: '9s', containers: [{ image }] } },
    ],
    ['a map, as a whole', { labels: { c: '3' } }, 'labels', { labels: { c: '3' } }],
    [
      'a nested message put in place',
      { scaling: { minInstanceCount: 2 } },
      'scaling.minInstanceCount',
      { scaling: { minInstanceCount: 2 } },
    ],
    [
      'all that is set, without a mask',
      { description: 'd' },
      undefined,
      { description: 'd', labels: { a: '1', b: '2' } },
    ],
    ['everything', { template: template() }, '*', { template: { timeout: '300s' } }],
  ])('changes %s', async (_, change, mask, expected) => {
    const w = await deployed();
    await w.update(change, mask);
    expect(await w.get()).toMatchObject(expected);
  });

  it('clears what a mask names and the request leaves out', async () => {
    const w = await deployed();
    const emptied = { service: { name }, updateMask: 'labels,template.containers' };
    expect((await w.refused('Services.UpdateService', emptied)).code).toBe('INVALID_ARGUMENT');
    expect((await w.get()).labels).toEqual({ a: '1', b: '2' });
    await w.update({}, 'labels');
    expect((await w.get()).labels).toBeUndefined();
    await w.update({ template: template() }, '*');
    const { template: stored } = (await w.get()) as { template: { containers: JsonObject[] } };
    expect(stored.containers[0]?.env).toBeUndefined();
  });

  it('leaves no empty message where a mask names a field that neither side has, or the last one of a message', async () => {
    const w = await deployed();
    const before = (await w.get()).template as JsonObject;
    await w.update({}, 'template.vpcAccess.connector,template.vpcAccess.egress');
    expect((await w.get()).template).toEqual(before);
    await w.update({ template: { vpcAccess: { connector: 'c' } } }, 'template.vpcAccess.connector');
    expect((await w.get()).template).toEqual({ ...before, vpcAccess: { connector: 'c' } });
    await w.update({}, 'template.vpcAccess.connector');
    expect((await w.get()).template).toEqual(before);
  });

  it('refuses a mask that names no field', async () => {
    const w = await deployed();
    for (const updateMask of ['nothing', 'template.containers.image', 'labels.a']) {
      expect(await w.refused('Services.UpdateService', { service: { name }, updateMask }), updateMask).toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    }
  });

  it('holds an etag to the last change by a client, which becoming ready is not', async () => {
    const w = world();
    await w.create({ template: template() });
    const { etag } = await w.get();
    await w.runtime.advance(1100);
    expect((await w.get()).etag).toBe(etag);
    await w.update({ labels: { a: '1' }, etag }, 'labels');
    const stale = await w.refused('Services.UpdateService', {
      service: { name, etag, labels: {} },
      updateMask: 'labels',
    });
    expect(stale.code).toBe('ABORTED');
    expect(stale.message).toMatch(
      /^Conflict for resource 'web': version '\d{16}' was specified but current version is '\d{16}'\.$/,
    );
    expect((await w.refused('Services.DeleteService', { name, etag })).code).toBe('ABORTED');
  });

  it('creates what is missing only with allowMissing', async () => {
    const w = world();
    const request = { service: { name, template: template() } };
    expect((await w.refused('Services.UpdateService', request)).code).toBe('NOT_FOUND');
    await w.ok('Services.UpdateService', { ...request, allowMissing: true });
    expect(await w.get()).toMatchObject({ generation: '1', reconciling: true });
  });

  it('writes nothing when nothing differs', async () => {
    const w = await deployed();
    const before = await w.get();
    await w.update({ labels: { b: '2', a: '1' } }, 'labels');
    await w.runtime.advance(1100);
    const { terminalCondition: _, conditions: __, ...same } = await w.get();
    expect(before).toMatchObject(same);
  });

  it('needs actAs on the account every time, whatever it changes', async () => {
    const w = world();
    const status = {
      code: 'PERMISSION_DENIED',
      message: `Permission 'iam.serviceaccounts.actAs' denied on service account ${account} (or it may not exist).`,
    };
    const service = { template: template({}, { serviceAccount: account }) };
    expect(await w.refused('Services.CreateService', { parent, serviceId: 'web', service })).toMatchObject(status);
    await w.addAccount();
    await w.create(service);
    const allow = w.core.faults.deny({ permission: 'iam.serviceAccounts.actAs', resource: account });
    expect(
      await w.refused('Services.UpdateService', { service: { name, labels: { a: '1' } }, updateMask: 'labels' }),
    ).toMatchObject(status);
    allow();
    await w.update({ labels: { a: '1' } }, 'labels');
  });

  it('is refused for an account that is not visible yet', async () => {
    const w = world({ accountPropagationMs: 5000 });
    await w.addAccount();
    const service = { template: template({}, { serviceAccount: account }) };
    expect((await w.refused('Services.CreateService', { parent, serviceId: 'web', service })).code).toBe(
      'PERMISSION_DENIED',
    );
    await w.runtime.advance(5000);
    await w.create(service);
  });

  it('needs run.services.setIamPolicy to switch the invoker check off', async () => {
    const w = await deployed();
    w.core.faults.deny({ permission: 'run.services.setIamPolicy' });
    const status = await w.refused('Services.UpdateService', {
      service: { name, invokerIamDisabled: true },
      updateMask: 'invokerIamDisabled',
    });
    expect(status).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: expect.stringContaining("'run.services.setIamPolicy'"),
    });
    await w.update({ labels: {} }, 'labels');
  });
});

describe('a template that names its revision', () => {
  async function named() {
    const w = world();
    await w.create({ template: template({}, { revision: 'web-one' }) });
    await w.runtime.advance(1100);
    return w;
  }

  it('gives the revision that name, and comes back with it', async () => {
    const w = await named();
    expect(await w.get()).toMatchObject({
      template: { revision: 'web-one' },
      latestReadyRevision: `${name}/revisions/web-one`,
    });
  });

  it('conflicts when it changes under the same name', async () => {
    const w = await named();
    const service = { name, template: template({ env: [{ name: 'A', value: '1' }] }, { revision: 'web-one' }) };
    expect(await w.refused('Services.UpdateService', { service, updateMask: 'template' })).toMatchObject({
      code: 'ALREADY_EXISTS',
      message: "Revision named 'web-one' with different configuration already exists.",
    });
    const nested = { service: { name, template: { timeout: '9s' } }, updateMask: 'template.timeout' };
    expect((await w.refused('Services.UpdateService', nested)).code).toBe('ALREADY_EXISTS');
  });

  it('makes a revision when only the name is cleared, and takes an earlier one up again by its name', async () => {
    const w = await named();
    await w.update({ template: template() }, 'template');
    await w.runtime.advance(1100);
    expect((await w.get()).latestReadyRevision).toMatch(/web-00002-/);
    await w.update({ template: template({}, { revision: 'web-one' }) }, 'template');
    await w.runtime.advance(1100);
    expect((await w.get()).latestReadyRevision).toBe(`${name}/revisions/web-one`);
    expect(await w.revisions()).toHaveLength(2);
  });

  it('must begin with the service’s name', async () => {
    const w = world();
    const service = { template: template({}, { revision: 'other-one' }) };
    expect((await w.refused('Services.CreateService', { parent, serviceId: 'web', service })).code).toBe(
      'INVALID_ARGUMENT',
    );
  });
});

describe('deleting a service', () => {
  it('stops serving at once, is gone with its revisions and policy when the operation ends', async () => {
    const w = world();
    await w.create({ template: template(), invokerIamDisabled: true });
    await w.runtime.advance(1100);
    await w.ok('Services.SetIamPolicy', {
      resource: name,
      policy: { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] },
    });
    expect(w.run.route(name)).toMatch(/^web-00001-/);
    const operation = await w.ok('Services.DeleteService', { name });
    expect(w.run.route(name)).toBeUndefined();
    expect(w.containers.started.every(({ stopped }) => stopped)).toBe(true);
    expect((await w.get()).deleteTime).toBeDefined();
    expect(
      (await w.refused('Services.CreateService', { parent, serviceId: 'web', service: { template: template() } })).code,
    ).toBe('ALREADY_EXISTS');
    expect(
      (await w.refused('Services.UpdateService', { service: { name, labels: {} }, updateMask: 'labels' })).code,
    ).toBe('ABORTED');
    await w.runtime.advance(1000);
    expect(await w.operation(operation)).toMatchObject({ done: true, response: { name } });
    expect((await w.refused('Services.GetService', { name })).code).toBe('NOT_FOUND');
    expect((await w.refused('Services.DeleteService', { name })).code).toBe('NOT_FOUND');
    expect(await w.ok('Revisions.ListRevisions', { parent: name })).toEqual({});
    await w.create({ template: template() });
    expect((await w.ok('Services.GetIamPolicy', { resource: name })).bindings).toBeUndefined();
    expect(await w.get()).toMatchObject({
      latestCreatedRevision: expect.stringMatching(/web-00001-/),
      generation: '1',
    });
  });

  it('ends what was under way', async () => {
    const w = world();
    const creation = await w.create({ template: template() });
    await w.ok('Services.DeleteService', { name });
    await w.runtime.advance(3000);
    expect(await w.operation(creation)).toMatchObject({ done: true, error: { code: 10 } });
    expect(w.containers.started).toEqual([]);
    expect(w.runtime.pending()).toBe(0);
  });

  it('does nothing when only validated', async () => {
    const w = world();
    await w.create({ template: template() });
    expect(await w.ok('Services.DeleteService', { name, validateOnly: true })).toMatchObject({ done: true });
    await w.runtime.advance(5000);
    await w.get();
  });
});

describe('who may call', () => {
  it.each<[string, JsonObject, string[], string | undefined, boolean]>([
    ['nobody by default', {}, [], undefined, false],
    ['anyone with the check disabled', { invokerIamDisabled: true }, [], undefined, true],
    ['anyone with allUsers', {}, ['allUsers'], undefined, true],
    ['any account with allAuthenticatedUsers', {}, ['allAuthenticatedUsers'], 'x@demo.iam.gserviceaccount.com', true],
    ['nobody unknown with allAuthenticatedUsers', {}, ['allAuthenticatedUsers'], undefined, false],
    ['a member', {}, ['user:a@example.com'], 'a@example.com', true],
    ['no other', {}, ['user:a@example.com'], 'ba@example.com', false],
  ])('%s', async (_, service, members, caller, expected) => {
    const w = world();
    await w.create({ template: template(), ...service });
    if (members.length > 0)
      await w.ok('Services.SetIamPolicy', {
        resource: name,
        policy: { bindings: [{ role: 'roles/run.invoker', members }] },
      });
    expect(w.run.mayInvoke(name, caller)).toBe(expected);
  });
});
