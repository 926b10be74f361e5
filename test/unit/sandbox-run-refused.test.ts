import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { image, name, parent, template, world } from './sandbox-run.support.ts';

const env = 'spec.template.spec.containers[0].env';
const limits = 'spec.template.spec.containers[0].resources.limits';
const resources = (cpu: string, memory: string) => template({ resources: { limits: { cpu, memory }, cpuIdle: true } });
const probe = (startupProbe: JsonObject) => ({ template: template({ startupProbe }) });

describe('a service that Cloud Run refuses', () => {
  it.each<[string, JsonObject, string | RegExp]>([
    [
      'a reserved variable',
      { template: template({ env: [{ name: 'PORT', value: '1' }] }) },
      `${env}: The following reserved env names were provided: PORT. These values are automatically set by the system.`,
    ],
    [
      'several reserved variables',
      { template: template({ env: [{ name: 'K_SERVICE', value: '1' }, { name: 'OK' }, { name: 'K_REVISION' }] }) },
      `${env}: The following reserved env names were provided: K_SERVICE, K_REVISION. These values are automatically set by the system.`,
    ],
    ['a variable twice', { template: template({ env: [{ name: 'A' }, { name: 'A', value: 'b' }] }) }, /duplicate.*'A'/],
    ['a variable without a name', { template: template({ env: [{ value: 'b' }] }) }, /env\[0\]\.name/],
    [
      'a secret without a version',
      { template: template({ env: [{ name: 'A', valueSource: { secretKeyRef: { secret: 's' } } }] }) },
      /secret_key_ref.key/,
    ],
    [
      'a secret’s name in another form',
      {
        template: template({
          env: [
            { name: 'A', valueSource: { secretKeyRef: { secret: 'projects/p/secrets/s/versions/1', version: '1' } } },
          ],
        }),
      },
      /secret_key_ref.name/,
    ],
    ['a probe of no kind', probe({ periodSeconds: 5 }), /exactly one of http_get/],
    [
      'a startup probe that takes too long',
      probe({ tcpSocket: {}, periodSeconds: 100 }),
      /must not exceed 240, got 300/,
    ],
    [
      'a probe that outlasts its period',
      probe({ tcpSocket: {}, timeoutSeconds: 11 }),
      /timeout_seconds: expected 1 <= 11 <= 10/,
    ],
    [
      'a liveness probe of a socket',
      { template: template({ livenessProbe: { tcpSocket: {} } }) },
      /tcp_socket: not supported/,
    ],
    [
      'a connector and an interface',
      {
        template: {
          ...template(),
          vpcAccess: { connector: 'projects/p/locations/r/connectors/c', networkInterfaces: [{ subnetwork: 's' }] },
        },
      },
      /cannot be set together/,
    ],
    [
      'an interface without a network',
      { template: { ...template(), vpcAccess: { networkInterfaces: [{}] } } },
      /is required/,
    ],
    [
      'a key that is none',
      { template: { ...template(), encryptionKey: 'key' } },
      /'key' is not the name of a Cloud KMS key/,
    ],
    ['no image', { template: template({ image: '' }) }, /\.image/],
    [
      'an image that is an address',
      { template: template({ image: 'https://gcr.io/a/b' }) },
      /Expected a container image path/,
    ],
    ['no template', {}, /template/],
    ['no container', { template: { timeout: '9s' } }, /containers/],
    [
      'memory without its CPU',
      { template: resources('1', '8Gi') },
      `${limits}.memory: Invalid value specified for memory. For 1.0 CPU, memory must be between 128Mi and 4Gi inclusive.`,
    ],
    [
      '4 CPUs without 2Gi',
      { template: resources('4', '1Gi') },
      /For 4\.0 CPU, memory must be between 2Gi and 16Gi inclusive/,
    ],
    ['more than 32Gi', { template: resources('8', '33Gi') }, /between 4Gi and 32Gi/],
    ['6 CPUs with more than 24Gi', { template: resources('6', '25Gi') }, /For 6\.0 CPU.*between 4Gi and 24Gi/],
    ['3 CPUs', { template: resources('3', '1Gi') }, /Invalid value specified for cpu/],
    ['1.5 CPUs', { template: resources('1500m', '1Gi') }, /Invalid value specified for cpu/],
    [
      'a fraction of a CPU and concurrency',
      { template: { ...resources('500m', '512Mi'), maxInstanceRequestConcurrency: 80 } },
      `${limits}.cpu: Invalid value specified for cpu. Total cpu < 1 is not supported with concurrency > 1.`,
    ],
    ['too small a fraction', { template: resources('50m', '256Mi') }, /Invalid value specified for cpu/],
    [
      'a quantity of another form',
      { template: resources('1', '1 GB') },
      /quantities must match the regular expression/,
    ],
    [
      'a limit of another kind',
      { template: template({ resources: { limits: { disk: '1Gi' } } }) },
      /'disk' is not supported/,
    ],
    [
      'more than 1,000 variables',
      { template: template({ env: Array.from({ length: 1001 }, (_, i) => ({ name: `V${i}`, value: '' })) }) },
      /at most 1000 environment variables/,
    ],
    ['a concurrency above 1,000', { template: template({}, { maxInstanceRequestConcurrency: 1001 }) }, /1001 <= 1000/],
    ['a timeout above an hour', { template: template({}, { timeout: '3601s' }) }, /3601 <= 3600/],
    ['no timeout at all', { template: template({}, { timeout: '0s' }) }, /timeout/],
    [
      'min above max',
      { template: template({}, { scaling: { minInstanceCount: 3, maxInstanceCount: 2 } }) },
      /min_instance_count \(3\)/,
    ],
    [
      'min above max of the service',
      { template: template(), scaling: { minInstanceCount: 3, maxInstanceCount: 2 } },
      /min_instance_count \(3\)/,
    ],
    ['a port that is none', { template: template({ ports: [{ containerPort: 70000 }] }) }, /70000/],
    [
      'traffic that is not everything',
      { template: template(), traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 90 }] },
      'spec.traffic: Traffic targets sum to 90, want 100',
    ],
    [
      'traffic to a revision without its name',
      { template: template(), traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', percent: 100 }] },
      /a revision is required/,
    ],
    ['a label with a slash', { template: template(), labels: { 'a/b': 'c' } }, /label key 'a\/b'/],
    ['a label in capitals', { template: template(), labels: { a: 'B' } }, /label value 'B'/],
    [
      'a label of the system’s',
      { template: template(), labels: { 'run.googleapis.com/x': 'c' } },
      /'run\.googleapis\.com' is reserved/,
    ],
    [
      'an annotation of the system’s',
      { template: template(), annotations: { 'serving.knative.dev/creator': 'c' } },
      /'serving\.knative\.dev' is reserved/,
    ],
    [
      'an annotation of the system’s on the template',
      { template: template({}, { annotations: { 'autoscaling.knative.dev/minScale': '1' } }) },
      /reserved/,
    ],
    ['a field that there is none of', { template: template(), replicas: 3 }, /replicas/],
  ])('%s', async (_, service, message) => {
    const w = world();
    const status = await w.refused('Services.CreateService', { parent, serviceId: 'web', service });
    expect(status.code).toBe('INVALID_ARGUMENT');
    expect(status.message).toEqual(typeof message === 'string' ? message : expect.stringMatching(message));
    expect((await w.refused('Services.GetService', { name })).code).toBe('NOT_FOUND');
  });

  it.each(['Web', '1web', 'web-', 'w_b', '', `w${'e'.repeat(49)}`])('of the name %j', async serviceId => {
    const w = world();
    expect(
      (await w.refused('Services.CreateService', { parent, serviceId, service: { template: template() } })).code,
    ).toBe('INVALID_ARGUMENT');
  });

  it.each(['mars-north1', '-'])('in the region %s', async region => {
    const w = world();
    const elsewhere = `projects/demo/locations/${region}`;
    const status = {
      code: 'PERMISSION_DENIED',
      message: `Permission denied on 'locations/${region}' (or it may not exist).`,
    };
    expect(
      await w.refused('Services.CreateService', {
        parent: elsewhere,
        serviceId: 'web',
        service: { template: template() },
      }),
    ).toMatchObject(status);
    expect(await w.refused('Services.ListServices', { parent: elsewhere })).toMatchObject(status);
    expect(await w.refused('Services.GetService', { name: `${elsewhere}/services/web` })).toMatchObject(status);
  });

  it('in a project that there is none of', async () => {
    const w = world();
    const request = {
      parent: 'projects/nowhere/locations/us-central1',
      serviceId: 'web',
      service: { template: template() },
    };
    expect((await w.refused('Services.CreateService', request)).code).toBe('PERMISSION_DENIED');
  });

  it('accepts what is just within the limits', async () => {
    const w = world();
    await w.create({
      template: {
        ...resources('8', '32Gi'),
        timeout: '3600s',
        maxInstanceRequestConcurrency: 1000,
        scaling: { minInstanceCount: 2, maxInstanceCount: 2 },
      },
      labels: { 'ai-tenant-owner_1': '' },
      annotations: { 'example.com/Note': 'Anything' },
    });
    await w.update({ template: resources('500m', '512M') }, 'template');
    await w.update({ template: resources('4000m', '2Gi') }, 'template');
  });

  it('accepts a sidecar that sets PORT for itself, and containers that have one CPU only together', async () => {
    const w = world();
    const sidecar = {
      name: 'hello',
      image,
      env: [{ name: 'PORT', value: '8888' }],
      resources: { limits: { cpu: '500m', memory: '256Mi' } },
    };
    const [main] = resources('500m', '256Mi').containers as JsonObject[];
    const containers = [{ ...main, ports: [{ containerPort: 8080 }] }, sidecar];
    await w.create({ template: { containers } });
    expect((await w.get()).template).toMatchObject({
      maxInstanceRequestConcurrency: 80,
      containers: [{}, { env: [{ name: 'PORT', value: '8888' }] }],
    });
    const small = { ...sidecar, resources: { limits: { cpu: '100m', memory: '256Mi' } } };
    const service = {
      name,
      template: { containers: [containers[0] as JsonObject, small], maxInstanceRequestConcurrency: 80 },
    };
    expect((await w.refused('Services.UpdateService', { service, updateMask: 'template' })).message).toContain(
      'Total cpu < 1 is not supported with concurrency > 1.',
    );
  });

  it.each([
    ['nvidia-l4', '4', '16Gi', '2', '8Gi'],
    ['nvidia-rtx-pro-6000', '20', '80Gi', '8', '32Gi'],
  ])(
    'accepts a GPU of type %s with %s CPUs and %s, and refuses less',
    async (accelerator, cpu, memory, lessCpu, lessMemory) => {
      const w = world();
      const gpu = (limits: JsonObject) => ({
        ...template({ resources: { limits: { ...limits, 'nvidia.com/gpu': '1' } } }),
        nodeSelector: { accelerator },
      });
      await w.create({ template: gpu({ cpu, memory }) });
      for (const [limits, why] of [
        [{ cpu: lessCpu, memory: lessMemory }, 'limits.cpu'],
        [{ cpu, memory: '8Gi' }, 'limits.memory'],
      ] as const) {
        const request = { service: { name, template: gpu(limits) }, updateMask: 'template' };
        expect((await w.refused('Services.UpdateService', request)).message).toContain(why);
      }
    },
  );
});

