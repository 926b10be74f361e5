import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { type Instances, startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { envText } from '../../sandbox/gcp/wire/clientEnv.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';

/**
 * `gcloud run`, as a user has it after `source DIR/env`, on the local Google Cloud: what gcloud makes by Cloud Run's API v1 is read
 * by v2, as the operator reads it, and what it prints is true.
 */

const hasGcloud = spawnSync('sh', ['-c', 'command -v gcloud']).status === 0;
if (!hasGcloud) console.warn('gcloud is not installed: the tests of gcloud run are left out');

const PROJECT = 'demo-project';
const REGION = '--region=asia-northeast1';
const EMAIL = `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const PARENT = `projects/${PROJECT}/locations/asia-northeast1`;
const BACKEND = 'asia-northeast1-docker.pkg.dev/demo-project/images/ai-backend:1';
const HELLO = 'gcr.io/cloudrun/hello';

let dir: string;
let core: GcpCore;
let instances: Instances;
let server: GcpServer;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gcloud-run-'));
  instances = await startInstances({ runtime: realRuntime, stateDir: dir, images: builtInImages(), killAfterMs: 1000 });
  core = createGcpCore({
    runtime: realRuntime,
    projects: [{ id: PROJECT, number: '123456789012' }],
    settings: { createVisibleMs: 0, accountPropagationMs: 0, policyPropagationMs: 0, deployMs: 100 },
    containers: instances.containers,
    urls: instances.urls,
    logUri: instances.logUri,
    logLines: instances.logLines,
  });
  instances.attach(core.run);
  server = await startGcpServer({ core });
  writeFileSync(join(dir, 'env'), envText({ url: server.url, project: PROJECT, stateDir: dir }));
  await call('google.iam.admin.v1.IAM.CreateServiceAccount', {
    name: `projects/${PROJECT}`,
    accountId: 'sa-tenant-a',
  });
  const secret = `projects/${PROJECT}/secrets/key`;
  const secrets = 'google.cloud.secretmanager.v1.SecretManagerService';
  await call(`${secrets}.CreateSecret`, {
    parent: `projects/${PROJECT}`,
    secretId: 'key',
    secret: { replication: { automatic: {} } },
  });
  await call(`${secrets}.AddSecretVersion`, {
    parent: secret,
    payload: { data: Buffer.from('sk-1').toString('base64') },
  });
  const bindings = [{ role: 'roles/secretmanager.secretAccessor', members: [`serviceAccount:${EMAIL}`] }];
  await call(`${secrets}.SetIamPolicy`, { resource: secret, policy: { bindings } });
});
afterAll(async () => {
  await server.close();
  core.run.close();
  await instances.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function call(method: string, request: Parameters<GcpCore['call']>[1]): Promise<unknown> {
  const result = await core.call(method, request);
  if (!result.ok) throw new Error(result.status.message);
  return result.response;
}

const v2 = (id = 'tenant-a') => call('google.cloud.run.v2.Services.GetService', { name: `${PARENT}/services/${id}` });

const revisions = () => [...core.run.services()].find(({ id }) => id === 'tenant-a')?.revisions.map(({ id }) => id);
const policy = () => call('google.cloud.run.v2.Services.GetIamPolicy', { resource: `${PARENT}/services/tenant-a` });

/** Runs one command line in a shell that has read DIR/env. */
function shell(command: string): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env.PATH, HOME: dir };
  return new Promise(resolve => {
    execFile('sh', ['-c', `. ./env; gcloud ${command}`], { cwd: dir, env }, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
    });
  });
}

/** What a command prints; it must succeed without an error or a warning. */
async function gcloud(command: string): Promise<string> {
  const { code, out, err } = await shell(command);
  const printed = stripVTControlCharacters(`${out}${err}`);
  expect(`${code} ${printed}`, command).toMatch(/^0 /);
  expect(printed, command).not.toMatch(/ERROR|WARNING|Traceback/);
  return printed;
}

async function json(command: string): Promise<unknown> {
  return JSON.parse((await shell(`${command} --format=json`)).out);
}

describe.skipIf(!hasGcloud)('gcloud run', { timeout: 120_000 }, () => {
  test('deploy makes a service with every setting of the manual', async () => {
    const printed = await gcloud(
      `run deploy tenant-a --image=${BACKEND} ${REGION} --service-account=${EMAIL} --set-secrets=OPENAI_API_KEY=key:latest ` +
        '--memory=1Gi --cpu=1 --timeout=120 --min-instances=0 --max-instances=10 --concurrency=40 --allow-unauthenticated',
    );
    expect(printed).toMatch(
      /revision \[tenant-a-00001-\w{3}\] has been deployed and is serving \[?100\]? percent of traffic/,
    );
    expect(await v2()).toMatchObject({
      client: 'gcloud',
      ingress: 'INGRESS_TRAFFIC_ALL',
      creator: 'sandbox-owner@example.com',
      terminalCondition: { state: 'CONDITION_SUCCEEDED' },
      template: {
        serviceAccount: EMAIL,
        timeout: '120s',
        maxInstanceRequestConcurrency: 40,
        scaling: { maxInstanceCount: 10 },
        containers: [
          {
            image: BACKEND,
            env: [{ name: 'OPENAI_API_KEY', valueSource: { secretKeyRef: { secret: 'key', version: 'latest' } } }],
            resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true, startupCpuBoost: true },
            startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 240 },
          },
        ],
      },
    });
    const { uri, urls } = (await v2()) as { uri: string; urls: string[] };
    expect(printed).toContain(`Service URL: ${urls[0]}`);
    expect(await (await fetch(`${uri}/health`)).json()).toMatchObject({ status: 'ok' });
    expect(await policy()).toMatchObject({ bindings: [{ members: ['allUsers'], role: 'roles/run.invoker' }] });
  });

  test('logs read prints what the instances printed', async () => {
    const filter = 'resource.labels.service_name="tenant-a" AND jsonPayload.status=200';
    const [printed, found] = await Promise.all([
      gcloud(`run services logs read tenant-a ${REGION} --limit=20`),
      json(`logging read '${filter}' --limit=1`),
    ]);
    expect(printed).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*"message":"listening"/m);
    expect(printed).toContain('GET 200');
    expect(found).toMatchObject([{ severity: 'INFO', jsonPayload: { path: '/health' } }]);
  });

  test('deploy changes a service, with a tag and without traffic', async () => {
    await gcloud(
      `run deploy tenant-a --image=${BACKEND} ${REGION} --update-env-vars=A=b,C=d --no-allow-unauthenticated`,
    );
    const tagged = await gcloud(
      `run deploy tenant-a --image=${BACKEND.replace(':1', ':2')} ${REGION} --tag=green --no-traffic`,
    );
    expect(tagged).toMatch(/is serving 0 percent of traffic/);
    const url = /reached directly at (\S+)/.exec(tagged)?.[1] ?? '';
    expect(await v2()).toMatchObject({
      template: {
        containers: [{ env: [{ name: 'OPENAI_API_KEY' }, { name: 'A', value: 'b' }, { name: 'C', value: 'd' }] }],
      },
      traffic: [{ percent: 100, revision: expect.stringMatching(/^tenant-a-00002/) }, { tag: 'green' }],
      trafficStatuses: [{ percent: 100 }, { tag: 'green', uri: url }],
    });
    expect(await policy()).not.toHaveProperty('bindings');
  });

  test('update and update-traffic', async () => {
    await gcloud(
      `run services update tenant-a ${REGION} --memory=2Gi --cpu=2 --min-instances=1 --update-labels=team=a`,
    );
    const before = await v2();
    expect(before).toMatchObject({
      labels: { team: 'a' },
      template: {
        scaling: { minInstanceCount: 1 },
        containers: [{ resources: { limits: { memory: '2Gi', cpu: '2' } } }],
      },
    });
    const latest = await gcloud(`run services update-traffic tenant-a ${REGION} --to-latest`);
    expect(latest).toMatch(/100% LATEST \(currently tenant-a-00004-\w{3}\)/);
    const green = await gcloud(`run services update-traffic tenant-a ${REGION} --to-tags=green=100`);
    expect(green).toMatch(/100% tenant-a-00003-\w{3}\n\s+green: http/);
    expect(await v2()).toMatchObject({
      latestCreatedRevision: (before as { latestCreatedRevision: string }).latestCreatedRevision,
    });
  });

  test('list and describe', async () => {
    const [everywhere, region] = await Promise.all([
      gcloud('run services list'),
      gcloud(`run services list ${REGION}`),
    ]);
    expect(everywhere).toMatch(/tenant-a\s+asia-northeast1\s+http\S+\s+sandbox-owner@example.com/);
    expect(region).toBe(everywhere);
    const [described, regions] = await Promise.all([
      gcloud(`run services describe tenant-a ${REGION}`),
      gcloud('run regions list'),
    ]);
    expect(described).toMatch(/✔ Service tenant-a in region asia-northeast1/);
    expect(described).toMatch(/Memory:\s+2Gi[\s\S]*OPENAI_API_KEY key:latest[\s\S]*Timeout:\s+120s/);
    expect(regions).toContain('asia-northeast1');
    const missing = await shell(`run services describe nothing ${REGION}`);
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('Cannot find service [nothing]') });
  });

  test('what describe exports is replaced without a new revision, and with one if it says something new', async () => {
    writeFileSync(join(dir, 's.yaml'), (await shell(`run services describe tenant-a ${REGION} --format=export`)).out);
    const [text, before] = [readFileSync(join(dir, 's.yaml'), 'utf8'), await v2()];
    await gcloud(`run services replace s.yaml ${REGION}`);
    expect(await v2()).toMatchObject({ template: (before as { template: object }).template });
    expect(revisions()).toHaveLength(4);
    writeFileSync(join(dir, 's.yaml'), text.replace('timeoutSeconds: 120', 'timeoutSeconds: 130'));
    await gcloud(`run services replace s.yaml ${REGION}`);
    expect(await v2()).toMatchObject({ template: { timeout: '130s' } });
    expect(revisions()).toHaveLength(5);
  });

  test('the invokers of a service', async () => {
    const binding = `--member=serviceAccount:${EMAIL} --role=roles/run.invoker`;
    await gcloud(`run services add-iam-policy-binding tenant-a ${REGION} ${binding}`);
    expect(await gcloud(`run services get-iam-policy tenant-a ${REGION}`)).toContain(EMAIL);
    expect(await gcloud(`run services remove-iam-policy-binding tenant-a ${REGION} ${binding}`)).not.toContain(EMAIL);
  });

  test('revisions', async () => {
    const listed = await gcloud(`run revisions list ${REGION} --service=tenant-a`);
    expect(listed).toMatch(/✔\s+tenant-a-00003-\w{3}\s+yes\s+tenant-a/);
    const oldest = /tenant-a-00001-\w{3}/.exec(listed)?.[0];
    expect(await gcloud(`run revisions describe ${oldest} ${REGION}`)).toMatch(/Memory:\s+1Gi/);
    await gcloud(`run revisions delete ${oldest} ${REGION}`);
    expect(revisions()).not.toContain(oldest);
  });

  test('a failure is told in the service’s words', async () => {
    const missing = await shell(`run deploy broken --image=gcr.io/x/missing ${REGION}`);
    expect(missing.code).toBe(1);
    expect(missing.err).toMatch(
      /Revision 'broken-00001-\w{3}' is not ready and cannot serve traffic\. Image 'gcr.io\/x\/missing' not found\./,
    );
    const secret = await shell(`run deploy broken --image=${HELLO} ${REGION} --set-secrets=/keys/one=key:1`);
    expect(secret.err).toContain("must be granted the 'Secret Manager Secret Accessor' role");
    await gcloud(`run deploy broken --image=${HELLO} ${REGION} --service-account=${EMAIL}`);
    expect(await v2('broken')).toMatchObject({
      template: {
        volumes: [{ secret: { secret: 'key', items: [{ version: '1', path: 'one' }] } }],
        containers: [{ volumeMounts: [{ mountPath: '/keys' }] }],
      },
    });
  });

  test('services delete', async () => {
    expect(await gcloud(`run services delete tenant-a ${REGION}`)).toContain('Deleted service [tenant-a]');
    await expect(v2()).rejects.toThrow("Resource 'tenant-a' of kind 'SERVICE'");
  });

  test('what is not here says so at once', { timeout: 60_000 }, async () => {
    mkdirSync(join(dir, 'source'));
    writeFileSync(join(dir, 'source', 'Dockerfile'), 'FROM scratch\n');
    const built = 'Nothing is built or stored by the local Google Cloud';
    const refused = [
      [`run deploy tenant-b --source=source ${REGION}`, built],
      [`builds submit source --tag=${BACKEND}`, built],
      [`run jobs list ${REGION}`, 'Cloud Run services only'],
      [`beta run worker-pools list ${REGION}`, 'Cloud Run services only'],
    ];
    const tried = async ([command = '', words]: string[]) => {
      const { code, err } = await shell(command);
      expect(code, command).toBe(1);
      expect(err, command).toContain(words);
    };
    for (const pair of [refused.slice(0, 2), refused.slice(2)]) await Promise.all(pair.map(tried));
  });
});
