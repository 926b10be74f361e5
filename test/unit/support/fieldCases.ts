import type { Json, JsonObject } from '../../../ports/json.ts';

/**
 * For each optional field of the spec: two values, and what Cloud Run's JSON must have for them. Written by hand from Google's
 * documentation and not from the operator's table, so that the tests find a wrong row. A field of the table without a case here fails
 * the test.
 */
export interface FieldCase {
  /** As in the table. A key of a map is written out: `labels.team`. */
  path: string;
  values: [first: Json, second: Json];
  /** The fields of Cloud Run's Service that each value stands for; `template` as a whole subset. */
  json: [first: JsonObject, second: JsonObject];
  /** The value of another tool, as Cloud Run's JSON, which no spec names. */
  others: JsonObject;
  /** What somebody makes of the field by hand while it is the operator's. Absent: `others`, or the second value. */
  drift?: JsonObject;
  /** Google's default, as the service has it before anybody sets the field: compared where `json` has a key. */
  unset: JsonObject;
  /** What the spec needs besides. */
  around?: JsonObject;
  /** The fields of the spec, if the path does not say them. */
  spec?(value: Json | undefined): JsonObject;
  /** For a field that names something of a region: the spec with a value for both regions, and what the service there must have. */
  elsewhere?: { [name: string]: Json | undefined };
  jsonElsewhere?: JsonObject;
  /** For a field that stays: the value that opens it, or none. */
  opens?: Json;
  stays?: true;
  /** Values that kubectl apply refuses, with a part of the message. */
  refused: [value: Json, message: string][];
}

/** A template in which the only container has these fields. */
const main = (container: { [name: string]: Json | undefined | { [name: string]: Json | undefined } }): JsonObject =>
  ({ template: { containers: [container] } }) as JsonObject;
export const kmsKey = (region: string, name: string): string =>
  `projects/demo-project/locations/${region}/keyRings/ring/cryptoKeys/${name}`;

const file = (version: string): JsonObject => ({
  template: {
    volumes: [{ secret: { secret: 'key-1', items: [{ path: 'key', version }] } }],
    containers: [{ volumeMounts: [{ mountPath: '/secrets/openai' }] }],
  },
});

