import { afterAll, beforeAll, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { type ArgoCd, manifest, startArgoCd, waitFor } from './support/argocd.ts';
import { createRepository, type GitRepository } from './support/git.ts';
import { type Stack, startStack } from './support/stack.ts';
import { applicationOf, keyOf, pathOf, tenantFile } from './support/tenants.ts';

/** manifests/argocd/tenants-rollout.yaml: an image goes through 30 tenants in waves of 3, 7 and 20. */

const TEAM = 'team-a';
const GOOD = 'gcr.io/acme/app:1';
const BETTER = 'gcr.io/acme/app:2';
const BAD = 'gcr.io/acme/app:broken';
const waveOf = (n: number) => (n < 3 ? 'canary' : n < 10 ? 'early' : 'fleet');
// The names of the last wave come first in the alphabet.
const fleet = Array.from({ length: 30 }, (_, n) => ({
  wave: waveOf(n),
  name: `tenant-${String(50 - n).padStart(2, '0')}`,
}));

let stack: Stack;
let argo: ArgoCd;
let git: GitRepository;

beforeAll(async () => {
  stack = await startStack();
  argo = await startArgoCd(stack, { progressiveSyncs: true });
  git = createRepository(`${stack.folder}/tenants.git`);
  await stack.world.secret(keyOf(TEAM), { labels: { 'ai-tenant-namespace': TEAM } });
});
afterAll(() => stack?.close());

/** Commits all tenants with an image. */
function commitAll(image: string): string {
  const labels = (wave: string) => (wave === 'fleet' ? {} : { labels: { rollout: wave } });
  const files = fleet.map(({ name, wave }) => [pathOf(TEAM, name), tenantFile(TEAM, name, { image }, labels(wave))]);
  return git.commit(Object.fromEntries(files), `all tenants run ${image}`);
}

/** The same, and has the fleet follow that commit. */
const rollOut = (image: string) => follow(commitAll(image));

function follow(revision: string): void {
  git.commit({ 'rollout.yaml': `revision: ${revision}\n` }, `the fleet follows ${revision}`);
}

/** What a webhook of the git server does to the ApplicationSet; it changes the Applications, which Argo CD then compares by itself. */
const pulled = () => argo.readAgain('aitenants');

/** The tenants to whose services Google Cloud was ever told to give the image. */
async function reached(image: string): Promise<string[]> {
  const found: string[] = [];
  for (const { name } of fleet) {
    const tenant = await stack.world.tenant(name, TEAM);
    if ((tenant?.spec as { image?: string } | undefined)?.image === image) found.push(name);
  }
  return found.sort();
}

async function allAre(image: string): Promise<void> {
  for (const { name } of fleet) {
    await argo.until(applicationOf(TEAM, name), { sync: 'Synced', health: 'Healthy' });
    const service = (await stack.world.service(name)) as JsonObject & { template: { containers: { image: string }[] } };
    expect(service.template.containers[0]?.image, name).toBe(image);
  }
}

test('30 tenants begin with an image', async () => {
  rollOut(GOOD);
  await argo.apply(manifest('tenants.yaml', { tenants: git.url }).split('\n---\n')[0] ?? '');
  await argo.apply(manifest('tenants-rollout.yaml', { tenants: git.url }));
  await waitFor(
    async () => (await argo.applications()).length === fleet.length || undefined,
    () => 'an Application for each tenant',
  );
  await allAre(GOOD);
});

test('a bad image stops after the first wave: 27 tenants never see it', async () => {
  rollOut(BAD);
  await pulled();
  const canaries = fleet.filter(({ wave }) => wave === 'canary').map(({ name }) => name);
  for (const name of canaries) await argo.until(applicationOf(TEAM, name), { sync: 'Synced', health: 'Degraded' });
  for (const { name, wave } of fleet) {
    if (wave !== 'canary') await argo.until(applicationOf(TEAM, name), { sync: 'OutOfSync', health: 'Healthy' });
  }
  expect(await reached(BAD)).toEqual(canaries.sort());
});

test('the fleet follows a better commit: all tenants get it, wave by wave', async () => {
  rollOut(BETTER);
  await pulled();
  await waitFor(
    async () => (await reached(BETTER)).length === fleet.length || undefined,
    () => 'all tenants to get the image',
  );
  await allAre(BETTER);
});
