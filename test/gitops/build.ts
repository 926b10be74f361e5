import { parseArgs } from 'node:util';
import { NoBinariesError } from '../../sandbox/envtest/go.ts';
import { findGitopsBinaries } from './support/binaries.ts';

/**
 * `node test/gitops/build.ts [--cached]`: builds the programs of `npm run test:gitops` that are missing, and prints all paths. With
 * `--cached` it builds nothing. Exit code 3: programs are missing and are not or can't be built.
 */
const { values } = parseArgs({ options: { cached: { type: 'boolean' } } });
try {
  const found = await findGitopsBinaries({ progress: console.log, mayBuild: !values.cached });
  console.log(Object.values(found).flat().join('\n'));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof NoBinariesError ? 3 : 1;
}
