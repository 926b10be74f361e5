import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { startKubeServer, writeKubeconfig } from '../../sandbox/kube/index.ts';
import { freePort, memoryOf } from './processes.ts';
import type { World } from './world.ts';

const BUNDLE = fileURLToPath(new URL('../../scripts/bundle.mjs', import.meta.url));
const DOCKERFILE = new URL('../../Dockerfile.operator', import.meta.url);

/** Ten seconds of its life after it is ready. */
const SETTLE_MS = 10_000;

export interface OwnProcess {
  readyMs: number;
  residentMiB: number;
  /** The most at any time, that of the start among it. */
  highestMiB: number;
  /** Heap in use after a collection, bytes. */
  heapBytes: number;
}

/**
 * Loaded before the operator. At SIGUSR2 it collects garbage and writes the bytes of heap in use to the file `HEAP_FILE`; with
 * `HEAP_SNAPSHOT`, a folder, it writes a snapshot there too.
 */
const PROBE = `
import { renameSync, writeFileSync } from 'node:fs';
import { writeHeapSnapshot } from 'node:v8';
const { HEAP_FILE, HEAP_SNAPSHOT } = process.env;
process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
  writeFileSync(HEAP_FILE + '.part', String(process.memoryUsage().heapUsed));
  if (HEAP_SNAPSHOT) writeHeapSnapshot(HEAP_SNAPSHOT + '/' + process.pid + '.heapsnapshot');
  renameSync(HEAP_FILE + '.part', HEAP_FILE);
});
`;

/**
 * The operator as its image runs it, one bundled file in a process of its own, over HTTP on the world as it stands: until
 * it is ready, and what it takes in memory (MiB, resident) ten seconds later.
 */
export async function measureProcess(world: World, extraFlags: string[] = []): Promise<OwnProcess> {
  const { pid, readyMs, heapBytes, stop } = await startProcess(world, extraFlags);
  try {
    // It takes up all of them, finds them reconciled, and checks those whose slots come round: with ten thousand, 160.
    await sleep(SETTLE_MS);
    const { now, highest } = memoryOf(pid);
    return { readyMs, residentMiB: now, highestMiB: highest, heapBytes: await heapBytes() };
  } finally {
    await stop();
  }
}

interface Started {
  pid: number;
  readyMs: number;
  /** Collects garbage in the process, and answers with the heap in use. */
  heapBytes(): Promise<number>;
  stop(): Promise<void>;
}

/** The same process, ready, until it is stopped. */
export async function startProcess(world: World, extraFlags: string[] = []): Promise<Started> {
  const folder = mkdtempSync(join(tmpdir(), 'aitenant-bench-'));
  const bundled = spawnSync(process.execPath, [BUNDLE, `--outdir=${folder}`, 'operator'], { encoding: 'utf8' });
  if (bundled.status !== 0) throw new Error(bundled.stderr);
  const kube = await startKubeServer({ core: world.kubeCore });
  const gcp = await startGcpServer({ core: world.google });
  const kubeconfig = join(folder, 'kubeconfig');
  await writeKubeconfig(kubeconfig, kube.url);
  const [health, metrics] = [await freePort(), await freePort()];
  const flags = [
    '--cluster-id=bench',
    `--health-address=127.0.0.1:${health}`,
    `--metrics-address=127.0.0.1:${metrics}`,
  ];
  const [probe, heapFile] = [join(folder, 'probe.mjs'), join(folder, 'heap')];
  writeFileSync(probe, PROBE);
  const nodeOptions = [...nodeFlags(), ...extraFlags, '--expose-gc', `--import=${probe}`];
  const start = performance.now();
  const child = spawn(process.execPath, [...nodeOptions, join(folder, 'operator.mjs'), ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfig,
      HEAP_FILE: heapFile,
      ...(process.env.HEAP_SNAPSHOT && { HEAP_SNAPSHOT: process.env.HEAP_SNAPSHOT }),
      AITENANT_LEADER_ELECT: 'false',
      CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: gcp.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: gcp.url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM: gcp.url,
    },
  });
  const stop = async () => {
    child.kill('SIGKILL');
    await kube.close();
    await gcp.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    while (!(await answers(`http://127.0.0.1:${health}/readyz`))) {
      if (child.exitCode !== null) throw new Error('the operator ended by itself');
      if (performance.now() - start > 120_000) throw new Error('the operator did not become ready');
      await sleep(5);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const readyMs = performance.now() - start;
  const heapBytes = async () => {
    child.kill('SIGUSR2');
    while (!existsSync(heapFile)) {
      if (child.exitCode !== null) throw new Error('the operator ended by itself');
      await sleep(20);
    }
    return Number(readFileSync(heapFile, 'utf8'));
  };
  return { pid: child.pid ?? 0, readyMs, heapBytes, stop };
}

/** What the image gives Node.js. */
export function nodeFlags(): string[] {
  const [, command = '[]'] = /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(DOCKERFILE, 'utf8')) ?? [];
  const words: string[] = JSON.parse(command);
  return words.filter(word => word.startsWith('--'));
}

async function answers(url: string): Promise<boolean> {
  const answer = await fetch(url).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.ok === true;
}
