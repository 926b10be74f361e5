import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { imported, lay, onRecord, specOf, template } from './support/laidFields.ts';

/** What each field of the template makes of it, what of it stays, and what messages and `import` say. */

const container = (json: JsonObject): JsonObject => (json.containers as JsonObject[])[0] ?? {};
/** The container that is sent for a spec or for fields that have left it, and the changes. */
const sent = (before: object, spec: object, recorded: string[] = []) => {
  const { json, changes } = lay('template', template(before), { spec, recorded: onRecord(...recorded) });
  const { image: _, ...rest } = container(json);
  return { container: rest, changes };
};
const PORTS = { ports: [{ name: 'http1', containerPort: 8080 }] };

describe.each(['command', 'args'] as const)('container.%s', name => {
  const field = `container.${name}`;

  test.each([[['a', '-b']], [['']], [['', '']], [['a', '']]])(
    '%j is written as it stands, and no check writes it again',
    words => {
      const spec = { container: { [name]: words } };
      const { json, changes } = lay('template', template(), { spec });
      expect(json).toEqual(template({ [name]: words }));
      expect(changes).toEqual([{ field, from: undefined, to: `(${words.length} words)` }]);
      expect(lay('template', json, { spec }).changes).toEqual([]);
    },
  );

  test('an empty list, and leaving the spec, take it off', () => {
    const before = { [name]: ['x'] };
    const changes = [{ field, from: '(1 words)', to: undefined }];
    expect(sent(before, { container: { [name]: [] } })).toEqual({ container: PORTS, changes });
    expect(sent(before, {}, [field])).toEqual({ container: PORTS, changes });
    expect(sent({}, { container: { [name]: [] } }).changes).toEqual([]);
    expect(sent({ [name]: 'x' }, {}, [field]).changes).toEqual([]);
  });

  test('is imported unless it is empty', () => {
    expect(imported({ template: template({ [name]: ['x', 'y'] }) }, field)).toEqual([['x', 'y']]);
    expect(imported({ template: template({ [name]: [] }) }, field)).toEqual([]);
  });
});

test('container.workingDir is written, taken off and imported', () => {
  const spec = { container: { workingDir: '/app' } };
  const field = 'container.workingDir';
  expect(sent({}, spec)).toEqual({
    container: { ...PORTS, workingDir: '/app' },
    changes: [{ field, from: undefined, to: '/app' }],
  });
  expect(sent({ workingDir: '/app' }, {}, [field])).toEqual({
    container: PORTS,
    changes: [{ field, from: '/app', to: undefined }],
  });
  expect(sent({ workingDir: '/app' }, { container: { workingDir: '' } }).container).toEqual(PORTS);
  expect(sent({}, {}, [field]).changes).toEqual([]);
  expect(imported({ template: template({ workingDir: '/app' }) }, field)).toEqual(['/app']);
});

