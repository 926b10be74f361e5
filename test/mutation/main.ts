import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { PARTS } from './parts.ts';

const HELP = `npm run test:mutation -- [PART…] [--table] [STRYKER'S OPTIONS…]

Mutates the parts (all of them if none is named), then prints what became of every mutant by file and room. Results are
kept in .mutation/: a mutant is run again only when it or its tests have changed. Exit code 1: a room has less than 90.

  --table   prints what is kept, and mutates nothing
  --force   runs every mutant again`;

const LEAST = 90;
const args = process.argv.slice(2);
if (args.includes('--help')) {
  console.log(HELP);
  process.exit(0);
}
const named = args.filter(arg => arg in PARTS);
const options = args.filter(arg => !(arg in PARTS) && arg !== '--table');

if (!args.includes('--table')) {
  for (const name of named.length > 0 ? named : Object.keys(PARTS)) {
    const env = { ...process.env, MUTATION_PART: name };
    const { status } = spawnSync('stryker', ['run', 'test/mutation/stryker.config.mjs', ...options], {
      env,
      stdio: 'inherit',
    });
    if (status !== 0) process.exit(status ?? 1);
  }
}

type Counts = Record<'Killed' | 'Timeout' | 'Survived' | 'NoCoverage', number>;
/** The mutation testing report schema's, as far as it is needed. */
interface Kept {
  files: Record<string, { mutants: { status: string }[] }>;
}

const rooms = new Map<string, Counts>();
const row = (...cells: (string | number)[]) =>
  console.log(cells.map((cell, at) => String(cell).padEnd(at === 0 ? 34 : 10)).join(''));
row('', 'mutants', 'killed', 'timeout', 'survived', 'uncovered', 'score');
for (const [name, { room, mutate }] of Object.entries(PARTS)) {
  const report = `.mutation/${name}.json`;
  if (!existsSync(report)) continue;
  const kept: Kept = JSON.parse(readFileSync(report, 'utf8'));
  const sums = rooms.get(room) ?? { Killed: 0, Timeout: 0, Survived: 0, NoCoverage: 0 };
  rooms.set(room, sums);
  for (const [file, { mutants }] of Object.entries(kept.files).sort()) {
    // Kept from when it was of this part.
    if (mutate.includes(`!${file}`)) continue;
    const count = (status: keyof Counts) => {
      const found = mutants.filter(mutant => mutant.status === status).length;
      sums[status] += found;
      return found;
    };
    print(file, {
      Killed: count('Killed'),
      Timeout: count('Timeout'),
      Survived: count('Survived'),
      NoCoverage: count('NoCoverage'),
    });
  }
}
for (const [room, sums] of rooms) if (print(`all of ${room}`, sums) < LEAST) process.exitCode = 1;

/** Prints a line; the mutation score as a percentage. */
function print(what: string, { Killed, Timeout, Survived, NoCoverage }: Counts): number {
  const all = Killed + Timeout + Survived + NoCoverage;
  const score = all === 0 ? 100 : (100 * (Killed + Timeout)) / all;
  row(what, all, Killed, Timeout, Survived, NoCoverage, all === 0 ? '' : score.toFixed(2));
  return score;
}
