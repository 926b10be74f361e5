import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ArgoCd, manifest, NAMESPACE, startArgoCd, waitFor } from './support/argocd.ts';
import { createRepository, type GitRepository } from './support/git.ts';
import { listed } from './support/objects.ts';
import { type Stack, startStack, TEAMS } from './support/stack.ts';
import { applicationOf, keyOf, pathOf, tenantFile } from './support/tenants.ts';

/** Sixty tenants in the real Argo CD. */

let stack: Stack;
let argo: ArgoCd;
let git: GitRepository;
const fleet = TEAMS.flatMap(team => Array.from({ length: 20 }, (_, n) => ({ team, name: `tenant-${team}-${n}` })));
const applications = fleet.map(({ team, name }) => applicationOf(team, name));

beforeAll(async () => {
  stack = await startStack();
  argo = await startArgoCd(stack);
  git = createRepository(`${stack.folder}/tenants.git`);
  for (const team of TEAMS) await stack.world.secret(keyOf(team), { labels: { 'ai-tenant-namespace': team } });
});
afterAll(() => stack?.close());

/** The events of Argo CD that say that an Application has become OutOfSync: Argo CD writes one for each change of a sync status. */
async function outOfSync(): Promise<string[]> {
  const events = await listed(stack.envtest, `/api/v1/namespaces/${NAMESPACE}/events`);
  return events.map(({ message }) => String(message)).filter(message => message.includes('Synced -> OutOfSync'));
}

test('60 tenants in one commit become Synced and Healthy', async () => {
  const files = fleet.map(({ team, name }) => [pathOf(team, name), tenantFile(team, name)]);
  const revision = git.commit(Object.fromEntries(files), '60 tenants');
  await argo.apply(manifest('tenants.yaml', { tenants: git.url }));
  for (const name of applications) await argo.until(name, { sync: 'Synced', health: 'Healthy', revision });
  expect(stack.world.operator.stats().running).toBe(0);
});

test('200 forced refreshes, half of them hard, with a restart of the operator among them: no false OutOfSync', async () => {
  const before = await outOfSync();
  for (let round = 0; round < 10; round++) {
    if (round === 5) await stack.world.restart();
    const some = applications
      .slice(round * 6)
      .concat(applications)
      .slice(0, 20);
    await (round % 2 === 0 ? argo.refresh(...some) : argo.hardRefresh(...some));
  }
  expect(await outOfSync()).toEqual(before);
  for (const name of applications) await argo.until(name, { sync: 'Synced', health: 'Healthy' });
  // The events are those that a real difference would have made.
  const [one = { team: '', name: '' }] = fleet;
  await stack.world.edit(one.name, { scaling: { maxInstances: 99 } }, one.team);
  await waitFor(
    async () => (await outOfSync()).length > before.length || undefined,
    () => 'an event for a tenant that differs',
  );
});
