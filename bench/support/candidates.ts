import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { path, portOf } from './processes.ts';

/** A server as it is started: what its process gets. */
export interface Candidate {
  script: string;
  /** Node's own. */
  flags: string[];
  env: Record<string, string>;
}

/**
 * The backend as its image has it: one bundled file, the flags of Dockerfile.backend, the compiled code of an earlier start
 * beside it. `bare`: the least that `node:http` can do, as plain JavaScript, with neither. The folder goes when the process ends.
 */
export async function candidates(): Promise<{ backend: Candidate; bare: Candidate }> {
  const folder = mkdtempSync(join(tmpdir(), 'aitenant-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const bundled = spawnSync(process.execPath, [path('scripts/bundle.mjs'), `--outdir=${folder}`, 'backend'], {
    encoding: 'utf8',
  });
  if (bundled.status !== 0) throw new Error(bundled.stderr);
  const bare = join(folder, 'bare.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('bare.ts', import.meta.url))],
    outfile: bare,
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  });
  const backend: Candidate = {
    script: join(folder, 'backend.mjs'),
    flags: imageFlags(),
    env: { NODE_ENV: 'production', NODE_COMPILE_CACHE: join(folder, '.compile-cache') },
  };
  await keepCompiled(backend);
  return { backend, bare: { script: bare, flags: [], env: {} } };
}

function imageFlags(): string[] {
  const command = /exec node (.*) backend\.mjs/.exec(readFileSync(path('Dockerfile.backend'), 'utf8'))?.[1];
  if (command === undefined) throw new Error('Dockerfile.backend starts no backend.mjs');
  return command.split(' ').filter(flag => flag !== '');
}

/** One start that ends in peace, as the image's build has it: then Node.js writes down what it has compiled. */
async function keepCompiled({ script, flags, env }: Candidate): Promise<void> {
  const child = spawn(process.execPath, [...flags, script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', OPENAI_API_KEY: 'none', ...env },
  });
  const gone = new Promise(resolve => child.once('exit', resolve));
  await portOf(child, script);
  // openai is loaded soon after the start.
  await new Promise(resolve => setTimeout(resolve, 2_000));
  child.kill('SIGTERM');
  await gone;
}
