import { findBinaries, NoBinariesError } from './binaries.ts';

/**
 * `node sandbox/envtest/build.ts`: makes sure that there is a kube-apiserver and an etcd, and says where. Exit code 3: there
 * is nothing to build them with.
 */
try {
  const { etcd, kubeApiserver } = await findBinaries({ progress: console.log });
  console.log(`${etcd}\n${kubeApiserver}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof NoBinariesError ? 3 : 1;
}
