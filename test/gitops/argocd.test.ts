import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { type ArgoCd, manifest, startArgoCd, waitFor } from './support/argocd.ts';
import { createRepository, type GitRepository } from './support/git.ts';
import { type Stack, startStack } from './support/stack.ts';
import { applicationOf, tenantFile as fileWith, keyOf, pathOf } from './support/tenants.ts';

/**
 * The manifests of manifests/argocd in the real Argo CD. Each scenario is seen in the status of the Application, as a user of Argo CD
 * sees it. The tests of this file follow each other: three tenants of three teams live through them.
 */

let stack: Stack;
let argo: ArgoCd;
let git: GitRepository;

beforeAll(async () => {
  stack = await startStack();
  argo = await startArgoCd(stack);
  git = createRepository(`${stack.folder}/tenants.git`);
});
afterAll(() => stack?.close());

const tenantOf = (team: string) => `tenant-${team}`;
const fileOf = (team: string) => pathOf(team, tenantOf(team));
const appOf = (team: string) => applicationOf(team, tenantOf(team));
const tenantFile = (team: string, over: JsonObject = {}) => fileWith(team, tenantOf(team), over);

async function commit(files: Record<string, string | null>, message: string): Promise<string> {
  const revision = git.commit(files, message);
  await argo.pulled('aitenants');
  return revision;
}

/** What Argo CD shows beside the AiTenant in the tree of its Application. */
async function messageIn(app: string): Promise<string> {
  const tree = (await argo.rest('GET', `/api/v1/applications/${app}/resource-tree`)) as unknown as {
    nodes: { kind: string; health?: { message?: string } }[];
  };
  return tree.nodes.find(({ kind }) => kind === 'AiTenant')?.health?.message ?? '';
}

const tenant = (team: string) => stack.world.tenant(tenantOf(team), team);
const specOf = async (team: string) => (await tenant(team))?.spec as { suspend?: boolean; scaling: JsonObject };
/** The maximum of instances that Cloud Run has been told. */
const maxInstances = async (team: string) => {
  const service = (await stack.world.service(tenantOf(team))) as { scaling?: JsonObject } | undefined;
  return service?.scaling?.maxInstanceCount;
};
const scaledTo = (max: number) => ({ scaling: { minInstances: 0, maxInstances: max } });

test('three tenants of three teams become Synced and Healthy', async () => {
  const teams = ['team-a', 'team-b', 'team-c'];
  for (const team of teams) await stack.world.secret(keyOf(team), { labels: { 'ai-tenant-namespace': team } });
  const revision = git.commit(Object.fromEntries(teams.map(team => [fileOf(team), tenantFile(team)])), 'three tenants');
  await argo.apply(manifest('tenants.yaml', { tenants: git.url }));
  for (const team of teams) {
    await argo.until(appOf(team), { sync: 'Synced', health: 'Healthy', revision });
    expect(await stack.world.service(tenantOf(team))).toBeDefined();
  }
});

test('an edit in git reaches Cloud Run', async () => {
  const revision = await commit({ [fileOf('team-a')]: tenantFile('team-a', scaledTo(7)) }, 'at most 7 instances');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy', revision });
  expect(await maxInstances('team-a')).toBe(7);
});

test('a bad image is Degraded with the operator’s message, and Healthy again after the revert', async () => {
  const image = 'gcr.io/acme/app:broken';
  await commit({ [fileOf('team-a')]: tenantFile('team-a', { image }) }, 'a bad image');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Degraded' });
  const condition = (await tenant('team-a'))?.status?.conditions?.find(({ type }) => type === 'Ready');
  expect(condition?.reason).toBe('UpdateFailed');
  expect(await messageIn(appOf('team-a'))).toBe(condition?.message);
  const revision = git.revert();
  await argo.pulled('aitenants');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy', revision });
});

test('self-heal reverts an edit of a field that git contains', async () => {
  await stack.world.edit(tenantOf('team-a'), { scaling: { maxInstances: 99 } }, 'team-a');
  await waitFor(
    async () => ((await specOf('team-a')).scaling.maxInstances === 7 ? true : undefined),
    () => 'the edit to be reverted',
  );
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy' });
});

test('suspend in git is Suspended; a file without it resumes the tenant', async () => {
  await commit({ [fileOf('team-a')]: tenantFile('team-a', { suspend: true }) }, 'suspend');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Suspended' });
  await commit({ [fileOf('team-a')]: tenantFile('team-a') }, 'resume');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy' });
  expect((await specOf('team-a')).suspend).toBe(false);
});

