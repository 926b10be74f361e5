import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readConfig } from '../../backend/config.ts';
import { createLog, scrubber } from '../../backend/log.ts';
import { startBackend } from '../../backend/server.ts';
import { serve } from '../../operator/process/http.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { createKubeCore, startKubeServer } from '../../sandbox/kube/index.ts';
import { startOpenAi } from '../../sandbox/openai/server.ts';
import { hostileRequests, sendAndReset, sendRaw } from './targetForms.ts';

export interface PortsFuzzed {
  requests: number;
  /** Answers by port and status; 0: the connection was closed without one. */
  answers: Map<string, Map<number, number>>;
  failures: { what: string; request?: string }[];
}

interface Port {
  name: string;
  port: number;
  /** A request that is answered 200 (or `well`) as long as the server is well. */
  probe: string;
  well?: number;
}

const AT_ONCE = 24;

/** Every HTTP server of ours, each on a free port of this machine. */
async function openPorts(): Promise<{ ports: Port[]; bugs: string[]; close(): Promise<void> }> {
  const bugs: string[] = [];
  const onBug = (kind: string, error: unknown) => bugs.push(`${kind}: ${error instanceof Error ? error.stack : error}`);
  const operator = await serve(
    '127.0.0.1:0',
    async path => (path === '/healthz' ? { status: 200, body: 'ok\n' } : undefined),
    onBug,
  );
  const lines: string[] = [];
  const log = createLog(line => {
    lines.push(line);
    if (/uncaught|unhandled|unexpected/.test(line)) bugs.push(line);
  }, scrubber([]));
  const model = await startOpenAi();
  const config = readConfig({ PORT: '0', HOST: '127.0.0.1', OPENAI_API_KEY: 'sk-x', OPENAI_BASE_URL: model.url });
  const backend = await startBackend(config, log, scrubber([]));
  const cloud = await startGcpServer({
    core: createGcpCore({ runtime: realRuntime, projects: [{ id: 'demo-project', number: '123456789012' }] }),
  });
  const kube = await startKubeServer({ core: createKubeCore({ runtime: realRuntime }) });
  const stateDir = await mkdtemp(join(tmpdir(), 'fuzz-ports-'));
  const instances = await startInstances({ runtime: realRuntime, stateDir, images: [] });
  const project = { id: 'demo-project', number: '123456789012' };
  const service = instances.urls.of({ project, location: 'asia-northeast1', id: 'web' });
  const portOf = (url: string) => Number(new URL(url).port);
  const address = operator?.address();
  return {
    bugs,
    ports: [
      { name: 'operator', port: typeof address === 'object' && address ? address.port : 0, probe: '/healthz' },
      { name: 'backend', port: backend.port, probe: '/health' },
      { name: 'cloud', port: cloud.port, probe: '/v1/projects/demo-project/secrets' },
      { name: 'kube', port: portOf(kube.url), probe: '/version' },
      { name: 'openai', port: portOf(model.url), probe: '/v1/models', well: 401 },
      // Nothing runs behind it: 404 is what Google's front end says of that.
      { name: 'service', port: portOf(service.uri), probe: '/', well: 404 },
    ],
    async close() {
      await backend.close(100);
      await model.close();
      await cloud.close();
      await kube.close();
      await instances.stop();
      operator?.closeAllConnections();
      operator?.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

/** Sends requests from `seed` to every HTTP port until `enough` says so or something does not hold. */
export async function fuzzPorts(seed: number, enough: (requests: number) => boolean): Promise<PortsFuzzed> {
  const fuzzed: PortsFuzzed = { requests: 0, answers: new Map(), failures: [] };
  const fails = (what: string, request?: Buffer) =>
    fuzzed.failures.push({ what, ...(request && { request: request.toString('latin1').slice(0, 2_000) }) });
  // Either of them ends a process that has no such listener.
  const onRejection = (error: unknown) => fails(`unhandledRejection: ${error instanceof Error ? error.stack : error}`);
  const onException = (error: unknown) => fails(`uncaughtException: ${error instanceof Error ? error.stack : error}`);
  process.on('unhandledRejection', onRejection);
  process.on('uncaughtException', onException);
  const { ports, bugs, close } = await openPorts();
  try {
    for (let batch = 0; fuzzed.failures.length === 0 && !enough(fuzzed.requests); batch++) {
      const requests = fc.sample(hostileRequests, { numRuns: AT_ONCE, seed: seed + batch });
      for (const { name, port, probe, well = 200 } of ports) {
        const answers = await Promise.all(requests.map(request => sendRaw(port, request)));
        answers.forEach((answer, at) => {
          fuzzed.requests++;
          const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1] ?? 0);
          const counts = fuzzed.answers.get(name) ?? new Map<number, number>();
          fuzzed.answers.set(name, counts.set(status, (counts.get(status) ?? 0) + 1));
          if (answer !== '' && status === 0)
            fails(`${name}: an answer that is no HTTP: ${answer.slice(0, 100)}`, requests[at]);
          if (status === 500) fails(`${name}: ${answer.slice(0, 600)}`, requests[at]);
        });
        await Promise.all(requests.map((request, at) => sendAndReset(port, request, at % 8)));
        const alive = await sendRaw(
          port,
          `GET ${probe} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`,
          5_000,
        );
        if (!alive.startsWith(`HTTP/1.1 ${well} `))
          fails(`${name} does not answer ${probe} any more: ${alive.slice(0, 200)}`);
      }
      for (const bug of bugs.splice(0)) fails(bug);
    }
  } finally {
    await close();
    process.off('unhandledRejection', onRejection);
    process.off('uncaughtException', onException);
  }
  return fuzzed;
}
