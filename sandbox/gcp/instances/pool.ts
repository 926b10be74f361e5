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
  const members = new Set<Member>();
  const queue: Waiting[] = [];
  let scale = initial;
  let stopped = false;
  let judging = Math.max(1, initial.min);
  let cancelRestart = () => {};
  const whenEnded: (() => void)[] = [];

  const alive = () => [...members].filter(({ state }) => state !== 'stopping');
  const starting = () => alive().filter(({ state }) => state === 'starting');
  const free = () => alive().find(({ state, inFlight }) => state === 'ready' && inFlight < spec.concurrency);
  const lowest = () => (stopped || !scale.serving ? 0 : scale.min);

  function verdict(outcome: StartOutcome): void {
    if (judging === 0) return;
    judging = outcome.ok ? judging - 1 : 0;
    if (judging === 0 && !stopped) judged(outcome);
  }

  function add(): void {
    const member: Member = { instance: launch(), state: 'starting', port: 0, inFlight: 0, cancelIdle: () => {} };
    members.add(member);
    member.instance.listening.then(result => {
      if (member.state === 'stopping') return;
      if (!result.ok) {
        discard(member);
        verdict(
          result.why === 'notListening'
            ? { ok: false, why: 'notListening' }
            : { ok: false, why: result.why, message: result.message },
        );
        // With no other instance running or starting, the waiting requests are refused: starting another instance for them could
        // repeat the failure without end.
        if (starting().length === 0 && !alive().some(({ state }) => state === 'ready')) refuseAll('noInstance');
        keepMinimum(restartMs);
        return;
      }
      member.state = 'ready';
      member.port = result.port;
      idle(member);
      verdict({ ok: true });
      serve();
    });
    member.instance.exited.then(() => {
      members.delete(member);
      member.cancelIdle();
      if (member.state === 'ready') {
        // The instance crashed. The waiting requests get another one.
        member.state = 'stopping';
        grow();
        keepMinimum(restartMs);
      }
      if (members.size === 0) for (const resolve of whenEnded.splice(0)) resolve();
    });
  }

  function discard(member: Member): void {
    member.state = 'stopping';
    member.cancelIdle();
    member.instance.stop();
  }

  function idle(member: Member): void {
    member.cancelIdle();
    if (member.inFlight > 0 || member.state !== 'ready' || queue.length > 0) return;
    const spare = () => alive().filter(({ state }) => state === 'ready').length > lowest();
    const goes = () => member.inFlight === 0 && member.state === 'ready' && spare() && discard(member);
    if (stopped || !scale.serving || alive().length > scale.max) goes();
    else member.cancelIdle = runtime.after(spec.idleMs(), goes);
  }

  function lease(member: Member): Lease {
    member.inFlight += 1;
    member.cancelIdle();
    let released = false;
    return {
      port: member.port,
      release() {
        if (released) return;
        released = true;
        member.inFlight -= 1;
        serve();
        idle(member);
      },
    };
  }

  /** Gives free places to the waiting requests and starts instances for those that are left. */
  function serve(): void {
    for (let member = free(); member && queue.length > 0; member = free()) queue.shift()?.give(lease(member));
    grow();
  }

  function grow(): void {
    const wanted = Math.ceil(queue.length / spec.concurrency) - starting().length;
    const room = Math.max(scale.max, stopped || !scale.serving ? 1 : 0) - alive().length;
    for (let i = 0; i < Math.min(wanted, room); i++) add();
  }

  function keepMinimum(delayMs: number): void {
    cancelRestart();
    if (judging > 0 || alive().length >= lowest()) return;
    cancelRestart = runtime.after(delayMs, () => {
      while (alive().length < Math.min(lowest(), scale.max)) add();
    });
  }

  function refuseAll(refused: Refusal['refused']): void {
    for (const waiting of queue.splice(0)) waiting.give({ refused });
  }

  function acquire(signal: AbortSignal): Promise<Lease | Refusal> {
    const member = free();
    if (member) return Promise.resolve(lease(member));
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
        if (starting().length > 0) cancel = runtime.after(pendingMs, overdue);
        else leave('rateExceeded');
      };
      let cancel = runtime.after(pendingMs, overdue);
      signal.addEventListener('abort', cancelled, { once: true });
      queue.push(waiting);
      grow();
    });
  }

  for (let i = 0; i < judging; i++) add();

  return {
    acquire,
    scale(next) {
      scale = next;
      keepMinimum(0);
      for (const member of alive()) idle(member);
      grow();
    },
    stop() {
      stopped = true;
      cancelRestart();
      for (const member of starting()) if (queue.length === 0) discard(member);
      for (const member of alive()) idle(member);
    },
    ended: () => (members.size === 0 ? Promise.resolve() : new Promise(resolve => whenEnded.push(resolve))),
    kill() {
      stopped = true;
      cancelRestart();
      refuseAll('noInstance');
      for (const member of alive()) discard(member);
    },
  };
}
