import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { installYaml } from '../../scripts/installYaml.ts';
import { eventually } from './support/access.ts';
import { firstRelease } from './support/firstRelease.ts';

/** Installations with kubectl on a real kube-apiserver, with the commands that the pages and setup.sh print. test/e2e/helm.test.ts has those with Helm. */

const ROOT = new URL('../../', import.meta.url).pathname;
const TENANTS = '/apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants';
const DEPLOYMENT = '/apis/apps/v1/namespaces/aitenant-system/deployments/aitenant-operator';
const IMAGE = `ghcr.io/me/aitenant-operator@sha256:${'0'.repeat(64)}`;
const tenant = {
  apiVersion: 'ai-platform.dev/v1alpha1',
  kind: 'AiTenant',
  metadata: { name: 'tenant-a' },
  spec: { region: 'asia-northeast1', keys: [{ name: 'a', secretRef: { external: 'a' } }] },
};

let folder: string;
let cluster: Envtest;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'install-'));
  cluster = await startEnvtest({ stateDir: join(folder, 'cluster') });
});
afterEach(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command in a shell, in `folder`, and resolves to what it prints. Rejects with its errors. */
const sh = async (command: string, path = process.env.PATH) =>
  (
    await promisify(execFile)('sh', ['-euc', command], {
      cwd: folder,
      env: { PATH: path, HOME: folder, KUBECONFIG: cluster.kubeconfigPath },
    })
  ).stdout;

// biome-ignore lint/suspicious/noExplicitAny: an object of Kubernetes; the assertions say what is expected
async function ask(method: string, path: string, body?: unknown): Promise<any> {
  const answer = await cluster.ask(method, path, body);
  expect(answer.code, answer.body).toBeLessThan(300);
  return JSON.parse(answer.body);
}

test('install.yaml upgrades version 0.1.0, a second time changes nothing, and the tenants stay when the operator is deleted', async () => {
  writeFileSync(join(folder, 'version-0.1.0.yaml'), firstRelease('upgrade-0.1/manifests.yaml'));
  await sh('kubectl apply -f version-0.1.0.yaml');
  await eventually(async () => (await cluster.ask('GET', TENANTS)).code === 200, 'AiTenants to be served');
  const { metadata } = await ask('POST', TENANTS, tenant);
  const { metadata: before } = await ask('GET', DEPLOYMENT);
  const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
  writeFileSync(join(folder, 'install.yaml'), installYaml(version, IMAGE));

  await sh('kubectl apply -f install.yaml');

  const upgraded = await ask('GET', DEPLOYMENT);
  expect(upgraded.metadata).toMatchObject({ uid: before.uid, labels: { 'app.kubernetes.io/version': version } });
  expect(upgraded.spec.template.spec.containers[0].image).toBe(IMAGE);
  // kubectl calls a PodDisruptionBudget configured each time, because it always patches the selector.
  const versions = () => sh("kubectl get -f install.yaml -o jsonpath='{.items[*].metadata.resourceVersion}'");
  const applied = await versions();
  await sh('kubectl apply -f install.yaml');
  expect(await versions()).toBe(applied);
  const [annotate = ''] = readFileSync(join(folder, 'install.yaml'), 'utf8').match(/kubectl annotate service.*/) ?? [];
  await sh(annotate.replace('=ACCOUNT', '=op@my-project.iam.gserviceaccount.com'));
  const account = await ask('GET', '/api/v1/namespaces/aitenant-system/serviceaccounts/aitenant-operator');
  expect(account.metadata.annotations).toMatchObject({
    'iam.gke.io/gcp-service-account': 'op@my-project.iam.gserviceaccount.com',
  });

  const [remove = ''] = readFileSync(`${ROOT}docs/release.md`, 'utf8').match(/^kubectl delete .*/m) ?? [];
  // No controller ends a namespace here.
  await sh(`${remove} --wait=false`);
  expect((await ask('GET', '/api/v1/namespaces/aitenant-system')).status.phase).toBe('Terminating');
  expect((await cluster.ask('GET', '/apis/rbac.authorization.k8s.io/v1/clusterroles/aitenant-operator')).code).toBe(
    404,
  );
  expect((await ask('GET', `${TENANTS}/tenant-a`)).metadata).toEqual(metadata);
});

test('setup.sh ends with a command that installs the operator as printed', async () => {
  for (const name of ['manifests', 'crds']) cpSync(`${ROOT}${name}`, join(folder, name), { recursive: true });
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'gcloud'), '#!/bin/sh\n');
  chmodSync(join(bin, 'gcloud'), 0o755);

  const printed = await sh('manifests/gcp/setup.sh my-project', [bin, process.env.PATH].join(delimiter));
  await sh(printed.trim().split('\n').at(-1) ?? '');

  const [container] = (await ask('GET', DEPLOYMENT)).spec.template.spec.containers;
  expect(container.args).toEqual(['--leader-elect', '--project=my-project']);
  expect(container.image).toMatch(/^asia-northeast1-docker\.pkg\.dev\/my-project\/platform\/aitenant-operator:/);
});
