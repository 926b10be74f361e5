import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    // They need a real kube-apiserver or programs that are built with Go: `npm run test:envtest`.
    exclude: ['conformance', 'envtest', 'go-tools', 'helm', 'policies'].map(name => `test/e2e/${name}.test.ts`),
    reporters: ['default', './scripts/closing-line.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // More than the two cores that are promised: many tests wait more than they work.
    maxWorkers: 3,
  },
});
