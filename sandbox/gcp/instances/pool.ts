import type { Runtime } from '../../../ports/runtime.ts';
import type { ContainerSpec, Scale, StartOutcome } from '../run/containers.ts';
import type { Instance } from './instance.ts';

/** A place in an instance for one request. */
export interface Lease {
  port: number;
  /** Frees the place after the request has ended. A second call does nothing. */
  release(): void;
}

export type Refusal = { refused: 'rateExceeded' | 'noInstance' | 'cancelled' };

/** The instances of one revision. */
export interface Pool {
  /** Waits for a free place. Resolves with a refusal when `signal` aborts or the wait takes too long. */
  acquire(signal: AbortSignal): Promise<Lease | Refusal>;
  scale(scale: Scale): void;
  /** Lets each instance stop as soon as it is idle. */
  stop(): void;
  /** Resolves once no instance is left. Call `stop` or `kill` before. */
  ended(): Promise<void>;
  /** Stops every instance at once, also those with requests in flight. */
  kill(): void;
}

interface Member {
  instance: Instance;
  state: 'starting' | 'ready' | 'stopping';
  port: number;
  inFlight: number;
  cancelIdle: () => void;
}

interface Waiting {
  give(answer: Lease | Refusal): void;
}

/** A request waits this long for a busy service before it is refused: 10 s, the shortest time that Cloud Run documents. */
const pendingMs = 10_000;
/**
 * After an instance has failed, the pool waits 1 s before it restores the minimum, so that a crashing image does not loop
 * without a pause.
 */
const restartMs = 1000;

/** The state of a pool and what it works with. */
interface State {
  readonly runtime: Runtime;
  readonly spec: Pick<ContainerSpec, 'concurrency' | 'idleMs'>;
  readonly launch: () => Instance;
  readonly judged: (outcome: StartOutcome) => void;
  readonly members: Set<Member>;
  /** The requests that wait for a place, the oldest first. */
  readonly queue: Waiting[];
  scale: Scale;
  stopped: boolean;
  /** The number of instances whose start is still awaited before `judged` is called; 0 after that call. */
  judging: number;
  cancelRestart: () => void;
  readonly whenEnded: (() => void)[];
}

/**
 * Starts the revision with `max(1, scale.min)` instances and calls `judged` once, with their success or the first failure.
 * Afterwards the pool starts instances as requests arrive and stops idle ones. An instance takes at most `concurrency`
 * requests at once.
 */
export function createPool(
  runtime: Runtime,
  spec: Pick<ContainerSpec, 'concurrency' | 'idleMs'>,
  launch: () => Instance,
  initial: Scale,
  judged: (outcome: StartOutcome) => void,
): Pool {
  const judging = Math.max(1, initial.min);
  const given = { runtime, spec, launch, judged, judging, scale: initial, stopped: false };
  const pool: State = { ...given, members: new Set(), queue: [], cancelRestart() {}, whenEnded: [] };
  for (let i = 0; i < judging; i++) add(pool);

  return {
    acquire: signal => acquire(pool, signal),
    scale(next) {
      pool.scale = next;
      keepMinimum(pool, 0);
      for (const member of alive(pool)) idle(pool, member);
      grow(pool);
    },
    stop() {
      pool.stopped = true;
      pool.cancelRestart();
      for (const member of starting(pool)) if (pool.queue.length === 0) discard(member);
      for (const member of alive(pool)) idle(pool, member);
    },
    ended: () => (pool.members.size === 0 ? Promise.resolve() : new Promise(resolve => pool.whenEnded.push(resolve))),
    kill() {
      pool.stopped = true;
      pool.cancelRestart();
      refuseAll(pool, 'noInstance');
      for (const member of alive(pool)) discard(member);
    },
  };
}

const alive = ({ members }: State) => [...members].filter(({ state }) => state !== 'stopping');
const starting = (pool: State) => alive(pool).filter(({ state }) => state === 'starting');
const ready = (pool: State) => alive(pool).filter(({ state }) => state === 'ready');
const free = (pool: State) => ready(pool).find(({ inFlight }) => inFlight < pool.spec.concurrency);
const lowest = ({ stopped, scale }: State) => (stopped || !scale.serving ? 0 : scale.min);

function verdict(pool: State, outcome: StartOutcome): void {
  if (pool.judging === 0) return;
  pool.judging = outcome.ok ? pool.judging - 1 : 0;
  if (pool.judging === 0 && !pool.stopped) pool.judged(outcome);
}

