import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Supervisor } from './gcp/instances/supervisor.ts';
import { Failure, poll } from './progress.ts';

/** The operator, a process of its own as in a cluster. */
export interface OperatorProcess {
  /** Resolves once it answers `/readyz`; throws `Failure`, with the end of its log, if it ends before or takes over 15 s. */
  ready(): Promise<void>;
  /** Resolves when it has ended, with how. */
  exited: Promise<string>;
  /** SIGTERM, and SIGKILL if that takes over 10 s. */
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../operator/main.ts', import.meta.url));

/** Starts `operator/main.ts` with `flags`; what it prints goes to the file `log`, written anew. */
export function startOperator(
  supervisor: Supervisor,
  options: { flags: string[]; env: Record<string, string>; log: string; healthPort: number },
): OperatorProcess {
  const output = openSync(options.log, 'w');
  const child = supervisor.spawn([process.execPath, MAIN, ...options.flags], options.env, output);
  closeSync(output);
  let ended: string | undefined;
  const exited = new Promise<string>(resolve => {
    const end = (how: string) => {
      ended ??= how;
      resolve(ended);
    };
    child.once('exit', (code, signal) => end(signal ? `by ${signal}` : `with exit code ${code}`));
    child.once('error', error => end(`before it began: ${error.message}`));
  });

  return {
    exited,
    async ready() {
      await poll(
        async () => {
          if (ended !== undefined) throw new Failure(`The operator ended ${ended}.\n${tail(options.log)}`);
          const answer = await fetch(`http://127.0.0.1:${options.healthPort}/readyz`).catch(() => undefined);
          await answer?.body?.cancel();
          return answer?.ok ? true : undefined;
        },
        15_000,
        () => new Failure(`The operator was not ready within 15 s.\n${tail(options.log)}`),
      );
    },
    async stop() {
      if (ended !== undefined) return;
      child.kill('SIGTERM');
      const kill = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(kill);
    },
  };
}

/** The last lines of a log. */
export function tail(log: string, lines = 15): string {
  try {
    return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}
