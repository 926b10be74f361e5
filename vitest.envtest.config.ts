import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** `npm run test:envtest`: what has a Kubernetes API in it, on a real kube-apiserver. */
export default mergeConfig(
  base,
  defineConfig({
    test: {
      globalSetup: './test/e2e/support/envtest.setup.ts',
      testTimeout: 60_000,
    },
  }),
);
