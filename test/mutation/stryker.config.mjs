import { PARTS } from './parts.ts';

const name = process.env.MUTATION_PART ?? '';
const part = PARTS[name];
if (!part) throw new Error(`MUTATION_PART is one of ${Object.keys(PARTS).join(', ')}.`);

/** One part of `npm run test:mutation`: is every decision in it held by a unit test? */
export default {
  mutate: part.mutate,
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  // Stryker would rewrite a tsconfig.json with TypeScript's former API, which TypeScript 7 no longer has. Node strips the types.
  tsconfigFile: 'none.json',
  ignorePatterns: ['.sandbox', '.cache', '.mutation', 'bench', 'examples', 'manifests', 'docs'],
  tempDirName: `.mutation/tmp-${name}`,
  incremental: true,
  incrementalFile: `.mutation/${name}.json`,
  concurrency: 2,
  reporters: ['progress-append-only'],
};
