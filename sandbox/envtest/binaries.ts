import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Env, isExecutable, NoBinariesError } from './go.ts';
import { buildTools, type GoModule, type GoTool, toolsFolder } from './goModule.ts';

export interface Binaries {
  etcd: string;
  kubeApiserver: string;
}

export interface FindBinariesOptions {
  env?: Env;
  /** Receives lines that report the progress of a build, which takes minutes. */
  progress?: (line: string) => void;
  /** False: programs that are not in the cache are not built, but are an error. */
  mayBuild?: boolean;
}

/** The module of the newest version of Kubernetes that is tested. */
const MODULE: GoModule = { name: 'kube', folder: fileURLToPath(new URL('../../test/kube', import.meta.url)) };

/** The older versions of Kubernetes that have a module in `test/kube`. */
export const OLDER = ['1.31'];

/** The variable that chooses one of the older versions, such as 1.31. */
export const KUBERNETES_VERSION = 'AITENANT_TEST_KUBERNETES';

/**
 * Returns the paths of etcd and kube-apiserver, from the first of these that applies:
 * 1. the folder `KUBEBUILDER_ASSETS`, if it is set (`setup-envtest use -p path` prints one);
 * 2. the cache folder `aitenant-operator/` in `$XDG_CACHE_HOME` or `~/.cache`;
 * 3. a build with Go into that cache folder, from the modules in `test/kube/go.mod` (once, about 7 minutes on two cores).
 * If `AITENANT_TEST_KUBERNETES` names an older version, kube-apiserver has that version and `KUBEBUILDER_ASSETS` is not used.
 * Throws `NoBinariesError` if none applies.
 */
export async function findBinaries({
  env = process.env,
  progress = line => console.error(line),
  mayBuild,
}: FindBinariesOptions = {}): Promise<Binaries> {
  const version = env[KUBERNETES_VERSION];
  if (version) return olderBinaries(version, { env, progress, mayBuild });
  const assets = env.KUBEBUILDER_ASSETS;
  if (assets) {
    const found = binariesIn(assets);
    for (const path of Object.values(found)) {
      if (!isExecutable(path))
        throw new NoBinariesError(`KUBEBUILDER_ASSETS is set, but ${path} is not an executable file.`);
    }
    return found;
  }
  await buildTools(MODULE, [ETCD, kubernetesTool(MODULE, 'kube-apiserver')], {
    env,
    what: `kube-apiserver ${kubernetesVersion(MODULE).gitVersion} and its etcd (about 7 minutes on 2 cores, once)`,
    instead: [
      'Or, if setup-envtest is installed, use its binaries: export KUBEBUILDER_ASSETS=$(setup-envtest use -p path)',
    ],
    progress,
    mayBuild,
  });
  return binariesIn(toolsFolder(MODULE, env));
}

/** The kube-apiserver of an older version, and the etcd of the newest one. */
async function olderBinaries(
  version: string,
  { env, progress, mayBuild }: { env: Env; progress: (line: string) => void; mayBuild?: boolean },
): Promise<Binaries> {
  const module = olderModule(version);
  const what = `kube-apiserver ${kubernetesVersion(module).gitVersion} and an etcd (about 7 minutes on 2 cores, once)`;
  await buildTools(MODULE, [ETCD], { env, what, progress, mayBuild });
  await buildTools(module, [kubernetesTool(module, 'kube-apiserver')], { env, what, progress, mayBuild });
  return {
    etcd: binariesIn(toolsFolder(MODULE, env)).etcd,
    kubeApiserver: binariesIn(toolsFolder(module, env)).kubeApiserver,
  };
}

function olderModule(version: string): GoModule {
  if (!OLDER.includes(version)) throw new NoBinariesError(`Kubernetes ${version} has no module in test/kube: ${OLDER}`);
  return { name: `kube-${version}`, folder: join(MODULE.folder, version) };
}

/**
 * Returns the path of kube-controller-manager, of the same version as the kube-apiserver that `findBinaries` builds. It is built into
 * the same cache folder, because `setup-envtest` has none (about 2 minutes after the kube-apiserver). Throws `NoBinariesError` if it
 * cannot be built.
 */
export async function findControllerManager({
  env = process.env,
  progress = line => console.error(line),
  mayBuild,
}: FindBinariesOptions = {}): Promise<string> {
  await buildTools(MODULE, [kubernetesTool(MODULE, 'kube-controller-manager')], {
    env,
    what: `kube-controller-manager ${kubernetesVersion(MODULE).gitVersion} (about 2 minutes on 2 cores, once)`,
    progress,
    mayBuild,
  });
  return join(toolsFolder(MODULE, env), 'kube-controller-manager');
}

/**
 * Returns the path of the program `test/kube/cost/main.go`, which estimates the costs of a CRD's rules as kube-apiserver of that version
 * does (about 20 s on 2 cores, once). `version`: one of the older versions, or undefined for the newest. Throws `NoBinariesError`.
 */
export async function findCostEstimator(version: string | undefined, env: Env = process.env): Promise<string> {
  const module = version ? olderModule(version) : MODULE;
  const source = join(MODULE.folder, 'cost/main.go');
  // The folder of the cache depends on the versions of the modules only.
  const name = `cost-${createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12)}`;
  const what = `the cost estimator of Kubernetes ${kubernetesVersion(module).gitVersion} (about 20 s, once)`;
  await buildTools(module, [{ name, package: source }], { env, what, progress: line => console.error(line) });
  return join(toolsFolder(module, env), name);
}

const ETCD: GoTool = { name: 'etcd', package: 'go.etcd.io/etcd/server/v3' };

function kubernetesTool(module: GoModule, name: string): GoTool {
  const { gitVersion, major, minor } = kubernetesVersion(module);
  const variable = (key: string, value = '') => `-X k8s.io/component-base/version.${key}=${value}`;
  const stamp = [variable('gitVersion', gitVersion), variable('gitMajor', major), variable('gitMinor', minor)];
  return { name, package: `k8s.io/kubernetes/cmd/${name}`, flags: ['-ldflags', `-s -w ${stamp.join(' ')}`] };
}

/** The version of Kubernetes that a go.mod requires. A program built from a module does not know it by itself. */
function kubernetesVersion({ folder }: GoModule) {
  const goMod = readFileSync(join(folder, 'go.mod'), 'utf8');
  const version = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(goMod);
  if (!version) throw new Error(`${folder}/go.mod names no k8s.io/kubernetes`);
  const [, gitVersion, major, minor] = version;
  return { gitVersion, major, minor };
}

const binariesIn = (folder: string): Binaries => ({
  etcd: join(folder, 'etcd'),
  kubeApiserver: join(folder, 'kube-apiserver'),
});
