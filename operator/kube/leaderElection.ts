import type { KubeApi, KubeObject, KubeResult, KubeStatus } from '../../ports/kube.ts';
import { apiVersionOf, LEASES } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { createLeaderTerm, type LeaderTerm } from './leaderTerm.ts';
import { givenBack, recordOf, renewed } from './leaseRecord.ts';

/**
 * Leader election over a Lease, as client-go does it. Every process tries again and again:
 *
 * 1. A process that does not lead reads the lease. If another process holds it, the lease is free once its record has not changed
 *    for the duration that it names, measured by this process's monotonic clock. The times in the record are never compared with
 *    our clock.
 * 2. A process that leads, or that finds the lease free, writes its own record with the resourceVersion that it has read, so
 *    of two processes that write at the same time one gets a conflict.
 * 3. A granted write makes or prolongs the term (`leaderTerm.ts`). The term counts from when the write was sent and ends before
 *    the lease becomes free for others, so there are never two leaders.
 */

/** Seconds, named as in client-go. */
interface LeaseTimes {
  /** Others may take the lease when its record has not changed for this long. */
  leaseDuration: number;
  /** The leader steps down this long after it sent the last renewal that was granted; less than `leaseDuration`. */
  renewDeadline: number;
  /** Between two renewals, from request to request. */
  retryPeriod: number;
}

/**
 * A renewal counts from when it was sent, because the leader cannot know when the API server wrote it. Up to two round trips pass
 * until the next renewal is granted, so a process remains the leader while a round trip takes less than about half of `renewDeadline`:
 * a little over 8 s. With client-go's defaults (15, 10, 2) this would be 4 s. client-go tolerates slower answers, but then two
 * processes may lead at the same time.
 */
const TIMES: LeaseTimes = { leaseDuration: 20, renewDeadline: 18, retryPeriod: 2 };
/** A process that does not lead waits for 1 to 2.2 retry periods, so that replicas do not send their requests at the same time (client-go's JitterFactor). */
const JITTER = 1.2;

export interface LeaderElectionOptions {
  api: KubeApi;
  runtime: Runtime;
  namespace: string;
  name: string;
  /** The pod's name and a random part, so that no other process ever has the same identity. */
  identity: string;
  times?: LeaseTimes;
  /** A term begins. `term` aborts when it ends, for whatever reason. */
  onElected: (term: AbortSignal) => void;
  /** A term has ended without `stop`. The process tries to lead again unless `stop` is called. */
  onLost?: () => void;
  onProblem?: (message: string, status?: KubeStatus) => void;
}

export interface LeaderElection {
  /**
   * Whether this process leads now, by the monotonic clock: a process that was suspended for too long knows at once that it
   * no longer leads, before any answer or timer says so.
   */
  isLeader(): boolean;
  /** Ends the term, gives the lease back so that another replica can take it at once, and tries no more. */
  stop(): Promise<void>;
}

interface State extends Required<Omit<LeaderElectionOptions, 'onElected' | 'onLost'>> {
  stopped: AbortSignal;
  term: LeaderTerm;
  /** The lease as it was last read or written, and since when it has had this resourceVersion (monotonic). */
  known: { lease: KubeObject; since: number } | undefined;
}

export function startLeaderElection(options: LeaderElectionOptions): LeaderElection {
  const { api, runtime, namespace, name, times = TIMES, onElected, onLost, onProblem = () => {} } = options;
  const stopping = new AbortController();
  const term = createLeaderTerm(runtime, times.renewDeadline * 1000, onElected, why => {
    onProblem(`leadership lost: ${why}`);
    onLost?.();
  });
  const state: State = { ...options, times, onProblem, stopped: stopping.signal, term, known: undefined };
  const running = run(state);
  return {
    isLeader: term.isLeader,
    async stop() {
      stopping.abort();
      term.end();
      await running;
      const { known } = state;
      if (!known || recordOf(known.lease).holderIdentity !== options.identity) return;
      const { resourceVersion } = known.lease.metadata;
      await api.patch(LEASES, namespace, name, { metadata: { resourceVersion }, spec: givenBack(runtime.now()) });
    },
  };
}

