import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { localCurl } from './support/localCurl.ts';
import { givenPorts, givenState, sandbox } from './support/sandboxProcess.ts';

/**
 * The manual, typed as it stands: its four steps with gcloud alone, beside the whole sandbox. What they make is what the operator
 * takes over, without a new revision, and afterwards gcloud and the operator share the service as docs/manual.md says.
 */

const ROOT = new URL('../../', import.meta.url).pathname;
const PATH = `${process.env.PATH}:/usr/lib/google-cloud-sdk/bin`;
const MISSING = ['kubectl', 'gcloud', 'curl', 'bash'].filter(
  tool => spawnSync('sh', ['-c', `command -v ${tool}`], { env: { PATH } }).status !== 0,
);
if (MISSING.length > 0) console.warn(`${MISSING.join(', ')}: not installed, so the manual is not typed`);

const SERVICE = 'ai-platform-manual';
const EMAIL = 'sa-manual@demo-project.iam.gserviceaccount.com';
const PLACE = '--region=asia-northeast1';
/** Each look is a process of its own. */
const PATIENT = { timeout: 60_000, interval: 1_000 };
const REPOSITORY = 'asia-northeast1-docker.pkg.dev/demo-project/platform';

/** A person at a terminal that has read `DIR/env`. */
interface Reader {
  folder: string;
  /** Runs a script to its end. Fails if a command fails, unless `code` expects it; answers standard output. */
  types(script: string, code?: number): Promise<string>;
}

describe.skipIf(MISSING.length > 0)('the manual', () => {
  test('is typed with gcloud alone, and its tenant is adopted as it is', { timeout: 300_000 }, async () => {
    const reader = await givenReader();
    await typeTheManual(reader);
    const revisions = await revisionsOf(reader);
    expect(revisions).toHaveLength(3);

    await importAndConsent(reader);
    await reader.types(
      'kubectl apply -f tenants.yaml && kubectl wait --for=condition=Ready aitenant/manual --timeout=1m',
    );
    expect(await revisionsOf(reader)).toEqual(revisions);
    expect(await reader.types(chat)).toContain('heard: still there');

    await deployAnImage(reader);
    await changeTheMemory(reader);
    await sendTrafficBack(reader, revisions.at(-1) ?? '');
    expect(await reader.types(chat)).toContain('heard: still there');
  });
});

const chat = `url=$(gcloud run services describe ${SERVICE} ${PLACE} --format='value(status.url)')
curl -sf -X POST "$url/chat" -H 'Content-Type: application/json' -d '{"message": "still there"}'`;

// -------------------------------------------------------------------------------------------------------- the steps

/** The manual's four steps: account; key and its grant; service with every setting; the key in the service, and the backend. */
async function typeTheManual({ types }: Reader): Promise<void> {
  await types(`gcloud iam service-accounts create sa-manual --display-name='Tenant manual'`);
  await types(`printf sk-sandbox-manual | gcloud secrets create manual-openai-key --replication-policy=automatic --data-file=-
gcloud secrets add-iam-policy-binding manual-openai-key \\
  --member=serviceAccount:${EMAIL} --role=roles/secretmanager.secretAccessor`);
  await types(`gcloud run deploy ${SERVICE} ${PLACE} --image=us-docker.pkg.dev/cloudrun/container/hello --service-account=${EMAIL} \\
  --cpu=1 --memory=1Gi --timeout=300 --concurrency=80 --min-instances=0 --max-instances=10 --allow-unauthenticated`);
  await types(
    `gcloud run services update ${SERVICE} ${PLACE} --update-secrets=OPENAI_API_KEY=manual-openai-key:latest`,
  );
  await types(`gcloud run deploy ${SERVICE} ${PLACE} --image=${REPOSITORY}/ai-backend:0.1.0`);
  expect(await types(chat)).toContain('heard: still there');
}

/** Import, the commands that give consent, and a plan that shows nothing but owner marks. */
async function importAndConsent({ types, folder }: Reader): Promise<void> {
  await types('npm run -s import -- --project demo-project --region asia-northeast1 > tenants.yaml');
  const tenant = parseAllDocuments(readFileSync(join(folder, 'tenants.yaml'), 'utf8'))
    .map(one => one.toJS() as KubeObject)
    .find(({ kind }) => kind === 'AiTenant');
  expect(tenant).toEqual({
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name: 'manual', namespace: 'default', annotations: { 'ai-platform.dev/adopt': 'true' } },
    spec: {
      region: 'asia-northeast1',
      keys: [
        {
          name: 'openai',
          secretRef: { external: 'manual-openai-key' },
          env: 'OPENAI_API_KEY',
          rollout: 'OnRestart',
        },
      ],
    },
  });
  await types("sed -n 's/^#\\$ //p' tenants.yaml | sh -ex");
  const plan = JSON.parse(await types('npm run -s plan -- -f "$PWD/tenants.yaml" -o json', 2)) as {
    tenants: { name: string; blocked: unknown[]; steps: { action: string; changes: { field: string }[] }[] }[];
  };
  expect(plan.tenants).toMatchObject([
    { name: 'manual', blocked: [], steps: [{ action: 'Adopt' }, { action: 'Adopt' }] },
  ]);
  const fields = plan.tenants.flatMap(({ steps }) => steps.flatMap(({ changes }) => changes.map(({ field }) => field)));
  expect(fields.filter(field => !/^(description|labels\.ai-tenant-owner-\w+)$/.test(field))).toEqual([]);
}

