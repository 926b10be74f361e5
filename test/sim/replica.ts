import { instrument } from '../../operator/gcp/callHooks.ts';
import { METHODS } from '../../operator/gcp/methods.ts';
import { type Limits, PUBLISHED } from '../../operator/gcp/quota.ts';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { type LeaderElection, startLeaderElection } from '../../operator/kube/leaderElection.ts';
import { createOperator, type Operator } from '../../operator/operator.ts';
import type { Log } from '../../operator/process/log.ts';
import { createMetrics } from '../../operator/process/metrics.ts';
import type { Settings } from '../../operator/tenant/types.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { type Clock, createRandom, type ProcessRuntime, type Random } from './clock.ts';
import type { ArmedFaults, CallInfo } from './faults.ts';
import { type GcpEffect, gcpPort, kubePort } from './ports.ts';
import type { Count } from './tally.ts';

/** Shorter steps than in production would only cost events: nothing else depends on these (seconds). */
const LEASE_TIMES = { leaseDuration: 30, renewDeadline: 20, retryPeriod: 5 };
const STOP_MS = 25_000;
const RESTART_MS = { least: 500, most: 5_000 };

export interface ReplicaOptions {
  id: string;
  cluster: number;
  clock: Clock;
  random: Random;
  faults: ArmedFaults;
  latencyMs: number;
  settings: Settings;
  /** Calls a minute that the operator is told of; absent: as published. */
  limits?: Partial<Limits>;
  kube: KubeApi;
  gcp: GcpEffect;
  log: Log;
  note: (text: string) => void;
  apiDown: () => boolean;
  lagMs: () => number;
  repeats: () => boolean;
  count: Count;
  rival: (call: CallInfo) => Promise<void>;
  /** All metrics of a process that ends, as they are scraped. */
  onMetrics: (text: string) => void;
}

/** One pod: a process of the operator, and the next one after that has died. */
export interface Replica {
  /** Hard, as `kill -9`; the next process starts after `forMs`, or soon. */
  crash(why: string, forMs?: number): void;
  /** The API server cannot be reached from here until then. */
  cut(forMs: number): void;
  skew(ms: number): void;
  /** Gracefully, and for good. Answers which process that was, and how many of its timers are left at any time after. */
  stop(): Promise<{ identity: string; timers: () => number }>;
  isLeader(): boolean;
}

export function createReplica(options: ReplicaOptions): Replica {
  const { id, clock, random } = options;
  let process: Process | undefined;
  let incarnation = 0;
  let cutUntil = 0;
  let skewMs = 0;
  let stopped = false;

  function start() {
    if (stopped) return;
    incarnation++;
    process = startProcess(options, `${id}.${incarnation}`, {
      isCut: () => clock.monotonic() < cutUntil,
      ended: (who, why) => {
        if (process === who) replace(why);
      },
    });
    process.runtime.skew(skewMs);
  }

  function replace(why: string, forMs = random.int(RESTART_MS.least, RESTART_MS.most)) {
    if (!process) return;
    options.note(`${id}.${incarnation} dies: ${why}`);
    process.kill();
    process = undefined;
    clock.after(forMs, start);
  }

  start();
  return {
    crash: replace,
    cut(forMs) {
      cutUntil = clock.monotonic() + forMs;
    },
    skew(ms) {
      skewMs = ms;
      process?.runtime.skew(ms);
    },
    async stop() {
      stopped = true;
      const last = process;
      await last?.stop();
      return { identity: `${id}.${incarnation}`, timers: () => last?.runtime.pending() ?? 0 };
    },
    isLeader: () => process?.isLeader() ?? false,
  };
}

interface Process {
  runtime: ProcessRuntime;
  kill(): void;
  stop(): Promise<void>;
  isLeader(): boolean;
}

/** The wiring of operator/main.ts, with the ports of a simulated network. */
function startProcess(
  options: ReplicaOptions,
  identity: string,
  world: { isCut: () => boolean; ended: (who: Process, why: string) => void },
): Process {
  const { clock, cluster, note } = options;
  const runtime = clock.process(createRandom(options.random.int(0, 2 ** 31)));
  let alive = true;
  let stopping: Promise<void> | undefined;
  let election: LeaderElection | undefined;
  const around = {
    clock,
    random: createRandom(options.random.int(0, 2 ** 31)),
    runtime,
    faults: options.faults,
    cluster,
    latencyMs: options.latencyMs,
    alive: () => alive,
    crash: () => world.ended(self, 'crash'),
    unreachable: () => options.apiDown() || world.isCut(),
    lagMs: options.lagMs,
    repeats: options.repeats,
    count: options.count,
    rival: options.rival,
    onSend(method: string) {
      if (election?.isLeader() !== true) options.log('error', 'a call without the lease', { method });
    },
  };
  const kube = kubePort(around, options.kube);
  const events = createEventRecorder({ api: kube, runtime, component: 'aitenant-operator', instance: identity });
  let inFlight = 0;
  const idle = { depth: { edit: 0, retry: 0, resync: 0 }, running: 0, scheduled: 0, longestRunMs: 0 };
  const metrics = createMetrics(
    () => operator?.stats() ?? idle,
    () => election?.isLeader() === true,
    runtime.now,
  );
  const gcp = instrument(gcpPort(around, options.gcp), runtime, {
    before: method => void (METHODS.get(method)?.write && inFlight++),
    after: end => {
      if (end.write) inFlight--;
      metrics.onCall(end);
    },
  });
  const operator: Operator = createOperator({
    kube,
    gcp,
    limits: { ...PUBLISHED, ...options.limits },
    runtime,
    settings: options.settings,
    events,
    log: options.log,
    workers: 3,
    mayAct: () => election?.isLeader() === true,
    hooks: metrics.queueHooks,
    onReport: metrics.onReport,
    onGone: metrics.onGone,
  });
  const stop = () => {
    stopping ??= (async () => {
      await operator.stop();
      await election?.stop();
      await events.stop(2_000);
      options.onMetrics(await metrics.registry.metrics());
    })();
    return stopping;
  };
  const self: Process = {
    runtime,
    kill() {
      alive = false;
      runtime.kill();
    },
    stop,
    isLeader: () => alive && election?.isLeader() === true,
  };
  void operator.synced.then(() => {
    if (!alive || stopping) return;
    election = startLeaderElection({
      api: kube,
      runtime,
      namespace: 'kube-system',
      name: 'aitenant-operator',
      identity,
      times: LEASE_TIMES,
      onElected: () => {
        note(`${identity} leads`);
        operator.start();
      },
      onLost: () => {
        options.count(inFlight > 0 ? 'lease lost while writing' : 'lease lost');
        runtime.after(STOP_MS, () => world.ended(self, 'did not stop in time'));
        void stop().then(() => world.ended(self, 'the lease was lost'));
      },
    });
  });
  return self;
}
