import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realRuntime as runtime } from '../../../ports/runtime.ts';
import { type Envtest, freePorts, startEnvtest } from '../../../sandbox/envtest/envtest.ts';
import { type Guarded, startGuarded } from '../../../sandbox/envtest/guarded.ts';
import { prepared } from '../../e2e/support/access.ts';
import { clusterAt } from '../../e2e/support/cluster.ts';
import { createWorld, namespace, type World } from '../../e2e/support/world.ts';
import { findGitopsBinaries, type GitopsBinaries } from './binaries.ts';

/**
 * A real cluster as far as a GitOps tool needs one: kube-apiserver, etcd and kube-controller-manager (no nodes, so pods never run), and
 * the local Google Cloud with the operator in this process.
 */
export interface Stack {
  world: World;
  envtest: Envtest;
  binaries: GitopsBinaries;
  /** For the logs, repositories and kubeconfigs of the tools. Removed at the end. */
  folder: string;
  /** Starts a program that ends with the stack, at the latest. Its output goes to the file `NAME.log` of the folder. */
  run(name: string, command: string, args: string[], env?: Record<string, string>): Guarded;
  close(): Promise<void>;
}

/** The namespaces in which the AppProject of the manifests allows tenants. */
export const TEAMS = ['team-a', 'team-b', 'team-c'];

export async function startStack(): Promise<Stack> {
  const binaries = await findGitopsBinaries();
  const folder = mkdtempSync(join(tmpdir(), 'aitenant-gitops-'));
  const running: Guarded[] = [];
  const run: Stack['run'] = (name, command, args, env) => {
    const started = startGuarded({
      command,
      args,
      log: join(folder, `${name}.log`),
      env: { PATH: process.env.PATH, HOME: folder, ...env },
      graceMs: 0,
    });
    running.push(started);
    return started;
  };
  const envtest = await startEnvtest({ stateDir: join(folder, 'kube') });
  await startControllerManager(envtest, binaries, run, folder);
  const cluster = clusterAt(await prepared(envtest), runtime);
  const world = await createWorld({ cluster });
  for (const team of TEAMS) await namespace(world, team);
  return {
    world,
    envtest,
    binaries,
    folder,
    run,
    async close() {
      await world.close();
      for (const one of running) await one.stop();
      await envtest.stop();
      keepLogs(folder);
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** All its controllers run, as in a cluster: a GitOps tool must not take their defaults and annotations for a difference. */
async function startControllerManager(
  envtest: Envtest,
  { kubeControllerManager }: GitopsBinaries,
  run: Stack['run'],
  folder: string,
): Promise<void> {
  const [port] = await freePorts(1);
  const certificate = join(folder, 'kube', 'certs', 'apiserver.crt');
  run('kube-controller-manager', kubeControllerManager, [
    `--kubeconfig=${envtest.kubeconfigPath}`,
    `--authentication-kubeconfig=${envtest.kubeconfigPath}`,
    `--authorization-kubeconfig=${envtest.kubeconfigPath}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--service-account-private-key-file=${join(folder, 'kube', 'service-accounts.key')}`,
    `--root-ca-file=${certificate}`,
    '--leader-elect=false',
  ]);
}

/** Copies the programs' logs to the folder `GITOPS_LOGS`, if that is set. */
function keepLogs(folder: string): void {
  const target = process.env.GITOPS_LOGS;
  if (!target) return;
  mkdirSync(target, { recursive: true });
  for (const name of LOGS) {
    try {
      copyFileSync(join(folder, `${name}.log`), join(target, `${name}.log`));
    } catch {
      // This program was not started.
    }
  }
}

const LOGS = [
  'kube-controller-manager',
  'redis',
  'argocd-repo-server',
  'argocd-application-controller',
  'argocd-applicationset-controller',
  'argocd-server',
  'kustomize-controller',
];
