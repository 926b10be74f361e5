import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { killMarked, MARK } from './marked.ts';

/** Starts processes that never outlive this one, however it ends. */
export interface Supervisor {
  spawn(command: readonly [string, ...string[]], env: Record<string, string>, output: number): ChildProcess;
  /** Lets the watchdog go; what still runs is killed. */
  close(): void;
}

/** Where this process keeps compiled code, for processes that get nothing else of its environment: without it each compiles its TypeScript anew. */
export const compileCache = (): Record<string, string> => {
  const { NODE_COMPILE_CACHE: folder } = process.env;
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: folder };
};

export function createSupervisor(): Supervisor {
  const running = new Map<number, string>();
  let closed = false;
  let watchdog = start();

  function start(): ChildProcess {
    const child = spawn(process.execPath, [fileURLToPath(new URL('./watchdog.ts', import.meta.url))], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      env: compileCache(),
    });
    // A broken pipe is followed by `exit`, which is acted upon.
    child.stdin?.on('error', () => {});
    for (const [pid, mark] of running) child.stdin?.write(`+${pid} ${mark}\n`);
    child.once('exit', () => {
      if (!closed) watchdog = start();
    });
    child.unref();
    const { stdin } = child;
    if (stdin && 'unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
    return child;
  }

  return {
    spawn(command, env, output) {
      const [file, ...args] = command;
      const mark = randomUUID();
      const child = spawn(file, args, {
        env: { ...env, [MARK]: mark },
        stdio: ['ignore', output, output],
        detached: true,
      });
      const { pid } = child;
      if (pid === undefined) return child;
      running.set(pid, mark);
      watchdog.stdin?.write(`+${pid} ${mark}\n`);
      child.once('exit', () => {
        // The processes that the instance itself started end with it.
        killGroup(pid);
        killMarked([mark]);
        running.delete(pid);
        watchdog.stdin?.write(`-${pid}\n`);
      });
      return child;
    },
    close() {
      closed = true;
      watchdog.stdin?.end();
    },
  };
}

/** Kills a process and what it started. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The process group no longer exists.
  }
}