async function run(state: State): Promise<void> {
  const { runtime, times, stopped, term, onProblem } = state;
  const period = times.retryPeriod * 1000;
  while (!stopped.aborted) {
    const startedAt = runtime.monotonic();
    try {
      await attempt(state);
    } catch (error) {
      onProblem(`a bug in leader election: ${String(error)}`);
    }
    const left = Math.max(0, startedAt + period - runtime.monotonic());
    await sleep(runtime, term.isLeader() ? left : period * (1 + runtime.random() * JITTER), stopped);
  }
}

/** One attempt to take or renew the lease. The leader writes at once; every other process reads first. */
async function attempt(state: State): Promise<void> {
  const { api, runtime, namespace, name, identity, times, term, stopped } = state;
  if (!term.isLeader() || !state.known) {
    const answer = await within(state, api.get(LEASES, namespace, name));
    if (!answer) return;
    if (!answer.ok) {
      const { status } = answer;
      if (status.code === 404) return create(state);
      state.onProblem(`reading the lease failed: ${status.message}`, status);
      return;
    }
    observe(state, answer.value);
    if (isHeldByOther(state, answer.value)) return;
  }
  if (!state.known || stopped.aborted) return;
  const { lease } = state.known;
  const { resourceVersion } = lease.metadata;
  const spec = renewed(recordOf(lease), identity, times.leaseDuration, runtime.now());
  await write(state, () => api.patch(LEASES, namespace, name, { metadata: { resourceVersion }, spec }));
}

/** Whether another process holds the lease, so that it is not free yet. A term of this process is over as soon as another holds it. */
function isHeldByOther({ runtime, identity, times, term, known }: State, lease: KubeObject): boolean {
  const { holderIdentity, leaseDurationSeconds = times.leaseDuration } = recordOf(lease);
  if (!holderIdentity || holderIdentity === identity) return false;
  term.lose(`${holderIdentity} holds the lease`);
  return runtime.monotonic() < (known?.since ?? 0) + leaseDurationSeconds * 1000;
}

async function create(state: State): Promise<void> {
  const { api, runtime, namespace, name, identity, times } = state;
  const spec = { ...renewed({}, identity, times.leaseDuration, runtime.now()), leaseTransitions: 0 };
  const lease = { apiVersion: apiVersionOf(LEASES), kind: LEASES.kind, metadata: { name, namespace }, spec };
  await write(state, () => api.create(LEASES, namespace, lease));
}

/** Sends a write. An answer that comes later than `within` waits for it still counts, but `attempt` does not wait for it. */
async function write(state: State, send: () => Promise<KubeResult<KubeObject>>): Promise<void> {
  const askedAt = state.runtime.monotonic();
  await within(
    state,
    send().then(result => settle(state, askedAt, result)),
  );
}

function settle(state: State, askedAt: number, result: KubeResult<KubeObject>): void {
  const { stopped, term, onProblem } = state;
  if (result.ok) {
    observe(state, result.value);
    if (!stopped.aborted) term.renew(askedAt);
    return;
  }
  const { code, message } = result.status;
  // Another process wrote, or the answer to an own write was lost: the next attempt reads the lease first.
  if (code === 409 || code === 404) state.known = undefined;
  if (code !== 409) onProblem(`writing the lease failed: ${message}`, result.status);
}

function observe(state: State, lease: KubeObject): void {
  if (state.known?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
  state.known = { lease, since: state.runtime.monotonic() };
}

/** Waits for at most half of a term, so that there is time for another connection. Undefined: no answer yet. */
async function within<T>({ runtime, times }: State, asked: Promise<T>): Promise<T | undefined> {
  const answered = new AbortController();
  const patience = sleep(runtime, times.renewDeadline * 500, answered.signal);
  let answer: T | undefined;
  const answering = asked.then(value => {
    answer = value;
  });
  await Promise.race([answering.finally(() => answered.abort()), patience]);
  return answer;
}
