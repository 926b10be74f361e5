import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { collectDefaultMetrics, type Registry } from 'prom-client';
import packageJson from '../package.json' with { type: 'json' };
import type { KubeApi } from '../ports/kube.ts';
import { NAMESPACES } from '../ports/kubeResources.ts';
import { realRuntime as runtime, sleep } from '../ports/runtime.ts';
import { instrument } from './gcp/callHooks.ts';
import { createGcpClient } from './gcp/client.ts';
import { endpointsFrom } from './gcp/endpoints.ts';
import { createEventRecorder, type EventRecorder } from './kube/eventRecorder.ts';
import { instrumentKube } from './kube/instrumentKube.ts';
import { createKubeApi } from './kube/kubeApi.ts';
import { loadKubeConfig } from './kube/kubeconfig.ts';
import { type LeaderElection, startLeaderElection } from './kube/leaderElection.ts';
import { createOperator, type Operator } from './operator.ts';
import { catchBugs, type OnBug } from './process/bugs.ts';
import { createCallLog } from './process/callLog.ts';
import { serve } from './process/http.ts';
import { createLog, type Log } from './process/log.ts';
import { createMetrics } from './process/metrics.ts';
import { type Options, readOptions, UsageError, usage } from './process/options.ts';
import { intervalMs } from './reconcile/pacing.ts';

/**
 * The operator's process: reads the flags, connects the parts, elects the leader, and stops in order. Exit codes: 0 after
 * SIGTERM or SIGINT, 1 after a failure, 2 for wrong flags.
 */

const LEASE = 'aitenant-operator';
/** A stop waits this long for calls in progress. It is less than the 30 s that Kubernetes gives a pod to end. */
const STOP_MS = 25_000;

const IDLE = { depth: { edit: 0, retry: 0, resync: 0 }, running: 0, scheduled: 0, longestRunMs: 0 };

/** The parts of the process. The optional ones are missing until they have started. */
interface Parts {
  options: Options;
  log: Log;
  client: ReturnType<typeof createKubeApi>;
  google: ReturnType<typeof createGcpClient>;
  operator?: Operator;
  events?: EventRecorder;
  election?: LeaderElection;
  isStopping: boolean;
}

async function main(options: Options): Promise<void> {
  const log = createLog(options.logLevel, runtime.now, line => process.stdout.write(line));
  const config = await loadKubeConfig();
  const client = createKubeApi({ config, runtime, userAgent: `aitenant-operator/${packageJson.version}` });
  const google = createGcpClient({ runtime, endpoints: endpointsFrom(process.env) });
  const parts: Parts = { options, log, client, google, isStopping: false };
  const mayAct = () => !options.leaderElect || parts.election?.isLeader() === true;
  const stats = () => parts.operator?.stats() ?? IDLE;
  const metrics = createMetrics(stats, mayAct, runtime.now, () => parts.operator?.budgets() ?? []);
  const kube = instrumentKube(client, metrics.onRequest);

  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop(parts, signal, 0));
  const onBug = catchBugs(log, metrics.onBug, () => void stop(parts, 'a bug', 1));
  await servePorts(options, metrics.registry, () => parts.operator?.isSynced() === true, onBug);

  const clusterId = options.clusterId ?? (await kubeSystemUid(kube, log));
  const operator = startOperator(parts, kube, metrics, clusterId, mayAct);
  await operator.synced;
  log('info', 'ready', { clusterId, workers: options.workers, leaderElect: options.leaderElect });
  if (options.leaderElect) elect(parts, kube, operator, process.env.POD_NAMESPACE ?? config.namespace ?? 'default');
  else operator.start();
}

