import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type OpenAi, startOpenAi } from '../../sandbox/openai/server.ts';

import { sendRaw } from '../fuzz/targetForms.ts';

/** The backend as its image starts it, under callers who mean ill, and when it dies. */

const ROOT = new URL('../../', import.meta.url).pathname;
const key = `sk-canary-${randomBytes(16).toString('hex')}`;

let model: OpenAi;
let folder: string;
let child: ChildProcess;
let output: string;
let port: number;

beforeEach(async () => {
  model = await startOpenAi({ checkKey: candidate => candidate === key });
  folder = await mkdtemp(join(tmpdir(), 'backend-hostile-'));
});
afterEach(async () => {
  child.kill('SIGKILL');
  await model.close();
  await rm(folder, { recursive: true, force: true });
});

/** What the image runs, in `folder`. */
async function start(env: Record<string, string> = {}): Promise<void> {
  const [, cmd = '[]'] = /^CMD (\[.*\])$/m.exec(readFileSync(`${ROOT}Dockerfile.backend`, 'utf8')) ?? [];
  const [file = '', ...args] = (JSON.parse(cmd) as string[]).map(word =>
    word.replace(/\bnode (.*)\bbackend\.mjs/, `${process.execPath} $1${ROOT}backend/main.ts`),
  );
  output = '';
  child = spawn(file, args, {
    cwd: folder,
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      OPENAI_API_KEY: key,
      OPENAI_BASE_URL: model.url,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  const listening = /"message":"listening","port":(\d+)/;
  await expect.poll(() => output, { timeout: 20_000 }).toMatch(listening);
  port = Number(listening.exec(output)?.[1]);
}

const chat = () =>
  fetch(`http://127.0.0.1:${port}/chat`, { method: 'POST', body: JSON.stringify({ message: 'Hello' }) });

/** Everything that the process left in its folder. */
async function left(): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
  return (await Promise.all(files.map(file => readFile(file, 'latin1')))).join('\n');
}

describe('slow callers', () => {
  interface Held {
    socket: Socket;
    answer: string;
    closed: boolean;
  }
  /** A connection that begins with `first` and then sends a byte a second. */
  function drip(first: string): Held {
    const socket = connect(port, '127.0.0.1');
    const held: Held = { socket, answer: '', closed: false };
    socket.write(first);
    const dripping = setInterval(() => socket.write('x'), 1_000);
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      held.answer += bytes.toString();
    });
    socket.on('close', () => {
      clearInterval(dripping);
      held.closed = true;
    });
    return held;
  }

  test('300 that never finish their headers and 50 that never finish their body are cut off, and others answered meanwhile', {
    timeout: 90_000,
  }, async () => {
    await start({ MAX_CONCURRENCY: '60' });
    const headers = Array.from({ length: 300 }, () => drip('POST /chat HTTP/1.1\r\nHost: x\r\nX-Slow: '));
    const body = 'POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"message": "';
    const bodies = Array.from({ length: 50 }, () => drip(body));

    let answered = 0;
    do {
      const [health, answer] = await Promise.all([fetch(`http://127.0.0.1:${port}/health`), chat()]);
      expect([health.status, answer.status]).toEqual([200, 200]);
      await Promise.all([health.text(), answer.text()]);
      answered++;
      await new Promise(resolve => setTimeout(resolve, 500));
      // Node's own limits would keep them for 40 s and more.
    } while (answered < 50 && [...headers, ...bodies].some(({ closed }) => !closed));

    expect(headers.filter(({ closed }) => !closed)).toEqual([]);
    expect(bodies.filter(({ closed }) => !closed)).toEqual([]);
    expect(new Set(headers.map(({ answer }) => answer.split('\r\n')[0]))).toEqual(
      new Set(['HTTP/1.1 408 Request Timeout']),
    );
    expect(new Set(bodies.map(({ answer }) => /"code":"(\w+)"/.exec(answer)?.[1]))).toEqual(new Set(['body_too_slow']));
    expect(model.counters.requests, 'nobody slow reached the model').toBe(answered);
  });

  test('200 streams that are broken off leave nothing running', { timeout: 60_000 }, async () => {
    model.settings.chunkDelayMs = 50;
    model.settings.repeat = 1_000;
    await start();
    const streams = Array.from({ length: 200 }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      const message = JSON.stringify({ message: 'Hello' });
      socket.write(
        `POST /chat HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: ${message.length}\r\n\r\n${message}`,
      );
      return socket;
    });
    await expect.poll(() => model.counters.inFlight, { timeout: 20_000 }).toBe(200);
    for (const socket of streams) socket.resetAndDestroy();
    await expect.poll(() => model.counters, { timeout: 20_000 }).toMatchObject({ inFlight: 0, aborted: 200 });
    model.settings.repeat = 1;
    expect((await chat()).status).toBe(200);
  });
});

