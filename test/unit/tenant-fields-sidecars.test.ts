import { describe, expect, test } from 'vitest';
import { isSidecarName, usesOf } from '../../operator/tenant/fields/sidecarSpec.ts';
import type { SidecarKey } from '../../operator/tenant/template.ts';
import type { JsonObject } from '../../ports/json.ts';
import { imported, lay, onRecord, specOf, template } from './support/laidFields.ts';

/** What a sidecar of the spec makes of a template, what of another tool's containers is kept, and what messages and `import` say. */

const LIMITS = { cpu: '1', memory: '512Mi' };
const APP = { image: 'app', ports: [{ name: 'http1', containerPort: 8080 }] };
const proxy = (more: object = {}) => ({ sidecars: [{ name: 'proxy', image: 'p:1', ...more }] });
const PROXY = { name: 'proxy', image: 'p:1', resources: { limits: LIMITS } };
/** The key `openai`, as the plan of the keys answers it. */
const key = (at: string, version = '3'): SidecarKey => ({
  sidecar: 'proxy',
  at,
  key: { secret: 'openai-key', projects: ['', 'tenants-1', '123456'], version },
});
const reference = (secret: string, version?: string) => ({
  valueSource: { secretKeyRef: { secret, ...(version !== undefined && { version }) } },
});
const withSidecars = (sidecars: object[], rest: object = {}): JsonObject =>
  template({}, { containers: [APP, ...sidecars], ...rest });
const containersOf = (json: JsonObject) => json.containers as JsonObject[];
const sidecarOf = (json: JsonObject) => containersOf(json)[1];

describe('read from a spec', () => {
  test.each(['a', 'a1', 'proxy', 'main1', 'mainly', 'my-main', `a${'b'.repeat(62)}`])('%s may be a name', name => {
    expect(isSidecarName(name)).toBe(true);
    const { json } = lay('template', template(), { spec: { sidecars: [{ name, image: 'x' }] } });
    expect(sidecarOf(json)).toMatchObject({ name });
  });

  test.each(['', 'main', '1a', 'A', 'a-', '-a', 'a b', 'a.b', 'ä', `a${'b'.repeat(63)}`])('%j may not be one', name => {
    expect(isSidecarName(name)).toBe(false);
    const { json, changes } = lay('template', template(), { spec: { sidecars: [{ name, image: 'x' }] } });
    expect(json).toEqual(template());
    expect(changes).toEqual([]);
  });

  test.each([
    ['no list', { name: 'proxy', image: 'x' }],
    ['an item that is no object', ['proxy']],
    ['an item without a name', [{ image: 'x' }]],
    ['an item without an image', [{ name: 'proxy' }]],
    ['an image that is no text', [{ name: 'proxy', image: 1 }]],
    ['an empty list', []],
  ])('%s counts as none', (_what, sidecars) => {
    expect(specOf({ sidecars }).fields).toBeUndefined();
  });

  test('what has the wrong type is left out, and the rest is written', () => {
    const spec = proxy({
      command: ['/run', 5, '--fast'],
      args: 'all',
      env: [{ name: 'A', value: 'x' }, { name: 'B', value: 7 }, { name: 3, value: 'y' }, 'C'],
      resources: { cpu: 2, memory: '1Gi' },
      port: '9000',
      dependsOn: ['zeta', 'alpha'],
      probes: { startup: { path: '/up' }, liveness: 'yes' },
    });
    expect(sidecarOf(lay('template', template(), { spec }).json)).toEqual({
      name: 'proxy',
      image: 'p:1',
      command: ['/run', '--fast'],
      env: [
        { name: 'A', value: 'x' },
        { name: 'B', value: '' },
      ],
      resources: { limits: { cpu: '2', memory: '1Gi' } },
      dependsOn: ['alpha', 'zeta'],
      startupProbe: { httpGet: { path: '/up', port: 0 } },
    });
  });

  test('a key is used where the spec says: in a variable, in a file or in both, by each sidecar', () => {
    const spec = specOf({
      description: 'x',
      sidecars: [
        {
          name: 'proxy',
          image: 'a',
          keys: [
            { name: 'openai', env: 'TOKEN', file: '/secrets/key' },
            { name: 'other', env: 'B' },
          ],
        },
        {
          name: 'log',
          image: 'b',
          keys: [{ name: 'openai', file: '/k/a' }, { name: 'openai', env: 5, file: {} }, { env: 'X' }],
        },
        { name: 'none', image: 'c' },
      ],
    });
    expect(usesOf(spec, 'openai')).toEqual([
      { sidecar: 'proxy', at: 'TOKEN' },
      { sidecar: 'proxy', at: '/secrets/key' },
      { sidecar: 'log', at: '/k/a' },
    ]);
    expect(usesOf(spec, 'other')).toEqual([{ sidecar: 'proxy', at: 'B' }]);
    expect(usesOf(spec, 'X')).toEqual([]);
    expect(usesOf(specOf({}), 'openai')).toEqual([]);
  });
});

