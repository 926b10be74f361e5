import { LEASES } from '../../ports/kubeResources.ts';
import { StandsStill } from './clock.ts';
import { identitiesOf, judgeTenant, leaks } from './oracle.ts';
import { probe } from './probes.ts';
import type { Script } from './script.ts';
import { type Call, createWorld, type Line, type World } from './world.ts';

export interface RunResult {
  script: Script;
  /** Empty: all is well. */
  problems: string[];
  timeline: Line[];
  /** Virtual milliseconds until all was as it must be, after the last fault. */
  settledMs: number;
  writes: number;
  calls: Call[];
  struck: Record<string, number>;
}

/** However long backoff has grown, by then everything has been tried again (a failed revision waits up to 30 minutes). */
const PATIENCE_MS = 75 * 60_000;
/** Longer than the interval at which an operator looks at everything. */
const QUIET_MS = 200_000;
const FIRST_LOOK_MS = 5_000;

/** One script from beginning to end: what it shows to be wrong. */
export async function run(script: Script): Promise<RunResult> {
  const unhandled: string[] = [];
  const onRejection = (error: unknown) => unhandled.push(`a promise was rejected and nobody looked: ${error}`);
  process.on('unhandledRejection', onRejection);
  try {
    const world = await createWorld(script);
    const problems = await play(script, world).catch(error => {
      if (error instanceof StandsStill) return { found: [error.message], settledMs: 0 };
      throw error;
    });
    const { timeline, writes, calls, struck } = world;
    const { settledMs } = problems;
    return {
      script,
      problems: [...problems.found, ...unhandled],
      timeline,
      settledMs,
      writes: writes.length,
      calls,
      struck,
    };
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}

async function play(script: Script, world: World): Promise<{ found: string[]; settledMs: number }> {
  const { clock, broken } = world;
  world.begin();
  await clock.advance(script.spanMs + 1);
  world.heal();
  const since = clock.monotonic();
  let settledMs = 0;
  const end = (found: string[]) => ({ found, settledMs });
  if (broken.length > 0) return end(broken);

  let wrong: string[] = [];
  let pause = Math.max(FIRST_LOOK_MS, script.cloud.createVisibleMs);
  while (clock.monotonic() - since < PATIENCE_MS) {
    await clock.advance(pause);
    pause = Math.min(pause * 1.5, 120_000);
    const judged = await judge(world);
    wrong = judged.problems.map(text => `not settled: ${text}`);
    if (wrong.length === 0) {
      settledMs = clock.monotonic() - since;
      wrong = await quiet(world, judged.retried);
    }
    if (broken.length > 0) return end(broken);
    if (wrong.length === 0) {
      const found = [...tooMuch(script, world), ...(await probe(world, script))];
      return end([...found, ...(await stopAll(world))]);
    }
  }
  return end(wrong);
}

/**
 * No more writes than the edits, the faults and the delays of propagation can ask for. A failed revision is tried again
 * with a backoff that doubles from 30 s to 30 minutes, so it takes few.
 */
function tooMuch(script: Script, world: World): string[] {
  const perResource = Map.groupBy(world.writes, ({ resource }) => resource);
  const propagation = Object.values(script.cloud).reduce((sum, ms) => sum + ms, 0) / 1_000;
  const most = 30 + 4 * (script.steps.length + script.faults.length) + propagation;
  return [...perResource].flatMap(([resource, writes]) =>
    writes.length > most ? [`${resource} was written to ${writes.length} times, more than ${most}`] : [],
  );
}

/** Lets an operator look at everything once more: nothing may change, but what is tried again and again. */
async function quiet(world: World, retried: string[]): Promise<string[]> {
  const before = world.writes.length;
  const statuses = versions(world);
  await world.clock.advance(QUIET_MS);
  // What is refused changes nothing, and is tried again: such as closing a service whose account somebody has deleted.
  const late = world.writes
    .slice(before)
    .filter(({ resource, code }) => !retried.includes(resource) && code !== 'PERMISSION_DENIED');
  if (late.length > 0) return late.map(({ method, resource }) => `writes go on: ${method} ${resource}`);
  if (retried.length === 0 && versions(world) !== statuses) return ['statuses are written although nothing changes'];
  const judged = await judge(world);
  return judged.problems.map(text => `did not stay settled: ${text}`);
}

const versions = (world: World): string =>
  world.clusters.flatMap(({ tenants }) => tenants().map(({ metadata }) => metadata.resourceVersion)).join();

async function judge(world: World): Promise<{ problems: string[]; retried: string[] }> {
  const problems: string[] = [];
  const retried: string[] = [];
  const alive = new Set<string>();
  for (const cluster of world.clusters) {
    const crdDeleted = await cluster.crdDeleted();
    for (const tenant of cluster.tenants()) {
      const { namespace = '', name } = tenant.metadata;
      alive.add(`${cluster.id}/${namespace}/${name}`);
      const project = world.projectOf(cluster.id, namespace);
      const where = {
        clusterId: cluster.id,
        project,
        crdDeleted,
        excused: world.excused.has(name),
        lost: world.lost.has(`${cluster.id}/${namespace}/${name}`),
        connector: (secret: string) => cluster.connector(namespace, secret),
      };
      const judged = judgeTenant(world.facts, where, tenant);
      problems.push(...judged.problems);
      retried.push(...judged.retried);
    }
  }
  problems.push(
    ...leaks(world.facts, {
      has: ({ cluster, namespace, name }) => alive.has(`${cluster}/${namespace}/${name}`),
      identities: world.clusters.flatMap(({ tenants }) => tenants().flatMap(identitiesOf)),
      excused: tenant => world.excused.has(tenant),
      lost: tenant => [...world.lost].some(key => key.endsWith(`/${tenant}`)),
    }),
  );
  return { problems, retried };
}

async function stopAll(world: World): Promise<string[]> {
  world.over();
  const stopping = Promise.all(world.clusters.flatMap(({ replicas }) => replicas.map(replica => replica.stop())));
  let stopped: Awaited<typeof stopping> | undefined;
  void stopping.then(result => {
    stopped = result;
  });
  await world.clock.advance(60_000);
  if (!stopped) return ['an operator did not stop within a minute'];
  // A minute later: an event that was on its way when the time for stopping was over has been answered by then.
  const left = stopped.map(({ timers }) => timers()).filter(timers => timers > 0);
  const found = left.map(timers => `${timers} timers are left after a stop`);
  for (const { core } of world.clusters) {
    const lease = await core.api.get(LEASES, 'kube-system', 'aitenant-operator');
    const { holderIdentity } = (lease.ok ? (lease.value.spec ?? {}) : {}) as { holderIdentity?: string };
    if (stopped.some(({ identity }) => identity === holderIdentity))
      found.push('the lease is left behind after a stop');
  }
  return [...found, ...world.broken];
}
