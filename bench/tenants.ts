import type { Operator } from '../operator/operator.ts';
import { AI_TENANTS } from '../ports/kubeResources.ts';
import type { Figure } from './support/figure.ts';
import { pass, queued, settled } from './support/interval.ts';
import { measureProcess } from './support/operatorProcess.ts';
import { heapMiB, publish, quantile, shown } from './support/report.ts';
import { createWorld, INTERVAL_MS, tenantKey, tenantName, until, type World } from './support/world.ts';

/**
 * One tenant, a hundred, a thousand (with `--full` ten thousand): until all are Ready, through an interval with nothing
 * to do, through a restart, and edits while everything is looked at anew. Calls to Google Cloud are counted; times are
 * set against what the stand-ins alone take for the same calls in the same run.
 */

const CREATION_MS = 1_000;
const EDITS = 60;
/** What the operator's process needs for 50,000 tenants beyond the image's flags. */
const HUGE_FLAGS = ['--max-old-space-size=800'];

const processOnly = process.argv.includes('--process-only');
const huge = process.argv.includes('--huge');
const PROJECTS = huge ? 50 : 10;
const full = process.argv.includes('--full');
const asked = process.argv.find(argument => argument.startsWith('--n='))?.slice(4);
const sizes = asked ? asked.split(',').map(Number) : huge ? [50_000] : full ? [1, 100, 1_000, 10_000] : [1, 100, 1_000];

const figures: Figure[] = [];
/** Heap in use of the operator's process by number of tenants, bytes. */
const heaps = new Map<number, number>();
for (const count of sizes) await run(count);
publish({
  name: 'tenants',
  title: 'Tenants',
  figures,
  notes: [
    `Over ${PROJECTS} projects, one region; cluster and Google Cloud in the same process, without sockets or quotas; 16 workers.`,
    'Shared lists are pages of ListServices, ListServiceAccounts and ListSecrets; all other calls count for a tenant.',
    '× the limit: time until all are Ready ÷ (1 s creation + what the local Google Cloud alone takes for the same calls).',
  ],
});
process.exit(0);

async function run(count: number): Promise<void> {
  const world = await createWorld({ creationMs: CREATION_MS, projects: PROJECTS });
  const { traffic, busy } = world;
  const figure: AddFigure = (what, value, target, plot = false) => {
    figures.push({ what: `${count.toLocaleString('en-US')}: ${what}`, value, target, plot });
    // A run may take minutes: it says how far it is.
    console.error(`  ${count}: ${what}: ${shown(value)}`);
  };
  await world.prepare(count);
  const idleHeap = heapMiB();

  // ------------------------------------------------------------------------------------------------------- fresh
  let operator = await world.start();
  let deepest = 0;
  const depth = setInterval(() => {
    deepest = Math.max(deepest, queued(operator));
  }, 20);
  busy.gcpMs = busy.kubeMs = 0;
  traffic.reset();
  const progress = setInterval(() => console.error(`  ${count}: ${world.ready.size} are Ready`), 30_000);
  const creating = performance.now();
  if (huge) await createByProject(world, count);
  else await world.createTenants(count);
  await until(() => world.ready.size === count, `${count} tenants are Ready`);
  const tookMs = performance.now() - creating;
  clearInterval(depth);
  clearInterval(progress);
  figure('until all are Ready, s', tookMs / 1000, undefined, true);
  const limit = count === 1_000 ? '≤ 2' : undefined;
  figure('until all are Ready, × the limit', tookMs / (CREATION_MS + busy.gcpMs), limit);
  figure('the same, × the limit with the local cluster in it', tookMs / (CREATION_MS + busy.gcpMs + busy.kubeMs));
  figure('of it the local cluster, s', busy.kubeMs / 1000);
  figure('of it the local Google Cloud, s', busy.gcpMs / 1000);
  figure('calls a new tenant', traffic.others / count, '≤ 9', true);
  figure('shared list pages a new tenant', traffic.lists / count);
  figure('of them writes', traffic.writes / count);
  figure('deepest queue', deepest);

  if (processOnly || huge) {
    await settled(operator);
    await operator.stop();
    await ownProcess(world, count, figure);
    if (processOnly) return;
    operator = await world.start();
  }

  // ---------------------------------------------------------------------------------------------------- interval
  await settled(operator);
  // Once round, so that each tenant has its slot.
  await pass(world.time, operator);
  traffic.reset();
  await pass(world.time, operator);
  const target = count === 1_000 || huge ? '≤ 2.1' : undefined;
  figure('calls a tenant and interval, lists too', (traffic.lists + traffic.others) / count, target, true);
  figure('of them shared list pages', traffic.lists / count);
  figure('writes in that interval', traffic.writes, '≤ 0');

  // ----------------------------------------------------------------------------------------------------- restart
  await operator.stop();
  traffic.reset();
  world.ready.clear();
  const restarting = performance.now();
  operator = await world.start();
  figure('restart: until the cache is filled, s', (performance.now() - restarting) / 1000);
  await settled(operator);
  figure('restart: calls a tenant', (traffic.lists + traffic.others) / count, count >= 1_000 ? '≤ 0.05' : undefined);
  figure('restart: until the queue is empty, s', (performance.now() - restarting) / 1000);
  figure('heap of the whole process, stand-ins too, MiB', heapMiB() - idleHeap);

  // ------------------------------------------------------------------------------------- edits amid a resync of all
  if (count >= 100) {
    const waits = await edits(world, operator, count);
    figure('edit → first write amid a resync of all, p50 ms', quantile(waits, 0.5));
    figure(
      'edit → first write amid a resync of all, p99 ms',
      quantile(waits, 0.99),
      count >= 50_000 ? '≤ 500' : count >= 10_000 ? '≤ 250' : undefined,
      true,
    );
  }
  await until(() => world.ready.size === count, 'what was edited is Ready again');
  await operator.stop();

  if (!huge && (count === 1 || count >= 1_000)) await ownProcess(world, count, figure);
}