test('a missing secret is Progressing, Degraded after 10 minutes, and Healthy once the secret exists', async () => {
  const { world } = stack;
  const over = { keys: [{ name: 'openai', secretRef: { external: 'late-key' }, env: 'OPENAI_API_KEY' }] };
  await commit({ [fileOf('team-b')]: tenantFile('team-b', over) }, 'a key that does not exist yet');
  await argo.until(appOf('team-b'), { sync: 'Synced', health: 'Progressing' });
  await world.reason(tenantOf('team-b'), 'DependencyNotFound', 'team-b');
  // Argo CD's clock can't be moved, so the transition is written 11 minutes back, while the operator is stopped.
  await world.operator.stop();
  const conditions = ((await tenant('team-b'))?.status?.conditions ?? []).map(condition => ({
    ...condition,
    lastTransitionTime: new Date(Date.now() - 11 * 60_000).toISOString().replace(/\.\d+/, ''),
  }));
  const path = `/apis/ai-platform.dev/v1alpha1/namespaces/team-b/aitenants/${tenantOf('team-b')}/status`;
  const patched = await stack.envtest.ask('PATCH', path, { status: { conditions } }, 'application/merge-patch+json');
  expect(patched.code, patched.body).toBe(200);
  await argo.refresh(appOf('team-b'));
  await argo.until(appOf('team-b'), { sync: 'Synced', health: 'Degraded' });
  expect(await messageIn(appOf('team-b'))).toContain('late-key');
  await world.restart();
  await world.secret('late-key', { labels: { 'ai-tenant-namespace': 'team-b' } });
  await world.check(tenantOf('team-b'), 'team-b');
  await argo.until(appOf('team-b'), { sync: 'Synced', health: 'Healthy' });
});

test('a removed file: tenant, service, grant and account go, and then the Application', async () => {
  const { world } = stack;
  expect(await world.secretMembers(keyOf('team-c'))).toHaveLength(1);
  await commit({ [fileOf('team-c')]: null }, 'team-c leaves');
  await argo.gone(appOf('team-c'));
  expect(await tenant('team-c')).toBe(undefined);
  expect(await world.service(tenantOf('team-c'))).toBe(undefined);
  expect(await world.account(tenantOf('team-c'))).toBe(undefined);
  expect(await world.secretMembers(keyOf('team-c'))).toEqual([]);
});

const act = (team: string, action: string) =>
  argo.rest('POST', `/api/v1/applications/${appOf(team)}/resource/actions/v2`, {
    ...{ name: appOf(team), namespace: team, resourceName: tenantOf(team), action },
    ...{ group: AI_TENANTS.group, version: AI_TENANTS.version, kind: AI_TENANTS.kind },
  });

/** The actions that Argo CD offers for a tenant: name, and whether it can be used now. */
async function offered(team: string): Promise<Record<string, boolean>> {
  const { group, version, kind } = AI_TENANTS;
  const query = new URLSearchParams({ namespace: team, resourceName: tenantOf(team), group, version, kind });
  const { actions } = (await argo.rest('GET', `/api/v1/applications/${appOf(team)}/resource/actions?${query}`)) as {
    actions: { name: string; disabled?: boolean }[];
  };
  return Object.fromEntries(actions.map(({ name, disabled }) => [name, !disabled]));
}

test('actions suspend and resume: the field is not in git, so self-heal leaves it', async () => {
  expect(await offered('team-a')).toEqual({ suspend: true, resume: false, reconcile: true, abandon: true });
  await act('team-a', 'suspend');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Suspended' });
  expect(await offered('team-a')).toEqual({ suspend: false, resume: true, reconcile: false, abandon: true });
  // A sync that was to revert it would have come with the comparison.
  await argo.refresh(appOf('team-a'));
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Suspended' });
  await act('team-a', 'resume');
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy' });
});

test('action reconcile has the tenant checked once', async () => {
  const before = (await tenant('team-a'))?.status?.lastHandledReconcileAt;
  await act('team-a', 'reconcile');
  await waitFor(
    async () => ((await tenant('team-a'))?.status?.lastHandledReconcileAt === before ? undefined : true),
    () => 'team-a to be checked',
  );
  await argo.until(appOf('team-a'), { sync: 'Synced', health: 'Healthy' });
});

test('action abandon: after it a removed file leaves everything in Google Cloud', async () => {
  const { world } = stack;
  await act('team-b', 'abandon');
  await argo.refresh(appOf('team-b'));
  await argo.until(appOf('team-b'), { sync: 'Synced', health: 'Healthy' });
  await commit({ [fileOf('team-b')]: null }, 'team-b is let go');
  await argo.gone(appOf('team-b'));
  expect(await tenant('team-b')).toBe(undefined);
  expect(await world.service(tenantOf('team-b'))).toBeDefined();
  expect(await world.account(tenantOf('team-b'))).toBeDefined();
});
