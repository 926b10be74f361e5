import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The environment of a process. */
export type Env = Record<string, string | undefined>;

/** Thrown if programs are neither in the cache nor can be built. The message says how to get them. */
export class NoBinariesError extends Error {}

/** Runs go and resolves with its output. Rejects with the last lines of stderr if it fails, or if it cannot be run. */
export type Go = (args: string[], onLine?: (line: string) => void) => Promise<{ stdout: string }>;

/** Go in this environment and working folder, without cgo. */
export const goIn =
  (env: Env, cwd: string): Go =>
  (args, onLine) =>
    new Promise((resolve, reject) => {
      const child = spawn('go', args, {
        cwd,
        env: { ...env, CGO_ENABLED: '0' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const stop = () => child.kill();
      process.once('exit', stop);
      let stdout = '';
      let rest = '';
      let last: string[] = [];
      child.stdout.setEncoding('utf8').on('data', chunk => {
        stdout += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', chunk => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) onLine?.(line);
        last = [...last, ...lines].slice(-20);
      });
      child.on('error', reject);
      child.on('close', code => {
        process.removeListener('exit', stop);
        if (code === 0) resolve({ stdout });
        else reject(new Error(`go ${args.join(' ')} failed:\n${[...last, rest].join('\n')}`));
      });
    });

/** Whether Go can be run. */
export async function hasGo(go: Go): Promise<boolean> {
  try {
    await go(['version']);
    return true;
  } catch {
    return false;
  }
}

/** The folder for binaries that are built once: `aitenant-operator/` in `$XDG_CACHE_HOME` or `~/.cache`. */
export const cacheFolder = (env: Env): string =>
  join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'aitenant-operator');

/** Whether the path is a file that this process may execute. */
export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
