import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLine } from '../../../scripts/commandLine.ts';
import { MUTANTS, type Mutant, mutated } from './list.ts';

const HELP = `npm run test:mutants -- [--only WORDS] [--part I/N] [--seeds N] [--from S]

Puts each classic bug of test/sim/mutants/list.ts into a copy of the operator, and runs the simulation over it until
that fails: first seeds, then a crash at every call of the scenarios. Exit code 1 if a bug is not caught.

  --only WORDS   only the mutants whose name holds these words
  --part I/N     every Nth mutant, from the Ith on (1 to N)
  --seeds N      at most so many seeds for each (default 1500)
  --from S       the first seed (default 1)`;

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PARTS = ['operator', 'ports', 'sandbox', 'schema', 'crds', 'test/sim', 'scripts/commandLine.ts', 'package.json'];

const { values } = commandLine(HELP, {
  options: {
    only: { type: 'string', default: '' },
    part: { type: 'string', default: '1/1' },
    seeds: { type: 'string', default: '1500' },
    from: { type: 'string', default: '1' },
  },
});

/** `replay`: what to give the simulation so that the same run is done again. */
type Verdict = 'passes' | { fails: string; replay: string[] } | { breaks: string };

async function simulate(copy: string, args: string[]): Promise<Verdict> {
  const text = await output(copy, ['test/sim/main.ts', ...args, '--bail', '--brief']);
  if (/\n\d+ passed, 0 failed\s*$/.test(text)) return 'passes';
  // Without a count it did not run: a copy that is broken proves nothing.
  if (!/\n\d+ passed, \d+ failed\s*$/.test(text)) return { breaks: text.trim().slice(-300) };
  const found = /\n(\S[^\n]*): ([^\n]+)\n {2}/.exec(text);
  const first = found ? `${found[1]}: ${found[2]}` : text.trim().slice(0, 200);
  const [, name, seed] =
    /\n {2}replay: npm run test:sim -- (?:--run '(.+)'|--seeds 1 --from (\d+)) --verbose/.exec(text) ?? [];
  const replay = name ? ['--run', name] : ['--seeds', '1', '--from', seed ?? ''];
  return /SyntaxError|ReferenceError|is not a function/.test(first) ? { breaks: first } : { fails: first, replay };
}

function output(cwd: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd });
    let text = '\n';
    const add = (chunk: Buffer) => {
      text += chunk.toString();
    };
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}

async function judge(copy: string, mutant: Mutant): Promise<Verdict> {
  const file = join(copy, 'operator', mutant.file);
  const source = readFileSync(file, 'utf8');
  const changed = mutated(mutant, source);
  if (changed === undefined) return { breaks: 'it no longer applies: its text is not there exactly once' };
  writeFileSync(file, changed);
  try {
    const seeds = await simulate(copy, ['--seeds', values.seeds, '--from', values.from]);
    return seeds === 'passes' ? await simulate(copy, ['--crashes']) : seeds;
  } finally {
    writeFileSync(file, source);
  }
}

/** What catches a mutant must not fail without it as well. */
async function proven(copy: string, verdict: Verdict): Promise<Verdict> {
  if (verdict === 'passes' || 'breaks' in verdict) return verdict;
  const sound = await simulate(copy, verdict.replay);
  return sound === 'passes' ? verdict : { breaks: `it fails without the mutant, too: ${verdict.fails}` };
}

async function main(): Promise<number> {
  const [part = 1, parts = 1] = values.part.split('/').map(Number);
  const chosen = MUTANTS.filter(({ name }) => name.includes(values.only)).filter((_, i) => i % parts === part - 1);
  // A copy, so that what is edited meanwhile changes nothing.
  const copy = mkdtempSync(join(tmpdir(), 'aitenant-mutants-'));
  try {
    for (const part of PARTS) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    let caught = 0;
    for (const mutant of chosen) {
      const startedAt = performance.now();
      const verdict = await proven(copy, await judge(copy, mutant));
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
      if (verdict === 'passes') console.log(`MISSED  ${mutant.name} (${seconds} s)`);
      else if ('breaks' in verdict) console.log(`BROKEN  ${mutant.name}: ${verdict.breaks}`);
      else {
        caught++;
        console.log(`caught  ${mutant.name} (${seconds} s) — ${verdict.fails.slice(0, 160)}`);
      }
    }
    console.log(`${caught} of ${chosen.length} mutants caught`);
    return caught === chosen.length ? 0 : 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

process.exitCode = await main();
