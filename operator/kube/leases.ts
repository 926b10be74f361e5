import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject, KubeStatus } from '../../ports/kube.ts';
import { apiVersionOf, LEASES } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';

/** Seconds, named as in client-go. */
export interface LeaseTimes {
  /** Others may take over when they have seen no renewal for so long. */
  leaseDuration: number;
  /** The leader steps down so long after it has asked for the last renewal that was granted: before others may take over. */
  renewDeadline: number;
  /** Between two renewals, from asking to asking. */
  retryPeriod: number;
}
/**
 * A renewal counts from when it was asked for, because nobody knows when the API server wrote it. Until the next one is
 * granted two round trips pass, so a leader bears round trips of just under half of `renewDeadline`: 8 s and a little.
 * client-go's defaults (15, 10, 2) bear 4 s by that rule; what client-go bears beyond it, it pays with two leaders at once.
 */
const TIMES: LeaseTimes = { leaseDuration: 20, renewDeadline: 18, retryPeriod: 2 };
/** Between one and 2.2 retry periods: contenders don't ask in step (client-go's JitterFactor). */
const JITTER = 1.2;

export interface LeaderElectionOptions {
  api: KubeApi;
  runtime: Runtime;
  namespace: string;
  name: string;
  /** Of this process and no other, ever: a pod's name and something random. */
  identity: string;
  times?: LeaseTimes;
  /** A term begins; `term` aborts when it ends, whichever way. */
  onElected: (term: AbortSignal) => void;
  /** A term ended against our will. Contending goes on unless `stop` is called. */
  onLost?: () => void;
  onProblem?: (message: string, status?: KubeStatus) => void;
}

export interface LeaderElection {
  /**
   * Whether this process is the leader now. Goes by the monotonic clock, so a process that stood still for too long
   * sees that it no longer is, before any answer or timer tells it.
   */
  isLeader(): boolean;
  /** Ends the term, gives the lease back so that another can take it at once, and contends no more. */
  stop(): Promise<void>;
}

/**
 * Leader election over a Lease, as client-go does it: a lease is free once its record has not changed for the duration
 * it names, by our own clock; the times in it are never compared with ours. Every write carries the resourceVersion.
 */
