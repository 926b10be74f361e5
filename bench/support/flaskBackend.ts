import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, path } from './processes.ts';

/**
 * The manual's backend in Python, started as Google's quickstart of Cloud Run for Python starts one: gunicorn with one
 * worker and eight threads. Python packages are installed once, at the versions of flask/requirements.txt.
 */

const folder = join(homedir(), '.cache/aitenant-operator/bench-flask');
const source = path('bench/support/flask');

/** Installs the packages; the text says why Flask cannot be measured on this machine. */
export function prepareFlask(): string | undefined {
  const run = (command: string, ...args: string[]) =>
    spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 300_000 }).status === 0;
  mkdirSync(join(folder, '..'), { recursive: true });
  if (!run('python3', '-m', 'venv', folder)) return 'python3 with its module venv is not installed';
  const requirements = join(source, 'requirements.txt');
  if (!run(join(folder, 'bin/python'), '-m', 'pip', 'install', '--quiet', '-r', requirements))
    return 'pip could not install Flask, gunicorn and openai';
  return undefined;
}

interface Flask {
  url: string;
  /** gunicorn's own process and its worker. */
  pids: number[];
  stop(): Promise<void>;
}

export async function startFlask(threads: number, env: Record<string, string>): Promise<Flask> {
  const port = await freePort();
  const flags = ['--bind', `127.0.0.1:${port}`, '--workers', '1', '--threads', String(threads), '--timeout', '0'];
  flags.push('--no-control-socket', '--log-level', 'warning');
  const child = spawn(join(folder, 'bin/gunicorn'), [...flags, 'main:app'], {
    cwd: source,
    stdio: 'ignore',
    env: { PATH: process.env.PATH, PORT: String(port), PYTHONDONTWRITEBYTECODE: '1', ...env },
  });
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    const gone = new Promise(resolve => child.once('exit', resolve));
    // The worker ends when its parent has ended; SIGQUIT does not wait for open requests.
    child.kill('SIGQUIT');
    await gone;
  };
  for (const limit = performance.now() + 30_000; performance.now() < limit; await sleep(50)) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    await answer?.text();
    if (answer?.ok) return { url, pids: [child.pid ?? 0, ...childrenOf(child.pid ?? 0)], stop };
    if (child.exitCode !== null) break;
  }
  await stop();
  throw new Error('gunicorn did not start');
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap(task =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}