describe('container.port and container.protocol', () => {
  test.each([
    ['the port that others set', [{ name: 'h2c', containerPort: 9000 }], { port: 9000 }, undefined],
    ['Cloud Run’s port by its number', [{ containerPort: 8080 }], { port: 8080 }, undefined],
    ['Cloud Run’s port by nothing', undefined, { port: 8080 }, undefined],
    ['a port of 0', [{ containerPort: 0 }], { port: 8080 }, undefined],
    [
      'another port',
      [{ name: 'h2c', containerPort: 9000, x: 1 }],
      { port: 1 },
      [{ name: 'h2c', containerPort: 1, x: 1 }],
    ],
    ['a port for none', undefined, { port: 9000 }, [{ containerPort: 9000 }]],
    [
      'the protocol beside a port',
      [{ containerPort: 9000 }],
      { protocol: 'H2C' },
      [{ containerPort: 9000, name: 'h2c' }],
    ],
    ['the protocol without a port', undefined, { protocol: 'H2C' }, [{ containerPort: 8080, name: 'h2c' }]],
    ['the protocol back', [{ name: 'h2c' }], { protocol: 'HTTP1' }, [{ containerPort: 8080, name: 'http1' }]],
    ['no name as HTTP/1', [{ containerPort: 1 }], { protocol: 'HTTP1' }, undefined],
    ['another name as HTTP/1', [{ name: 'web' }], { protocol: 'HTTP1' }, undefined],
    [
      'the first of several ports only',
      [{ containerPort: 1 }, { containerPort: 2 }],
      { port: 3 },
      [{ containerPort: 3 }],
    ],
    ['ports that are no list', 'x', { port: 3 }, [{ containerPort: 3 }]],
  ])('%s', (_what, ports, wanted, result) => {
    const before = template({ ports });
    const { json, changes } = lay('template', before, { spec: { container: wanted } });
    expect(container(json).ports).toEqual(result ?? ports);
    expect(changes.length).toBe(result === undefined ? 0 : 1);
  });

  test('go back to Google’s defaults', () => {
    const before = { ports: [{ name: 'h2c', containerPort: 9000 }] };
    expect(sent(before, {}, ['container.port', 'container.protocol'])).toEqual({
      container: PORTS,
      changes: [
        { field: 'container.port', from: '9000', to: '8080' },
        { field: 'container.protocol', from: 'H2C', to: 'HTTP1' },
      ],
    });
    expect(sent({ ports: undefined }, {}, ['container.port', 'container.protocol']).changes).toEqual([]);
  });

  test('are imported where they differ from Google’s', () => {
    const found = template({ ports: [{ name: 'h2c', containerPort: 9000 }] });
    expect(imported({ template: found }, 'container.port')).toEqual([9000]);
    expect(imported({ template: found }, 'container.protocol')).toEqual(['H2C']);
    expect(imported({ template: template() }, 'container.port')).toEqual([]);
    expect(imported({ template: template() }, 'container.protocol')).toEqual([]);
  });

  const googles = (more: object = {}) => ({ periodSeconds: 240, failureThreshold: 1, timeoutSeconds: 240, ...more });
  test.each([
    ['Google’s own on the port', googles({ tcpSocket: { port: 8080 } }), true],
    ['Google’s own without a port', googles({ tcpSocket: {} }), true],
    ['one on another port', googles({ tcpSocket: { port: 7000 } }), false],
    ['an HTTP probe', googles({ httpGet: { path: '/' } }), false],
    ['one with another period', googles({ tcpSocket: {}, periodSeconds: 10 }), false],
    ['one with more attempts', googles({ tcpSocket: {}, failureThreshold: 2 }), false],
  ])('a startup probe goes with the old port only if it is Google’s: %s', (_what, startupProbe, goes) => {
    const { container: written } = sent({ startupProbe }, { container: { port: 9000 } });
    expect(written).toEqual({
      ports: [{ name: 'http1', containerPort: 9000 }],
      ...(!goes && { startupProbe }),
    });
    expect(imported({ template: template({ startupProbe }) }, 'probes.startup').length).toBe(goes ? 0 : 1);
  });
});

