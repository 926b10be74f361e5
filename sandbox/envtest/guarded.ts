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
  /** The file that its output is appended to. */
  log: string;
  env?: NodeJS.ProcessEnv;
  /** Milliseconds between SIGTERM and SIGKILL; 0: SIGKILL at once. */
  graceMs: number;
}

/**
 * Starts a program that never outlives this process, even if this process is killed with SIGKILL. A guard process (guard.ts) runs the
 * program and ends it when this process ends or `stop` is called.
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
  // The guard does not keep this process alive. When this process ends, the guard ends the program.
  guard.unref();
  guard.channel?.unref();

  let pid: number | undefined;
  let over = false;
  guard.on('message', message => {
    pid = (message as { pid?: number }).pid;
  });
  const exited = new Promise<number>(resolve => {
    const end = () => {
      // A guard that was killed with SIGKILL could not end the program.
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
      // The caller awaits `exited`, so the guard must keep this process alive until then.
      guard.ref();
      return exited;
    },
  };
}

function kill(pid: number) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has already ended.
  }
}
