import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { plotAll } from './support/report.ts';

/**
 * Each benchmark in a process of its own, one after the other, so that none runs on what another one left in memory. Exit
 * code 0 if all ran, whatever they measured; 2 if the words are not understood.
 */

const BENCHMARKS = ['noop', 'tenants', 'growth', 'churn', 'largest', 'fairness', 'backend', 'peers', 'dependencies'];
const SWITCHES = ['--full', '--huge', '--process-only'];
const USAGE = `Usage: npm run bench [-- [NAME…] [OPTION…]]

  noop      how many reconciles a second where nothing is to do (10 s)
  tenants   1, 100 and 1,000 tenants: until Ready, calls, restart, edits, memory (1 min)
  growth    what a periodic check costs with 10,000 tenants and with 1,000, five times each in turn (3 to 6 min)
  churn     20,000 tenants that come and go: what the operator keeps of them (2 to 5 min)
  largest   1,000 AiTenants as large as they can be, in the memory that the manifest gives the operator (1 min)
  fairness  what one namespace's 1,000 creations and 10,000 deletions cost another one, in virtual time (10 to 20 min)
  backend   the tenant's web service beside a bare node:http server (1 to 2 min)
  peers     side by side with the manual's Flask backend and its gcloud commands (10 to 15 min)
  dependencies  what each dependency costs at the start and in memory (1 min)

  --full    tenants: 10,000 too, over 10 projects (4 to 10 min more, 2 GiB of memory); backend: longer spans
  --huge    tenants: 50,000 over 50 projects, and nothing else (20 to 40 min, 8 GiB of memory)
  --process-only  tenants: after the creation only the operator's own process: start, memory, heap of a tenant
  --n=A,B   tenants, growth, largest: these numbers of tenants, such as --n=10,200 (largest: the first)
  --quick   a first look in half a minute: noop, and tenants with --n=1,100
  --plots   measures nothing: draws bench/results/*.svg again from bench/results/*.json

Prints a table, and writes bench/results/NAME.json and NAME.svg (not with --n or --quick). What the figures mean:
bench/README.md.`;

const words = process.argv.slice(2);
if (words.includes('--help') || words.includes('-h')) {
  console.log(USAGE);
  process.exit(0);
}
if (words.includes('--plots')) {
  plotAll();
  process.exit(0);
}
const quick = words.includes('--quick');
const names = words.filter(word => !word.startsWith('-'));
const flags = quick ? ['--n=1,100'] : words.filter(word => word.startsWith('-'));
const unknown = [
  ...names.filter(name => !BENCHMARKS.includes(name)),
  ...flags.filter(flag => !SWITCHES.includes(flag) && !/^--n=\d+(?:,\d+)*$/.test(flag)),
];
if (unknown.length > 0) {
  console.error(`There is no ${unknown.join(', ')}.\n\n${USAGE}`);
  process.exit(2);
}
for (const name of names.length > 0 ? names : quick ? ['noop', 'tenants'] : BENCHMARKS) {
  const script = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const room = words.includes('--huge') ? ['--max-old-space-size=14000'] : [];
  const run = spawnSync(process.execPath, ['--expose-gc', ...room, script, ...flags], { stdio: 'inherit' });
  if (run.status !== 0) process.exitCode = 1;
}
