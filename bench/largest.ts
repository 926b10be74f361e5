import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { writeKubeconfig } from '../sandbox/kube/index.ts';
import type { Figure } from './support/figure.ts';
import { nodeFlags } from './support/operatorProcess.ts';
import { freePort, memoryOf } from './support/processes.ts';
import { publish } from './support/report.ts';

/**
 * The operator's own process with 1,000 (`--n=COUNT`) suspended AiTenants, each as large as the CRD and etcd let it be (1.4 MB: 65,536
 * characters of env, 200 KB of annotations, the rest managedFields), as a list of the API server brings them: once with characters of
 * one byte, and once of four, the most that a bound of characters allows. Ends with 1 if the process ends or takes more than the
 * manifest's limit.
 */

const [, COUNT = '1000'] = /^--n=(\d+)/.exec(process.argv.find(word => word.startsWith('--n=')) ?? '') ?? [];
const LIMIT_MIB = 512;
/** Of which the tenants' values consist. */
let character = 'x';
const BYTES = 1.4e6;
const BUNDLE = fileURLToPath(new URL('../scripts/bundle.mjs', import.meta.url));

function tenant(i: number): object {
  const value = character.repeat(655);
  const spec = {
    region: 'asia-northeast1',
    keys: [{ name: 'a', secretRef: { external: 'a' } }],
    env: Array.from({ length: 100 }, (_, n) => ({
      name: `V${n}`,
      value: `${i}-${n}-${value}`.slice(0, character.length * 655),
    })),
    suspend: true,
  };
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': 'a'.repeat(200_000) };
  const metadata = {
    name: `t-${i}`,
    namespace: 'team',
    uid: `uid-${i}`,
    resourceVersion: '5',
    generation: 1,
    annotations,
    finalizers: ['ai-platform.dev/finalizer'],
  };
  const rest = Math.max(0, BYTES - Buffer.byteLength(JSON.stringify({ metadata, spec })));
  return { metadata: { ...metadata, managedFields: [{ manager: 'm', fieldsV1: { f: 'f'.repeat(rest) } }] }, spec };
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '', 'http://x');
  const answer = (body: object, code = 200) =>
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  if (url.searchParams.get('watch'))
    return response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
  if (request.method !== 'GET') return answer({ kind: 'Status', code: 403, reason: 'Forbidden' }, 403);
  if (url.pathname.endsWith('/namespaces/kube-system')) return answer({ metadata: { name: 'kube-system', uid: 'c' } });
  if (url.pathname.endsWith('/namespaces')) {
    return answer({
      metadata: { resourceVersion: '5' },
      items: [{ metadata: { name: 'team', uid: 'u', resourceVersion: '4' } }],
    });
  }
  if (!url.pathname.endsWith('/aitenants')) return answer({ kind: 'Status', code: 404 }, 404);
  const from = Number(url.searchParams.get('continue') ?? 0);
  const to = Math.min(Number(COUNT), from + Number(url.searchParams.get('limit') ?? COUNT));
  const next = to < Number(COUNT) ? String(to) : undefined;
  // As a stream, so that this process does not hold the page either.
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write(`{"metadata":{"resourceVersion":"5"${next ? `,"continue":"${next}"` : ''}},"items":[`);
  const more = (i: number) => {
    if (response.destroyed) return;
    if (i === to) {
      response.end(']}');
      return;
    }
    const text = `${i > from ? ',' : ''}${JSON.stringify(tenant(i))}`;
    if (response.write(text)) setImmediate(more, i + 1);
    else response.once('drain', () => more(i + 1));
  };
  more(from);
});

/** The highest resident memory, MiB. */
async function measure(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'aitenant-largest-'));
  const bundled = spawnSync(process.execPath, [BUNDLE, `--outdir=${folder}`, 'operator'], { encoding: 'utf8' });
  if (bundled.status !== 0) throw new Error(bundled.stderr);
  const kubeconfig = join(folder, 'kubeconfig');
  await writeKubeconfig(kubeconfig, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [health, metrics] = [await freePort(), await freePort()];
  const child = spawn(
    process.execPath,
    [
      ...nodeFlags(),
      join(folder, 'operator.mjs'),
      '--cluster-id=bench',
      `--health-address=127.0.0.1:${health}`,
      `--metrics-address=127.0.0.1:${metrics}`,
    ],
    {
      stdio: ['ignore', process.env.SHOW_LOG ? 'inherit' : 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        KUBECONFIG: kubeconfig,
        AITENANT_LEADER_ELECT: 'false',
        GOOGLE_CLOUD_PROJECT: 'bench',
      },
    },
  );
  try {
    const deadline = performance.now() + 180_000;
    while (!(await answers(`http://127.0.0.1:${health}/readyz`))) {
      if (child.exitCode !== null || child.signalCode)
        throw new Error(`the operator ended: ${child.exitCode ?? child.signalCode}`);
      if (performance.now() > deadline) throw new Error('the operator did not become ready');
      await sleep(100);
    }
    await sleep(10_000);
    if (child.exitCode !== null || child.signalCode) throw new Error('the operator ended after it was ready');
    return memoryOf(child.pid ?? 0).highest;
  } finally {
    child.kill('SIGKILL');
    server.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function answers(url: string): Promise<boolean> {
  const answer = await fetch(url).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.ok === true;
}

await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
const figures: Figure[] = [];
for (const [bytes, one] of [
  [1, 'x'],
  [4, '\u{1f600}'],
] as const) {
  character = one;
  const value = await measure();
  if (value > LIMIT_MIB) process.exitCode = 1;
  const what = `${COUNT} AiTenants of 1.4 MB, characters of ${bytes} bytes: highest memory, MiB`;
  figures.push({ what, value, target: `≤ ${LIMIT_MIB}`, plot: true });
}
server.close();
publish({ name: 'largest', title: 'The largest AiTenants', figures, notes: [] });
