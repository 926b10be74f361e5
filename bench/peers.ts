import { spawnSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { AI_TENANTS } from '../ports/kubeResources.ts';
import { type Candidate, candidates } from './support/candidates.ts';
import type { Figure } from './support/figure.ts';
import { prepareFlask, startFlask } from './support/flaskBackend.ts';
import { hasGcloud, runGcloudLoop } from './support/gcloudLoop.ts';
import { startProcess } from './support/operatorProcess.ts';
import { load, processorMsOf, residentMiB, serve } from './support/processes.ts';
import { publish, quantile } from './support/report.ts';
import { callsOf, createWorld, type World } from './support/world.ts';

/**
 * Side by side with what people would use instead: the manual's backend in Flask, and a loop of the manual's gcloud commands. The
 * peers and ours take turns in one run; the ratios come first, the figures that they are made of after them.
 */

const TENANTS = 20;
/** Rounds in which each server is measured once, where the model answers at once. */
const ROUNDS = 3;
/**
 * Calls for one tenant in Config Connector's own recordings of its tests (`_http.log` of iamserviceaccount and
 * runservicesecret), against a mock of its own; not measured here. `same`: account 3, grant 8, service 4, without the
 * secret and its version, which the operator does not make.
 */
const CONFIG_CONNECTOR = { all: 23, same: 15 };
/** A caller who has waited so long goes away. */
const PATIENCE_MS = 30_000;

const body = JSON.stringify({ message: 'Good day. How many tenants are there?' });
const ratios: Figure[] = [];
const figures: Figure[] = [];
const notes: string[] = [`Load average at the start: ${loadavg()[0]?.toFixed(1)}.`];
const notMeasured = (part: string, why: string) => {
  notes.push(`${part}: not measured: ${why}.`);
  ratios.push({ what: `${part}: not measured`, value: Number.NaN });
};

const missing = prepareFlask();
if (missing) notMeasured("the manual's Flask backend", missing);
else {
  const { backend } = await candidates();
  await sideBySide(backend, 0);
  await sideBySide(backend, 1_000);
}
await tenantsSideBySide();
publish({ name: 'peers', title: 'Side by side', figures: [...ratios, ...figures], notes });

interface Server {
  name: string;
  url: string;
  pids: number[];
  stop(): Promise<void>;
}

interface Measured {
  perSecond: number;
  p99Ms: number;
  failed: number;
  /** For one answered request. */
  processorMs: number;
  residentMiB: number;
}

/** Flask with the quickstart's 8 threads, with a thread for each of Cloud Run's 80 concurrent requests, and ours. */
async function sideBySide(backend: Candidate, latencyMs: number): Promise<void> {
  const model = await serve('bench/support/model.ts', { LATENCY_MS: String(latencyMs) });
  const env = { OPENAI_BASE_URL: `${model.url}/v1`, OPENAI_API_KEY: 'sk-bench' };
  const { url, pid, stop } = await serve(backend.script, { ...backend.env, ...env }, backend.flags);
  const servers: Server[] = [{ name: 'ours', url, pids: [pid], stop }];
  for (const threads of latencyMs > 0 ? [8, 80] : [8])
    servers.push({ name: `Flask, ${threads} threads`, ...(await startFlask(threads, env)) });
  // An instance has one CPU.
  for (const id of servers.flatMap(({ pids }) => pids)) spawnSync('taskset', ['-a', '-c', '-p', '0', String(id)]);

  for (const callers of [1, 80, 1_000]) {
    const rounds = new Map<string, Measured[]>(servers.map(({ name }) => [name, []]));
    for (let round = 0; round < (latencyMs > 0 ? 1 : ROUNDS); round++)
      for (const server of servers) rounds.get(server.name)?.push(await measure(server, callers, latencyMs));
    tell(
      rounds,
      `model at ${latencyMs / 1000} s, ${callers.toLocaleString('en-US')} ${callers === 1 ? 'caller' : 'callers'}`,
    );
  }
  for (const server of servers) await server.stop();
  await model.stop();
}

async function measure({ url, pids }: Server, callers: number, latencyMs: number): Promise<Measured> {
  const processor = () => pids.reduce((sum, pid) => sum + processorMsOf(pid), 0);
  const before = processor();
  const ms = latencyMs === 0 ? 4_000 : callers > 80 ? 35_000 : 15_000;
  // All callers connect at once, which is no part of what is measured.
  const warmUpMs = callers > 80 ? 5_000 : 1_500;
  const result = await load({ url: `${url}/chat`, callers, body, ms, warmUpMs, patienceMs: PATIENCE_MS });
  const { perSecond, p99Ms, failed, answeredInAll } = result;
  const processorMs = (processor() - before) / answeredInAll;
  return { perSecond, p99Ms, failed, processorMs, residentMiB: residentMiB(pids) };
}

/** Medians of the rounds; of the failures, the sum. */
function tell(rounds: Map<string, Measured[]>, where: string): void {
  const of = (name: string, field: keyof Measured) => quantile(rounds.get(name)?.map(one => one[field]) ?? [], 0.5);
  for (const [name, measured] of rounds) {
    const add = (what: string, value: number) => figures.push({ what: `${name}, ${where}: ${what}`, value });
    add('/chat a second', of(name, 'perSecond'));
    add('p99, ms', of(name, 'p99Ms'));
    add(
      'failures',
      measured.reduce((sum, { failed }) => sum + failed, 0),
    );
    add('processor time of one /chat, ms', of(name, 'processorMs'));
    add('memory, MiB', of(name, 'residentMiB'));
    if (name === 'ours') continue;
    const compare = (what: string, field: keyof Measured, plot = false) =>
      ratios.push({ what: `${what}: ours ÷ ${name}, ${where}`, value: of('ours', field) / of(name, field), plot });
    compare('/chat a second', 'perSecond', true);
    compare('p99', 'p99Ms');
    compare('processor time of one /chat', 'processorMs');
    compare('memory', 'residentMiB');
  }
}

/** The operator before and after the loop; the slower of the two counts. */
async function tenantsSideBySide(): Promise<void> {
  const part = 'a loop of gcloud commands';
  const runs = [await operatorRun()];
  const loop = hasGcloud() ? await runGcloudLoop(await newWorld(), TENANTS) : undefined;
  if (loop) runs.push(await operatorRun());
  else notMeasured(part, 'gcloud is not installed');
  const ours = { ms: Math.max(...runs.map(({ ms }) => ms)), calls: Math.max(...runs.map(({ calls }) => calls)) };
  const add = (what: string, value: number) => figures.push({ what: `${TENANTS} tenants: ${what}`, value });
  if (loop) {
    const { storing, others } = loop;
    ratios.push(
      { what: `${TENANTS} tenants: time, gcloud loop without storing keys ÷ ours`, value: others.ms / ours.ms },
      { what: `${TENANTS} tenants: calls, gcloud loop without storing keys ÷ ours`, value: others.calls / ours.calls },
    );
    add('gcloud loop, three commands a tenant, s', others.ms / 1000);
    add('gcloud loop, calls a tenant', others.calls / TENANTS);
    add('storing the keys by gcloud, which both need, s', storing.ms / 1000);
    add('storing the keys, calls a tenant', storing.calls / TENANTS);
  }
  const ofOurs = ours.calls / TENANTS;
  const recorded = (what: string, calls: number) =>
    ratios.push({
      what: `calls a tenant: Config Connector, ${what} (${calls}, recorded) ÷ ours`,
      value: calls / ofOurs,
    });
  recorded('all objects', CONFIG_CONNECTOR.all);
  recorded('without secret and version', CONFIG_CONNECTOR.same);
  add('operator, objects created → all Ready, s', ours.ms / 1000);
  add('operator, calls a tenant, shared lists among them', ofOurs);
  add('operator, calls a tenant without shared lists', Math.max(...runs.map(({ own }) => own)) / TENANTS);
}

/** The creation of a service takes a second; Google Cloud has no quota and no delay of its own. */
function newWorld(): Promise<World> {
  return createWorld({ creationMs: 1_000, projects: 1 });
}

async function operatorRun(): Promise<{ ms: number; calls: number; own: number }> {
  const world = await newWorld();
  await world.prepare(TENANTS);
  const operator = await startProcess(world);
  try {
    const [start, before, lists] = [performance.now(), callsOf(world), callsOf(world, 'shared')];
    await world.createTenants(TENANTS);
    while ((await readyOf(world)) < TENANTS) await sleep(10);
    const ms = performance.now() - start;
    const calls = callsOf(world) - before;
    return { ms, calls, own: calls - (callsOf(world, 'shared') - lists) };
  } finally {
    await operator.stop();
  }
}

async function readyOf({ kube }: World): Promise<number> {
  const answer = await kube.list(AI_TENANTS, {});
  if (!answer.ok) throw new Error(answer.status.message);
  interface Status {
    conditions?: { type: string; status: string }[];
  }
  const isReady = (status?: Status) => status?.conditions?.some(one => one.type === 'Ready' && one.status === 'True');
  return answer.value.items.filter(({ status }) => isReady(status as Status | undefined)).length;
}
