import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Runtime } from '../../../ports/runtime.ts';
import { killGroup, type Supervisor } from './supervisor.ts';

export type Listening =
  | { ok: true; port: number }
  | { ok: false; why: 'notListening' | 'imageMissing' | 'env'; message: string };

/** One running instance, as a pool sees it. */
export interface Instance {
  /** Settles once: it listens, or why it never will. */
  listening: Promise<Listening>;
  /** Resolves when it has ended. */
  exited: Promise<void>;
  /** SIGTERM, and SIGKILL later if it is still there. */
  stop(): void;
}

const firstProbeMs = 10;
const slowestProbeMs = 100;

/** An instance that cannot even be started. */
export const unstartable = (why: (Listening & { ok: false })['why'], message: string): Instance => ({
  listening: Promise.resolve({ ok: false, why, message }),
  exited: Promise.resolve(),
  stop() {},
});

/**
 * Several containers as one instance: each starts once those that it depends on are up; when one ends, all do. It is up when all are;
 * its port is the last one's, which takes the requests.
 */
export function startTogether(parts: { name: string; dependsOn: string[]; start: () => Instance }[]): Instance {
  const started: Instance[] = [];
  const waiting = new Map<string, Promise<Listening>>();
  let stopped = false;
  const stop = () => {
    stopped = true;
    for (const one of started) one.stop();
  };
  const gone: Listening = { ok: false, why: 'notListening', message: 'stopped' };
  const up = (part: (typeof parts)[number]): Promise<Listening> => {
    const known = waiting.get(part.name);
    if (known) return known;
    const begin = async (): Promise<Listening> => {
      for (const name of part.dependsOn) {
        const other = parts.find(one => one.name === name);
        const result = other ? await up(other) : gone;
        if (!result.ok) return result;
      }
      if (stopped) return gone;
      const instance = part.start();
      started.push(instance);
      instance.exited.then(stop);
      return instance.listening;
    };
    const result = begin().catch((error): Listening => ({ ok: false, why: 'notListening', message: String(error) }));
    waiting.set(part.name, result);
    return result;
  };
  const all = Promise.all(parts.map(up));
  const listening = all.then(results => results.find(({ ok }) => !ok) ?? results.at(-1) ?? gone);
  listening.then(({ ok }) => ok || stop());
  return {
    listening,
    exited: all.then(() => Promise.all(started.map(({ exited }) => exited))).then(() => {}),
    stop,
  };
}

/** Starts a process that is to listen on a port of this machine within `startupTimeoutMs`. */
export function startProcess(
  supervisor: Supervisor,
  runtime: Runtime,
  given: {
    command: readonly [string, ...string[]];
    env: Record<string, string>;
    /** File descriptor for what it prints; closed once the process has it. */
    output: { fd: number; close(): void };
    startupTimeoutMs: number;
    killAfterMs: number;
    /**
     * The port on which it must listen: any free one that `PORT` names (default), a fixed one, or `nowhere`: it is ready once
     * its process runs.
     */
    listens?: 'anywhere' | number | 'nowhere';
  },
): Instance {
  let pid: number | undefined;
  let cancelKill = () => {};
  let stopped = false;
  const ended = Promise.withResolvers<void>();

  async function listen(): Promise<Listening> {
    const failed = (message: string) => ({ ok: false, why: 'notListening', message }) as const;
    const { listens = 'anywhere' } = given;
    const port = listens === 'anywhere' ? await freePort() : listens === 'nowhere' ? 0 : listens;
    if (stopped) {
      given.output.close();
      ended.resolve();
      return failed('stopped');
    }
    const env = listens === 'anywhere' ? { ...given.env, PORT: String(port) } : given.env;
    const child = supervisor.spawn(given.command, env, given.output.fd);
    given.output.close();
    pid = child.pid;
    const exit = Promise.race([once(child, 'exit'), once(child, 'error')]).catch(error => [error]);
    exit.then(() => {
      cancelKill();
      ended.resolve();
    });
    let overdue = false;
    const cancel = runtime.after(given.startupTimeoutMs, () => {
      overdue = true;
    });
    let gone = false;
    exit.then(() => {
      gone = true;
    });
    for (let wait = firstProbeMs; !gone && !overdue && !stopped; wait = Math.min(wait * 1.5, slowestProbeMs)) {
      if (listens === 'nowhere' || (await accepts(port))) {
        cancel();
        return { ok: true, port };
      }
      await new Promise<void>(resolve => runtime.after(wait, resolve));
    }
    cancel();
    return failed(gone ? 'The process ended.' : 'It did not listen in time.');
  }

  return {
    listening: listen().catch(error => {
      ended.resolve();
      return { ok: false, why: 'notListening', message: String(error) };
    }),
    exited: ended.promise,
    stop() {
      if (stopped) return;
      stopped = true;
      if (pid === undefined) return;
      const group = pid;
      try {
        process.kill(group, 'SIGTERM');
      } catch {
        return;
      }
      cancelKill = runtime.after(given.killAfterMs, () => killGroup(group));
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    const done = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
  });
}
