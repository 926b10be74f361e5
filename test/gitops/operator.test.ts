import { cpSync, globSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KubeResource } from '../../ports/kube.ts';
import { AI_TENANT_CRD, CUSTOM_RESOURCE_DEFINITIONS } from '../../ports/kubeResources.ts';
import { type ArgoCd, manifest, startArgoCd, waitFor } from './support/argocd.ts';
import { createRepository, type GitRepository } from './support/git.ts';
import { applyAll, listed, objectsOf } from './support/objects.ts';
import { type Stack, startStack } from './support/stack.ts';

/** The Application of the operator itself: manifests/argocd/operator.yaml with the overlay and the component that it names. */

const ROOT = new URL('../../', import.meta.url).pathname;
const APPLICATION = 'aitenant-operator';
const BASE = 'manifests/base/kustomization.yaml';
const base = readFileSync(`${ROOT}${BASE}`, 'utf8');
const DEPLOYMENTS: KubeResource = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};

let stack: Stack;
let argo: ArgoCd;
let git: GitRepository;

beforeAll(async () => {
  stack = await startStack();
  argo = await startArgoCd(stack);
  git = createRepository(`${stack.folder}/operator.git`);
  for (const folder of ['crds', 'manifests'])
    cpSync(`${ROOT}${folder}`, `${git.folder}/${folder}`, { recursive: true });
  git.commit({}, 'the operator');
});
afterAll(() => stack?.close());

const operatorManifest = () => manifest('operator.yaml', { operator: git.url }).replaceAll('PROJECT', 'demo-project');

/** Says of each pod that it runs and is ready, as the kubelet of a node would. */
async function beKubelet(): Promise<void> {
  const pods = '/api/v1/namespaces/aitenant-system/pods';
  for (const { metadata } of await listed(stack.envtest, pods)) {
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    await stack.envtest.ask('PATCH', `${pods}/${metadata.name}/status`, { status }, 'application/merge-patch+json');
  }
}

/** Resolves when no resource of the Application differs from git. */
async function withoutDifference(): Promise<void> {
  await argo.refresh(APPLICATION);
  const { status } = await argo.until(APPLICATION, { sync: 'Synced', health: 'Healthy' });
  expect(status?.resources?.filter(one => one.status !== 'Synced')).toEqual([]);
}

async function crdExists(): Promise<boolean> {
  const got = await stack.world.kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
  return got.ok && got.value.metadata.deletionTimestamp === undefined;
}

test('the operator’s Application becomes Synced and Healthy', async () => {
  await argo.apply(operatorManifest());
  await waitFor(
    async () => {
      await beKubelet();
      return (await argo.application(APPLICATION))?.status?.health?.status === 'Healthy' || undefined;
    },
    () => 'the Deployment to be available',
  );
  await withoutDifference();
});

test('no difference after each example, and after a restart of the operator', async () => {
  const { world } = stack;
  await world.secret('tenant-a-openai-key');
  for (const file of globSync(`${ROOT}examples/*.yaml`)) {
    const objects = objectsOf(file).filter(({ kind }) => kind === 'AiTenant' || kind === 'Namespace');
    for (const { metadata } of objects) {
      const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: metadata.namespace ?? 'default' } };
      await applyAll(stack.envtest, [object], '');
    }
    await applyAll(stack.envtest, objects, 'default');
    await withoutDifference();
  }
  await world.ready('tenant-a');
  await world.restart();
  await withoutDifference();
});

test('the CRD leaves git: Argo CD does not prune it, and the tenants stay', async () => {
  git.commit({ [BASE]: base.replace('  - ../../crds\n', '') }, 'no CRD');
  await withoutDifference();
  const { status } = (await argo.application(APPLICATION)) ?? {};
  expect(status?.resources?.map(({ kind }) => kind)).not.toContain('CustomResourceDefinition');
  expect(status?.operationState?.phase).toBe('Succeeded');
  expect(await crdExists()).toBe(true);
  await stack.world.check('tenant-a');
  await stack.world.ready('tenant-a');
  git.revert();
  await withoutDifference();
});

test('the Application is deleted with its resources, and created again: the CRD and the tenants stay', async () => {
  const { world, envtest } = stack;
  const finalizers = ['resources-finalizer.argocd.argoproj.io'];
  const path = `/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/${APPLICATION}`;
  await envtest.ask('PATCH', path, { metadata: { finalizers } }, 'application/merge-patch+json');
  await argo.deleteApplication(APPLICATION);
  expect((await world.kube.get(DEPLOYMENTS, 'aitenant-system', APPLICATION)).ok).toBe(false);
  expect(await crdExists()).toBe(true);
  expect(await world.tenant('tenant-a')).toBeDefined();
  expect(await world.service('tenant-a')).toBeDefined();
  await argo.apply(operatorManifest());
  await argo.until(APPLICATION, { sync: 'Synced' });
});
