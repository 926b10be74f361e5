import { spawn, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Candidate, candidates } from './support/candidates.ts';
import type { Figure } from './support/figure.ts';
import type { Load } from './support/load.ts';
import { freePort, load, memoryOf, processorMsOf, type Served, serve } from './support/processes.ts';
import { publish, quantile } from './support/report.ts';

/**
 * The tenant's backend, as its image runs it, beside a bare `node:http` server that does the same: start, `/health`, `/chat`
 * and streams, memory.
 * Backend, bare server, model and callers are processes of their own; the two servers are measured in turns.
 */

const full = process.argv.includes('--full');
const STARTS = full ? 15 : 7;
const SPAN = { ms: full ? 6_000 : 2_500, warmUpMs: full ? 2_000 : 1_500 };
const body = JSON.stringify({ message: 'Good day. How many tenants are there?' });
const figures: Figure[] = [];
const figure = (what: string, value: number, target?: string, plot = false) =>
  figures.push({ what, value, target, plot });

const { backend, bare } = await candidates();

// ----------------------------------------------------------------------------------------------------------- start
const quick = await serve('bench/support/model.ts', {});
const model = { OPENAI_BASE_URL: `${quick.url}/v1`, OPENAI_API_KEY: 'sk-bench' };
const health: { backend: number[]; bare: number[] } = { backend: [], bare: [] };
const firstChat: number[] = [];
for (let i = 0; i < STARTS; i++) {
  health.bare.push(await start(bare, model, '/health'));
  health.backend.push(await start(backend, model, '/health'));
  firstChat.push(await start(backend, model, '/chat'));
}
const median = (values: number[]) => quantile(values, 0.5);
figure('start → /health, ms', median(health.backend), '≤ 100', true);
figure('start → /health, bare node:http, ms', median(health.bare), undefined, true);
figure('start → /health ÷ bare', median(health.backend) / median(health.bare), '≤ 2');
figure('start → first byte of a streamed /chat, model at 0 s, ms', median(firstChat), '≤ 110', true);
figure('start → first byte of a streamed /chat ÷ bare /health', median(firstChat) / median(health.bare));

// -------------------------------------------------------------------------------------------------- model at 0 s
{
  const servers = { backend: await up(backend, model), bare: await up(bare, model) };
  const idle = memoryOf(servers.backend.pid).now;
  const one = await both(servers, '/health', { callers: 20 });
  figure('/health a second, 20 callers', one.backend.perSecond, undefined, true);
  figure('/health ÷ bare', one.backend.perSecond / one.bare.perSecond);
  for (const callers of full ? [20, 80, 800] : [20, 80]) {
    const chat = await both(servers, '/chat', { callers, body });
    figure(`/chat a second, model at 0 s, ${callers} callers`, chat.backend.perSecond, undefined, true);
    const target = callers === 80 ? '≥ 0.7' : undefined;
    figure(`/chat ÷ bare, ${callers} callers`, chat.backend.perSecond / chat.bare.perSecond, target);
    figure(`/chat failures, ${callers} callers`, chat.backend.failed, '≤ 0');
  }
  const ratios: number[] = [];
  for (let i = 0; i < (full ? 9 : 5); i++) {
    const bareMs = await processorMsOfOne(servers.bare);
    ratios.push((await processorMsOfOne(servers.backend)) / bareMs);
  }
  figure('processor time of one /chat ÷ bare, 80 callers', median(ratios), '≤ 2.5', true);
  figure('the same, lowest of the pairs', Math.min(...ratios));
  figure('the same, highest of the pairs', Math.max(...ratios));
  const streams = await both(servers, '/chat', { callers: 20, body, stream: true });
  figure('streams of 100 pieces a second, 20 callers', streams.backend.perSecond, undefined, true);
  figure('streams ÷ bare (which passes bytes on unread)', streams.backend.perSecond / streams.bare.perSecond);
  figure('memory idle, MiB', idle);
  figure('memory at its highest, model at 0 s, MiB', memoryOf(servers.backend.pid).highest, undefined, true);
  figure('memory of bare node:http at its highest, MiB', memoryOf(servers.bare.pid).highest);
  await servers.backend.stop();
  await servers.bare.stop();
}
await quick.stop();