describe('probes', () => {
  test('go to the port of the container unless they say another, and keep what the operator does not know', () => {
    const livenessProbe = {
      httpGet: { path: '/old', port: 1, httpHeaders: [{ name: 'A', value: 'b' }] },
      periodSeconds: 3,
    };
    const before = { ports: [{ containerPort: 9000 }], livenessProbe };
    const spec = { probes: { startup: { tcp: true }, liveness: { path: '/up' } } };
    expect(sent(before, spec)).toEqual({
      container: {
        ports: [{ containerPort: 9000 }],
        startupProbe: { tcpSocket: { port: 9000 } },
        livenessProbe: { httpGet: { path: '/up', port: 9000, httpHeaders: [{ name: 'A', value: 'b' }] } },
      },
      changes: [
        { field: 'probes.startup', from: undefined, to: '{"tcp":true,"port":9000}' },
        {
          field: 'probes.liveness',
          from: '{"path":"/old","port":1,"periodSeconds":3}',
          to: '{"path":"/up","port":9000}',
        },
      ],
    });
    const other = sent({}, { probes: { liveness: { grpc: 'x', port: 7 } } });
    expect(other.container.livenessProbe).toEqual({ grpc: { service: 'x', port: 7 } });
  });

  const laid = (livenessProbe: object | undefined, liveness: object) =>
    sent({ livenessProbe }, { probes: { liveness } });
  const DEFAULTS = { initialDelaySeconds: 0, periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3 };

  test('Google’s default numbers mean the same as none, in the spec and on the service', () => {
    const usual = { httpGet: { path: '/up', port: 8080 } };
    expect(laid(usual, { path: '/up', ...DEFAULTS }).changes).toEqual([]);
    expect(laid({ ...usual, ...DEFAULTS }, { path: '/up' }).changes).toEqual([]);
    expect(laid(undefined, { path: '/up', ...DEFAULTS }).container.livenessProbe).toStrictEqual(usual);
    expect(imported({ template: template({ livenessProbe: { ...usual, ...DEFAULTS } }) }, 'probes.liveness')).toEqual([
      { path: '/up', port: 8080 },
    ]);
    for (const [name, number] of Object.entries(DEFAULTS)) {
      const { container: written, changes } = laid({ ...usual, ...DEFAULTS }, { path: '/up', [name]: number + 1 });
      expect(written.livenessProbe).toStrictEqual({ ...usual, [name]: number + 1 });
      expect(changes.map(({ to }) => to)).toEqual([`{"path":"/up","port":8080,"${name}":${number + 1}}`]);
    }
  });

  test('of another kind take the place of the old one; what the operator does not know of the probe itself stays', () => {
    const tcp = { tcpSocket: { port: 1, tomorrow: 1 }, periodSeconds: 5, later: 2 };
    expect(laid(tcp, { path: '/up' }).container.livenessProbe).toStrictEqual({
      later: 2,
      httpGet: { path: '/up', port: 8080 },
    });
    expect(laid(tcp, { grpc: 'svc' }).container.livenessProbe).toStrictEqual({
      later: 2,
      grpc: { service: 'svc', port: 8080 },
    });
    expect(laid({ grpc: { port: 1 } }, { tcp: true, port: 2 }).container.livenessProbe).toStrictEqual({
      tcpSocket: { port: 2 },
    });
    expect(laid({ httpGet: {} }, { tcp: true }).container.livenessProbe).toStrictEqual({ tcpSocket: { port: 8080 } });
  });

  test('without a kind count as absent, and members of the wrong type as none', () => {
    for (const liveness of [{}, { port: 1 }, { path: 1 }, { tcp: 'yes' }, { grpc: true }, 'x'])
      expect(specOf({ probes: { liveness } }).fields).toBeUndefined();
    const { container: written } = laid(undefined, { path: '/up', port: '1', periodSeconds: 1.5, timeoutSeconds: '2' });
    expect(written.livenessProbe).toStrictEqual({ httpGet: { path: '/up', port: 8080 } });
  });

  test('a liveness probe like Google’s startup probe is nobody’s default', () => {
    const livenessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 240, failureThreshold: 1 };
    expect(imported({ template: template({ livenessProbe }) }, 'probes.liveness')).toEqual([
      { tcp: true, port: 8080, periodSeconds: 240, failureThreshold: 1 },
    ]);
  });

  test('a liveness probe is read beside Google’s own startup probe', () => {
    const startupProbe = { tcpSocket: { port: 8080 }, periodSeconds: 240, failureThreshold: 1 };
    const found = template({ startupProbe, livenessProbe: { httpGet: {} } });
    expect(imported({ template: found }, 'probes.liveness')).toEqual([{ path: '/', port: 8080 }]);
    expect(imported({ template: found }, 'probes.startup')).toEqual([]);
  });

  test('that have left the spec are taken off', () => {
    const before = { startupProbe: { tcpSocket: { port: 1 } }, livenessProbe: { grpc: { port: 2 } } };
    expect(sent(before, {}, ['probes.startup', 'probes.liveness'])).toEqual({
      container: PORTS,
      changes: [
        { field: 'probes.startup', from: '{"tcp":true,"port":1}', to: undefined },
        { field: 'probes.liveness', from: '{"grpc":"","port":2}', to: undefined },
      ],
    });
  });
});