describe('a new sidecar', () => {
  test('has what the spec says and Google’s limits, and nothing else is sent', () => {
    const { json, changes } = lay('template', template(), { spec: proxy() });
    expect(json).toEqual({ containers: [APP, PROXY] });
    expect(changes).toEqual([{ field: 'sidecars.proxy', from: undefined, to: 'p:1' }]);
  });

  test('has every member that the spec says: its port as a variable, its probes on its port, its keys where they are used', () => {
    const spec = proxy({
      command: ['/run'],
      args: ['-v'],
      env: [{ name: 'A', value: 'x' }],
      port: 9000,
      probes: { startup: { tcp: true, periodSeconds: 5 }, liveness: { grpc: 'svc', port: 9001 } },
    });
    const keys = {
      ofSidecars: [key('TOKEN'), key('/secrets/proxy/key', 'latest'), { ...key('OTHER'), sidecar: 'log' }],
    };
    const { json } = lay('template', template({ resources: { cpuIdle: true } }), { spec, keys });
    const volume = expect.stringMatching(/^key-[0-9a-f]{12}$/);
    expect(sidecarOf(json)).toEqual({
      ...PROXY,
      command: ['/run'],
      args: ['-v'],
      env: [
        { name: 'PORT', value: '9000' },
        { name: 'A', value: 'x' },
        { name: 'TOKEN', ...reference('openai-key', '3') },
      ],
      resources: { cpuIdle: true, limits: LIMITS },
      startupProbe: { tcpSocket: { port: 9000 }, periodSeconds: 5 },
      livenessProbe: { grpc: { service: 'svc', port: 9001 } },
      volumeMounts: [{ name: volume, mountPath: '/secrets/proxy' }],
    });
    expect(json.volumes).toEqual([
      { name: volume, secret: { secret: 'openai-key', items: [{ path: 'key', version: 'latest' }] } },
    ]);
    expect(lay('template', json, { spec, keys }).changes).toEqual([]);
  });

  test('two sidecars with a file of the same path have a volume each', () => {
    const spec = {
      sidecars: [
        { name: 'proxy', image: 'a' },
        { name: 'log', image: 'b' },
      ],
    };
    const keys = { ofSidecars: [key('/k/a'), { ...key('/k/a', '5'), sidecar: 'log' }] };
    const { json } = lay('template', template(), { spec, keys });
    expect((json.volumes as JsonObject[]).map(({ secret }) => (secret as JsonObject).items)).toEqual([
      [{ path: 'a', version: '3' }],
      [{ path: 'a', version: '5' }],
    ]);
    expect(lay('template', json, { spec, keys }).changes).toEqual([]);
  });

  test('leaves the port of the container that receives the requests as it is', () => {
    const ports = [{ name: 'h2c', containerPort: 9000 }];
    const { json } = lay('template', template({ ports }), { spec: proxy() });
    expect(containersOf(json)[0]).toEqual({ image: 'app', ports });
  });
});

