import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, type Env, type Go, goIn, hasGo, isExecutable } from './go.ts';

export interface Binaries {
  etcd: string;
  kubeApiserver: string;
}

export interface FindBinariesOptions {
  env?: Env;
  /** Receives lines that report the progress of a build, which takes minutes. */
  progress?: (line: string) => void;
}

const MODULE = fileURLToPath(new URL('../../test/kube', import.meta.url));
const ETCD = 'go.etcd.io/etcd/server/v3';
const APISERVER = 'k8s.io/kubernetes/cmd/kube-apiserver';
const PROGRESS_MS = 30_000;

/** Thrown if no binaries of a Kubernetes API are available. The message says how to get them. */
export class NoBinariesError extends Error {}

/**
 * Returns the paths of etcd and kube-apiserver, from the first of these that applies:
 * 1. the folder `KUBEBUILDER_ASSETS`, if it is set (`setup-envtest use -p path` prints one);
 * 2. the cache folder `aitenant-operator/` in `$XDG_CACHE_HOME` or `~/.cache`;
 * 3. a build with Go into that cache folder, from the modules in `test/kube/go.mod` (once, about 7 minutes on two cores).
 * Throws `NoBinariesError` if none applies.
 */
export async function findBinaries({ env = process.env, progress }: FindBinariesOptions = {}): Promise<Binaries> {
  const assets = env.KUBEBUILDER_ASSETS;
  if (assets) {
    const found = binariesIn(assets);
    for (const path of Object.values(found)) {
      if (!isExecutable(path))
        throw new NoBinariesError(`KUBEBUILDER_ASSETS is set, but ${path} is not an executable file.`);
    }
    return found;
  }
  const folder = join(cacheFolder(env), `kube-${moduleHash()}`);
  const cached = binariesIn(folder);
  if (!Object.values(cached).every(isExecutable)) await build(folder, env, progress ?? (line => console.error(line)));
  return cached;
}

const binariesIn = (folder: string): Binaries => ({
  etcd: join(folder, 'etcd'),
  kubeApiserver: join(folder, 'kube-apiserver'),
});

/** Part of the cache folder's name, so that other versions of the modules get another folder. */
const moduleHash = () =>
  createHash('sha256')
    .update(readFileSync(join(MODULE, 'go.mod')))
    .update(readFileSync(join(MODULE, 'go.sum')))
    .digest('hex')
    .slice(0, 12);

async function build(folder: string, env: Env, progress: (line: string) => void): Promise<void> {
  const go = goIn(env, MODULE);
  const goMod = readFileSync(join(MODULE, 'go.mod'), 'utf8');
  const version = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(goMod);
  if (!version) throw new Error('test/kube/go.mod names no k8s.io/kubernetes');
  const [, gitVersion, major, minor] = version;
  if (!(await hasGo(go))) throw new NoBinariesError(noGo(/^go (\S+)/m.exec(goMod)?.[1] ?? ''));

  progress(
    `Building kube-apiserver ${gitVersion} and its etcd with Go into ${folder} (about 7 minutes on 2 cores, once).`,
  );
  await go(['list', '-deps', ETCD, APISERVER]).catch(({ message }: Error) => {
    throw new NoBinariesError(`The Go modules that test/kube/go.mod names can't be downloaded: ${message}`);
  });
  mkdirSync(folder, { recursive: true });
  const variable = (name: string, value = '') => `-X k8s.io/component-base/version.${name}=${value}`;
  const stamp = [variable('gitVersion', gitVersion), variable('gitMajor', major), variable('gitMinor', minor)];
  const binaries = binariesIn(folder);
  await goBuild(go, 'etcd', ETCD, binaries.etcd, [], progress);
  await goBuild(
    go,
    'kube-apiserver',
    APISERVER,
    binaries.kubeApiserver,
    ['-ldflags', `-s -w ${stamp.join(' ')}`],
    progress,
  );
}

/** Builds into a temporary file and then renames it to `target`, so that an interrupted build leaves no incomplete binary. */
async function goBuild(
  go: Go,
  name: string,
  pkg: string,
  target: string,
  flags: string[],
  progress: (line: string) => void,
) {
  const startedAt = performance.now();
  const half = `${target}.${process.pid}`;
  const total = (await go(['list', '-deps', pkg])).stdout.split('\n').length - 1;
  let compiled = 0;
  const tell = () => {
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    progress(`  ${name}: ${compiled} of at most ${total} packages compiled, ${seconds} s`);
  };
  const timer = setInterval(tell, PROGRESS_MS);
  try {
    // -v prints each package that Go compiles. Packages in Go's own cache are not printed.
    await go(['build', '-v', '-trimpath', ...flags, '-o', half, pkg], line => {
      if (!line.startsWith('go: ')) compiled++;
    });
    renameSync(half, target);
    tell();
  } finally {
    clearInterval(timer);
    rmSync(half, { force: true });
  }
}

function noGo(version: string): string {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const command =
    process.platform === 'darwin'
      ? 'brew install go'
      : `curl -fsSL https://go.dev/dl/go${version}.${process.platform}-${arch}.tar.gz | sudo tar -xz -C /usr/local && export PATH=$PATH:/usr/local/go/bin`;
  return [
    'A real kube-apiserver must be built once with Go, and Go is not installed on this machine. Install it:',
    `  ${command}`,
    'Or, if setup-envtest is installed, use its binaries: export KUBEBUILDER_ASSETS=$(setup-envtest use -p path)',
  ].join('\n');
}