describe('what no handler catches', () => {
  const plant = (code: string) => ({
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(`process.on('SIGUSR2', () => { ${code} });`)}`,
  });
  test('a request target of any form is answered, and nobody else notices', async () => {
    await start();
    model.settings.latencyMs = 1_500;
    const asked = chat();
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(1);
    for (const target of ['http://[', 'http://a:b', '//', '//[', '*', 'a:1', '/%', 'http:']) {
      await sendRaw(port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`, 2_000);
    }
    expect((await asked).status).toBe(200);
    expect(child.exitCode).toBeNull();
    expect(output).not.toMatch(/uncaught|unhandled|unexpected/);
  });

  test('a rejected promise is logged and survived', async () => {
    await start(plant(`Promise.reject(new Error('planted'))`));
    child.kill('SIGUSR2');
    await expect.poll(() => output).toContain('"unhandled rejection"');
    expect((await chat()).status).toBe(200);
  });

  test('an exception is logged, and what is under way finishes before the process ends with 1', async () => {
    await start(plant(`throw new Error('planted')`));
    model.settings.latencyMs = 1_500;
    const asked = chat();
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(1);
    child.kill('SIGUSR2');
    await expect.poll(() => output).toContain('"uncaught error"');
    expect((await asked).status).toBe(200);
    if (child.exitCode === null) await once(child, 'exit');
    expect(child.exitCode).toBe(1);
  });
});

describe('the key, when the process dies', () => {
  test('is not in its last words', async () => {
    const crash = `const key = process.env.OPENAI_API_KEY; process.on('SIGUSR2', () => { throw new Error('with ' + key) });`;
    await start({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(crash)}` });
    expect((await chat()).status).toBe(200);
    child.kill('SIGUSR2');
    const [code] = await once(child, 'exit');
    expect(code).toBe(1);
    expect(output).toContain('"uncaught error"');
    expect(output + (await left())).not.toContain(key.slice(3, 24));
  });

  test('is not in a diagnostic report, even where somebody has switched those on', async () => {
    await start({ NODE_OPTIONS: `--report-on-signal --report-directory=${folder}` });
    expect((await chat()).status).toBe(200);
    child.kill('SIGUSR2');
    await expect.poll(left, { timeout: 20_000 }).toMatch(/"libuv"[\s\S]*\}\s*$/);
    const report = await left();
    expect(report).toContain('"nodejsVersion"');
    expect(report).not.toContain(key.slice(3, 24));
    // No variable at all: another one might be a key too.
    expect(report).not.toContain('OPENAI_BASE_URL');
  });

  test('is not in a core dump, a heap snapshot or any other file', async context => {
    if (process.platform !== 'linux') context.skip('only Linux tells a process’s limits');
    await start();
    expect((await chat()).status).toBe(200);
    const limits = await readFile(`/proc/${child.pid}/limits`, 'utf8');
    expect(limits).toMatch(/^Max core file size +0 +0 /m);
    child.kill('SIGABRT');
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGABRT');
    expect(await readdir(folder)).toEqual([]);
  });
});