describe('a sidecar that changes', () => {
  const before = withSidecars(
    [
      {
        name: 'proxy',
        image: 'old',
        command: ['/old'],
        args: ['-x', '-y'],
        env: [
          { name: 'PORT', value: '9000' },
          { name: 'A', value: 'x' },
          { name: 'OLD', value: '' },
          { name: 'TOKEN', ...reference('projects/123456/secrets/openai-key') },
        ],
        resources: { cpuIdle: true, limits: { cpu: '1000m', memory: '1Gi', 'nvidia.com/gpu': '1' } },
        dependsOn: ['log', 'dns'],
        startupProbe: { httpGet: { path: '/a', port: 9000, httpHeaders: [{ name: 'A', value: 'b' }] }, tomorrow: 1 },
        livenessProbe: { tcpSocket: { port: 9000 } },
        workingDir: '/theirs',
      },
      { name: 'log', image: 'l' },
    ],
    { labels: { a: 'b' } },
  );

  test('keeps what the operator does not know, and loses what the spec does not say', () => {
    const spec = proxy({ image: 'new', probes: { startup: { path: '/b', port: 1 } } });
    const { json } = lay('template', before, { spec });
    expect(json).toEqual({
      labels: { a: 'b' },
      containers: [
        APP,
        {
          name: 'proxy',
          image: 'new',
          resources: { cpuIdle: true, limits: { ...LIMITS, 'nvidia.com/gpu': '1' } },
          startupProbe: { httpGet: { path: '/b', port: 1, httpHeaders: [{ name: 'A', value: 'b' }] }, tomorrow: 1 },
          workingDir: '/theirs',
        },
        { name: 'log', image: 'l' },
      ],
    });
  });

  test('each difference is told by its path in the spec; values of variables and words are not shown', () => {
    const spec = proxy({
      image: 'new',
      command: ['/new', '--secret'],
      args: ['-x'],
      env: [
        { name: 'A', value: 'y' },
        { name: 'B', value: 'z' },
      ],
      resources: { cpu: '2', memory: '2Gi' },
      port: 9001,
      dependsOn: ['dns'],
      probes: { liveness: { path: '/', port: 1 } },
    });
    const keys = { ofSidecars: [key('TOKEN'), key('/k/a', 'latest')] };
    expect(lay('template', before, { spec, keys }).changes).toEqual([
      { field: 'sidecars.proxy.image', from: 'old', to: 'new' },
      { field: 'sidecars.proxy.command', from: '(1 words)', to: '(2 words)' },
      { field: 'sidecars.proxy.args', from: '(2 words)', to: '(1 words)' },
      { field: 'sidecars.proxy.env.A', from: '(value)', to: '(value)' },
      { field: 'sidecars.proxy.env.OLD', from: '(value)', to: undefined },
      { field: 'sidecars.proxy.env.B', from: undefined, to: '(value)' },
      { field: 'sidecars.proxy.env.TOKEN', from: 'projects/123456/secrets/openai-key:latest', to: 'openai-key:3' },
      { field: 'sidecars.proxy.files./k/a', from: undefined, to: 'openai-key:latest' },
      { field: 'sidecars.proxy.resources.cpu', from: '1000m', to: '2' },
      { field: 'sidecars.proxy.resources.memory', from: '1Gi', to: '2Gi' },
      { field: 'sidecars.proxy.port', from: '9000', to: '9001' },
      { field: 'sidecars.proxy.dependsOn', from: 'dns, log', to: 'dns' },
      { field: 'sidecars.proxy.probes.startup', from: '{"path":"/a","port":9000}', to: undefined },
      { field: 'sidecars.proxy.probes.liveness', from: '{"tcp":true,"port":9000}', to: '{"path":"/","port":1}' },
    ]);
  });

  test('what has left the spec is told without a new value', () => {
    const spec = proxy({ image: 'old', resources: { memory: '1Gi' } });
    expect(lay('template', before, { spec }).changes.filter(({ to }) => to === undefined)).toEqual([
      { field: 'sidecars.proxy.command', from: '(1 words)', to: undefined },
      { field: 'sidecars.proxy.args', from: '(2 words)', to: undefined },
      { field: 'sidecars.proxy.env.A', from: '(value)', to: undefined },
      { field: 'sidecars.proxy.env.OLD', from: '(value)', to: undefined },
      { field: 'sidecars.proxy.env.TOKEN', from: 'projects/123456/secrets/openai-key:latest', to: undefined },
      { field: 'sidecars.proxy.port', from: '9000', to: undefined },
      { field: 'sidecars.proxy.dependsOn', from: 'dns, log', to: undefined },
      { field: 'sidecars.proxy.probes.startup', from: '{"path":"/a","port":9000}', to: undefined },
      { field: 'sidecars.proxy.probes.liveness', from: '{"tcp":true,"port":9000}', to: undefined },
    ]);
  });

  test('a limit is compared by its value', () => {
    const now = withSidecars([{ name: 'proxy', image: 'p:1', resources: { limits: { cpu: 1, memory: '524288Ki' } } }]);
    expect(lay('template', now, { spec: proxy() }).changes).toEqual([]);
    const without = withSidecars([{ name: 'proxy', image: 'p:1' }]);
    expect(lay('template', without, { spec: proxy() }).changes).toEqual([]);
  });

  test('a reference to the same secret in other words stays as it is', () => {
    const env = [{ name: 'TOKEN', tomorrow: 1, ...reference('projects/123456/secrets/openai-key', '3') }];
    const now = withSidecars([{ ...PROXY, env }]);
    const keys = { ofSidecars: [key('TOKEN')] };
    expect(lay('template', now, { spec: proxy(), keys }).changes).toEqual([]);
    expect(sidecarOf(lay('template', now, { spec: proxy({ image: 'p:2' }), keys }).json)).toMatchObject({ env });
    const newer = { ofSidecars: [key('TOKEN', '4')] };
    const other = withSidecars([
      { ...PROXY, env: [{ name: 'TOKEN', ...reference('projects/9/secrets/openai-key', '3') }] },
    ]);
    for (const [json, wanted, version] of [
      [now, newer, '4'],
      [other, keys, '3'],
    ] as const)
      expect(sidecarOf(lay('template', json, { spec: proxy(), keys: wanted }).json)).toMatchObject({
        env: [{ name: 'TOKEN', ...reference('openai-key', version) }],
      });
  });
});

