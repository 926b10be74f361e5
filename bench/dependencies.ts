import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Figure } from './support/figure.ts';
import { publish, quantile } from './support/report.ts';

/**
 * What each dependency costs at the start and in memory: each is loaded alone, by the name that the programs import it by,
 * in a process of its own; what an empty process takes is taken off.
 */

const ROUNDS = 5;
/** Where a program does not import the package by its bare name. */
const IMPORTED_AS: Record<string, string> = {
  '@google-cloud/run': '@google-cloud/run/build/protos/protos.json',
  '@google-cloud/secret-manager': '@google-cloud/secret-manager/build/protos/protos.json',
  '@google-cloud/iam': '@google-cloud/iam/build/protos/protos.json',
};
const root = new URL('..', import.meta.url);

interface Cost {
  ms: number;
  mib: number;
}

/** Loads a module in a fresh process; none: nothing. */
function load(specifier?: string): Cost {
  const json = specifier?.endsWith('.json') ? ", { with: { type: 'json' } }" : '';
  const script = `
    const start = performance.now();
    ${specifier ? `await import('${specifier}'${json});` : ''}
    const ms = performance.now() - start;
    gc();
    console.log(JSON.stringify({ ms, mib: process.memoryUsage().rss / 2 ** 20 }));`;
  const run = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
    cwd: fileURLToPath(root),
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`${specifier}: ${run.stderr}`);
  return JSON.parse(run.stdout) as Cost;
}

function median(specifier?: string): Cost {
  const runs = Array.from({ length: ROUNDS }, () => load(specifier));
  const of = (values: number[]) => quantile(values, 0.5);
  return { ms: of(runs.map(({ ms }) => ms)), mib: of(runs.map(({ mib }) => mib)) };
}

const { dependencies }: { dependencies: Record<string, string> } = JSON.parse(
  readFileSync(new URL('package.json', root), 'utf8'),
);
const empty = median();
const figures: Figure[] = [{ what: 'an empty process: resident, MiB', value: empty.mib }];
for (const name of Object.keys(dependencies)) {
  const { ms, mib } = median(IMPORTED_AS[name] ?? name);
  figures.push({ what: `${name}: to load, ms`, value: ms - empty.ms, plot: true });
  figures.push({ what: `${name}: resident, MiB`, value: Math.max(0, mib - empty.mib) });
}
publish({
  name: 'dependencies',
  title: 'What each dependency costs',
  figures,
  notes: [
    `Each alone, medians of ${ROUNDS} processes, from files, not bundled: what two of them share is counted with both.`,
    ...Object.entries(IMPORTED_AS).map(([name, specifier]) => `${name} is loaded as ${specifier}.`),
  ],
});
