import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** `npm run test:envtest`: every end-to-end test that has a Kubernetes API in it, on a real kube-apiserver. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/e2e/**/*.test.ts'],
    // These have none, or the sandbox's own.
    exclude: ['backend', 'backend-hostile', 'gcloud', 'guardrail', 'kubectl', 'run-instances', 'sandbox'].map(
      name => `test/e2e/${name}.test.ts`,
    ),
    globalSetup: './test/e2e/support/envtest.setup.ts',
    testTimeout: 60_000,
    // A kube-apiserver each.
    maxWorkers: 2,
  },
});