test('each key of a sidecar keeps its own reference, and takes the place of a plain variable of its name', () => {
  const env = [
    { name: 'OTHER', value: 'x' },
    { name: 'TOKEN', ...reference('projects/123456/secrets/openai-key', '3') },
  ];
  const keys = { ofSidecars: [key('OTHER'), key('TOKEN')] };
  const { json, changes } = lay('template', withSidecars([{ ...PROXY, env }]), { spec: proxy(), keys });
  expect(sidecarOf(json)?.env).toEqual([{ name: 'OTHER', ...reference('openai-key', '3') }, env[1]]);
  expect(changes).toEqual([
    { field: 'sidecars.proxy.env.OTHER', from: '(value)', to: undefined },
    { field: 'sidecars.proxy.env.OTHER', from: undefined, to: 'openai-key:3' },
  ]);
});

describe('the files of a sidecar', () => {
  const volume = (name: string, items: object[] | undefined, secret: object = { secret: 'openai-key' }) => ({
    name,
    secret: { ...secret, ...(items && { items }) },
  });
  const mount = (name: string, mountPath: string, more: object = {}) => ({ name, mountPath, ...more });
  const keys = (version = '3') => ({ ofSidecars: [key('/k/a', version)] });
  const laid = (json: JsonObject, version?: string) => lay('template', json, { spec: proxy(), keys: keys(version) });
  const own = (volumeMounts: object[]) => ({ ...PROXY, volumeMounts });

  test('in a volume of another name, with the secret in other words, is as the spec says', () => {
    const volumes = [
      volume('theirs', [{ path: 'a', version: '3' }], { secret: 'projects/tenants-1/secrets/openai-key' }),
    ];
    expect(laid(withSidecars([own([mount('theirs', '/k')])], { volumes })).changes).toEqual([]);
  });

  test('in volumes of their own stay there when something else changes', () => {
    const volumes = [volume('x', [{ path: 'a', version: '3' }]), volume('y', [{ path: 'b', version: '1' }])];
    const both = { ofSidecars: [key('/k/a'), key('/s/b', '1')] };
    const now = withSidecars([own([mount('x', '/k'), mount('y', '/s')])], { volumes });
    const { json, changes } = lay('template', now, { spec: proxy({ image: 'p:2' }), keys: both });
    expect(changes).toEqual([{ field: 'sidecars.proxy.image', from: 'p:1', to: 'p:2' }]);
    expect(json).toEqual(withSidecars([{ ...own([mount('x', '/k'), mount('y', '/s')]), image: 'p:2' }], { volumes }));
  });

  test('a newer version takes the place of the volume that the operator made', () => {
    const { json: first } = laid(template({}, { volumes: [{ name: 'other', gcs: {} }] }));
    const shared = { ...first, volumes: [...(first.volumes as JsonObject[]), { name: 'last', emptyDir: {} }] };
    const { json, changes } = laid(shared, '4');
    expect(changes).toEqual([{ field: 'sidecars.proxy.files./k/a', from: 'openai-key:3', to: 'openai-key:4' }]);
    const [other, made] = shared.volumes as [JsonObject, JsonObject];
    expect(json.volumes).toEqual([
      other,
      { name: made.name, secret: { secret: 'openai-key', items: [{ path: 'a', version: '4' }] } },
      { name: 'last', emptyDir: {} },
    ]);
    expect(sidecarOf(json)?.volumeMounts).toEqual([{ name: made.name, mountPath: '/k' }]);
  });

  test.each([
    [
      'a second file in its volume',
      [
        { path: 'a', version: '3' },
        { path: 'b', version: '3' },
      ],
      '/k',
      {},
      ['/k/b'],
    ],
    [
      'its volume mounted above its directory',
      [
        { path: 'k/a', version: '3' },
        { path: 'c', version: '' },
      ],
      '',
      {},
      ['/c'],
    ],
  ])('with %s gets a volume of its own', (_what, items, mountPath, more, gone) => {
    const now = withSidecars([own([mount('theirs', mountPath, more)])], { volumes: [volume('theirs', items)] });
    const { json, changes } = laid(now);
    expect(changes.map(({ field, to }) => [field, to])).toEqual(
      gone.map(path => [`sidecars.proxy.files.${path}`, undefined]),
    );
    const name = expect.stringMatching(/^key-/);
    expect(json.volumes).toEqual([{ name, secret: { secret: 'openai-key', items: [{ path: 'a', version: '3' }] } }]);
    expect(sidecarOf(json)?.volumeMounts).toEqual([{ name, mountPath: '/k' }]);
  });

  test.each([
    ['a whole secret', [volume('v', undefined)], mount('v', '/k'), '/k/', 'openai-key:latest'],
    ['a whole secret, with an empty list', [volume('v', [])], mount('v', '/k'), '/k/', 'openai-key:latest'],
    [
      'a part of a volume',
      [volume('v', [{ path: 'a', version: '3' }])],
      mount('v', '/k', { subPath: 's' }),
      '/k/a in s',
      'openai-key:3',
    ],
    ['a volume without a name of a secret', [volume('v', [{ path: 'a' }], {})], mount('v', '/k'), '/k/a', ':latest'],
  ])('%s is no file of the spec and is replaced', (_what, volumes, mounted, path, from) => {
    const { json, changes } = laid(withSidecars([own([mounted])], { volumes }));
    const field = `sidecars.proxy.files.${path}`;
    expect(changes).toContainEqual({ field, from, to: path === '/k/a' ? 'openai-key:3' : undefined });
    expect(json.volumes).toMatchObject([{ secret: { secret: 'openai-key', items: [{ path: 'a', version: '3' }] } }]);
    expect(sidecarOf(json)?.volumeMounts).toMatchObject([{ mountPath: '/k' }]);
  });

  test('a mount without a volume, and one of another kind, stay; one in the directory of a file does not', () => {
    const volumes = [
      { name: 'tmp', emptyDir: {} },
      { name: 'there', emptyDir: {} },
    ];
    const mounts = [mount('nowhere', '/n'), mount('tmp', '/tmp'), mount('there', '/k')];
    const { json, changes } = laid(withSidecars([own(mounts)], { volumes }));
    expect(changes).toEqual([{ field: 'sidecars.proxy.files./k/a', from: undefined, to: 'openai-key:3' }]);
    expect(sidecarOf(json)?.volumeMounts).toMatchObject([{ name: 'nowhere' }, { name: 'tmp' }, { mountPath: '/k' }]);
    expect((json.volumes as JsonObject[]).map(({ name }) => name)).toEqual(['tmp', expect.stringMatching(/^key-/)]);
  });

  test('a file that leaves the spec takes its volume along, unless another container mounts that', () => {
    const volumes = [
      volume('own', [{ path: 'a', version: '3' }]),
      volume('shared', [{ path: 'b', version: '1' }]),
      volume('loose', undefined),
    ];
    const log = { name: 'log', image: 'l', volumeMounts: [mount('shared', '/s')] };
    const now = withSidecars([own([mount('own', '/k'), mount('shared', '/s')]), log], { volumes });
    const { json, changes } = lay('template', now, { spec: proxy() });
    expect(changes).toEqual([
      { field: 'sidecars.proxy.files./k/a', from: 'openai-key:3', to: undefined },
      { field: 'sidecars.proxy.files./s/b', from: 'openai-key:1', to: undefined },
    ]);
    expect(json).toEqual(withSidecars([PROXY, log], { volumes: volumes.slice(1) }));
    const alone = lay('template', withSidecars([own([mount('own', '/k')])], { volumes: volumes.slice(0, 1) }), {
      spec: proxy(),
    });
    expect(alone.json).toEqual(withSidecars([PROXY]));
  });
});

