import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Load, LoadOptions } from './load.ts';

/** A server under test, or one that it needs. */
export interface Served {
  pid: number;
  url: string;
  /** When the process was asked for, `performance.now()`. */
  startedAt: number;
  stop(): Promise<void>;
}

/** Of a file of this repository, or a full path. */
export const path = (script: string): string => resolve(fileURLToPath(new URL('../..', import.meta.url)), script);

/** Starts a script and resolves once it prints the port that it listens at. */
export async function serve(script: string, env: Record<string, string>, flags: string[] = []): Promise<Served> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...flags, path(script)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', ...env },
  });
  const port = await portOf(child, script);
  return {
    pid: child.pid ?? 0,
    url: `http://127.0.0.1:${port}`,
    startedAt,
    async stop() {
      const gone = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** The port that a script prints once it listens. */
export function portOf(child: ChildProcess, script: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      // The rest, a line for each request, is only drained.
      if (text.length < 10_000) text += chunk;
      const port = /"port":(\d+)/.exec(text)?.[1];
      if (port) resolve(Number(port));
    });
    child.once('exit', code => reject(new Error(`${script} ended with ${code} before it listened`)));
  });
}

/** Callers in a process of their own, so that they share no event loop with what they call. */
export function load(options: LoadOptions): Promise<Load> {
  const child = spawn(process.execPath, [path('bench/support/load.ts'), JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', chunk => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('close', code => {
      if (code === 0) resolve(JSON.parse(text) as Load);
      else reject(new Error(`the load generator ended with ${code}`));
    });
  });
}

/** Resident memory of a process, now and at its highest, MiB; NaN where /proc does not tell. */
export function memoryOf(pid: number): { now: number; highest: number } {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const read = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
    return { now: read('VmRSS'), highest: read('VmHWM') };
  } catch {
    return { now: Number.NaN, highest: Number.NaN };
  }
}

/**
 * Resident memory of a process and those that it has forked, MiB: the largest whole, of the others what they have alone. What is
 * shared with other programs counts, as it would on a machine of their own. NaN where /proc does not tell.
 */
export function residentMiB(pids: number[]): number {
  const read = (pid: number) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const kB = (pattern: RegExp) => text.matchAll(pattern).reduce((sum, [, size]) => sum + Number(size), 0);
    return { whole: kB(/^Rss:\s+(\d+) kB/gm) / 1024, alone: kB(/^Private_\w+:\s+(\d+) kB/gm) / 1024 };
  };
  try {
    const [largest, ...others] = pids.map(read).sort((a, b) => b.whole - a.whole);
    return others.reduce((sum, { alone }) => sum + alone, largest?.whole ?? 0);
  } catch {
    return Number.NaN;
  }
}

/** Processor time of a process so far, user and system, in ms (steps of 10 ms); NaN where /proc does not tell. */
export function processorMsOf(pid: number): number {
  try {
    // The name stands in brackets and may contain spaces; clock ticks are 1/100 s on every Linux of today.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return Number.NaN;
  }
}

/** A port that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise(resolve => server.close(resolve));
  return typeof address === 'object' && address ? address.port : 0;
}
