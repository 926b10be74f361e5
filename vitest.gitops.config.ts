import { defineConfig } from 'vitest/config';

/** `npm run test:gitops`: our manifests in the hands of the real Argo CD and Flux. */
export default defineConfig({
  test: {
    include: ['test/gitops/*.test.ts'],
    globalSetup: './test/gitops/support/setup.ts',
    reporters: ['default', './test/gitops/support/table.ts', './scripts/closing-line.ts'],
    testTimeout: 600_000,
    hookTimeout: 300_000,
    // Each file has a cluster and a GitOps tool of its own.
    maxWorkers: 1,
    fileParallelism: false,
  },
});
