import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { type Envtest, startEnvtest } from '../../../sandbox/envtest/envtest.ts';
import { prepared } from './access.ts';

/** Starts a real kube-apiserver for each worker before the first test, and ends them all after the last. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'aitenant-envtest-'));
  const running: Envtest[] = [];
  const teardown = async () => {
    await Promise.all(running.map(envtest => envtest.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (let worker = 1; worker <= project.config.maxWorkers; worker++) {
      running.push(await startEnvtest({ stateDir: join(folder, String(worker)), progress: console.log }));
    }
    project.provide('envtest', await Promise.all(running.map(prepared)));
    return teardown;
  } catch (error) {
    await teardown();
    throw error;
  }
}
