import { describe, expect, test } from 'vitest';
import type { ObservedService, Step } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import {
  absent,
  atRest,
  cloud,
  entry,
  grantTo,
  invokedBy,
  keyA,
  MEMBER,
  OPENAI,
  planFor,
  present,
  REGION,
  SECRET,
  SERVICE,
  seen,
  sentFields,
  serviceA,
  templateA,
  UID,
} from './support/tenantWorld.ts';

/** Keys that only sidecars use, and what of a service is whose. The life of a sidecar is in tenant-fields.test.ts. */

const KEY = { name: 'openai', secretRef: OPENAI.secretRef };
const sidecar = (use: JsonObject = { env: 'TOKEN' }): JsonObject => ({
  name: 'proxy',
  image: 'gcr.io/acme/proxy:1',
  keys: [{ name: 'openai', ...use }],
});
const spec = (use?: JsonObject) => ({ keys: [KEY], sidecars: [sidecar(use)] });
const FIELD = entry({ type: 'Field', name: SERVICE, field: 'sidecars.proxy' });
const inventory = [...atRest.filter(({ type }) => type !== 'Variable'), FIELD];

/** The service as the operator writes it for the spec. */
function writtenFor(use?: JsonObject): ObservedService {
  const { steps } = planFor({ spec: spec(use), cloud: { services: [seen(present(serviceA()))] } });
  const { template } = sentFields(steps[0] as Step) as { template: JsonObject };
  return serviceA({ template });
}

describe.each([
  ['variable', { env: 'TOKEN' }, 'env.TOKEN'],
  ['file', { file: '/secrets/proxy/key' }, 'files./secrets/proxy/key'],
])('a key that only a sidecar uses, as a %s', (_how, use, path) => {
  const version = (number: number) => ({ ...keyA(), version: present({ version: number, state: 'ENABLED' as const }) });
  const withVersion = (number: number) =>
    planFor({
      spec: spec(use),
      status: { inventory },
      cloud: { services: [seen(present(writtenFor(use)))], keys: [version(number)] },
    });

  test('is pinned, and the next check changes nothing', () => {
    expect(withVersion(3).steps).toEqual([]);
    expect(withVersion(3).blockers).toEqual([]);
  });

  test('rolls a revision for a newer version, which is no drift', () => {
    const { steps } = withVersion(4);
    expect(steps[0]?.changes).toEqual([{ field: `sidecars.proxy.${path}`, from: 'openai-key:3', to: 'openai-key:4' }]);
    expect(steps[0]?.drift).toBe(false);
  });

  test('never goes back to an older version, also if the status has lost the newer one', () => {
    const { steps, blockers } = planFor({
      spec: spec(use),
      status: { inventory, keys: [] },
      cloud: { services: [seen(present(writtenFor(use)))], keys: [version(2)] },
    });
    expect(steps).toEqual([]);
    expect(blockers[0]?.message).toContain('version 3 of openai-key was live');
  });

  test('freezes the template while it is not usable', () => {
    const { steps, blockers } = planFor({
      spec: { ...spec(use), timeoutSeconds: 77 },
      status: { inventory },
      cloud: { services: [seen(present(writtenFor(use)))], keys: [keyA({ secret: absent, policy: undefined })] },
    });
    expect(steps).toEqual([]);
    expect(blockers[0]?.reason).toBe('DependencyNotFound');
  });

  test('keeps its grant until no revision whose sidecar reads it serves', () => {
    const other = { name: 'other', secretRef: { external: 'other-key' } };
    const planned = (service: ObservedService) =>
      planFor({
        spec: { keys: [other] },
        status: { inventory: [...inventory, entry({ type: 'SecretAccess', name: SECRET, uniqueId: UID })] },
        cloud: {
          services: [seen(present(service))],
          keys: [],
          formerGrants: [
            {
              secret: SECRET,
              policy: present(grantTo(MEMBER)),
              read: present({ name: SECRET, labels: { 'ai-tenant-namespace': 'team' } }),
            },
          ],
        },
      }).steps.map(({ verb }) => verb);
    expect(planned(writtenFor(use))).not.toContain('Revoke');
    expect(planned(serviceA({ template: templateA({}, { env: [] }) }))).toContain('Revoke');
  });
});

