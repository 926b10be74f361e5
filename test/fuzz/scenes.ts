import { serviceAccountEmail } from '../../operator/tenant/names.ts';
import type { Answers } from './road.ts';

/** Tenants and what Google Cloud answers about them, as they are on good days: what the fuzzer begins with. */

export const NOTHING: Answers = {
  account: null,
  secret: null,
  policy: null,
  version: null,
  service: null,
  servicePolicy: null,
};

const project = 'projects/tenants-1';
const email = serviceAccountEmail('sa-tenant-a', 'tenants-1');
const service = `${project}/locations/asia-northeast1/services/ai-platform-tenant-a`;
const former = `${project}/locations/europe-west1/services/ai-platform-tenant-a`;
const time = '2029-12-31T00:00:00.000Z';

const spec = {
  region: 'asia-northeast1',
  keys: [
    { name: 'openai', secretRef: { external: 'key' }, env: 'OPENAI_API_KEY' },
    { name: 'spare', secretRef: { name: 'connector' }, version: 3, rollout: 'OnRestart' },
  ],
  image: 'gcr.io/acme/app:1',
  env: [{ name: 'MODE', value: 'x' }],
  scaling: { minInstances: 1, maxInstances: 5, concurrency: 40 },
  resources: { cpu: '500m', memory: '1e9' },
  timeoutSeconds: 60,
  access: 'Public',
  invokers: [],
};
const status = {
  observedGeneration: 2,
  conditions: [
    { type: 'Ready', status: 'True', reason: 'UpToDate', message: '', lastTransitionTime: time, observedGeneration: 2 },
    { type: 'Stalled', status: 'True', reason: 'InvalidSpec', message: '', lastTransitionTime: time },
  ],
  projectId: 'tenants-1',
  region: 'asia-northeast1',
  keys: [{ name: 'openai', version: '3', secret: 'projects/123456/secrets/key', granted: true }],
  inventory: [
    { type: 'ServiceAccount', name: `${project}/serviceAccounts/${email}`, time, uniqueId: '7' },
    { type: 'SecretAccess', name: 'projects/123456/secrets/key', time, member: `serviceAccount:${email}` },
    { type: 'SecretAccess', name: 'projects/123456/secrets/old', time, member: `serviceAccount:${email}` },
    { type: 'Service', name: service, time },
    { type: 'Service', name: former, time, retireAt: time },
    { type: 'Invoker', name: service, time, member: 'user:jane@example.com' },
    { type: 'Variable', name: service, time, variable: 'OLD' },
  ],
};
const metadata = { name: 'tenant-a', generation: 2, annotations: { 'ai-platform.dev/deletion-policy': 'delete' } };
const template = {
  serviceAccount: email,
  timeout: '300s',
  maxInstanceRequestConcurrency: 80,
  scaling: { minInstanceCount: 1, maxInstanceCount: 5 },
  annotations: { 'ai-platform.dev/retry': '2' },
  containers: [
    {
      image: 'gcr.io/acme/app:1',
      env: [{ name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: 'key', version: '3' } } }],
      resources: { limits: { cpu: '1', memory: '512Mi' } },
    },
  ],
};
const answers = {
  account: {
    name: `${project}/serviceAccounts/${email}`,
    email,
    uniqueId: '7',
    description: 'by hand ai-tenant-owner=c1/team/tenant-a',
    disabled: true,
  },
  secret: { name: 'projects/123456/secrets/key', labels: { 'ai-tenant-namespace': 'team' } },
  policy: {
    etag: 'e1',
    version: 3,
    bindings: [
      {
        role: 'roles/secretmanager.secretAccessor',
        members: ['user:jane@example.com', `deleted:serviceAccount:${email}?uid=6`],
      },
      { role: 'roles/secretmanager.secretAccessor', members: ['group:ops@example.com'], condition: { title: 't' } },
    ],
    auditConfigs: [{ service: 'allServices' }],
  },
  version: {
    name: 'projects/123456/secrets/key/versions/4',
    state: 'ENABLED',
    versions: [{ name: 'projects/123456/secrets/key/versions/4', state: 'ENABLED' }],
  },
  service: {
    name: service,
    etag: 'e2',
    generation: '3',
    observedGeneration: '3',
    labels: {
      'ai-tenant-owner-cluster': 'c1',
      'ai-tenant-owner-namespace': 'team',
      'ai-tenant-owner-name': 'tenant-a',
    },
    terminalCondition: { type: 'Ready', state: 'CONDITION_SUCCEEDED', lastTransitionTime: time },
    latestReadyRevision: `${service}/revisions/r1`,
    latestCreatedRevision: `${service}/revisions/r1`,
    uri: 'https://x.a.run.app',
    traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
    scaling: {},
    template,
  },
  servicePolicy: { etag: 'e3', bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] },
};

/** A tenant that is new, one that is there, one that its keys were taken from, one that fails, one on its way out. */
export const SCENES = [
  { tenant: { metadata, spec } },
  { tenant: { metadata, spec, status }, ...answers },
  { tenant: { metadata, spec: { ...spec, access: 'Authenticated', invokers: ['user:a@b.com'] }, status }, ...answers },
  { tenant: { metadata, spec, status }, ...answers, secret: { ...answers.secret, labels: {} } },
  {
    tenant: { metadata, spec: { ...spec, region: 'europe-west1' }, status },
    ...answers,
    service: {
      ...answers.service,
      terminalCondition: { state: 'CONDITION_FAILED', revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR', message: 'no' },
    },
  },
  { tenant: { metadata: { ...metadata, deletionTimestamp: time }, spec, status }, ...answers },
];
