import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type AcceptanceCloud, type AcceptanceRun, startAcceptanceCloud } from './support/acceptanceCloud.ts';
import { PROJECT, SECRETS } from './support/world.ts';

/** `npm run acceptance` as a user runs it, on the local Google Cloud. */

let cloud: AcceptanceCloud;
beforeAll(async () => {
  cloud = await startAcceptanceCloud();
  const secret = { replication: { automatic: {} }, labels: { team: 'blue' } };
  await cloud.core.call(`${SECRETS}.CreateSecret`, { parent: `projects/${PROJECT}`, secretId: 'somebody', secret });
});
afterAll(() => cloud.close());

const journals = (): string[] => (existsSync(cloud.state) ? readdirSync(cloud.state) : []);

/** Whatever a test does, the next one starts from a project without anything of a run. */
afterEach(async () => {
  expect(await cloud.left()).toEqual([]);
  expect(journals()).toEqual([]);
});

const printed = async (run: AcceptanceRun, text: string): Promise<void> => {
  while (!run.output().includes(text)) {
    if (run.child.exitCode !== null) throw new Error(run.output());
    await sleep(20);
  }
};

test('everything is confirmed and passes, and nothing is left', { timeout: 300_000 }, async () => {
  const run = cloud.run('--yes', '--second-region', 'europe-west1');
  const code = await run.ended;
  const output = run.output();
  expect(output).not.toMatch(/REFUTED|FAILED|skipped/);
  expect(output).toContain('Nothing else in the project has changed.');
  expect(code, output).toBe(0);
});

test('Ctrl-C removes what was made', { timeout: 60_000 }, async () => {
  const run = cloud.run('--yes', '--only', 'life');
  await printed(run, 'life: created');
  expect(await cloud.left()).not.toEqual([]);
  run.child.kill('SIGINT');
  expect(await run.ended).toBe(1);
  expect(run.output()).toContain('Stopping, and removing what was made.');
  expect(run.output()).toContain('The run was stopped before its end.');
});

test('when nobody reads its output any more, a run ends and removes what it made', { timeout: 60_000 }, async () => {
  const run = cloud.run('--yes', '--only', 'life');
  await printed(run, 'life: created');
  run.child.stdout?.destroy();
  run.child.stderr?.destroy();
  expect(await run.ended).toBe(1);
});

test('without a terminal and without --yes nothing is made, and it says what to write', async () => {
  const run = cloud.run('--only', 'life');
  expect(await run.ended).toBe(2);
  expect(run.output()).toContain('It makes, each with the prefix acc-');
  expect(run.output()).toContain(`Write: npm run acceptance -- --project ${PROJECT} --yes`);
});

test('a project in which things of the prefix exist is refused', async () => {
  const name = `projects/${PROJECT}/serviceAccounts/sa-acc-k3x9w2ab-a@${PROJECT}.iam.gserviceaccount.com`;
  await cloud.core.call('google.iam.admin.v1.IAM.CreateServiceAccount', {
    name: `projects/${PROJECT}`,
    accountId: 'sa-acc-k3x9w2ab-a',
  });
  const run = cloud.run('--yes', '--prefix', 'acc-k3x9w2ab');
  expect(await run.ended).toBe(2);
  expect(run.output()).toContain('has things of the prefix acc-k3x9w2ab already: sa-acc-k3x9w2ab-a');
  await cloud.core.call('google.iam.admin.v1.IAM.DeleteServiceAccount', { name });
});

test('a clean-up without journals removes what has expired, and what a prefix names; nothing of others', async () => {
  const make = (id: string, expires: number) =>
    cloud.core.call(`${SECRETS}.CreateSecret`, {
      parent: `projects/${PROJECT}`,
      secretId: id,
      secret: { replication: { automatic: {} }, labels: { 'ai-acceptance-expires': String(expires) } },
    });
  const now = Math.floor(Date.now() / 1000);
  await make('acc-aaaaaaaa-old', now - 60);
  await make('acc-bbbbbbbb-new', now + 3600);
  const expired = cloud.run('--clean-up');
  expect(await expired.ended, expired.output()).toBe(0);
  expect(await cloud.left()).toEqual(['projects/123456789012/secrets/acc-bbbbbbbb-new']);

  const named = cloud.run('--clean-up', '--prefix', 'acc-bbbbbbbb');
  expect(await named.ended, named.output()).toBe(0);
  const kept = await cloud.core.call(`${SECRETS}.GetSecret`, { name: `projects/${PROJECT}/secrets/somebody` });
  expect(kept).toMatchObject({ ok: true, response: { labels: { team: 'blue' } } });
});

/** How often a run is killed. Thirty take about three minutes: AITENANT_TEST_KILLS=30. */
const KILLS = Number(process.env.AITENANT_TEST_KILLS ?? 4);

test(`killed ${KILLS} times at random moments, a clean-up leaves nothing`, { timeout: 600_000 }, async () => {
  const found: number[] = [];
  for (let kill = 0; kill < KILLS; kill++) {
    const run = cloud.run('--yes', '--second-region', 'europe-west1');
    await printed(run, 'It makes, each with the prefix');
    // The first one has certainly made something.
    if (kill === 0) await printed(run, 'life: created');
    const after = Math.random() * 12_000;
    await Promise.race([sleep(after), run.ended]);
    run.child.kill('SIGKILL');
    await run.ended;
    found.push((await cloud.left()).length);
    const cleanUp = cloud.run('--clean-up');
    expect(await cleanUp.ended, cleanUp.output()).toBe(0);
    expect(await cloud.left(), `killed after ${Math.round(after)} ms`).toEqual([]);
  }
  console.log(`Left by the killed runs: ${found.join(', ')} things each`);
  expect(Math.max(...found)).toBeGreaterThan(0);
});
