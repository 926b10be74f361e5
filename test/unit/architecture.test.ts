import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { layoutProblems, sourceFiles, unneededOverrides } from '../../scripts/layout.ts';

test('every import of the project points the allowed way', () => {
  expect(layoutProblems(sourceFiles()).filter(problem => problem.includes(' imports '))).toEqual([]);
});

test.each([
  ['operator/tenant/a.ts', "import { b } from '../gcp/b.ts';", 'operator/tenant/a.ts imports operator/gcp/b.ts'],
  [
    'operator/tenant/a.ts',
    "import type { B } from '../reconcile/b.ts';",
    'operator/tenant/a.ts imports operator/reconcile',
  ],
  ['operator/kube/a.ts', "export * from '../tenant/b.ts';", 'operator/kube/a.ts imports operator/tenant/b.ts'],
  [
    'operator/gcp/a.ts',
    "export const b = () => import('../kube/b.ts');",
    'operator/gcp/a.ts imports operator/kube/b.ts',
  ],
  ['operator/process/a.ts', "import { fetch } from 'undici';", 'a client that stays in'],
  ['ports/a.ts', "import 'node:fs';", 'ports/a.ts imports node:fs'],
  [
    'sandbox/gcp/iam/a.ts',
    "import type { B } from '../cloud.ts';",
    'sandbox/gcp/iam/a.ts imports sandbox/gcp/cloud.ts',
  ],
  ['sandbox/gcp/run/a.ts', "import { b } from '../core.ts';", 'sandbox/gcp/run/a.ts imports sandbox/gcp/core.ts'],
  ['sandbox/gcp/a.ts', "import { b } from '../../schema/b.ts';", 'sandbox/gcp/a.ts imports schema/b.ts'],
])('a wrong import is named: %s, %s', (file, code, problem) => {
  expect(layoutProblems(new Map([[file, code]]), {})).toEqual([expect.stringContaining(problem)]);
});

test('two files of one name are named, and so is an exception that is not needed', () => {
  const files = new Map(['operator/gcp/a.ts', 'operator/kube/a.ts', 'sandbox/gcp/a.ts'].map(file => [file, '']));
  expect(layoutProblems(files, {})).toEqual(['a.ts is the name of 2 files: operator/gcp/a.ts, operator/kube/a.ts']);
  expect(layoutProblems(files, { operator: ['a.ts'], sandbox: ['a.ts'] })).toEqual([
    'a.ts is an exception in scripts/layout.ts that sandbox/ no longer needs',
  ]);
});

test('an exception in biome.json is named when the file keeps the rule or is gone', () => {
  const linter = { rules: { complexity: { noExcessiveLinesPerFunction: 'off' } } };
  expect(unneededOverrides([{ includes: ['scripts/layout.ts', 'operator/gone.ts'], linter }])).toEqual([
    'scripts/layout.ts is an exception in biome.json that is no longer needed: complexity/noExcessiveLinesPerFunction',
    'operator/gone.ts is an exception in biome.json that is no longer needed: complexity/noExcessiveLinesPerFunction',
  ]);
});

test.each(['docs/architecture.md', 'docs/ja/architecture.md'])('%s lists every file of operator/', page => {
  const listed: string[] = [];
  let folder: string | undefined;
  for (const line of readFileSync(page, 'utf8').split('\n')) {
    if (line.startsWith('#')) folder = /^### `(operator\/.*)`$/.exec(line)?.[1];
    const name = /^\| `([^`]+)` \|/.exec(line)?.[1];
    if (folder !== undefined && name !== undefined) listed.push(`${folder}${name}.ts`);
  }
  expect(listed.sort()).toEqual(globSync('operator/**/*.ts').sort());
});
