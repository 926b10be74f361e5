import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
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
}

/**
 * The operator as its image runs it, one bundled file in a process of its own, over HTTP on the world as it stands: until
 * it is ready, and what it takes in memory (MiB, resident) ten seconds later.
 */
export async function measureProcess(world: World): Promise<OwnProcess> {
  const { pid, readyMs, stop } = await startProcess(world);
  try {
    // It takes up all of them, finds them reconciled, and checks those whose slots come round: with ten thousand, 160.
    await sleep(SETTLE_MS);
    const { now, highest } = memoryOf(pid);
    return { readyMs, residentMiB: now, highestMiB: highest };
  } finally {
    await stop();
  }
}

/** The same process, ready, until it is stopped. */
export async function startProcess(world: World): Promise<{ pid: number; readyMs: number; stop(): Promise<void> }> {
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
  const start = performance.now();
  const child = spawn(process.execPath, [...nodeFlags(), join(folder, 'operator.mjs'), ...flags], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      KUBECONFIG: kubeconfig,
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
  return { pid: child.pid ?? 0, readyMs: performance.now() - start, stop };
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