describe('a sidecar that has left the spec', () => {
  const recorded = onRecord('sidecars.proxy');

  test('is removed with its volumes, and no container waits for it', () => {
    const volumes = [
      { name: 'own', emptyDir: {} },
      { name: 'shared', emptyDir: {} },
    ];
    const mounts = (...names: string[]) => ({ volumeMounts: names.map(name => ({ name, mountPath: `/${name}` })) });
    const log = { name: 'log', image: 'l', dependsOn: ['proxy', 'dns'], ...mounts('shared') };
    const now = withSidecars(
      [{ ...PROXY, ...mounts('own', 'shared') }, log, { name: 'dns', image: 'd', dependsOn: ['proxy'] }],
      { volumes },
    );
    const { json, changes } = lay('template', now, { recorded });
    expect(changes).toEqual([{ field: 'sidecars.proxy', from: 'p:1', to: undefined }]);
    expect(json).toEqual(
      withSidecars(
        [
          { ...log, dependsOn: ['dns'] },
          { name: 'dns', image: 'd' },
        ],
        { volumes: volumes.slice(1) },
      ),
    );
  });

  test('changes nothing once it is gone', () => {
    const now = withSidecars([{ name: 'other', image: 'o' }]);
    expect(lay('template', now, { recorded })).toEqual({ json: now, changes: [] });
  });

  test.each(['sidecars.main', 'sidecars.A', 'sidecars.', 'sidecarsx.proxy', 'x.sidecars.proxy'])(
    'an entry for %s removes nothing',
    field => {
      const now = withSidecars([
        { name: 'main', image: 'o' },
        { name: 'A', image: 'o' },
        { name: '', image: 'o' },
        PROXY,
      ]);
      expect(lay('template', now, { recorded: onRecord(field) })).toEqual({ json: now, changes: [] });
    },
  );
});