test('what others have added stays: other containers, mounts of other volumes, and fields that are not known', () => {
  const theirs = { name: 'theirs', image: 'x', volumeMounts: [{ name: 'shared', mountPath: '/v' }] };
  const own = {
    name: 'proxy',
    image: 'old',
    tomorrow: { a: 1 },
    volumeMounts: [{ name: 'shared', mountPath: '/v' }],
    resources: { limits: { cpu: '1', memory: '512Mi' }, tomorrow: true },
  };
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const template = templateA({ containers: [main, own, theirs], volumes: [{ name: 'shared', emptyDir: {} }] });
  const given = { sidecars: [{ name: 'proxy', image: 'new' }] };
  const { steps } = planFor({ spec: given, cloud: { services: [seen(present(serviceA({ template })))] } });
  expect(steps[0]?.changes).toEqual([{ field: 'sidecars.proxy.image', from: 'old', to: 'new' }]);
  const sent = sentFields(steps[0] as Step) as { template: { containers: JsonObject[]; volumes: JsonObject[] } };
  expect(sent.template.containers.slice(1)).toEqual([
    expect.objectContaining({ image: 'new', tomorrow: { a: 1 }, volumeMounts: own.volumeMounts }),
    theirs,
  ]);
  expect(sent.template.containers[1]?.resources).toMatchObject({ tomorrow: true });

  const gone = planFor({
    status: { inventory: [...atRest, FIELD] },
    cloud: { services: [seen(present(serviceA({ template })))] },
  });
  expect(gone.steps[0]?.changes).toEqual([{ field: 'sidecars.proxy', from: 'old', to: undefined }]);
  expect(sentFields(gone.steps[0] as Step)).toMatchObject({
    template: { containers: [{}, theirs], volumes: [{ name: 'shared' }] },
  });
});

test('a new sidecar stands beside those that others have added, and the container gets the port that it had by default', () => {
  const theirs = { name: 'theirs', image: 'x', env: [{ name: 'A', value: 'b' }] };
  const { containers: [{ ports: _, ...main } = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const template = templateA({ containers: [main, theirs] });
  const given = {
    sidecars: [
      { name: 'proxy', image: 'a' },
      { name: 'other', image: 'b' },
    ],
  };
  const { steps } = planFor({ spec: given, cloud: { services: [seen(present(serviceA({ template })))] } });
  const sent = sentFields(steps[0] as Step) as { template: { containers: JsonObject[] } };
  expect(sent.template.containers).toEqual([
    { ...main, ports: [{ name: 'http1', containerPort: 8080 }] },
    theirs,
    expect.objectContaining({ name: 'proxy' }),
    expect.objectContaining({ name: 'other' }),
  ]);
});

test('a sidecar that is removed is no longer waited for by any container', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const containers = [
    { ...main, name: 'app', dependsOn: ['proxy', 'theirs'] },
    { name: 'proxy', image: 'a' },
    { name: 'theirs', image: 'b', dependsOn: ['proxy'] },
  ];
  const { steps } = planFor({
    status: { inventory: [...atRest, FIELD] },
    cloud: { services: [seen(present(serviceA({ template: templateA({ containers }) })))] },
  });
  const sent = sentFields(steps[0] as Step) as { template: { containers: JsonObject[] } };
  expect(sent.template.containers.map(({ name, dependsOn }) => [name, dependsOn])).toEqual([
    ['app', ['theirs']],
    ['theirs', undefined],
  ]);
});

test('CPU between requests holds for all containers of the instance', () => {
  const given = { sidecars: [{ name: 'proxy', image: 'a' }], resources: { cpuAlways: true } };
  const { steps } = planFor({ spec: given, cloud: cloud({ services: [seen(absent)] }) });
  const create = steps.find(({ verb }) => verb === 'Create')?.call as unknown as { service: { template: JsonObject } };
  const all = create.service.template.containers as { resources: JsonObject }[];
  expect(all.map(({ resources }) => resources.cpuIdle)).toEqual([false, false]);
});

test('a file whose volume others have mounted above its directory stays where it is when the sidecar changes', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const own = { name: 'proxy', image: 'old', volumeMounts: [{ name: 'theirs', mountPath: '/secrets' }] };
  const volumes = [{ name: 'theirs', secret: { secret: 'openai-key', items: [{ path: 'proxy/key', version: '3' }] } }];
  const service = serviceA({ template: templateA({ containers: [main, own], volumes }) });
  const use = { file: '/secrets/proxy/key' };
  const planned = (image: string) =>
    planFor({
      spec: { ...spec(use), sidecars: [{ ...sidecar(use), image }] },
      status: { inventory },
      cloud: { services: [seen(present(service))] },
    });
  expect(planned('old').steps).toEqual([]);
  const sent = sentFields(planned('new').steps[0] as Step) as {
    template: { containers: { volumeMounts?: JsonObject[] }[]; volumes: JsonObject[] };
  };
  const [mount] = sent.template.containers[1]?.volumeMounts ?? [];
  expect(mount?.mountPath).toBe('/secrets/proxy');
  expect(sent.template.volumes).toEqual([
    { name: mount?.name, secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }] } },
  ]);
});

test('a file takes the place of what others have mounted in its directory', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const own = {
    name: 'proxy',
    image: 'gcr.io/acme/proxy:1',
    volumeMounts: [{ name: 'theirs', mountPath: '/secrets' }],
  };
  const template = templateA({ containers: [main, own], volumes: [{ name: 'theirs', emptyDir: {} }] });
  const { steps } = planFor({
    spec: spec({ file: '/secrets/key' }),
    status: { inventory },
    cloud: { services: [seen(present(serviceA({ template })))] },
  });
  const sent = sentFields(steps[0] as Step) as {
    template: { containers: { volumeMounts?: JsonObject[] }[]; volumes: JsonObject[] };
  };
  expect(sent.template.containers[1]?.volumeMounts?.map(({ mountPath }) => mountPath)).toEqual(['/secrets']);
  expect(sent.template.volumes).toMatchObject([{ secret: { secret: 'openai-key' } }]);
});

