import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { envText } from '../../sandbox/gcp/wire/clientEnv.ts';
import { type GcpServer, startGcpServer } from '../../sandbox/gcp/wire/http.ts';

/** Real gcloud, as a user has it after `source DIR/env`, on the local Google Cloud; `gcloud run` has `gcloud-run.test.ts`. */

const hasGcloud = spawnSync('sh', ['-c', 'command -v gcloud']).status === 0;
if (!hasGcloud) console.warn('gcloud is not installed: its tests are left out');

const email = 'sa-tenant-a@demo-project.iam.gserviceaccount.com';
const member = `serviceAccount:${email}`;
const role = 'roles/secretmanager.secretAccessor';
const secret = 'tenant-a-openai-key';

let dir: string;
let server: GcpServer;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'gcloud-'));
  const core = createGcpCore({ runtime: realRuntime, projects: [{ id: 'demo-project', number: '123456789012' }] });
  server = await startGcpServer({ core });
  writeFileSync(join(dir, 'env'), envText({ url: server.url, project: 'demo-project', stateDir: dir }));
  writeFileSync(join(dir, 'value'), 'sk-local-1');
  writeFileSync(join(dir, 'build.yaml'), 'steps: [{name: ubuntu}]');
});
afterAll(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Runs one command line in a shell that has read DIR/env. */
function shell(command: string): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env.PATH, HOME: dir };
  return new Promise(resolve => {
    execFile('sh', ['-c', `. ./env; ${command}`], { cwd: dir, env }, (error, out, err) => {
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
    });
  });
}

async function gcloud(command: string): Promise<string> {
  const { code, out, err } = await shell(`gcloud ${command}`);
  expect(err, command).not.toContain('ERROR');
  expect(code, command).toBe(0);
  return out + err;
}

async function json(command: string): Promise<unknown> {
  const { out } = await shell(`gcloud ${command} --format=json`);
  return JSON.parse(out);
}

describe.skipIf(!hasGcloud)('gcloud', { timeout: 60_000 }, () => {
  test('iam service-accounts and secrets, from creation to deletion', async () => {
    await gcloud('iam service-accounts create sa-tenant-a --display-name="Tenant A" --description="made by hand"');
    await gcloud(`secrets create ${secret} --data-file=value --labels=team=a`);
    expect(await json('iam service-accounts list')).toMatchObject([{}, { email, displayName: 'Tenant A' }]);
    expect(await json(`iam service-accounts describe ${email}`)).toMatchObject({ description: 'made by hand' });
    expect(await json('secrets list')).toMatchObject([{ name: `projects/123456789012/secrets/${secret}` }]);

    await gcloud(`secrets update ${secret} --update-labels=ai-tenant-namespace=default`);
    expect(await json(`secrets describe ${secret}`)).toMatchObject({
      labels: { team: 'a', 'ai-tenant-namespace': 'default' },
    });
    await shell('printf sk-local-2 > value');
    expect(await gcloud(`secrets versions add ${secret} --data-file=value`)).toContain('Created version [2]');
    expect(await gcloud(`secrets versions access latest --secret=${secret}`)).toBe('sk-local-2');

    await gcloud(`secrets add-iam-policy-binding ${secret} --member=${member} --role=${role}`);
    expect(await json(`secrets get-iam-policy ${secret}`)).toMatchObject({ bindings: [{ role, members: [member] }] });
    await gcloud(`iam service-accounts delete ${email}`);
    expect(await json(`secrets get-iam-policy ${secret}`)).toMatchObject({
      bindings: [{ members: [expect.stringMatching(/^deleted:serviceAccount:sa-tenant-a@.*\?uid=\d+$/)] }],
    });
    await gcloud(`secrets delete ${secret}`);
  });

  test('projects and services: what is there, and nothing untrue about the rest', async () => {
    expect(await json('projects describe demo-project')).toMatchObject({ projectNumber: '123456789012' });
    expect(await json('projects list')).toMatchObject([{ projectId: 'demo-project', createTime: expect.any(String) }]);
    for (const filter of ['projectId=demo-project', 'id:demo*', 'name:DEMO']) {
      expect(await json(`projects list --filter=${filter}`)).toMatchObject([{ projectId: 'demo-project' }]);
    }
    expect(await json('projects list --filter=id:other*')).toEqual([]);
    const enabled = (await json('services list')) as { config: { name: string } }[];
    expect(enabled.map(({ config }) => config.name)).toEqual(
      expect.arrayContaining(['run.googleapis.com', 'logging.googleapis.com']),
    );
    await gcloud('services enable run.googleapis.com secretmanager.googleapis.com');
    const other = await shell('gcloud services enable bigquery.googleapis.com');
    expect(other.err).toContain("bigquery.googleapis.com, so it can't be enabled");
  });

  test('a secret’s rotation is shown whole and changed by parts', async () => {
    const [time, later] = [2, 3].map(days => new Date(Date.now() + days * 86_400_000).toISOString());
    await gcloud(
      `secrets create rotated --replication-policy=automatic --topics=projects/demo-project/topics/t ` +
        `--next-rotation-time=${time} --rotation-period=2592000s`,
    );
    expect(await json('secrets describe rotated')).toMatchObject({ rotation: { rotationPeriod: '2592000s' } });
    await gcloud(`secrets update rotated --next-rotation-time=${later} --rotation-period=1209600s`);
    expect(await json('secrets describe rotated')).toMatchObject({ rotation: { rotationPeriod: '1209600s' } });
    await gcloud('secrets update rotated --remove-rotation-schedule');
    expect(await json('secrets describe rotated')).not.toHaveProperty('rotation');
    const past = await shell('gcloud secrets update rotated --expire-time=2020-01-01T00:00:00Z');
    expect(past.err).toContain('expire_time must be in the future');
  });

  test.each([
    ['projects get-iam-policy demo-project', 'policies and IAM roles are not supported'],
    ['logging logs list', 'has only the list of entries'],
    ['logging read x', 'Invalid filter: timestamp>='],
    ['iam roles list', 'policies and IAM roles are not supported'],
    [`iam service-accounts sign-blob --iam-account=${email} value out`, 'signatures are not supported'],
    [`iam service-accounts keys create key --iam-account=${email}`, 'keys are not supported'],
    ['secrets list --location=europe-west1', 'Regional secrets are not supported'],
    ['artifacts repositories list --location=us', 'Nothing is built or stored by the local Google Cloud'],
    ['container clusters list', 'This is not supported by the local Google Cloud'],
    ['pubsub topics list', 'This is not supported by the local Google Cloud'],
    ['compute regions list', 'This is not supported by the local Google Cloud'],
    ['builds submit --no-source --config=build.yaml', 'Nothing is built or stored by the local Google Cloud'],
  ])('%s is refused clearly', async (command, words) => {
    const { code, err } = await shell(`gcloud ${command}`);
    expect(code).toBe(1);
    expect(err).toContain(words);
  });

  test('tells what is wrong in the service’s words', async () => {
    const missing = await shell('gcloud secrets describe nothing');
    expect(missing.code).toBe(1);
    expect(missing.err).toContain('NOT_FOUND: Secret [projects/123456789012/secrets/nothing] not found.');
  });
});
