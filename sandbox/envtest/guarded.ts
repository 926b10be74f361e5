import { fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Guarded {
  /** Resolves with its exit code when the program has ended; 1 if by a signal. */
  exited: Promise<number>;
  hasExited(): boolean;
  /** The process id of the program, once it runs. */
  pid(): number | undefined;
  /** Ends the program; resolves like `exited`. */
  stop(): Promise<number>;
}

export interface GuardedOptions {
  command: string;
  args: string[];
  /** File that its output is added to. */
  log: string;
  env?: NodeJS.ProcessEnv;
  /** Milliseconds between SIGTERM and SIGKILL; 0: SIGKILL at once. */
  graceMs: number;
}

/**
 * Starts a program that never outlives this process, even if this one is killed with SIGKILL: a guard process stands
 * between the two and ends the program when either the guard's parent goes or `stop` is called.
 */
export function startGuarded({ command, args, log, graceMs, env }: GuardedOptions): Guarded {
  const output = openSync(log, 'a');
  const guard = fork(fileURLToPath(new URL('guard.ts', import.meta.url)), [String(graceMs), command, ...args], {
    detached: true,
    execArgv: [],
    env,
    stdio: ['ignore', output, output, 'ipc'],
  });
  closeSync(output);
  // A parent that has nothing left to do may end: the guard notices.
  guard.unref();
  guard.channel?.unref();

  let pid: number | undefined;
  let over = false;
  guard.on('message', message => {
    pid = (message as { pid?: number }).pid;
  });
  const exited = new Promise<number>(resolve => {
    const end = () => {
      // Should somebody kill the guard itself.
      if (!over && guard.signalCode === 'SIGKILL' && pid !== undefined) kill(pid);
      over = true;
      resolve(guard.exitCode ?? 1);
    };
    guard.on('exit', end);
    guard.on('error', end);
  });

  return {
    exited,
    hasExited: () => over,
    pid: () => pid,
    stop() {
      if (guard.connected) guard.disconnect();
      // Someone waits now, so this process must live on to see the end.
      guard.ref();
      return exited;
    },
  };
}

function kill(pid: number) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has gone.
  }
}