test('the order of what a sidecar waits for means nothing', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const limits = { cpu: '1', memory: '512Mi' };
  const startupProbe = { tcpSocket: { port: 4000 } };
  const containers = [
    main,
    { name: 'a', image: 'a', resources: { limits }, startupProbe },
    { name: 'b', image: 'b', resources: { limits }, startupProbe },
    { name: 'c', image: 'c', resources: { limits }, dependsOn: ['a', 'b'] },
  ];
  const probes = { startup: { tcp: true, port: 4000 } };
  const sidecars = [
    { name: 'a', image: 'a', probes },
    { name: 'b', image: 'b', probes },
    { name: 'c', image: 'c', dependsOn: ['b', 'a'] },
  ];
  const { steps } = planFor({
    spec: { sidecars },
    status: { inventory: atRest },
    cloud: { services: [seen(present(serviceA({ template: templateA({ containers }) })))] },
  });
  expect(steps).toEqual([]);
});

test('a newer version of a file is mounted beside a volume that a sidecar of others mounts too', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const volumeMounts = [{ name: 'shared', mountPath: '/secrets' }];
  const shared = { name: 'shared', secret: { secret: 'openai-key', items: [{ path: 'key', version: '2' }] } };
  const theirs = { name: 'theirs', image: 'x', volumeMounts };
  const template = templateA({ containers: [{ ...main, volumeMounts }, theirs], volumes: [shared] });
  const { steps } = planFor({
    spec: { keys: [{ ...OPENAI, file: '/secrets/key' }] },
    cloud: { services: [seen(present(serviceA({ template })))] },
  });
  const sent = sentFields(steps[0] as Step) as {
    template: { containers: { volumeMounts?: JsonObject[] }[]; volumes: JsonObject[] };
  };
  const name = sent.template.containers[0]?.volumeMounts?.[0]?.name;
  expect(sent.template.containers[1]).toEqual(theirs);
  expect(sent.template.volumes).toEqual([
    shared,
    { name, secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }] } },
  ]);
});

describe('a volume of the spec with the name of one of another kind', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const volumeMounts = [{ name: 'cache', mountPath: '/c' }];
  const volumes = [{ name: 'cache', gcs: { bucket: 'theirs' } }];
  const given = { volumes: [{ name: 'cache', mountPath: '/cache', emptyDir: {} }] };
  const planned = (containers: JsonObject[]) =>
    planFor({
      spec: given,
      cloud: { services: [seen(present(serviceA({ template: templateA({ containers, volumes }) })))] },
    });

  test('that a sidecar of others mounts is told, and that volume stays', () => {
    const { steps, blockers } = planned([main, { name: 'theirs', image: 'x', volumeMounts }]);
    expect(steps).toEqual([]);
    expect(blockers[0]?.message).toMatch(/^spec\.volumes has cache, .* container theirs mounts\. Choose another name/);
  });

  test('that only the container of the spec mounts is replaced', () => {
    const { steps } = planned([{ ...main, volumeMounts }]);
    expect(sentFields(steps[0] as Step)).toMatchObject({
      template: {
        containers: [{ volumeMounts: [{ name: 'cache', mountPath: '/cache' }] }],
        volumes: [{ name: 'cache', emptyDir: {} }],
      },
    });
  });
});

describe('the name of a sidecar that the container which receives the requests has', () => {
  const { containers: [main = {}] = [] } = templateA() as { containers?: JsonObject[] };
  const service = serviceA({ template: templateA({ containers: [{ ...main, name: 'proxy' }] }) });
  const given = { sidecars: [{ name: 'proxy', image: 'a' }], timeoutSeconds: 77 };

  test('is told, and the template stays as it is', () => {
    const { steps, blockers } = planFor({ spec: given, cloud: { services: [seen(present(service))] } });
    expect(steps).toEqual([]);
    expect(blockers).toMatchObject([{ aspect: 'Service', reason: 'InvalidSpec' }]);
    expect(blockers[0]?.message).toMatch(/^spec\.sidecars has proxy, .* Choose another name for the sidecar\./);
  });

  test('does not keep the service from being closed', () => {
    const { steps } = planFor({
      spec: { ...given, access: 'Authenticated', ingress: 'Internal' },
      cloud: { services: [seen(present(service))] },
    });
    expect(steps.map(({ changes }) => changes?.map(({ field }) => field))).toEqual([['access'], ['ingress']]);
  });

  test('stops a move before anything is made', () => {
    const { steps, blockers } = planFor({
      spec: { ...given, region: 'us-central1' },
      status: { inventory: atRest },
      cloud: {
        services: [
          seen(absent, 'us-central1', present(invokedBy())),
          seen(present(service), REGION, present(invokedBy())),
        ],
      },
    });
    expect(steps.map(({ verb }) => verb)).not.toContain('Create');
    expect(blockers.map(({ message }) => message).join()).toContain('goes on');
  });
});
