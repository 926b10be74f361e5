import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Replica, startReplica } from './support/replica.ts';
import { createWorld, PROJECT, REGION, spec, until, type World } from './support/world.ts';

/** The lease's duration, and what a waiting replica's jitter, its start and a busy machine add to it. */
const TAKE_OVER_MS = 15_000 + 30_000;
const NAMES = Array.from({ length: 20 }, (_, index) => `tenant-${String.fromCharCode(97 + index)}`);

let world: World;
let folder: string;
let leader: Replica;
let waiting: Replica;

beforeEach(async () => {
  // Creating takes a while, so that something is always half done.
  world = await createWorld({ noOperator: true, cloud: { deployMs: 400 } });
  folder = mkdtempSync(join(tmpdir(), 'aitenant-leader-'));
  const kubeconfig = join(folder, 'kubeconfig');
  world.cluster.operatorKubeconfig(kubeconfig);
  const start = (name: string) => startReplica({ name, folder, gcpCore: world.gcpCore, kubeconfig });
  leader = await start('first');
  await until(
    async () => leader.isLeading() || undefined,
    () => `the first to lead\n${leader.log()}`,
  );
  waiting = await start('second');
  await until(
    async () => waiting.log().includes('"message":"ready"') || undefined,
    () => `the second\n${waiting.log()}`,
  );
  for (const name of NAMES) await world.secret(`${name}-key`);
});
afterEach(async () => {
  await Promise.all([leader.stop(), waiting.stop()]);
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

const keysOf = (name: string) => [{ name: 'openai', secretRef: { external: `${name}-key` }, env: 'OPENAI_API_KEY' }];

async function inTheMiddleOfCreating() {
  await Promise.all(NAMES.map(name => world.apply(name, spec({ keys: keysOf(name) }))));
  const services = () => world.gcpCore.requestLog.filter(({ method }) => method.endsWith('.CreateService')).length;
  await until(
    async () => (services() >= 5 ? true : undefined),
    () => `the leader to create services\n${leader.log()}`,
  );
}

async function takenOver(since: number, how: string) {
  await until(
    async () => waiting.isLeading() || undefined,
    () => `the second to lead\n${waiting.log()}`,
    TAKE_OVER_MS,
  );
  console.log(`Take-over after ${how}: ${((performance.now() - since) / 1000).toFixed(1)} s`);
}

/** Nothing lost, nothing twice: each tenant has its one account, its one grant and a service of one revision. */
async function expectEachOnce() {
  for (const name of NAMES) await world.ready(name);
  const made = (method: string) =>
    world.gcpCore.requestLog
      .filter(entry => entry.method.endsWith(method) && entry.code === 'OK')
      .map(({ resource }) => resource);
  expect(made('.CreateServiceAccount')).toHaveLength(NAMES.length);
  expect(made('.CreateService')).toHaveLength(NAMES.length);
  expect(made('.DeleteService').concat(made('.DeleteServiceAccount'))).toEqual([]);
  for (const name of NAMES) {
    const account = `sa-${name}@${PROJECT}.iam.gserviceaccount.com`;
    expect(await world.secretMembers(`${name}-key`)).toEqual([`serviceAccount:${account}`]);
    expect((await world.service(name, REGION))?.latestReadyRevision).toMatch(/-00001-/);
  }
}

describe('two replicas', () => {
  test('the leader is killed in the middle of creating 20 tenants: the other one finishes them', async () => {
    await inTheMiddleOfCreating();
    leader.signal('SIGKILL');
    const killedAt = performance.now();

    await takenOver(killedAt, 'SIGKILL');
    await expectEachOnce();
  });

  test('the leader is asked to end: it finishes its calls, gives the lease back and exits with 0', async () => {
    await inTheMiddleOfCreating();
    leader.signal('SIGTERM');
    const askedAt = performance.now();

    expect(await leader.exited).toBe(0);
    const callsAtExit = leader.calls.length;
    expect(leader.inFlight()).toBe(0);
    await takenOver(askedAt, 'SIGTERM');
    await expectEachOnce();
    expect(leader.calls).toHaveLength(callsAtExit);
  });

  test('the leader stands still past its lease: it wakes, starts no call, and ends', async () => {
    await inTheMiddleOfCreating();
    const release = leader.hold();
    await settled(() => leader.calls.length);
    expect(leader.inFlight()).toBeGreaterThan(0);
    leader.signal('SIGSTOP');
    const stoppedAt = performance.now();
    await takenOver(stoppedAt, 'SIGSTOP');
    for (const name of NAMES) await world.ready(name);

    const before = leader.calls.length;
    leader.signal('SIGCONT');
    // What it had under way takes effect only now, when the other one has done it already.
    release();

    expect(await leader.exited).toBe(1);
    expect(leader.log()).toContain('the lease was lost');
    expect(leader.calls.slice(before)).toEqual([]);
    await expectEachOnce();
    world.forget();
    for (const name of NAMES) await world.check(name);
    expect(world.writes()).toEqual([]);
  });
});

/** Resolves once `count` has stood still for a while. */
async function settled(count: () => number): Promise<void> {
  for (let last = -1; last !== count(); ) {
    last = count();
    await sleep(500);
  }
}