export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const { api, runtime, namespace, name, identity, times = TIMES, onElected, onLost, onProblem } = options;
  const stopping = new AbortController();
  /** The lease as last seen, and since when it has looked like that (monotonic). */
  let seen: { lease: KubeObject; since: number } | undefined;
  let term: { ends: AbortController; until: number; cancelTimer: () => void } | undefined;

  const isLeader = () => term !== undefined && runtime.monotonic() < term.until;

  function observe(lease: KubeObject) {
    if (seen?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    seen = { lease, since: runtime.monotonic() };
  }

  function endTerm() {
    const ending = term;
    term = undefined;
    ending?.cancelTimer();
    ending?.ends.abort();
    return ending !== undefined;
  }

  function lose(why: string) {
    if (!endTerm()) return;
    onProblem?.(`leadership lost: ${why}`);
    onLost?.();
  }

  /** We held the lease at `askedAt`, monotonic: before the request that renewed it, as the server's write came after. */
  function held(askedAt: number) {
    // A renewal that comes too late must not revive a term that isLeader() has already denied.
    if (term && !isLeader()) lose('not renewed in time');
    const until = askedAt + times.renewDeadline * 1000;
    if (stopping.signal.aborted || runtime.monotonic() >= until) return;
    const first = term === undefined;
    term?.cancelTimer();
    const ends = term?.ends ?? new AbortController();
    const cancelTimer = runtime.after(until - runtime.monotonic(), () => lose('not renewed in time'));
    term = { ends, until, cancelTimer };
    if (first) onElected(ends.signal);
  }

  function record(previous: Spec): JsonObject {
    const now = runtime.now();
    // A clock that stands still or was set back must not make a renewal that changes nothing: the others wouldn't see it.
    const renewTime = microTime(microTime(now) === previous.renewTime ? now + 1 : now);
    const ours = previous.holderIdentity === identity;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: times.leaseDuration,
      acquireTime: ours ? (previous.acquireTime ?? renewTime) : renewTime,
      renewTime,
      leaseTransitions: (previous.leaseTransitions ?? 0) + (ours ? 0 : 1),
    };
  }

  /** One attempt to take or renew the lease. */
  async function attempt(): Promise<void> {
    // The leader writes at once; everybody else reads first.
    if (!isLeader() || !seen) {
      const got = await within(api.get(LEASES, namespace, name));
      if (!got) return;
      if (!got.ok) {
        if (got.status.code === 404) return create();
        onProblem?.(`reading the lease failed: ${got.status.message}`, got.status);
        return;
      }
      observe(got.value);
      const { holderIdentity, leaseDurationSeconds } = specOf(got.value);
      if (holderIdentity && holderIdentity !== identity) {
        lose(`${holderIdentity} holds the lease`);
        const freeAt = (seen?.since ?? 0) + (leaseDurationSeconds ?? times.leaseDuration) * 1000;
        if (runtime.monotonic() < freeAt) return;
      }
    }
    if (!seen || stopping.signal.aborted) return;
    const { resourceVersion } = seen.lease.metadata;
    const patch = { metadata: { resourceVersion }, spec: record(specOf(seen.lease)) };
    await write(() => api.patch(LEASES, namespace, name, patch));
  }

  async function create(): Promise<void> {
    const spec = { ...record({}), leaseTransitions: 0 };
    const lease = { apiVersion: apiVersionOf(LEASES), kind: LEASES.kind, metadata: { name, namespace }, spec };
    await write(() => api.create(LEASES, namespace, lease));
  }

  /** An answer counts however late it comes; only nobody waits for it any longer than `within` does. */
  async function write(send: () => ReturnType<KubeApi['create']>): Promise<void> {
    const askedAt = runtime.monotonic();
    await within(send().then(result => taken(askedAt, result)));
  }

  function taken(askedAt: number, result: Awaited<ReturnType<KubeApi['create']>>) {
    if (result.ok) {
      observe(result.value);
      held(askedAt);
      return;
    }
    // Somebody else wrote, or the answer to our own write was lost: look first.
    seen = result.status.code === 409 || result.status.code === 404 ? undefined : seen;
    if (result.status.code !== 409) onProblem?.(`writing the lease failed: ${result.status.message}`, result.status);
  }

  /** Waits no longer than half of what a term has, so that there is time for another connection. Undefined: no answer yet. */
  async function within<T>(asked: Promise<T>): Promise<T | undefined> {
    const answered = new AbortController();
    const patience = sleep(runtime, times.renewDeadline * 500, answered.signal);
    let answer: T | undefined;
    const answering = asked.then(value => {
      answer = value;
    });
    await Promise.race([answering.finally(() => answered.abort()), patience]);
    return answer;
  }

  async function run() {
    while (!stopping.signal.aborted) {
      const startedAt = runtime.monotonic();
      try {
        await attempt();
      } catch (error) {
        onProblem?.(`a bug in leader election: ${String(error)}`);
      }
      const period = times.retryPeriod * 1000;
      const left = Math.max(0, startedAt + period - runtime.monotonic());
      const pause = isLeader() ? left : period * (1 + runtime.random() * JITTER);
      await sleep(runtime, pause, stopping.signal);
    }
  }
  const running = run();

  return {
    isLeader,
    async stop() {
      stopping.abort();
      endTerm();
      await running;
      if (!seen || specOf(seen.lease).holderIdentity !== identity) return;
      const now = microTime(runtime.now());
      const spec = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
      const { resourceVersion } = seen.lease.metadata;
      await api.patch(LEASES, namespace, name, { metadata: { resourceVersion }, spec });
    },
  };
}

interface Spec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

/** Only what has the right type; a lease may have been written by anybody. */
function specOf(lease: KubeObject): Spec {
  const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = (lease.spec ??
    {}) as JsonObject;
  return {
    ...(typeof holderIdentity === 'string' && { holderIdentity }),
    ...(typeof leaseDurationSeconds === 'number' && { leaseDurationSeconds }),
    ...(typeof acquireTime === 'string' && { acquireTime }),
    ...(typeof renewTime === 'string' && { renewTime }),
    ...(typeof leaseTransitions === 'number' && { leaseTransitions }),
  };
}

/** metav1.MicroTime: the API server refuses any other number of decimals than six. */
function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z');
}
