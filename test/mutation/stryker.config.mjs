/** `npm run test:mutation`: is every decision of the pure core and of the Google Cloud room held by a unit test? */
export default {
  mutate: [
    'operator/tenant/**/*.ts',
    'operator/gcp/**/*.ts',
    // These six only carry a request to Google and its answer back, over the vendors' libraries: gcp-client.test.ts holds
    // them over real HTTP, with time-outs, hang-ups and broken answers, and takes too long to be run for every mutant.
    ...['client', 'transport', 'credentials', 'restStub', 'iamStub', 'protoJson'].map(
      file => `!operator/gcp/${file}.ts`,
    ),
  ],
  testRunner: 'vitest',
  vitest: { configFile: 'test/mutation/vitest.config.ts', related: false },
  // Stryker would rewrite a tsconfig.json with TypeScript's former API, which TypeScript 7 no longer has. Node strips the types.
  tsconfigFile: 'none.json',
  ignorePatterns: ['.sandbox', '.cache', '.mutation', 'bench', 'examples', 'manifests'],
  tempDirName: '.mutation/tmp',
  incremental: true,
  incrementalFile: '.mutation/incremental.json',
  concurrency: 2,
  reporters: ['clear-text', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  jsonReporter: { fileName: '.mutation/report.json' },
  thresholds: { high: 95, low: 90, break: 90 },
};
