import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseSync } from 'oxc-parser';
import type { Way } from './figures/way.ts';

/**
 * Figures of the code's layout, as a Markdown table: `npm run figures` for the working tree, `npm run figures -- COMMIT` with a column
 * for that commit before it. Then it prints the way of one edit of an AiTenant through the files of the operator, in the order in
 * which their functions are first called (scripts/figures/way.ts).
 */

const ROOT = new URL('..', import.meta.url).pathname;
const BIN = join(ROOT, 'node_modules/.bin');
/** Folders with code that is no test. */
const CODE = ['operator', 'ports', 'schema', 'backend', 'sandbox', 'scripts', 'bench'];
/** What a person would have to read to add a managed resource like the grant on a secret, or a field like `timeoutSeconds`. */
const RESOURCE = /secretaccess|secretpolicy|'access'/i;
const FIELD = /timeoutSeconds/;

/** A checkout of the commit in a folder of its own, with this checkout's packages and settings of the linters. */
function checkout(commit: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'figures-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const archive = execFileSync('git', ['archive', commit], { cwd: ROOT, maxBuffer: 1e9 });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const file of ['biome.json', 'knip.json']) copyFileSync(join(ROOT, file), join(folder, file));
  return folder;
}

const filesOf = (root: string, ...folders: string[]) =>
  globSync(
    folders.map(folder => `${folder}/**/*.ts`),
    { cwd: root },
  ).sort();
const read = (root: string, file: string) => readFileSync(join(root, file), 'utf8');

/** The code without its comments. */
function withoutComments(code: string): string {
  const { comments } = parseSync('file.ts', code);
  return comments.reduceRight((text, { start, end }) => text.slice(0, start) + text.slice(end), code);
}

/** The files of each diagnostic of one rule of Biome, also where biome.json lists an exception. */
function lint(root: string, rule: string): string[] {
  const args = [
    'lint',
    `--only=${rule}`,
    '--reporter=json',
    '--max-diagnostics=none',
    ...CODE.filter(f => filesOf(root, f).length > 0),
  ];
  const { stdout } = spawnSync(join(BIN, 'biome'), args, { cwd: root, encoding: 'utf8' });
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { category: string; location: { path: string } }[] };
  return diagnostics.filter(({ category }) => category === `lint/${rule}`).map(({ location }) => location.path);
}

/** How many exports and exported types nothing imports. */
function unused(root: string): { exports: number; types: number } {
  // Without the exceptions of knip.json.
  const { ignoreIssues: _, ...config } = JSON.parse(readFileSync(join(ROOT, 'knip.json'), 'utf8'));
  const folder = mkdtempSync(join(tmpdir(), 'figures-'));
  const file = join(folder, 'knip.json');
  writeFileSync(file, JSON.stringify(config));
  const args = ['--reporter=json', '--no-config-hints', `--config=${file}`];
  const { stdout } = spawnSync(join(BIN, 'knip'), args, { cwd: root, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  const { issues } = JSON.parse(stdout) as { issues: { exports: unknown[]; types: unknown[] }[] };
  const count = (kind: 'exports' | 'types') => issues.reduce((sum, issue) => sum + issue[kind].length, 0);
  return { exports: count('exports'), types: count('types') };
}

function wayOf(root: string): Way {
  const args = ['--disable-warning=ExperimentalWarning', join(ROOT, 'scripts/figures/way.ts'), root];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 1e8 })) as Way;
}

/** The files of a way, each once. */
const filesOnWay = (way: Way) => [...new Set(way.map(name => name.split(' ')[0] ?? ''))];

/** How often the order of first calls comes to a folder that it has left before. */
function returns(way: Way): number {
  const rooms = way.map(name => dirname(name)).filter((room, i, all) => room !== all[i - 1]);
  return rooms.length - new Set(rooms).size;
}

function figuresOf(root: string, way: Way): [what: string, value: number][] {
  const operator = filesOf(root, 'operator', 'ports');
  const code = filesOf(root, ...CODE);
  const lines = (files: string[]) => files.reduce((sum, file) => sum + read(root, file).split('\n').length - 1, 0);
  const mentions = (pattern: RegExp) => operator.filter(file => pattern.test(withoutComments(read(root, file)))).length;
  const sameName = (...folders: string[]) => {
    const names = filesOf(root, ...folders).map(file => basename(file));
    return names.length - new Set(names).size;
  };
  const vague = /\/\*\*\s*(\*\s*)?\**(Who|What|How|Whether|Where|When|Why)\b/g;
  const vagueDocstrings = code.reduce((sum, file) => sum + [...read(root, file).matchAll(vague)].length, 0);
  const { exports, types } = unused(root);
  return [
    ['operator/ and ports/: files', operator.length],
    ['operator/ and ports/: lines', lines(operator)],
    ['operator/: files of its root', globSync('operator/*.ts', { cwd: root }).length],
    ['sandbox/: files', filesOf(root, 'sandbox').length],
    ['sandbox/: lines', lines(filesOf(root, 'sandbox'))],
    ['one edit of spec.scaling: files with functions that ran', filesOnWay(way).length],
    ['one edit of spec.scaling: functions that ran', way.length],
    ['one edit of spec.scaling: returns to a folder that was left', returns(way)],
    ['files of the operator that name the grant on a secret', mentions(RESOURCE)],
    ['files of the operator that name spec.timeoutSeconds', mentions(FIELD)],
    ['functions over 70 lines', lint(root, 'complexity/noExcessiveLinesPerFunction').length],
    ['files in a circle of imports', new Set(lint(root, 'suspicious/noImportCycles')).size],
    ['exports that nothing imports', exports],
    ['exported types that nothing imports', types],
    ['files of operator/ with the name of another', sameName('operator')],
    ['files of sandbox/ with the name of another', sameName('sandbox')],
    ['docstrings that begin with Who, What, How, Where, When, Why or Whether', vagueDocstrings],
  ];
}

const [commit] = process.argv.slice(2);
const columns = [
  ...(commit === undefined ? [] : [{ title: commit, root: checkout(commit) }]),
  { title: 'now', root: ROOT },
].map(({ title, root }) => {
  const way = wayOf(root);
  return { title, way, figures: figuresOf(root, way) };
});
console.log(`| | ${columns.map(({ title }) => title).join(' | ')} |\n|---|${'--:|'.repeat(columns.length)}`);
for (const [i, [what]] of (columns[0]?.figures ?? []).entries()) {
  console.log(`| ${what} | ${columns.map(({ figures }) => figures[i]?.[1]).join(' | ')} |`);
}
const way = columns.at(-1)?.way ?? [];
console.log('\nThe way of one edit, now (file: functions that ran):\n');
for (const [i, file] of filesOnWay(way).entries()) {
  console.log(`${String(i + 1).padStart(3)}. ${file}: ${way.filter(name => name.startsWith(`${file} `)).length}`);
}