/**
 * One project after the other. While tenants of all projects wait for their services at the same time, each project is listed every few
 * seconds, and parsing these lists takes all of the process. The quotas of a real Google Cloud spread creations far more than this.
 */
async function createByProject(world: World, count: number): Promise<void> {
  for (let project = 0; project < PROJECTS; project++) {
    const before = world.ready.size;
    await world.createTenantsOf(project, count);
    await until(() => world.ready.size === before + count / PROJECTS, `the tenants of project ${project} are Ready`);
  }
}

type AddFigure = (what: string, value: number, target?: string, plot?: boolean) => void;

/** The operator as a process of its own. */
async function ownProcess(world: World, count: number, figure: AddFigure): Promise<void> {
  const own = await measureProcess(world, huge ? HUGE_FLAGS : []);
  const ready = new Map([
    [10_000, '≤ 3'],
    [50_000, '≤ 10'],
  ]);
  figure('operator process: start → ready, s', own.readyMs / 1000, ready.get(count), true);
  // 130 and 800 MB, in MiB.
  const most = new Map([
    [1, '≤ 124'],
    [10_000, '≤ 150'],
    [50_000, '≤ 763'],
  ]);
  figure('operator process: resident, MiB', own.residentMiB, most.get(count), true);
  figure('operator process: resident at its highest, MiB', own.highestMiB);
  figure('operator process: heap after a collection, MiB', own.heapBytes / 2 ** 20);
  const [[fewest, least] = [count, 0]] = heaps;
  if (fewest < count) figure(`operator process: heap a tenant, bytes`, (own.heapBytes - least) / (count - fewest));
  heaps.set(count, own.heapBytes);
}

/** Edits one tenant after the other while all are looked at; answers the milliseconds until each one's first write. */
async function edits(world: World, operator: Operator, count: number): Promise<number[]> {
  const waits: number[] = [];
  const began = new Map<string, number>();
  world.traffic.onWrite = (_method, request) => {
    const text = JSON.stringify(request);
    for (const [name, at] of began) {
      if (!text.includes(name)) continue;
      waits.push(performance.now() - at);
      began.delete(name);
    }
  };
  for (let i = 0; i < EDITS; i++) {
    // Without a resync under way there is nothing to get past.
    if (operator.stats().depth.resync === 0) {
      world.time.skip(INTERVAL_MS * 1.1);
      // The timers fire, and the queue fills.
      await new Promise(resolve => setTimeout(resolve, 1));
    }
    const index = Math.floor((i * count) / EDITS);
    const name = tenantName(index);
    const [namespace] = tenantKey(index, PROJECTS).split('/');
    began.set(name, performance.now());
    const patch = { spec: { scaling: { minInstances: 0, maxInstances: 11 + (i % 5) } } };
    const answer = await world.kube.patch(AI_TENANTS, namespace, name, patch);
    if (!answer.ok) throw new Error(answer.status.message);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  await until(() => began.size === 0, 'all edits are written');
  world.traffic.onWrite = () => {};
  await settled(operator);
  return waits;
}
