import { ServicesClient } from '@google-cloud/run';
import { SecretManagerServiceClient } from '@google-cloud/secret-manager';

/** The manual's steps with Google's own Node.js clients: a line `ok …` or `BAD …` for each; exit code 1 after a BAD one. */

const endpoint = new URL(process.argv[2] ?? '');
const project = 'projects/demo-project';
const name = 'tenant-node';
const location = `${project}/locations/asia-northeast1`;
// No credentials: the local Google Cloud asks for none.
const authClient = { getRequestHeaders: async () => new Headers(), request: async () => ({}) };
const options = {
  fallback: true,
  protocol: 'http',
  apiEndpoint: endpoint.hostname,
  port: Number(endpoint.port),
  projectId: 'demo-project',
  auth: { getClient: async () => authClient, fetch, getUniverseDomain: async () => 'googleapis.com' },
} as unknown as ConstructorParameters<typeof ServicesClient>[0];

function check(what: string, holds: boolean, value: unknown = ''): void {
  if (!holds) process.exitCode = 1;
  console.log(holds ? 'ok  ' : 'BAD ', what, value);
}

const secrets = new SecretManagerServiceClient(options as never);
const [secret] = await secrets.createSecret({
  parent: project,
  secretId: `${name}-openai-key`,
  secret: { replication: { automatic: {} } },
});
const parent = secret.name ?? '';
const data = Buffer.from('sk-sandbox-node');
const [version] = await secrets.addSecretVersion({ parent, payload: { data } });
check('version', version.name === `${parent}/versions/1`, version.name);
const [read] = await secrets.accessSecretVersion({ name: `${parent}/versions/latest` });
check('access', Buffer.from(read.payload?.data as Uint8Array).equals(data));
const [labelled] = await secrets.updateSecret({
  secret: { name: parent, labels: { a: 'b' } },
  updateMask: { paths: ['labels'] },
});
check('labels', labelled.labels?.a === 'b');

const services = new ServicesClient(options);
const container = { image: 'gcr.io/cloudrun/hello', resources: { limits: { cpu: '1', memory: '1Gi' } } };
const [creating] = await services.createService({
  parent: location,
  serviceId: `ai-platform-${name}`,
  service: { template: { containers: [container], scaling: { maxInstanceCount: 10 } } },
});
const [made] = await creating.promise();
check('service', [4, 'CONDITION_SUCCEEDED'].includes(made.terminalCondition?.state as string), made.uri);
const policy = { bindings: [{ role: 'roles/run.invoker', members: ['allUsers'] }] };
await services.setIamPolicy({ resource: made.name ?? '', policy });
const [current] = await services.getService({ name: made.name });
const [first] = current.template?.containers ?? [];
if (first) first.image = 'asia-docker.pkg.dev/demo-project/repo/ai-backend:v1';
const [updating] = await services.updateService({ service: current });
const [backend] = await updating.promise();
check('backend', backend.latestReadyRevision?.includes('-00002-') === true, backend.latestReadyRevision);
const health = await fetch(`${backend.uri}/health`);
check('health', health.ok, await health.text());
const [listed] = await services.listServices({ parent: location });
check(
  'services',
  listed.some(one => one.name === made.name),
);
const absent = await services.getService({ name: `${location}/services/no` }).catch((error: unknown) => error);
check('absent', (absent as { code?: number }).code === 5);
const [deleting] = await services.deleteService({ name: made.name });
await deleting.promise();
await secrets.deleteSecret({ name: parent });
check('gone', true);