describe('import', () => {
  const items = (sidecars: object[], rest: object = {}) =>
    imported({ template: withSidecars(sidecars, rest) }, 'sidecars');

  test('reads every member in the words of the spec', () => {
    const container = {
      name: 'proxy',
      image: 'p:1',
      command: ['/run'],
      args: ['-v'],
      env: [
        { name: 'PORT', value: '9000' },
        { name: 'A', value: 'x' },
        { name: 'B' },
        { name: 'TOKEN', ...reference('openai-key', '3') },
        { name: 'OTHER', ...reference('other-key', '') },
      ],
      resources: { limits: { cpu: '2', memory: '1Gi' } },
      dependsOn: ['zeta', 'alpha'],
      startupProbe: { tcpSocket: {}, periodSeconds: 5 },
      livenessProbe: { httpGet: { path: '/up', port: 9001 } },
      volumeMounts: [{ name: 'v', mountPath: '/k' }],
    };
    const volumes = [{ name: 'v', secret: { secret: 'file-key', items: [{ path: 'a' }] } }];
    expect(items([container], { volumes })).toEqual([
      {
        name: 'proxy',
        image: 'p:1',
        command: ['/run'],
        args: ['-v'],
        env: [
          { name: 'A', value: 'x' },
          { name: 'B', value: '' },
        ],
        keys: [
          { secret: 'openai-key', version: '3', env: 'TOKEN' },
          { secret: 'other-key', version: 'latest', env: 'OTHER' },
          { secret: 'file-key', version: 'latest', file: '/k/a' },
        ],
        resources: { cpu: '2', memory: '1Gi' },
        port: 9000,
        dependsOn: ['alpha', 'zeta'],
        probes: { startup: { tcp: true, port: 9000, periodSeconds: 5 }, liveness: { path: '/up', port: 9001 } },
      },
    ]);
  });

  test('leaves out what is Google’s default, also in other words', () => {
    const resources = { limits: { cpu: '1000m', memory: '0.5Gi' } };
    expect(items([{ name: 'proxy', image: 'p:1', resources }])).toEqual([{ name: 'proxy', image: 'p:1' }]);
    expect(items([{ name: 'proxy', image: 'p:1', resources: { limits: { cpu: 2 } } }])).toEqual([
      { name: 'proxy', image: 'p:1', resources: { cpu: '2' } },
    ]);
    expect(items([{ name: 'proxy', image: 'p:1', livenessProbe: { grpc: {} } }])).toEqual([
      { name: 'proxy', image: 'p:1', probes: { liveness: { grpc: '', port: 0 } } },
    ]);
  });

  test.each(['1', '9000', '65535'])('the variable PORT with %s is the port', value => {
    expect(items([{ name: 'proxy', image: 'x', env: [{ name: 'PORT', value }] }])).toEqual([
      { name: 'proxy', image: 'x', port: Number(value) },
    ]);
  });

  test.each(['0', '08', '65536', '123456', '', 'x', '80x', ' 80'])(
    'the variable PORT with %j is a plain one',
    value => {
      expect(items([{ name: 'proxy', image: 'x', env: [{ name: 'PORT', value }] }])).toEqual([
        { name: 'proxy', image: 'x', env: [{ name: 'PORT', value }] },
      ]);
    },
  );

  test('PORT of a secret is a key, and another variable with a number is a plain one', () => {
    const env = [
      { name: 'PORT', ...reference('s', '1') },
      { name: 'SIZE', value: '9000' },
      { name: 'N', value: 7 },
    ];
    expect(items([{ name: 'proxy', image: 'x', env }])).toEqual([
      {
        name: 'proxy',
        image: 'x',
        env: [
          { name: 'SIZE', value: '9000' },
          { name: 'N', value: '7' },
        ],
        keys: [{ secret: 's', version: '1', env: 'PORT' }],
      },
    ]);
  });

  test.each([
    ['each after those that it waits for', [['a', 'b', 'c'], ['b', 'c'], ['c']], ['c', 'b', 'a']],
    ['as they stand, if none waits', [['a'], ['c'], ['b']], ['a', 'c', 'b']],
    [
      'also those in a circle',
      [
        ['a', 'b'],
        ['b', 'a'],
        ['c', 'a'],
      ],
      ['b', 'a', 'c'],
    ],
    ['also those that wait for nobody’s name', [['a', 'nobody'], ['b']], ['a', 'b']],
  ])('has the sidecars in an order that a spec allows: %s', (_what, waits, order) => {
    const found = items(waits.map(([name, ...dependsOn]) => ({ name, image: 'x', dependsOn })));
    expect((found as JsonObject[]).map(({ name }) => name)).toEqual(order);
  });

  test('leaves out containers whose names a spec cannot have', () => {
    expect(
      items([{ name: 'main', image: 'x' }, { image: 'y' }, { name: 'A', image: 'z' }, { name: 'ok', image: 'o' }]),
    ).toEqual([{ name: 'ok', image: 'o' }]);
  });
});

