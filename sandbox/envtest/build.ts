import { findBinaries } from './binaries.ts';
import { NoBinariesError } from './go.ts';

/**
 * `node sandbox/envtest/build.ts`: builds kube-apiserver and etcd if they are missing, and prints their paths. Exit code 3: they are
 * missing and cannot be built on this machine.
 */
try {
  const { etcd, kubeApiserver } = await findBinaries({ progress: console.log });
  console.log(`${etcd}\n${kubeApiserver}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof NoBinariesError ? 3 : 1;
}
