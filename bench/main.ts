import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * `npm run bench [-- NAME…] [--full]`: each benchmark in a process of its own, one after the other, so that none runs on
 * what another one left in memory. Exit code 0 if all ran, whatever they measured.
 */

const BENCHMARKS = ['noop', 'tenants', 'backend'];

const names = process.argv.slice(2).filter(argument => !argument.startsWith('-'));
const flags = process.argv.slice(2).filter(argument => argument.startsWith('-'));
const unknown = names.filter(name => !BENCHMARKS.includes(name));
if (unknown.length > 0) {
  console.error(`There is no benchmark ${unknown.join(', ')}; there are ${BENCHMARKS.join(', ')}.`);
  process.exit(2);
}
for (const name of names.length > 0 ? names : BENCHMARKS) {
  const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const run = spawnSync(process.execPath, ['--expose-gc', script, ...flags], { stdio: 'inherit' });
  if (run.status !== 0) process.exitCode = 1;
}