describe('container.dependsOn', () => {
  const spec = (...dependsOn: string[]) => ({ container: { dependsOn } });
  const named = (names: (string | undefined)[], ...dependsOn: string[]) => {
    const containers = names.map((name, at) => ({
      image: 'x',
      ...(at === 0 && { ports: [{}] }),
      ...(name !== undefined && { name }),
    }));
    return containersOf(lay('template', template({}, { containers }), { spec: spec(...dependsOn) }).json)[0];
  };

  test.each([
    ['gets one', [undefined, 'a'], 'main'],
    ['gets one in place of an empty one', ['', 'a'], 'main'],
    ['gets one that no other container has', [undefined, 'main'], 'main-1'],
    ['gets the next free one', [undefined, 'main', 'main-1'], 'main-2'],
    ['keeps the one that it has', ['app', 'a'], 'app'],
  ])('a container without a name cannot wait: it %s', (_what, names, name) => {
    expect(named(names, 'a')).toEqual({ image: 'x', ports: [{}], name, dependsOn: ['a'] });
  });

  test('is compared as a set, and removed whole', () => {
    const now = template({ name: 'app', dependsOn: ['b', 'a'] });
    expect(lay('template', now, { spec: spec('a', 'b') }).changes).toEqual([]);
    expect(lay('template', now, { spec: spec('a') }).changes).toEqual([
      { field: 'container.dependsOn', from: '["b","a"]', to: '["a"]' },
    ]);
    const gone = lay('template', now, { recorded: onRecord('container.dependsOn') });
    expect(gone.json).toEqual(template({ name: 'app' }));
    expect(gone.changes).toEqual([{ field: 'container.dependsOn', from: '["b","a"]', to: undefined }]);
    expect(imported({ template: now }, 'container.dependsOn')).toEqual([['b', 'a']]);
    expect(imported({ template: template() }, 'container.dependsOn')).toEqual([]);
  });
});