describe('what an organization or a registry does not allow', () => {
  const service = { template: template() };
  const create = { parent, serviceId: 'web', service };

  it('is an invoker check switched off, under run.managed.requireInvokerIam', async () => {
    const w = world({ requireInvokerIam: true });
    const open = { ...service, invokerIamDisabled: true };
    expect(await w.refused('Services.CreateService', { ...create, service: open })).toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('run.managed.requireInvokerIam'),
    });
    await w.create(service);
    const update = { service: { name, invokerIamDisabled: true }, updateMask: 'invokerIamDisabled' };
    expect((await w.refused('Services.UpdateService', update)).code).toBe('FAILED_PRECONDITION');
  });

  it('is one member of another domain, which refuses the whole policy, under iam.allowedPolicyMemberDomains', async () => {
    const w = world({ allowedMemberDomains: ['example.com'] });
    await w.create(service);
    const set = (...members: string[]) => ({
      resource: name,
      policy: { bindings: [{ role: 'roles/run.invoker', members }] },
    });
    const good = ['user:a@example.com', 'domain:example.com', 'projectOwner:demo'];
    await w.ok('Services.SetIamPolicy', set(...good));
    for (const bad of ['user:a@example.org', 'group:g@example.org', 'domain:example.org', 'allUsers']) {
      expect(await w.refused('Services.SetIamPolicy', set(...good, bad))).toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringContaining('do not belong to a permitted customer'),
      });
    }
    expect((await w.ok('Services.GetIamPolicy', { resource: name })).bindings).toMatchObject([{ members: good }]);
  });

  it('is an image that the caller may not download', async () => {
    const w = world();
    const repository = 'projects/demo/locations/asia/repositories/repo';
    const permission = 'artifactregistry.repositories.downloadArtifacts';
    const restore = w.core.faults.deny({ permission, resource: repository });
    expect(await w.refused('Services.CreateService', create)).toMatchObject({
      code: 'PERMISSION_DENIED',
      message: `Permission '${permission}' denied on resource '//artifactregistry.googleapis.com/${repository}' (or it may not exist).`,
    });
    restore();
    await w.create(service);
    w.core.faults.deny({ permission });
    await w.update({ description: 'the image stays' }, 'description');
    const other = { template: template({ image: 'asia-docker.pkg.dev/demo/other/app:1' }) };
    const update = { service: { name, ...other }, updateMask: 'template' };
    expect((await w.refused('Services.UpdateService', update)).code).toBe('PERMISSION_DENIED');
  });

  it('is an instance of a disabled account', async () => {
    const w = world();
    await w.addAccount();
    const email = 'sa-web@demo.iam.gserviceaccount.com';
    await w.ok('google.iam.admin.v1.IAM.DisableServiceAccount', { name: `projects/demo/serviceAccounts/${email}` });
    await w.create({ template: template({}, { serviceAccount: email }) });
    await w.runtime.advance(10_000);
    expect(await w.get()).toMatchObject({
      terminalCondition: { state: 'CONDITION_FAILED', message: expect.stringContaining(`${email} is disabled`) },
    });
  });
});
