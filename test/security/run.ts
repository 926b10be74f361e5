import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLine } from '../../scripts/commandLine.ts';
import { DEFENCES, type Defence } from './defences.ts';

const HELP = `npm run test:defences -- [--only WORDS] [--from N] [--to N] [--whole]

Takes each defence of docs/security.md out, in a copy of the tree, and runs the test that the page names for it.
Exit code 1 if a test does not notice, or fails anyway.

  --only WORDS   only the defences whose name holds these words
  --from N       from the Nth on (default 1)
  --to N         up to the Nth (default: the last)
  --whole        first the same tests with nothing taken out, which must pass`;

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LEFT_OUT = new Set(['node_modules', '.git', '.sandbox', 'coverage', 'results']);

const { values } = commandLine(HELP, {
  options: {
    only: { type: 'string', default: '' },
    from: { type: 'string', default: '1' },
    to: { type: 'string', default: String(DEFENCES.length) },
    whole: { type: 'boolean', default: false },
  },
});

interface Ran {
  passed: number;
  failed: number;
  output: string;
}

/** Runs the tests of one name in a copy. */
function run(copy: string, [file, name]: Defence['shownBy']): Promise<Ran> {
  const pattern = name
    .split(/%[sjid]/)
    .map(RegExp.escape)
    .join('.*');
  const report = join(copy, 'report.json');
  const args = ['run', `test/${file}`, '-t', pattern, '--bail=1', '--reporter=json', `--outputFile=${report}`];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', ...args], { cwd: copy });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
    }
    child.on('error', reject);
    child.on('close', () => {
      try {
        const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'));
        resolve({ passed: numPassedTests, failed: numFailedTests, output });
      } catch {
        resolve({ passed: 0, failed: 0, output });
      } finally {
        rmSync(report, { force: true });
      }
    });
  });
}

const copy = mkdtempSync(join(tmpdir(), 'aitenant-defences-'));
let wrong = 0;
let shown = 0;
try {
  for (const part of readdirSync(ROOT)) {
    if (!LEFT_OUT.has(part)) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const chosen = [...DEFENCES.entries()].filter(
    ([index, { shownBy, file }]) =>
      index + 1 >= Number(values.from) && index < Number(values.to) && `${file} ${shownBy[1]}`.includes(values.only),
  );
  for (const [index, { shownBy, file, find, replace }] of chosen) {
    const title = `${index + 1}. ${file} — ${shownBy[1]}`;
    const path = join(copy, file);
    const source = readFileSync(path, 'utf8');
    if (source.split(find).length !== 2) {
      wrong++;
      console.log(`STALE   ${title}: what is to be taken out is not there exactly once`);
      continue;
    }
    if (values.whole) {
      const { passed, failed, output } = await run(copy, shownBy);
      if (failed > 0 || passed === 0) {
        wrong++;
        console.log(`BROKEN  ${title}: fails with nothing taken out (${passed} passed)\n${output.slice(-1000)}`);
        continue;
      }
    }
    writeFileSync(
      path,
      source.replace(find, () => replace),
    );
    const startedAt = performance.now();
    const { failed, passed } = await run(copy, shownBy);
    writeFileSync(path, source);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    if (failed > 0) {
      shown++;
      console.log(`shown   ${title} (${seconds} s)`);
    } else {
      wrong++;
      console.log(`UNSEEN  ${title}: ${passed} pass without the defence`);
    }
  }
  console.log(`${shown} of ${chosen.length} defences: without it, its test fails`);
} finally {
  rmSync(copy, { recursive: true, force: true });
}
process.exitCode = wrong > 0 ? 1 : 0;
