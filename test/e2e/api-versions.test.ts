import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANT_CRD } from '../../ports/kubeResources.ts';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { eventually } from './support/access.ts';

/** docs/upgrading.md, from v1alpha1 to v1beta1: the steps of a CRD without a conversion webhook, on a real kube-apiserver. */

const file = (path: string) => parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as KubeObject;
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CRD = `${CRDS}/${AI_TENANT_CRD}`;
const MERGE = 'application/merge-patch+json';
const tenants = (version: string) => `/apis/ai-platform.dev/${version}/namespaces/default/aitenants`;
const TENANT = 'tenant-with-everything';

const crd = file('crds/aitenants.yaml') as KubeObject & { spec: { versions: JsonObject[] } };
const [alpha = {}] = crd.spec.versions;
const versionsOf = (stored: 'v1alpha1' | 'v1beta1', served = true): JsonObject[] => [
  { ...alpha, served, storage: stored === 'v1alpha1' },
  { ...alpha, name: 'v1beta1', storage: stored === 'v1beta1' },
];

let folder: string;
let cluster: Envtest;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'api-versions-'));
  cluster = await startEnvtest({ stateDir: folder, progress: console.log });
}, 30 * 60_000);
afterAll(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function must(method: string, path: string, body?: unknown, type?: string): Promise<KubeObject> {
  const answer = await cluster.ask(method, path, body, type);
  expect(answer.code, answer.body).toBeLessThan(300);
  return JSON.parse(answer.body) as KubeObject;
}
const setVersions = (versions: JsonObject[]) => must('PATCH', CRD, { spec: { versions } }, MERGE);
const isServed = (version: string) =>
  eventually(async () => (await cluster.ask('GET', tenants(version))).code === 200, `${version} to be served`);
const storedVersions = async () => ((await must('GET', CRD)).status as { storedVersions: string[] }).storedVersions;

test('each step keeps every field, and the API server refuses to forget a version that is stored', async () => {
  await must('POST', CRDS, crd);
  await isServed('v1alpha1');
  const given = file(`examples/${TENANT}.yaml`);
  const object = { ...given, metadata: { ...given.metadata, name: 'everything', namespace: 'default' } };
  const first = await must('POST', tenants('v1alpha1'), object);

  // Step 1: the new version is served, and the old one stored.
  await setVersions(versionsOf('v1alpha1'));
  await isServed('v1beta1');
  const asBeta = await must('GET', `${tenants('v1beta1')}/everything`);
  expect(asBeta.apiVersion).toBe('ai-platform.dev/v1beta1');
  expect(asBeta.spec).toEqual(first.spec);
  await setVersions([alpha]);
  await setVersions(versionsOf('v1alpha1'));
  await isServed('v1beta1');

  // Step 2: the new version is stored; objects are written once.
  await setVersions(versionsOf('v1beta1'));
  await eventually(async () => (await storedVersions()).includes('v1beta1'), 'v1beta1 to be stored');
  const back = await cluster.ask('PATCH', CRD, { spec: { versions: [alpha] } }, MERGE);
  expect(back.code, back.body).toBe(422);
  expect(back.body).toContain('storedVersions');
  const written = await must(
    'PUT',
    `${tenants('v1alpha1')}/everything`,
    await must('GET', `${tenants('v1alpha1')}/everything`),
  );
  expect(written.metadata.generation).toBe(first.metadata.generation);
  await must('PATCH', `${CRD}/status`, { status: { storedVersions: ['v1beta1'] } }, MERGE);

  // Step 3: the old version is no longer served, and then gone.
  await setVersions(versionsOf('v1beta1', false));
  await eventually(async () => (await cluster.ask('GET', tenants('v1alpha1'))).code === 404, 'v1alpha1 to be gone');
  await setVersions(versionsOf('v1beta1').slice(1));
  expect((await must('GET', `${tenants('v1beta1')}/everything`)).spec).toEqual(first.spec);
});
