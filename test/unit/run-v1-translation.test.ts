import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import type { Template } from '../../sandbox/gcp/run/messages.ts';
import { serviceToV1, serviceToV2, type V2Service } from '../../sandbox/gcp/run/v1/knativeService.ts';
import { templateToV1, templateToV2 } from '../../sandbox/gcp/run/v1/knativeTemplate.ts';
import type { Row } from '../../sandbox/gcp/run/v1/rows.ts';
import { serviceRows } from '../../sandbox/gcp/run/v1/serviceRows.ts';
import { spread } from '../../sandbox/gcp/run/v1/spread.ts';
import { templateRows } from '../../sandbox/gcp/run/v1/templateRows.ts';
import { etagOf } from '../../sandbox/gcp/run/version.ts';

/** One setting in v1 and v2, for both directions. */
type Case = [setting: string, v1: unknown, v2: JsonObject];

const RUN = 'run.googleapis.com/';
const place = { project: { id: 'demo-project', number: '123456' }, location: 'asia-northeast1' };
const name = 'projects/demo-project/locations/asia-northeast1/services/s';

/** Settings of a service: annotations without their prefix, and traffic. */
const SERVICE: Case[] = [
  ['ingress', 'all', { ingress: 'INGRESS_TRAFFIC_ALL' }],
  ['ingress', 'internal', { ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' }],
  ['ingress', 'internal-and-cloud-load-balancing', { ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER' }],
  ['ingress', 'none', { ingress: 'INGRESS_TRAFFIC_NONE' }],
  ['launch-stage', 'BETA', { launchStage: 'BETA' }],
  ['launch-stage', 'EARLY_ACCESS', { launchStage: 'EARLY_ACCESS' }],
  ['client-name', 'gcloud', { client: 'gcloud' }],
  ['client-version', '528.0.0', { clientVersion: '528.0.0' }],
  ['description', 'Tenant A', { description: 'Tenant A' }],
  ['minScale', '2', { scaling: { minInstanceCount: 2 } }],
  ['maxScale', '7', { scaling: { maxInstanceCount: 7 } }],
  ['scalingMode', 'manual', { scaling: { scalingMode: 'MANUAL' } }],
  ['scalingMode', 'automatic', { scaling: { scalingMode: 'AUTOMATIC' } }],
  ['manualInstanceCount', '0', { scaling: { manualInstanceCount: 0 } }],
  ['invoker-iam-disabled', 'true', { invokerIamDisabled: true }],
  ['default-url-disabled', 'true', { defaultUriDisabled: true }],
  ['iap-enabled', 'true', { iapEnabled: true }],
  ['custom-audiences', '["https://a.example"]', { customAudiences: ['https://a.example'] }],
  ['regions', 'europe-west1,us-east1', { multiRegionSettings: { regions: ['europe-west1', 'us-east1'] } }],
  ['binary-authorization', 'default', { binaryAuthorization: { useDefault: true } }],
  ['binary-authorization', 'projects/p/platforms/q', { binaryAuthorization: { policy: 'projects/p/platforms/q' } }],
  ['binary-authorization-breakglass', 'night', { binaryAuthorization: { breakglassJustification: 'night' } }],
  ['build-name', 'b', { buildConfig: { name: 'b' } }],
  ['build-source-location', 'gs://b/o#1', { buildConfig: { sourceLocation: 'gs://b/o#1' } }],
  ['build-function-target', 'main', { buildConfig: { functionTarget: 'main' } }],
  ['build-image-uri', 'i', { buildConfig: { imageUri: 'i' } }],
  ['build-base-image', 'base', { buildConfig: { baseImage: 'base' } }],
  ['build-enable-automatic-updates', 'true', { buildConfig: { enableAutomaticUpdates: true } }],
  ['build-worker-pool', 'w', { buildConfig: { workerPool: 'w' } }],
  ['build-environment-variables', '{"A":"b"}', { buildConfig: { environmentVariables: { A: 'b' } } }],
  ['build-service-account', 'a@b', { buildConfig: { serviceAccount: 'a@b' } }],
  [
    'traffic',
    [
      { revisionName: 's-00001-abc', percent: 90, tag: 'stable' },
      { latestRevision: true, percent: 10 },
    ],
    {
      traffic: [
        { type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION', revision: 's-00001-abc', percent: 90, tag: 'stable' },
        { type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 10 },
      ],
    },
  ],
];

const env = (entry: unknown) => ({ containers: [{ env: [entry] }] }) as JsonObject;
const volume = (source: unknown) => ({ volumes: [{ name: 'v', ...(source as object) }] }) as JsonObject;
const container = (fields: object) => ({ containers: [{ name: 'c', ...fields }] }) as JsonObject;

/** Settings of a template: annotations, the name, and fields of the spec. */
const TEMPLATE: Case[] = [
  ['name', 's-00001-abc', { revision: 's-00001-abc' }],
  ['autoscaling.knative.dev/minScale', '1', { scaling: { minInstanceCount: 1 } }],
  ['autoscaling.knative.dev/maxScale', '10', { scaling: { maxInstanceCount: 10 } }],
  [`${RUN}client-name`, 'gcloud', { client: 'gcloud' }],
  [`${RUN}client-version`, '528.0.0', { clientVersion: '528.0.0' }],
  [`${RUN}execution-environment`, 'gen1', { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN1' }],
  [`${RUN}execution-environment`, 'gen2', { executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2' }],
  [
    `${RUN}vpc-access-connector`,
    'projects/p/locations/r/connectors/c',
    { vpcAccess: { connector: 'projects/p/locations/r/connectors/c' } },
  ],
  [`${RUN}vpc-access-egress`, 'all-traffic', { vpcAccess: { egress: 'ALL_TRAFFIC' } }],
  [`${RUN}vpc-access-egress`, 'private-ranges-only', { vpcAccess: { egress: 'PRIVATE_RANGES_ONLY' } }],
  [
    `${RUN}network-interfaces`,
    '[{"network":"n","subnetwork":"s","tags":["t"]}]',
    { vpcAccess: { networkInterfaces: [{ network: 'n', subnetwork: 's', tags: ['t'] }] } },
  ],
  [`${RUN}encryption-key`, 'projects/p/k', { encryptionKey: 'projects/p/k' }],
  [`${RUN}post-key-revocation-action-type`, 'prevent-new', { encryptionKeyRevocationAction: 'PREVENT_NEW' }],
  [`${RUN}post-key-revocation-action-type`, 'shut-down', { encryptionKeyRevocationAction: 'SHUTDOWN' }],
  [`${RUN}encryption-key-shutdown-hours`, '24', { encryptionKeyShutdownDuration: '86400s' }],
  [`${RUN}sessionAffinity`, 'true', { sessionAffinity: true }],
  [`${RUN}health-check-disabled`, 'true', { healthCheckDisabled: true }],
  [`${RUN}gpu-zonal-redundancy-disabled`, 'true', { gpuZonalRedundancyDisabled: true }],
  [`${RUN}mesh`, 'projects/p/meshes/m', { serviceMesh: { mesh: 'projects/p/meshes/m' } }],
  [`${RUN}identity`, 'i', { workloadIdentityConfig: { identity: 'i' } }],
  [`${RUN}enable-workload-certificate`, 'true', { workloadIdentityConfig: { identityCertificateEnabled: true } }],
  [`${RUN}cpu-throttling`, 'false', container({ resources: { cpuIdle: false } })],
  [`${RUN}startup-cpu-boost`, 'true', container({ resources: { cpuIdle: true, startupCpuBoost: true } })],
  [`${RUN}container-dependencies`, '{"c":["d"]}', container({ dependsOn: ['d'] })],
  [`${RUN}base-images`, '{"c":"base"}', container({ baseImageUri: 'base' })],
  [
    `${RUN}sources`,
    '{"c":"gs://b/dir/o#7"}',
    container({ sourceCode: { cloudStorageSource: { bucket: 'b', object: 'dir/o', generation: '7' } } }),
  ],
  [
    `${RUN}cloudsql-instances`,
    'p:r:one,p:r:two',
    {
      volumes: [{ name: 'cloudsql', cloudSqlInstance: { instances: ['p:r:one', 'p:r:two'] } }],
      ...container({ volumeMounts: [{ name: 'cloudsql', mountPath: '/cloudsql' }] }),
    },
  ],
  ['containerConcurrency', 40, { maxInstanceRequestConcurrency: 40 }],
  ['timeoutSeconds', 300, { timeout: '300s' }],
  ['serviceAccountName', 'sa@p.iam.gserviceaccount.com', { serviceAccount: 'sa@p.iam.gserviceaccount.com' }],
  ['nodeSelector', { [`${RUN}accelerator`]: 'nvidia-l4' }, { nodeSelector: { accelerator: 'nvidia-l4' } }],
  [
    'sandboxes',
    {
      templates: [
        {
          name: 't',
          image: 'i',
          command: ['c'],
          args: ['a'],
          workingDir: '/w',
          env: [{ name: 'A', value: 'b' }],
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
        },
      ],
    },
    {
      sandboxes: {
        templates: [
          {
            name: 't',
            image: 'i',
            command: ['c'],
            args: ['a'],
            workingDir: '/w',
            env: [{ name: 'A', value: 'b' }],
            volumeMounts: [{ name: 'v', mountPath: '/v' }],
          },
        ],
      },
    },
  ],
  [
    'containers',
    [{ name: 'c', image: 'i', command: ['x'], args: ['y'], workingDir: '/w', sandboxLauncher: true }],
    container({ image: 'i', command: ['x'], args: ['y'], workingDir: '/w', sandboxLauncher: true }),
  ],
  ['containers', [{ env: [{ name: 'A', value: 'b' }] }], env({ name: 'A', value: 'b' })],
  [
    'containers',
    [{ env: [{ name: 'K', valueFrom: { secretKeyRef: { name: 'key', key: 'latest' } } }] }],
    env({ name: 'K', valueSource: { secretKeyRef: { secret: 'key', version: 'latest' } } }),
  ],
  [
    'containers',
    [{ name: 'c', resources: { limits: { cpu: '1', memory: '1Gi' } } }],
    container({ resources: { cpuIdle: true, limits: { cpu: '1', memory: '1Gi' } } }),
  ],
  [
    'containers',
    [{ name: 'c', ports: [{ name: 'h2c', containerPort: 9000 }] }],
    container({ ports: [{ name: 'h2c', containerPort: 9000 }] }),
  ],
  [
    'containers',
    [
      {
        name: 'c',
        startupProbe: {
          initialDelaySeconds: 1,
          timeoutSeconds: 2,
          periodSeconds: 3,
          failureThreshold: 4,
          httpGet: { path: '/h', port: 80, httpHeaders: [{ name: 'X', value: 'y' }] },
        },
      },
    ],
    container({
      startupProbe: {
        initialDelaySeconds: 1,
        timeoutSeconds: 2,
        periodSeconds: 3,
        failureThreshold: 4,
        httpGet: { path: '/h', port: 80, httpHeaders: [{ name: 'X', value: 'y' }] },
      },
    }),
  ],
  [
    'containers',
    [{ name: 'c', livenessProbe: { grpc: { port: 80, service: 's' } } }],
    container({ livenessProbe: { grpc: { port: 80, service: 's' } } }),
  ],
  [
    'containers',
    [{ name: 'c', readinessProbe: { tcpSocket: { port: 80 } } }],
    container({ readinessProbe: { tcpSocket: { port: 80 } } }),
  ],
  [
    'containers',
    [{ name: 'c', volumeMounts: [{ name: 'v', mountPath: '/v', subPath: 's' }] }],
    container({ volumeMounts: [{ name: 'v', mountPath: '/v', subPath: 's' }] }),
  ],
  [
    'volumes',
    [{ name: 'v', secret: { secretName: 'key', items: [{ key: '2', path: 'p', mode: 256 }], defaultMode: 292 } }],
    volume({ secret: { secret: 'key', items: [{ version: '2', path: 'p', mode: 256 }], defaultMode: 292 } }),
  ],
  [
    'volumes',
    [{ name: 'v', emptyDir: { medium: 'Memory', sizeLimit: '1Gi' } }],
    volume({ emptyDir: { medium: 'MEMORY', sizeLimit: '1Gi' } }),
  ],
  ['volumes', [{ name: 'v', emptyDir: { medium: 'Disk' } }], volume({ emptyDir: { medium: 'DISK' } })],
  [
    'volumes',
    [{ name: 'v', nfs: { server: 's', path: '/p', readOnly: true } }],
    volume({ nfs: { server: 's', path: '/p', readOnly: true } }),
  ],
  ['volumes', [{ name: 'v', filestore: { volume: 'f' } }], volume({ filestore: { volume: 'f' } })],
  [
    'volumes',
    [
      {
        name: 'v',
        csi: {
          driver: 'gcsfuse.run.googleapis.com',
          readOnly: true,
          volumeAttributes: { bucketName: 'b', mountOptions: 'a=1,c' },
        },
      },
    ],
    volume({ gcs: { readOnly: true, bucket: 'b', mountOptions: ['a=1', 'c'] } }),
  ],
];

const annotated = (key: string, value: unknown): JsonObject => ({
  metadata: { annotations: { [key]: String(value) } },
});

function serviceV1([setting, value]: Case): JsonObject {
  return setting === 'traffic' ? { spec: { traffic: value as JsonObject[] } } : annotated(`${RUN}${setting}`, value);
}

function templateV1([setting, value, v2]: Case): JsonObject {
  // An annotation that speaks of containers needs one.
  const needed = v2.containers ? { spec: { containers: [{ name: 'c' }] } } : {};
  if (setting === 'name') return { metadata: { name: value as string } };
  if (setting.includes('/')) return { ...annotated(setting, value), ...needed };
  return { spec: { [setting]: value as JsonObject } };
}

const v2Service = (fields: JsonObject): V2Service =>
  ({
    name,
    uid: 'uid-1',
    generation: '3',
    createTime: '2026-11-26T18:03:50Z',
    etag: etagOf(1_795_000_000_000_000, name),
    terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED' },
    ...fields,
  }) as unknown as V2Service;

describe('a service', () => {
  test.each(SERVICE)('%s: %j', (...row) => {
    const [, , v2] = row;
    expect(serviceToV2(serviceV1(row), place)).toMatchObject(v2);
    expect(serviceToV1(v2Service(v2), place)).toMatchObject(serviceV1(row));
  });

  test.each([
    ['invoker-iam-disabled', 'True', { invokerIamDisabled: true }],
    ['invoker-iam-disabled', 'False', { invokerIamDisabled: false }],
    ['launch-stage', 'GA', { launchStage: 'GA' }],
  ])('%s: %s of gcloud is read', (setting, value, v2) => {
    expect(serviceToV2(annotated(`${RUN}${setting}`, value), place)).toMatchObject(v2);
  });
});

describe('a template', () => {
  test.each(TEMPLATE)('%s: %j', (...row) => {
    const [, , v2] = row;
    expect(templateToV2(templateV1(row))).toMatchObject(v2);
    expect(templateToV1(v2 as Template)).toMatchObject(templateV1(row));
  });

  test('vpc-access-egress: all means all-traffic', () => {
    expect(templateToV2(annotated(`${RUN}vpc-access-egress`, 'all'))).toMatchObject({
      vpcAccess: { egress: 'ALL_TRAFFIC' },
    });
  });

  test('CPU is throttled unless v1 says otherwise', () => {
    const v2 = templateToV2({ spec: { containers: [{ image: 'i' }] } });
    expect(v2.containers).toEqual([{ image: 'i', resources: { cpuIdle: true } }]);
    expect(templateToV1(v2)).not.toHaveProperty(['metadata', 'annotations', `${RUN}cpu-throttling`]);
  });

  test('a startup probe that nobody asked for is marked, and follows the port', () => {
    const probe = { timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1, tcpSocket: { port: 8080 } };
    const v1 = templateToV1({ containers: [{ image: 'i', ports: [{ containerPort: 8080 }], startupProbe: probe }] });
    expect(v1).toMatchObject({ metadata: { labels: { [`${RUN}startupProbeType`]: 'Default' } } });
    expect(templateToV2(v1)).not.toHaveProperty('containers.0.startupProbe');
    expect(templateToV2(v1)).not.toHaveProperty('labels');
    const own = { ...probe, periodSeconds: 10 };
    expect(templateToV1({ containers: [{ startupProbe: own }] })).toMatchObject({
      metadata: { labels: { [`${RUN}startupProbeType`]: 'Custom' } },
    });
    expect(templateToV1({ containers: [{}] })).toMatchObject({ metadata: { labels: {} } });
    expect(templateToV2({ metadata: v1.metadata, spec: { containers: [{ startupProbe: own }] } })).toMatchObject({
      containers: [{ startupProbe: own }],
    });
  });

  test('a secret of another project has an alias, in variables and volumes', () => {
    const v1 = {
      metadata: { annotations: { [`${RUN}secrets`]: 'one:projects/p/secrets/key,two:projects/q/secrets/key' } },
      spec: {
        containers: [{ env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'one', key: '1' } } }] }],
        volumes: [{ name: 'v', secret: { secretName: 'two' } }],
      },
    };
    const v2 = templateToV2(v1);
    expect(v2).toMatchObject({
      containers: [{ env: [{ valueSource: { secretKeyRef: { secret: 'projects/p/secrets/key', version: '1' } } }] }],
      volumes: [{ secret: { secret: 'projects/q/secrets/key' } }],
    });
    // gcloud makes aliases of this form.
    const back = templateToV1(v2) as typeof v1;
    const written = back.metadata.annotations[`${RUN}secrets`] ?? '';
    const [, one, two] =
      /^(key-[-0-9a-f]{36}):projects\/p\/secrets\/key,(key-[-0-9a-f]{36}):projects\/q\/secrets\/key$/.exec(written) ??
      [];
    expect(one).not.toBe(two);
    expect(back.spec).toMatchObject({
      containers: [{ env: [{ valueFrom: { secretKeyRef: { name: one, key: '1' } } }] }],
      volumes: [{ secret: { secretName: two } }],
    });
    expect(templateToV2(back)).toEqual(v2);
  });

  test('a probe shows the numbers that nobody asked for', () => {
    const { spec } = templateToV1({ containers: [{ startupProbe: { tcpSocket: { port: 1 }, periodSeconds: 5 } }] });
    expect(spec).toMatchObject({
      containers: [{ startupProbe: { timeoutSeconds: 1, periodSeconds: 5, failureThreshold: 3 } }],
    });
  });

  test('labels and annotations of the user pass, those of the server do not', () => {
    const v2 = templateToV2({
      metadata: {
        labels: { team: 'a', 'client.knative.dev/nonce': 'x', 'cloud.googleapis.com/location': 'asia-northeast1' },
        annotations: { 'client.knative.dev/user-image': 'i', 'serving.knative.dev/creator': 'me' },
      },
    });
    expect(v2).toEqual({
      labels: { team: 'a', 'client.knative.dev/nonce': 'x' },
      annotations: { 'client.knative.dev/user-image': 'i' },
    });
  });
});

describe('the order in which containers start', () => {
  const containers = [{ name: 'nginx' }, { name: 'hello' }, { name: 'constructor' }];
  const template = (order: string): JsonObject => ({
    metadata: { annotations: { [`${RUN}container-dependencies`]: order } },
    spec: { containers },
  });

  test.each(['{nginx: [hello]}', '{nginx:[hello]}', '{"nginx":["hello"]}', "{'nginx': ['hello'] }"])(
    'as %j is read, and is answered as JSON',
    order => {
      const v2 = templateToV2(template(order));
      expect(v2.containers?.map(({ dependsOn }) => dependsOn)).toEqual([['hello'], undefined, undefined]);
      expect(templateToV1(v2)).toMatchObject(template('{"nginx":["hello"]}'));
    },
  );

  test.each([
    ['{web: [hello]}', "there is no container 'web'."],
    ['{"constructor": ["hello"], "a": []}', "there is no container 'a'."],
    ['{"__proto__": ["hello"]}', 'must be a JSON map by container'],
    ['[hello]', 'must be a JSON map by container'],
    ['null', 'must be a JSON map by container'],
    ['{nginx: [hello]', 'must be a JSON map by container'],
    ['{nginx: &a [hello], hello: *a}', 'must be a JSON map by container'],
  ])('as %j is refused', (order, message) => {
    expect(() => templateToV2(template(order))).toThrow(message);
  });
});

test('blanks between the aliases of secrets have no meaning', () => {
  const env = [{ name: 'K', valueFrom: { secretKeyRef: { name: 'b', key: '1' } } }];
  const annotations = { [`${RUN}secrets`]: 'a:projects/1/secrets/x, b:projects/2/secrets/y' };
  expect(templateToV2({ metadata: { annotations }, spec: { containers: [{ env }] } })).toMatchObject({
    containers: [{ env: [{ valueSource: { secretKeyRef: { secret: 'projects/2/secrets/y' } } }] }],
  });
});

test('an empty nodeSelector, which clients send, says nothing', () => {
  expect(templateToV2({ spec: { nodeSelector: {} } })).not.toHaveProperty('nodeSelector');
});

test('blanks between Cloud SQL instances have no meaning', () => {
  const annotations = { [`${RUN}cloudsql-instances`]: 'p:r:a, p:r:b,' };
  expect(templateToV2({ metadata: { annotations } })).toMatchObject({
    volumes: [{ name: 'cloudsql', cloudSqlInstance: { instances: ['p:r:a', 'p:r:b'] } }],
  });
});

describe('what Cloud Run does not have is refused, not lost', () => {
  test.each<[JsonObject, string]>([
    [
      { spec: { containers: [{ securityContext: { runAsUser: 1 } }] } },
      'must not set the field(s): spec.template.spec.containers[0].securityContext',
    ],
    [{ spec: { nodeSelector: { disk: 'ssd' } } }, 'must not set the field(s): spec.template.spec.nodeSelector.disk'],
    [
      annotated(`${RUN}secrets`, 'a:projects/1/secrets/x,a:projects/2/secrets/y'),
      "annotations[run.googleapis.com/secrets]: the alias 'a' has two meanings.",
    ],
    [{ spec: { imagePullSecrets: [{ name: 'x' }] } }, 'must not set the field(s): spec.template.spec.imagePullSecrets'],
    [{ spec: { volumes: [{ name: 'v', configMap: { name: 'x' } }] } }, 'spec.template.spec.volumes[0].configMap'],
    [
      { spec: { volumes: [{ name: 'v', csi: { driver: 'other' } }] } },
      "spec.template.spec.volumes[0].csi.driver: only 'gcsfuse.run.googleapis.com'",
    ],
    [
      annotated(`${RUN}minScale`, '1'),
      "spec.template.metadata.annotations: 'run.googleapis.com/minScale' is not a supported annotation.",
    ],
    [
      annotated('autoscaling.knative.dev/maxScale', 'many'),
      'spec.template.metadata.annotations[autoscaling.knative.dev/maxScale]: invalid value "many"',
    ],
    [annotated(`${RUN}cpu-throttling`, 'maybe'), 'must be true or false'],
    [annotated(`${RUN}secrets`, 'a'), 'ALIAS:projects/P/secrets/S'],
    [annotated(`${RUN}base-images`, '{'), 'must be a JSON map by container'],
    [annotated(`${RUN}container-dependencies`, 'null'), 'must be a JSON map by container'],
    [
      { ...annotated(`${RUN}sources`, '{"c":"elsewhere"}'), spec: { containers: [{ name: 'c' }] } },
      'must have the form gs://BUCKET/OBJECT#GENERATION',
    ],
  ])('%j', (template, message) => {
    expect(() => templateToV2(template)).toThrow(message);
  });

  test('a resourceVersion that is none', () => {
    expect(() => serviceToV2({ metadata: { name: 's', resourceVersion: 'RV1' } }, place)).toThrow('resourceVersion');
  });
});

test('templates with any of these settings are the same after v1 and back', () => {
  const isMap = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
  const merge = (into: JsonObject, from: JsonObject): JsonObject => {
    const merged = { ...into };
    for (const [key, value] of Object.entries(from)) {
      const own = merged[key];
      merged[key] = isMap(own) && isMap(value) ? merge(own as JsonObject, value as JsonObject) : value;
    }
    return merged;
  };
  fc.assert(
    fc.property(fc.shuffledSubarray(TEMPLATE), cases => {
      const v2 = templateToV2(templateToV1(cases.reduce((all, [, , part]) => merge(all, part), {}) as Template));
      expect(templateToV2(templateToV1(v2))).toEqual(v2);
    }),
  );
});

test('every row of the tables is among the cases', () => {
  const annotationOf = ({ v1 }: Row) => (v1[1] === 'annotations' ? [v1[2] ?? ''] : []);
  const settings = new Set([
    ...SERVICE.map(([setting]) => `${RUN}${setting}`),
    ...TEMPLATE.map(([setting]) => setting),
  ]);
  const named = [...serviceRows, ...templateRows].flatMap(annotationOf);
  const spec = templateRows.flatMap(({ v1 }) => (v1[0] === 'spec' ? [v1[1] ?? ''] : []));
  const others = spread.map(({ annotation }) => annotation).filter(key => key !== `${RUN}secrets`);
  expect([...named, ...spec, ...others].filter(key => !settings.has(key))).toEqual([]);
});
