import { Agent, request } from 'node:http';

/**
 * Callers, each with one request after the other on a connection of its own. Run as a process:
 * `load.ts '{"url", "callers", "ms", "warmUpMs", "stream"}'`; prints `Load` as JSON. What ends in the time after the
 * warm-up counts; requests begun then and answered later are waited for, and count as failures only if they fail.
 */

export interface LoadOptions {
  url: string;
  callers: number;
  ms: number;
  warmUpMs: number;
  /** Body of a POST; absent: GET. */
  body?: string;
  stream?: boolean;
  /** A caller without an answer for so long goes away, which is a failure; absent: never. */
  patienceMs?: number;
}

export interface Load {
  /** Answered with 200 in the time that counts. */
  answered: number;
  /** The same at any time. */
  answeredInAll: number;
  perSecond: number;
  /** Of any request at any time: another status, a broken connection, an empty body. */
  failed: number;
  p50Ms: number;
  p99Ms: number;
}

async function run({ url, callers, ms, warmUpMs, body, stream, patienceMs }: LoadOptions): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: callers });
  const headers: Record<string, string | number> = body
    ? { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }
    : {};
  if (stream) headers.Accept = 'text/event-stream';
  const start = performance.now();
  const [from, to] = [start + warmUpMs, start + warmUpMs + ms];
  const waits: number[] = [];
  let failed = 0;
  let answeredInAll = 0;

  const once = () =>
    new Promise<boolean>(resolve => {
      const req = request(url, { agent, method: body ? 'POST' : 'GET', headers }, res => {
        let size = 0;
        res.on('data', (chunk: Buffer) => {
          size += chunk.length;
        });
        res.on('error', () => resolve(false));
        res.on('end', () => resolve(res.statusCode === 200 && size > 0));
      });
      req.on('error', () => resolve(false));
      if (patienceMs)
        AbortSignal.timeout(patienceMs).addEventListener('abort', () => req.destroy(new Error('too late')));
      req.end(body);
    });
  const caller = async () => {
    while (performance.now() < to) {
      const asked = performance.now();
      const ok = await once();
      const now = performance.now();
      if (ok) answeredInAll++;
      else failed++;
      if (ok && now >= from && now < to) waits.push(now - asked);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  agent.destroy();
  waits.sort((a, b) => a - b);
  const at = (share: number) => waits[Math.floor(share * waits.length)] ?? Number.NaN;
  const perSecond = waits.length / (ms / 1000);
  return { answered: waits.length, answeredInAll, perSecond, failed, p50Ms: at(0.5), p99Ms: at(0.99) };
}

console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as LoadOptions)));
