import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MUTANTS, type Mutant } from './list.ts';

/**
 * `node test/sim/mutants/run.ts [--only WORDS] [--seeds N]`: each mutant in a copy of its own, and the simulation over it
 * until it fails. Exit code 1 if one is not caught, or no longer applies.
 */

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PARTS = ['operator', 'sandbox', 'schema', 'crds', 'test/sim', 'package.json'];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    seeds: { type: 'string', default: '1500' },
    from: { type: 'string', default: '1' },
  },
});

type Verdict = { caught: true; by: string; seconds: number } | { caught: false; why: string };

async function judge(mutant: Mutant): Promise<Verdict> {
  const copy = mkdtempSync(join(tmpdir(), 'aitenant-mutant-'));
  try {
    for (const part of PARTS) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const file = join(copy, 'operator', mutant.file);
    const source = readFileSync(file, 'utf8');
    if (source.split(mutant.find).length !== 2)
      return { caught: false, why: 'it no longer applies: its text is not there exactly once' };
    writeFileSync(
      file,
      source.replace(mutant.find, () => mutant.replace),
    );
    const startedAt = performance.now();
    const text = await simulate(copy);
    const seconds = (performance.now() - startedAt) / 1000;
    const found = /\n\n?(\S[^\n]*): ([^\n]+)\n {2}(?:replay|\S)/.exec(text);
    if (/, 0 failed\s*$/.test(text)) return { caught: false, why: 'the simulation sees nothing' };
    return { caught: true, by: found ? `${found[1]}: ${found[2]}` : text.trim().slice(-200), seconds };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function simulate(copy: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const args = ['test/sim/main.ts', '--seeds', values.seeds, '--from', values.from, '--bail', '--brief'];
    const child = spawn(process.execPath, args, { cwd: copy });
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

const chosen = MUTANTS.filter(({ name }) => name.includes(values.only));
let missed = 0;
for (const mutant of chosen) {
  const verdict = await judge(mutant);
  if (verdict.caught)
    console.log(`caught  ${mutant.name} (${verdict.seconds.toFixed(0)} s) — ${verdict.by.slice(0, 160)}`);
  else {
    missed++;
    console.log(`MISSED  ${mutant.name}: ${verdict.why}`);
  }
}
console.log(`${chosen.length - missed} of ${chosen.length} mutants caught`);
process.exitCode = missed > 0 ? 1 : 0;