/** The spec names no image, so whoever deploys one keeps it. */
async function deployAnImage(reader: Reader): Promise<void> {
  const before = (await revisionsOf(reader)).length;
  const image = `${REPOSITORY}/ai-backend:0.2.0`;
  await reader.types(`gcloud run deploy ${SERVICE} ${PLACE} --image=${image}`);
  await checked(reader);
  expect(await shown(reader, 'spec.template.spec.containers[0].image')).toBe(image);
  expect(await revisionsOf(reader)).toHaveLength(before + 1);
  expect(await eventsOf(reader)).not.toContain('DriftCorrected');
}

/** The spec's memory is its default, so the operator sets it again, and tells so. */
async function changeTheMemory(reader: Reader): Promise<void> {
  await reader.types(`gcloud run services update ${SERVICE} ${PLACE} --memory=2Gi`);
  const memory = () => shown(reader, 'spec.template.spec.containers[0].resources.limits.memory');
  await expect.poll(() => eventsOf(reader), PATIENT).toMatch(/DriftCorrected.*resources\.memory/);
  await expect.poll(memory, PATIENT).toBe('1Gi');
}

/** Traffic that was sent to an old revision goes to the latest one again, and an event says so. */
async function sendTrafficBack(reader: Reader, oldest: string): Promise<void> {
  await reader.types(`gcloud run services update-traffic ${SERVICE} ${PLACE} --to-revisions=${oldest}=100`);
  const traffic = () => shown(reader, 'spec.traffic[0].latestRevision,spec.traffic[0].percent');
  await expect.poll(() => eventsOf(reader), PATIENT).toMatch(/DriftCorrected.*traffic/);
  await expect.poll(traffic, PATIENT).toBe('True\t100');
}

// --------------------------------------------------------------------------------------------------------- helpers

/** The revisions of the service, newest first. */
async function revisionsOf({ types }: Reader): Promise<string[]> {
  const out = await types(`gcloud run revisions list --service=${SERVICE} ${PLACE} --format='value(metadata.name)'`);
  return out.trim().split('\n');
}

const shown = async ({ types }: Reader, fields: string): Promise<string> =>
  (await types(`gcloud run services describe ${SERVICE} ${PLACE} --format='value(${fields})'`)).trim();

const eventsOf = ({ types }: Reader): Promise<string> =>
  types(`kubectl get events --field-selector=involvedObject.name=manual -o custom-columns=R:.reason,M:.message`);

/** A full check of the tenant that began after this call has ended. */
const checked = ({ types }: Reader): Promise<string> =>
  types(`at=$(date +%s)-$RANDOM
kubectl annotate aitenant manual --overwrite ai-platform.dev/reconcile-requested-at=$at
until [ "$(kubectl get aitenant manual -o jsonpath='{.status.lastHandledReconcileAt}')" = $at ]; do sleep 0.2; done
kubectl wait --for=condition=Ready aitenant/manual --timeout=1m`);

/** The sandbox, and a folder with its state. `curl` reaches the local Google Cloud by the name that the printed commands have. */
async function givenReader(): Promise<Reader> {
  const state = await givenState();
  const folder = mkdtempSync(join(tmpdir(), 'manual-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'home'));
  const run = sandbox(['--no-demo', '--state', state, '--port-base', String(await givenPorts())]);
  await expect.poll(run.output, { timeout: 60_000 }).toContain('Ctrl-C stops everything.');
  const prelude = `set -e -o pipefail
export KUBECONFIG=${state}/kubeconfig
source ${state}/env
npm() { (cd ${ROOT} && command npm "$@"); }
`;
  const env = { PATH: `${localCurl(folder)}:${PATH}`, HOME: join(folder, 'home'), TMPDIR: folder, NO_COLOR: '1' };
  const types = (script: string, code = 0): Promise<string> =>
    new Promise((resolve, reject) =>
      execFile('bash', ['-c', prelude + script], { cwd: folder, env, timeout: 110_000 }, (error, out, err) => {
        const ended = error ? Number(error.code ?? 1) : 0;
        if (ended === code) resolve(out);
        else reject(new Error(`${script}\nended with ${ended}:\n${out}${err}`));
      }),
    );
  return { folder, types };
}
