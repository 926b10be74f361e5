import { spawn } from 'node:child_process';
import type { World } from './world.ts';

export interface Run {
  code: number | null;
  out: string;
  err: string;
  /** The number of writes that Google Cloud got during the run. */
  writes: number;
}

/** Runs one of the commands in `operator/cli/` on the world's Google Cloud, as `npm run` starts it. */
export function command(world: World, name: 'import' | 'plan', ...args: string[]): Promise<Run> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined };
  for (const api of ['RUN', 'SECRETMANAGER', 'IAM']) env[`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`] = world.gcpUrl;
  const { writes } = world.gcpCore.counters;
  const child = spawn(process.execPath, ['operator/cli/aitenant.ts', name, ...args], { env });
  const run: Run = { code: null, out: '', err: '', writes: 0 };
  child.stdout.on('data', chunk => {
    run.out += chunk;
  });
  child.stderr.on('data', chunk => {
    run.err += chunk;
  });
  return new Promise(resolve =>
    child.on('close', code => resolve({ ...run, code, writes: world.gcpCore.counters.writes - writes })),
  );
}