// -------------------------------------------------------------------------------------------------- model at 1 s
const slow = await serve('bench/support/model.ts', { LATENCY_MS: '1000' });
for (const callers of [80, 1_000]) {
  const served = await up(backend, { ...model, OPENAI_BASE_URL: `${slow.url}/v1` });
  // An instance has one CPU.
  spawnSync('taskset', ['-a', '-c', '-p', '0', String(served.pid)]);
  const seconds = full ? 10 : 5;
  // All callers connect at once, which is no part of what is measured.
  const span = { ms: seconds * 1000, warmUpMs: callers > 80 ? 5_000 : 1_500 };
  const result = await load({ url: `${served.url}/chat`, callers, body, ...span });
  // A caller gets an answer a second at best, less what a round trip takes.
  const target = callers === 80 ? '≥ 79' : undefined;
  figure(`/chat a second, model at 1 s, ${callers} callers`, result.perSecond, target, true);
  figure(`/chat failures, model at 1 s, ${callers} callers`, result.failed, '≤ 0');
  figure(`/chat p99, model at 1 s, ${callers} callers, ms`, result.p99Ms, '≤ 1500');
  // 110 MB, in MiB.
  const most = callers === 80 ? '≤ 104.9' : undefined;
  figure(`memory at its highest, model at 1 s, ${callers} callers, MiB`, memoryOf(served.pid).highest, most, true);
  await served.stop();
}
await slow.stop();

publish({
  name: 'backend',
  title: 'Backend',
  figures,
  notes: [
    `Medians of ${STARTS} starts; loads of ${SPAN.ms / 1000} s after a warm-up; the model answers at once and costs next to nothing.`,
    'Callers, model and server share the cores of this machine: ratios to the bare server say more than the rates.',
  ],
});

/** Milliseconds from asking for the process until the first byte of an answer on `path`; a `/chat` is streamed. */
async function start(candidate: Candidate, env: Record<string, string>, path: '/health' | '/chat'): Promise<number> {
  const port = await freePort();
  const begun = performance.now();
  const child = spawn(process.execPath, [...candidate.flags, candidate.script], {
    stdio: 'ignore',
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: String(port), ...candidate.env, ...env },
  });
  const init: RequestInit = path === '/chat' ? { method: 'POST', body, headers: { Accept: 'text/event-stream' } } : {};
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, init).catch(() => undefined);
      await answer?.body?.getReader().read();
      if (answer?.ok) return performance.now() - begun;
      if (performance.now() - begun > 20_000) throw new Error(`${candidate.script} did not answer ${path}`);
      await sleep(1);
    }
  } finally {
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }
}

async function up({ script, env, flags }: Candidate, more: Record<string, string>): Promise<Served> {
  return serve(script, { ...env, ...more }, flags);
}

/** Processor time of one `/chat`: other work on the machine changes it less than it changes a rate. */
async function processorMsOfOne(server: Served): Promise<number> {
  const before = processorMsOf(server.pid);
  const { answered } = await load({ url: `${server.url}/chat`, callers: 80, body, ms: 2_000, warmUpMs: 0 });
  return (processorMsOf(server.pid) - before) / answered;
}

/** The same load on both, one after the other. */
async function both(
  servers: { backend: Served; bare: Served },
  path: string,
  options: { callers: number; body?: string; stream?: boolean },
): Promise<{ backend: Load; bare: Load }> {
  const of = (server: Served) => load({ url: server.url + path, ...SPAN, ...options });
  return { bare: await of(servers.bare), backend: await of(servers.backend) };
}
