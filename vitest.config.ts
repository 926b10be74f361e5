import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/unit/**/*.test.ts', 'test/e2e/**/*.test.ts'],
    // They need a real kube-apiserver: `npm run test:envtest`.
    exclude: ['test/e2e/conformance.test.ts', 'test/e2e/envtest.test.ts', 'test/e2e/policies.test.ts'],
    reporters: ['default', './scripts/closing-line.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // More than the two cores that are promised: many tests wait more than they work.
    maxWorkers: 3,
  },
});