describe('CPU', () => {
  const resources = { limits: { cpu: '2' }, cpuIdle: true, startupCpuBoost: true };

  test('between requests holds for every container; limits stay', () => {
    const before = template(
      {},
      {
        containers: [
          { ...PORTS, resources },
          { name: 's', resources: { limits: { cpu: '1' } } },
        ],
      },
    );
    const spec = { resources: { cpuAlways: true } };
    expect(lay('template', before, { spec })).toEqual({
      json: {
        containers: [
          { ...PORTS, resources: { ...resources, cpuIdle: false } },
          { name: 's', resources: { limits: { cpu: '1' }, cpuIdle: false } },
        ],
      },
      changes: [{ field: 'resources.cpuAlways', from: 'false', to: 'true' }],
    });
  });

  test.each([
    ['off', { cpuIdle: true }, false],
    ['on', { cpuIdle: false }, true],
    ['on, as Cloud Run answers false', {}, true],
    ['off, as Cloud Run’s default', undefined, false],
  ])('between requests is read: %s', (_what, found, isOn) => {
    const field = 'resources.cpuAlways';
    expect(imported({ template: template({ resources: found }) }, field)).toEqual(isOn ? [true] : []);
    const { changes, container: written } = sent({ resources: found }, { resources: { cpuAlways: false } });
    expect(changes).toEqual(isOn ? [{ field, from: 'true', to: 'false' }] : []);
    if (isOn) expect(written.resources).toEqual({ cpuIdle: true });
    expect(sent({ resources: found }, {}, [field]).changes.length).toBe(isOn ? 1 : 0);
  });

  test.each([
    ['on', { startupCpuBoost: true }, true],
    ['off', { startupCpuBoost: false }, false],
    ['off, as Cloud Run answers false', {}, false],
    ['on, as Cloud Run’s default', undefined, true],
  ])('at the start is read: %s', (_what, found, isOn) => {
    const field = 'resources.startupBoost';
    expect(imported({ template: template({ resources: found }) }, field)).toEqual(isOn ? [] : [false]);
    const back = sent({ resources: found }, {}, [field]);
    expect(back.changes).toEqual(isOn ? [] : [{ field, from: 'false', to: 'true' }]);
    expect(back.container.resources).toEqual(isOn ? found : { startupCpuBoost: true });
  });

  test('at the start is switched off beside the limits', () => {
    const spec = { resources: { startupBoost: false } };
    expect(sent({ resources }, spec)).toEqual({
      container: { ...PORTS, resources: { ...resources, startupCpuBoost: false } },
      changes: [{ field: 'resources.startupBoost', from: 'true', to: 'false' }],
    });
  });
});

