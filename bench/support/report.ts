import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, totalmem } from 'node:os';
import { type Figure, limitOf } from './figure.ts';
import { bars } from './svg.ts';

/** What one benchmark found: figures in the order in which they are to be read. */
export interface Result {
  name: string;
  title: string;
  figures: Figure[];
  notes: string[];
}

/** Prints the table for people and, unless the run was of other sizes or of a part (`--n`, `--huge`, `--process-only`), writes `bench/results/NAME.json` and `NAME.svg`. */
export function publish({ name, title, figures, notes }: Result): void {
  const rows = figures.map(figure => {
    const limit = limitOf(figure);
    return [figure.what, shown(figure.value), figure.target ?? '', limit ? (limit.met ? 'met' : 'missed') : ''];
  });
  console.log(`\n${title}\n${table(['figure', 'measured', 'target', ''], rows)}`);
  for (const note of notes) console.log(`  ${note}`);

  if (process.argv.some(argument => /^--(?:n=|huge|process-only)/.test(argument))) return;
  const folder = new URL('../results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const [cpu] = cpus();
  const machine = {
    cpu: cpu?.model.trim(),
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    system: `${platform()} ${arch()}`,
    node: process.version,
  };
  const written = { name, title, at: new Date().toISOString(), machine, figures, notes };
  writeFileSync(new URL(`${name}.json`, folder), `${JSON.stringify(written, null, 2)}\n`);
  writeFileSync(new URL(`${name}.svg`, folder), plot(written));
}

/** The picture of a result: `bench/results/NAME.svg` of `NAME.json`. */
export function plot({ title, figures }: Pick<Result, 'title' | 'figures'>): string {
  return bars(
    title,
    figures.filter(figure => figure.plot),
    shown,
  );
}

/** Draws every `bench/results/NAME.svg` again from its `NAME.json`. */
export function plotAll(): void {
  const folder = new URL('../results/', import.meta.url);
  for (const file of readdirSync(folder).filter(name => name.endsWith('.json'))) {
    const result = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Result;
    writeFileSync(new URL(file.replace(/json$/, 'svg'), folder), plot(result));
  }
}

/** Three significant digits, so that no figure looks more exact than it is. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Number(value.toPrecision(3)).toLocaleString('en-US', { maximumFractionDigits: 4 });
}

function table(head: string[], rows: string[][]): string {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map(row => (row[column] ?? '').length)));
  const line = (cells: string[]) =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ')}`.trimEnd();
  return [line(head), line(widths.map(width => '─'.repeat(width))), ...rows.map(line)].join('\n');
}

/** The value below which a share (0 to 1) of the sorted or unsorted values lies; NaN if there are none. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

const mib = (bytes: number): number => bytes / 2 ** 20;

/** Heap in use after a collection, MiB. Needs `--expose-gc`. */
export function heapMiB(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return mib(process.memoryUsage().heapUsed);
}