function startOperator(
  parts: Parts,
  kube: KubeApi,
  metrics: ReturnType<typeof createMetrics>,
  clusterId: string,
  mayAct: () => boolean,
): Operator {
  const { options, log, google } = parts;
  const logCall = createCallLog(log, runtime);
  parts.events = createEventRecorder({ api: kube, runtime, component: 'aitenant-operator', instance: hostname() });
  const gcp = instrument(google.call, runtime, {
    after(end) {
      metrics.onCall(end);
      logCall(end);
    },
  });
  parts.operator = createOperator({
    kube,
    gcp,
    limits: options.limits,
    runtime,
    settings: { ...options.settings, clusterId },
    events: parts.events,
    log,
    namespace: options.namespace,
    workers: options.workers,
    mayAct,
    hooks: metrics.queueHooks,
    onReport: (tenant, status) => metrics.onReport(tenant, status, intervalMs(tenant, options.settings)),
    onGone: metrics.onGone,
    onAbandoned: metrics.onAbandoned,
  });
  return parts.operator;
}

/**
 * Starts reconciles when this replica leads. If it loses the lease the process ends, because its caches may be out of date when it leads
 * again, and Kubernetes starts a new one.
 */
function elect(parts: Parts, kube: KubeApi, operator: Operator, namespace: string): void {
  const { log } = parts;
  const identity = `${hostname()}_${randomBytes(6).toString('hex')}`;
  parts.election = startLeaderElection({
    api: kube,
    runtime,
    namespace,
    name: LEASE,
    identity,
    onElected() {
      log('info', 'leading', { identity });
      operator.start();
    },
    onLost: () => void stop(parts, 'the lease was lost', 1),
    onProblem: (message, status) => log('warn', message, status ? { code: status.code } : {}),
  });
}

/** Ends the process: first the reconciles that are running, then the lease is given back, then the events that wait are written. */
async function stop(parts: Parts, why: string, code: number): Promise<void> {
  if (parts.isStopping) return;
  parts.isStopping = true;
  parts.log('info', 'stopping', { why });
  runtime.after(STOP_MS, () => process.exit(1));
  await parts.operator?.stop();
  await parts.election?.stop();
  await parts.events?.stop(2_000);
  parts.google.close();
  await parts.client.close();
  process.exit(code);
}

async function servePorts(
  { healthAddress, metricsAddress }: Options,
  registry: Registry,
  isSynced: () => boolean,
  onBug: OnBug,
): Promise<void> {
  // Metrics of the Node.js process: memory, CPU, the delay of the event loop, garbage collection.
  collectDefaultMetrics({ register: registry });
  const health = async (path: string) => {
    if (path === '/healthz') return { status: 200, body: 'ok\n' };
    if (path !== '/readyz') return undefined;
    // A replica that is not the leader is ready too, because it can take over the lease.
    return isSynced() ? { status: 200, body: 'ok\n' } : { status: 503, body: 'the caches are filling\n' };
  };
  // Scrapes that arrive at the same time share one rendering, so that many of them cost no more memory and CPU than one.
  const render = shared(async () => Buffer.from(await registry.metrics()));
  const metrics = async (path: string) =>
    path === '/metrics' ? { status: 200, type: registry.contentType, body: await render() } : undefined;
  await serve(healthAddress, health, onBug);
  await serve(metricsAddress, metrics, onBug);
}

/** All calls that arrive while `work` is running share its result. The next call after that runs `work` again. */
function shared<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= work().finally(() => {
      running = undefined;
    });
    return running;
  };
}

/** The UID of the Namespace kube-system, which is the cluster's ID. Retries every 2 s until the API server answers. */
async function kubeSystemUid(kube: KubeApi, log: Log): Promise<string> {
  for (;;) {
    const found = await kube.get(NAMESPACES, undefined, 'kube-system');
    if (found.ok && found.value.metadata.uid) return found.value.metadata.uid;
    const message = found.ok ? 'it has no UID' : found.status.message;
    log(
      'warn',
      'cannot read Namespace kube-system, whose UID is the ID of this cluster; the operator tries again. With --cluster-id it does not read it',
      {
        error: message,
      },
    );
    await sleep(runtime, 2_000);
  }
}

try {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options === 'help') console.log(usage());
  else await main(options);
} catch (error) {
  if (!(error instanceof UsageError)) {
    console.error(`aitenant-operator: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
  console.error(`aitenant-operator: ${error.message}\nSee --help.`);
  process.exit(2);
}
