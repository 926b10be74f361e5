import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';

const started: ChildProcess[] = [];
const states: string[] = [];

afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  for (const state of states.splice(0)) await rm(state, { recursive: true, force: true, maxRetries: 5 });
});

/** A folder of its own for a sandbox. */
export async function givenState(): Promise<string> {
  const state = await mkdtemp(join(tmpdir(), 'sandbox-'));
  states.push(state);
  return state;
}

export function listenOn(port: number): Promise<Server | undefined> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

/** The first of 50 ports that are free now. */
export async function givenPorts(): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 200) * 50;
    const servers = await Promise.all([0, 1, 2, 3, 4, 5].map(offset => listenOn(base + offset)));
    await Promise.all(servers.map(server => server && once(server.close(), 'close')));
    if (servers.every(Boolean)) return base;
  }
}

/** `npm run sandbox -- OPTION…`, without npm. It is killed at the end of the test. */
export function sandbox(options: string[], env: NodeJS.ProcessEnv = process.env) {
  const child = spawn(process.execPath, ['sandbox/main.ts', ...options], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => output, ended };
}

/** Whether anybody does. */
export const answers = (url: string) =>
  fetch(url).then(
    response => response.body?.cancel().then(() => true) ?? true,
    () => false,
  );
