import { defineConfig } from 'vitest/config';
import { KUBERNETES_VERSION } from './sandbox/envtest/binaries.ts';
import { settings } from './vitest.config.ts';

/** The end-to-end tests that are not run on a real Kubernetes API, and why. */
const WITHOUT = {
  backend: 'the backend alone: it knows no Kubernetes',
  'backend-fuzz': 'the same',
  'backend-hostile': 'the same',
  'docs-commands': 'beside the sandbox that a reader starts',
  gcloud: 'gcloud and the local Google Cloud, nothing else',
  guardrail: 'a command that reads Google Cloud only',
  release: 'commands of workflows: they know no Kubernetes',
  'run-instances': 'the local Cloud Run alone',
  manual: 'beside the sandbox that a reader starts',
  kubectl: 'about the local API alone; conformance.test.ts lets kubectl compare the two',
  sandbox: 'about the local API alone; envtest.test.ts starts the sandbox on a real one',
};

/** And on an older Kubernetes, besides. */
const WITHOUT_ON_OLDER = {
  conformance: 'the local Kubernetes API answers as the newest version does',
};

const left = Object.keys(process.env[KUBERNETES_VERSION] ? { ...WITHOUT, ...WITHOUT_ON_OLDER } : WITHOUT);

/** `npm run test:envtest`: every end-to-end test that has a Kubernetes API in it, on a real kube-apiserver. */
export default defineConfig({
  test: {
    ...settings('all'),
    include: ['test/e2e/**/*.test.ts'],
    exclude: left.map(name => `test/e2e/${name}.test.ts`),
    globalSetup: './test/e2e/support/envtest.setup.ts',
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A kube-apiserver each.
    maxWorkers: 2,
  },
});