export const FIELD_CASES: FieldCase[] = [
  {
    path: 'labels.team',
    values: ['red', 'blue'],
    json: [{ labels: { team: 'red' } }, { labels: { team: 'blue' } }],
    others: { labels: { team: 'green' } },
    unset: { labels: { team: undefined } },
    refused: [['Red', 'must be lower-case letters']],
  },
  {
    path: 'annotations.example.com/team',
    values: ['Red team', 'Blue team'],
    json: [{ annotations: { 'example.com/team': 'Red team' } }, { annotations: { 'example.com/team': 'Blue team' } }],
    others: { annotations: { 'example.com/team': 'Green team' } },
    unset: { annotations: { 'example.com/team': undefined } },
    refused: [['x'.repeat(1025), 'may not be more than 1024']],
  },
  {
    path: 'description',
    values: ['The first', 'The second'],
    json: [{ description: 'The first' }, { description: 'The second' }],
    others: { description: 'By hand' },
    unset: { description: undefined },
    refused: [['x'.repeat(513), 'may not be more than 512']],
  },
  {
    path: 'ingress',
    values: ['Internal', 'InternalAndLoadBalancer'],
    json: [{ ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }, { ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER' }],
    others: { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' },
    unset: { ingress: 'INGRESS_TRAFFIC_ALL' },
    stays: true,
    opens: 'All',
    refused: [['all', 'supported values: "All", "Internal", "InternalAndLoadBalancer"']],
  },
  {
    path: 'defaultUrl',
    values: ['Disabled', 'Enabled'],
    json: [{ defaultUriDisabled: true }, { defaultUriDisabled: undefined }],
    others: { defaultUriDisabled: true },
    unset: { defaultUriDisabled: undefined },
    stays: true,
    opens: 'Enabled',
    refused: [[true as Json, 'must be of type string']],
  },
  {
    path: 'customAudiences',
    values: [['https://a.example.com', 'https://b.example.com'], ['https://b.example.com']],
    json: [
      { customAudiences: ['https://a.example.com', 'https://b.example.com'] },
      { customAudiences: ['https://b.example.com'] },
    ],
    others: { customAudiences: ['https://c.example.com'] },
    unset: { customAudiences: undefined },
    refused: [[[''], 'should be at least 1 chars long']],
  },
  {
    path: 'iap',
    around: { access: 'Authenticated' },
    values: ['Enabled', 'Disabled'],
    json: [{ iapEnabled: true }, { iapEnabled: undefined }],
    others: { iapEnabled: true },
    unset: { iapEnabled: undefined },
    stays: true,
    opens: 'Disabled',
    refused: [['On', 'supported values: "Enabled", "Disabled"']],
  },
  {
    path: 'binaryAuthorization',
    values: ['Default', 'Default'],
    json: [{ binaryAuthorization: { useDefault: true } }, { binaryAuthorization: { useDefault: true } }],
    others: { binaryAuthorization: { policy: 'projects/demo-project/platforms/cloudRun/policies/own' } },
    unset: { binaryAuthorization: undefined },
    stays: true,
    refused: [['None', 'supported values: "Default"']],
  },
  {
    path: 'scaling.manualInstances',
    values: [3, 4],
    json: [
      { scaling: { scalingMode: 'MANUAL', manualInstanceCount: 3 } },
      { scaling: { scalingMode: 'MANUAL', manualInstanceCount: 4 } },
    ],
    // minInstances and maxInstances always have a value, so a mode that others set does not survive.
    others: {},
    unset: { scaling: { manualInstanceCount: undefined } },
    refused: [[0, 'should be greater than or equal to 1']],
  },
  {
    path: 'container.command',
    values: [['/app/start', '--fast'], ['/app/other']],
    json: [main({ command: ['/app/start', '--fast'] }), main({ command: ['/app/other'] })],
    others: main({ command: ['sh', '-c', 'x'] }),
    unset: main({ command: undefined }),
    refused: [['/app/start', 'must be of type array']],
  },
  {
    path: 'container.args',
    values: [['a', ''], ['b']],
    json: [main({ args: ['a', ''] }), main({ args: ['b'] })],
    others: main({ args: ['by hand'] }),
    unset: main({ args: undefined }),
    refused: [[['x'.repeat(1025)], 'may not be more than 1024']],
  },
  {
    path: 'container.workingDir',
    values: ['/app', '/srv'],
    json: [main({ workingDir: '/app' }), main({ workingDir: '/srv' })],
    others: main({ workingDir: '/by-hand' }),
    unset: main({ workingDir: undefined }),
    refused: [['app', 'must be an absolute path']],
  },
  {
    path: 'container.port',
    values: [9000, 9001],
    // Google's startup probe follows the port.
    json: [
      main({ ports: [{ name: 'http1', containerPort: 9000 }], startupProbe: { tcpSocket: { port: 9000 } } }),
      main({ ports: [{ name: 'http1', containerPort: 9001 }], startupProbe: { tcpSocket: { port: 9001 } } }),
    ],
    others: main({ ports: [{ name: 'http1', containerPort: 7000 }] }),
    unset: main({ ports: [{ name: 'http1', containerPort: 8080 }], startupProbe: { tcpSocket: { port: 8080 } } }),
    refused: [[0, 'should be greater than or equal to 1']],
  },
  {
    path: 'container.protocol',
    values: ['H2C', 'HTTP1'],
    json: [main({ ports: [{ name: 'h2c', containerPort: 8080 }] }), main({ ports: [{ name: 'http1' }] })],
    others: main({ ports: [{ name: 'h2c', containerPort: 8080 }] }),
    unset: main({ ports: [{ name: 'http1', containerPort: 8080 }] }),
    opens: 'HTTP1',
    refused: [['HTTP2', 'supported values: "HTTP1", "H2C"']],
  },
  {
    path: 'probes.startup',
    values: [
      { path: '/health', periodSeconds: 5, failureThreshold: 12 },
      { tcp: true, port: 8080, timeoutSeconds: 2 },
    ],
    json: [
      main({ startupProbe: { httpGet: { path: '/health', port: 8080 }, periodSeconds: 5, failureThreshold: 12 } }),
      main({ startupProbe: { tcpSocket: { port: 8080 }, timeoutSeconds: 2 } }),
    ],
    others: main({
      startupProbe: { httpGet: { path: '/by-hand', port: 8080, httpHeaders: [{ name: 'A', value: 'b' }] } },
    }),
    unset: main({ startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 240, failureThreshold: 1 } }),
    refused: [
      [{ path: '/a', tcp: true }, 'set exactly one of path, tcp and grpc'],
      [{ path: 'a' }, 'must start with "/"'],
      [{ path: '/a', periodSeconds: 100 }, 'the instance has 240 seconds to start'],
      [{ path: '/a', timeoutSeconds: 11 }, 'timeoutSeconds must not be more than periodSeconds'],
    ],
  },
  {
    path: 'probes.liveness',
    values: [
      { path: '/alive', periodSeconds: 30 },
      { grpc: 'backend', port: 8080 },
    ],
    json: [
      main({ livenessProbe: { httpGet: { path: '/alive', port: 8080 }, periodSeconds: 30 } }),
      main({ livenessProbe: { grpc: { service: 'backend', port: 8080 } } }),
    ],
    others: main({ livenessProbe: { httpGet: { path: '/by-hand', port: 8080 } } }),
    unset: main({ livenessProbe: undefined }),
    refused: [[{ tcp: true }, 'set exactly one of path and grpc']],
  },
  {
    path: 'resources.cpuAlways',
    values: [true, false],
    json: [main({ resources: { cpuIdle: undefined } }), main({ resources: { cpuIdle: true } })],
    others: main({ resources: { cpuIdle: false } }),
    unset: main({ resources: { cpuIdle: true } }),
    opens: false,
    refused: [['yes', 'must be of type boolean']],
  },
  {
    path: 'resources.startupBoost',
    values: [false, true],
    json: [main({ resources: { startupCpuBoost: undefined } }), main({ resources: { startupCpuBoost: true } })],
    others: main({ resources: { startupCpuBoost: false } }),
    unset: main({ resources: { startupCpuBoost: true } }),
    refused: [[1, 'must be of type boolean']],
  },
  {
    path: 'resources.gpu',
    around: { resources: { cpu: '4', memory: '16Gi', cpuAlways: true } },
    values: [
      { type: 'nvidia-l4', count: 1, zonalRedundancy: false },
      { type: 'nvidia-l4', count: 1, zonalRedundancy: true },
    ],
    json: [
      {
        template: {
          nodeSelector: { accelerator: 'nvidia-l4' },
          gpuZonalRedundancyDisabled: true,
          containers: [{ resources: { limits: { 'nvidia.com/gpu': '1' } } }],
        },
      },
      { template: { nodeSelector: { accelerator: 'nvidia-l4' }, gpuZonalRedundancyDisabled: undefined } },
    ],
    others: {
      template: {
        nodeSelector: { accelerator: 'nvidia-l4' },
        containers: [{ resources: { limits: { 'nvidia.com/gpu': '1' } } }],
      },
    },
    unset: {
      template: { nodeSelector: undefined, containers: [{ resources: { limits: { 'nvidia.com/gpu': undefined } } }] },
    },
    refused: [
      [{ type: 'nvidia-t4' }, 'supported values: "nvidia-l4"'],
      [{ type: 'nvidia-l4', count: 2 }, 'should be less than or equal to 1'],
    ],
  },
  {
    path: 'executionEnvironment',
    values: ['Gen2', 'Gen1'],
    json: [
      { template: { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2' } },
      { template: { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN1' } },
    ],
    others: { template: { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2' } },
    unset: { template: { executionEnvironment: undefined } },
    refused: [['gen2', 'supported values: "Gen1", "Gen2"']],
  },
  {
    path: 'sessionAffinity',
    values: [true, false],
    json: [{ template: { sessionAffinity: true } }, { template: { sessionAffinity: undefined } }],
    others: { template: { sessionAffinity: true } },
    unset: { template: { sessionAffinity: undefined } },
    refused: [['on', 'must be of type boolean']],
  },
  {
    path: 'encryptionKey',
    values: [kmsKey('asia-northeast1', 'one'), kmsKey('asia-northeast1', 'two')],
    elsewhere: { encryptionKey: { 'us-central1': kmsKey('us-central1', 'one') } },
    json: [
      { template: { encryptionKey: kmsKey('asia-northeast1', 'one') } },
      { template: { encryptionKey: kmsKey('asia-northeast1', 'two') } },
    ],
    jsonElsewhere: { template: { encryptionKey: kmsKey('us-central1', 'one') } },
    others: { template: { encryptionKey: kmsKey('global', 'by-hand') } },
    unset: { template: { encryptionKey: undefined } },
    stays: true,
    refused: [['my-key', 'should match']],
  },
  {
    path: 'network',
    values: [
      { network: 'shared', subnetwork: 'tokyo', tags: ['a', 'b'], egress: 'AllTraffic' },
      { connector: 'vpc-1', egress: 'PrivateRangesOnly' },
    ],
    elsewhere: { network: { subnetwork: { 'us-central1': 'iowa', 'asia-northeast1': 'tokyo' } } },
    json: [
      {
        template: {
          vpcAccess: {
            egress: 'ALL_TRAFFIC',
            networkInterfaces: [{ network: 'shared', subnetwork: 'tokyo', tags: ['a', 'b'] }],
            connector: undefined,
          },
        },
      },
      {
        template: {
          vpcAccess: {
            egress: 'PRIVATE_RANGES_ONLY',
            connector: 'projects/demo-project/locations/asia-northeast1/connectors/vpc-1',
            networkInterfaces: undefined,
          },
        },
      },
    ],
    jsonElsewhere: { template: { vpcAccess: { networkInterfaces: [{ subnetwork: 'iowa' }] } } },
    // A short name of a subnetwork is one of each region, so it does not stop a move.
    others: { template: { vpcAccess: { egress: 'ALL_TRAFFIC' } } },
    unset: { template: { vpcAccess: undefined } },
    stays: true,
    refused: [
      [{ subnetwork: 'a', connector: 'b' }, 'must validate one and only one schema (oneOf)'],
      [{ connector: 'b', tags: ['a'] }, 'must validate one and only one schema (oneOf)'],
      [{ subnetwork: 'a/b' }, 'should match'],
      [{ egress: 'AllTraffic' }, 'must validate one and only one schema (oneOf)'],
    ],
  },
  {
    path: 'files./secrets/openai/key',
    spec: value => ({
      keys: [
        {
          name: 'openai',
          secretRef: { external: 'key-1' },
          env: 'KEY',
          ...(value !== undefined && { file: '/secrets/openai/key', version: value }),
        },
      ],
    }),
    values: [1, 2],
    json: [file('1'), file('2')],
    others: {
      template: {
        volumes: [{ name: 'theirs', secret: { secret: 'key-1', items: [{ path: 'key', version: '2' }] } }],
        containers: [{ volumeMounts: [{ name: 'theirs', mountPath: '/secrets/openai' }] }],
      },
    },
    unset: { template: { volumes: undefined, containers: [{ volumeMounts: undefined }] } },
    refused: [],
  },
  {
    path: 'volumes.cache',
    spec: value => (value === undefined ? {} : { volumes: [{ name: 'cache', ...(value as JsonObject) }] }),
    values: [
      { mountPath: '/cache', emptyDir: { sizeLimit: '64Mi' } },
      { mountPath: '/var/cache', emptyDir: {} },
    ],
    json: [
      {
        template: {
          volumes: [{ name: 'cache', emptyDir: { medium: 'MEMORY', sizeLimit: '64Mi' } }],
          containers: [{ volumeMounts: [{ name: 'cache', mountPath: '/cache' }] }],
        },
      },
      {
        template: {
          volumes: [{ name: 'cache', emptyDir: { medium: 'MEMORY', sizeLimit: undefined } }],
          containers: [{ volumeMounts: [{ name: 'cache', mountPath: '/var/cache' }] }],
        },
      },
    ],
    others: {
      template: {
        volumes: [{ name: 'bucket', gcs: { bucket: 'some-bucket' } }],
        containers: [{ volumeMounts: [{ name: 'bucket', mountPath: '/bucket' }] }],
      },
    },
    drift: { template: { volumes: undefined, containers: [{ volumeMounts: undefined }] } } as unknown as JsonObject,
    unset: { template: { volumes: undefined, containers: [{ volumeMounts: undefined }] } },
    refused: [
      [{ mountPath: 'cache', emptyDir: {} }, 'must be an absolute path such as /cache'],
      [{ mountPath: '/proc/x', emptyDir: {} }, 'nothing can be mounted in /dev'],
      [{ mountPath: '/cache', emptyDir: { sizeLimit: 'much' } }, 'must be a quantity such as 256Mi'],
      [{ mountPath: '/cache' }, 'Required value'],
    ],
  },
  {
    path: 'sidecars.otel',
    spec: value => (value === undefined ? {} : { sidecars: [{ name: 'otel', ...(value as JsonObject) }] }),
    values: [
      {
        image: 'registry.example/otel:1',
        command: ['/otelcol'],
        args: ['--config=env:CONFIG'],
        env: [{ name: 'CONFIG', value: 'a' }],
        keys: [{ name: 'openai', env: 'TOKEN' }],
        resources: { cpu: '500m', memory: '256Mi' },
        port: 13133,
        probes: { startup: { path: '/', periodSeconds: 5 }, liveness: { path: '/alive', port: 9999 } },
      },
      {
        image: 'registry.example/otel:2',
        resources: { cpu: 1 },
        keys: [{ name: 'openai', file: '/secrets/otel/key' }],
        probes: { startup: { tcp: true, port: 4317 } },
      },
    ],
    json: [
      {
        template: {
          volumes: undefined,
          containers: [
            { ports: [{ name: 'http1', containerPort: 8080 }] },
            {
              name: 'otel',
              image: 'registry.example/otel:1',
              command: ['/otelcol'],
              args: ['--config=env:CONFIG'],
              env: [
                { name: 'PORT', value: '13133' },
                { name: 'CONFIG', value: 'a' },
                { name: 'TOKEN', valueSource: { secretKeyRef: { secret: 'key-1', version: '2' } } },
              ],
              resources: { limits: { cpu: '500m', memory: '256Mi' }, cpuIdle: true },
              startupProbe: { httpGet: { path: '/', port: 13133 }, periodSeconds: 5 },
              livenessProbe: { httpGet: { path: '/alive', port: 9999 } },
            },
          ],
        },
      } as unknown as JsonObject,
      {
        template: {
          volumes: [{ secret: { secret: 'key-1', items: [{ path: 'key', version: '2' }] } }],
          containers: [
            {},
            {
              name: 'otel',
              image: 'registry.example/otel:2',
              command: undefined,
              args: undefined,
              env: undefined,
              resources: { limits: { cpu: '1', memory: '512Mi' }, cpuIdle: true },
              volumeMounts: [{ mountPath: '/secrets/otel' }],
              startupProbe: { tcpSocket: { port: 4317 } },
              livenessProbe: undefined,
            },
          ],
        },
      } as unknown as JsonObject,
    ],
    // A container of another name.
    others: {
      template: {
        containers: [
          { ports: [{ name: 'http1', containerPort: 8080 }] },
          { name: 'theirs', image: 'registry.example/proxy:1', env: [{ name: 'A', value: 'b' }] },
        ],
      },
    },
    drift: { template: { containers: [{}, { args: ['by hand'], env: [{ name: 'MORE', value: 'x' }] }] } },
    unset: { template: { volumes: undefined, containers: [{}] } } as unknown as JsonObject,
    refused: [
      [{ image: 'https://x' }, 'must be an image such as'],
      [{}, 'Required value'],
      [{ image: 'a', resources: { cpu: '3' } }, 'must be 1, 2, 4, 6 or 8, or a fraction'],
      [{ image: 'a', resources: { cpu: '500m', memory: '2Gi' } }, 'memory and cpu of the sidecar'],
      [{ image: 'a', resources: { cpu: '8', memory: '8Gi' } }, 'write at most 8 cpu in all'],
      [{ image: 'a', port: 8080 }, 'two containers have the same port'],
      [{ image: 'a', dependsOn: ['otel'] }, 'stand before this one in the list'],
      [{ image: 'a', probes: { startup: { path: '/' } } }, 'a probe needs a port'],
      [{ image: 'a', env: [{ name: 'PORT', value: '1' }] }, 'Cloud Run sets PORT itself'],
      [{ image: 'a', keys: [{ name: 'openai' }] }, 'write env or file'],
      [{ image: 'a', keys: [{ name: 'other', env: 'A' }] }, 'a key that spec.keys does not have'],
      [{ image: 'a', keys: [{ name: 'openai', env: 'A' }], env: [{ name: 'A', value: '' }] }, 'set the same variable'],
      [{ image: 'a', args: Array.from({ length: 33 }, () => 'x'.repeat(1000)) }, 'more than 32768 characters'],
    ],
  },
  {
    path: 'container.dependsOn',
    around: {
      sidecars: ['otel', 'log'].map((name, at) => ({
        name,
        image: 'registry.example/otel:1',
        resources: { cpu: '500m', memory: '256Mi' },
        probes: { startup: { tcp: true, port: 4317 + at } },
      })),
    },
    values: [['otel'], ['otel', 'log']],
    json: [
      { template: { containers: [{ name: 'main', dependsOn: ['otel'] }, {}, {}] } },
      { template: { containers: [{ dependsOn: ['otel', 'log'] }, {}, {}] } },
    ],
    others: { template: { containers: [{ name: 'app', dependsOn: ['log'] }, {}, {}] } },
    drift: { template: { containers: [{ dependsOn: ['log'] }] } },
    unset: { template: { containers: [{ dependsOn: undefined }, {}, {}] } } as unknown as JsonObject,
    refused: [
      [['other'], 'dependsOn must name sidecars with a startup probe'],
      [['otel', 'otel'], 'Duplicate value'],
    ],
  },
];