describe('resources.gpu', () => {
  const field = 'resources.gpu';
  const LIMIT = { 'nvidia.com/gpu': '1' };
  const L4 = { accelerator: 'nvidia-l4' };
  const withGpu = (gpu: object) => ({ resources: { gpu } });

  test.each([
    ['with Google’s defaults', { type: 'nvidia-l4' }, { count: 1, zonalRedundancy: false }],
    ['with redundancy', { type: 'nvidia-l4', count: 2, zonalRedundancy: true }, { count: 2, zonalRedundancy: true }],
  ])('is written %s', (_what, gpu, { count, zonalRedundancy }) => {
    const before = template({ resources: { limits: { cpu: '4' }, cpuIdle: false } }, { nodeSelector: { zone: 'a' } });
    const { json, changes } = lay('template', before, { spec: withGpu(gpu) });
    expect(json).toEqual(
      template(
        { resources: { limits: { cpu: '4', 'nvidia.com/gpu': String(count) }, cpuIdle: false } },
        { nodeSelector: { zone: 'a', ...L4 }, ...(!zonalRedundancy && { gpuZonalRedundancyDisabled: true }) },
      ),
    );
    expect(changes).toEqual([
      { field, from: undefined, to: `{"type":"nvidia-l4","count":${count},"zonalRedundancy":${zonalRedundancy}}` },
    ]);
    expect(lay('template', json, { spec: withGpu(gpu) }).changes).toEqual([]);
  });

  test('redundancy that the spec asks for takes the mark off', () => {
    const before = template({ resources: { limits: LIMIT } }, { nodeSelector: L4, gpuZonalRedundancyDisabled: true });
    const { json } = lay('template', before, { spec: withGpu({ type: 'nvidia-l4', zonalRedundancy: true }) });
    expect(json).toEqual(template({ resources: { limits: LIMIT } }, { nodeSelector: L4 }));
  });

  test('that has left the spec goes with its limit, its type and its mark; others’ stay', () => {
    const limits = { cpu: '4', ...LIMIT };
    const gone = (nodeSelector: object) =>
      lay(
        'template',
        template({ resources: { limits, cpuIdle: false } }, { nodeSelector, gpuZonalRedundancyDisabled: true }),
        {
          recorded: onRecord(field),
        },
      ).json;
    const left = { resources: { limits: { cpu: '4' }, cpuIdle: false } };
    expect(gone(L4)).toEqual(template(left));
    expect(gone({ ...L4, zone: 'a' })).toEqual(template(left, { nodeSelector: { zone: 'a' } }));
  });

  test.each([
    [
      'a limit and a type',
      { resources: { limits: LIMIT } },
      { nodeSelector: L4 },
      { type: 'nvidia-l4', count: 1, zonalRedundancy: true },
    ],
    [
      'a type alone',
      {},
      { nodeSelector: L4, gpuZonalRedundancyDisabled: true },
      { type: 'nvidia-l4', count: 0, zonalRedundancy: false },
    ],
    [
      'a limit alone',
      { resources: { limits: { 'nvidia.com/gpu': 2 } } },
      {},
      { type: '', count: 2, zonalRedundancy: true },
    ],
    [
      'neither',
      { resources: { limits: { cpu: '1' } } },
      { nodeSelector: { zone: 'a' }, gpuZonalRedundancyDisabled: true },
      undefined,
    ],
  ])('is imported: %s', (_what, own, rest, gpu) => {
    expect(imported({ template: template(own, rest) }, field)).toEqual(gpu ? [gpu] : []);
  });

  test('without a type counts as absent, and a count or a redundancy of the wrong type as Google’s default', () => {
    expect(specOf(withGpu({ count: 1 })).fields).toBeUndefined();
    expect(specOf(withGpu({ type: 'nvidia-l4', count: '2', zonalRedundancy: 'yes' })).fields).toEqual({
      [field]: { type: 'nvidia-l4', count: 1, zonalRedundancy: false },
    });
  });
});

describe.each([
  ['executionEnvironment', 'Gen1', 'EXECUTION_ENVIRONMENT_GEN1', undefined],
  ['executionEnvironment', 'Gen2', 'EXECUTION_ENVIRONMENT_GEN2', undefined],
  ['sessionAffinity', true, true, 'false'],
] as const)('%s: %s', (name, word, json, usual) => {
  test('is written, taken off and imported', () => {
    const spec = { [name]: word };
    const changes = [{ field: name, from: usual, to: String(word) }];
    expect(lay('template', template(), { spec })).toEqual({ json: template({}, { [name]: json }), changes });
    const before = template({}, { [name]: json });
    expect(lay('template', before, { spec }).changes).toEqual([]);
    expect(lay('template', before, { recorded: onRecord(name) })).toEqual({
      json: template(),
      changes: [{ field: name, from: String(word), to: usual }],
    });
    expect(imported({ template: before }, name)).toEqual([word]);
    expect(imported({ template: template() }, name)).toEqual([]);
  });
});

test('an execution environment that is not said, or that the spec has no word for', () => {
  for (const found of [undefined, null, 'EXECUTION_ENVIRONMENT_UNSPECIFIED'])
    expect(imported({ template: template({}, { executionEnvironment: found }) }, 'executionEnvironment')).toEqual([]);
  const newer = template({}, { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN3' });
  expect(lay('template', newer, { spec: { executionEnvironment: 'Gen2' } }).changes).toEqual([
    { field: 'executionEnvironment', from: 'EXECUTION_ENVIRONMENT_GEN3', to: 'Gen2' },
  ]);
});

test('sessionAffinity: false takes it off', () => {
  const before = template({}, { sessionAffinity: true });
  expect(lay('template', before, { spec: { sessionAffinity: false } }).json).toEqual(template());
});