function add(pool: State): void {
  const member: Member = { instance: pool.launch(), state: 'starting', port: 0, inFlight: 0, cancelIdle: () => {} };
  pool.members.add(member);
  member.instance.listening.then(result => {
    if (member.state === 'stopping') return;
    if (!result.ok) {
      discard(member);
      verdict(
        pool,
        result.why === 'notListening'
          ? { ok: false, why: 'notListening' }
          : { ok: false, why: result.why, message: result.message },
      );
      // With no other instance running or starting, the waiting requests are refused: starting another instance for them could
      // repeat the failure without end.
      if (starting(pool).length === 0 && ready(pool).length === 0) refuseAll(pool, 'noInstance');
      keepMinimum(pool, restartMs);
      return;
    }
    member.state = 'ready';
    member.port = result.port;
    idle(pool, member);
    verdict(pool, { ok: true });
    serve(pool);
  });
  member.instance.exited.then(() => {
    pool.members.delete(member);
    member.cancelIdle();
    if (member.state === 'ready') {
      // The instance crashed. The waiting requests get another one.
      member.state = 'stopping';
      grow(pool);
      keepMinimum(pool, restartMs);
    }
    if (pool.members.size === 0) for (const resolve of pool.whenEnded.splice(0)) resolve();
  });
}

function discard(member: Member): void {
  member.state = 'stopping';
  member.cancelIdle();
  member.instance.stop();
}

/** Stops an instance without requests once it has been idle for long enough, if the minimum allows it. */
function idle(pool: State, member: Member): void {
  const { queue, scale, stopped, runtime, spec } = pool;
  member.cancelIdle();
  if (member.inFlight > 0 || member.state !== 'ready' || queue.length > 0) return;
  const spare = () => ready(pool).length > lowest(pool);
  const goes = () => member.inFlight === 0 && member.state === 'ready' && spare() && discard(member);
  if (stopped || !scale.serving || alive(pool).length > scale.max) goes();
  else member.cancelIdle = runtime.after(spec.idleMs(), goes);
}

function lease(pool: State, member: Member): Lease {
  member.inFlight += 1;
  member.cancelIdle();
  let released = false;
  return {
    port: member.port,
    release() {
      if (released) return;
      released = true;
      member.inFlight -= 1;
      serve(pool);
      idle(pool, member);
    },
  };
}

/** Gives free places to the waiting requests and starts instances for those that are left. */
function serve(pool: State): void {
  const { queue } = pool;
  for (let member = free(pool); member && queue.length > 0; member = free(pool)) {
    queue.shift()?.give(lease(pool, member));
  }
  grow(pool);
}

function grow(pool: State): void {
  const { queue, spec, scale, stopped } = pool;
  const wanted = Math.ceil(queue.length / spec.concurrency) - starting(pool).length;
  const room = Math.max(scale.max, stopped || !scale.serving ? 1 : 0) - alive(pool).length;
  for (let i = 0; i < Math.min(wanted, room); i++) add(pool);
}

function keepMinimum(pool: State, delayMs: number): void {
  pool.cancelRestart();
  if (pool.judging > 0 || alive(pool).length >= lowest(pool)) return;
  pool.cancelRestart = pool.runtime.after(delayMs, () => {
    while (alive(pool).length < Math.min(lowest(pool), pool.scale.max)) add(pool);
  });
}

function refuseAll({ queue }: State, refused: Refusal['refused']): void {
  for (const waiting of queue.splice(0)) waiting.give({ refused });
}

function acquire(pool: State, signal: AbortSignal): Promise<Lease | Refusal> {
  const { runtime, queue } = pool;
  const member = free(pool);
  if (member) return Promise.resolve(lease(pool, member));
  return new Promise(resolve => {
    const waiting: Waiting = {
      give(answer) {
        cancel();
        signal.removeEventListener('abort', cancelled);
        resolve(answer);
      },
    };
    const leave = (refused: Refusal['refused']) => {
      const place = queue.indexOf(waiting);
      if (place >= 0) queue.splice(place, 1);
      waiting.give({ refused });
    };
    const cancelled = () => leave('cancelled');
    const overdue = () => {
      // While an instance is starting the request keeps waiting. The startup time-out bounds that wait.
      if (starting(pool).length > 0) cancel = runtime.after(pendingMs, overdue);
      else leave('rateExceeded');
    };
    let cancel = runtime.after(pendingMs, overdue);
    signal.addEventListener('abort', cancelled, { once: true });
    queue.push(waiting);
    grow(pool);
  });
}
