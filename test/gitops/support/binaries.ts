import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Binaries,
  type FindBinariesOptions,
  findBinaries,
  findControllerManager,
} from '../../../sandbox/envtest/binaries.ts';
import { NoBinariesError } from '../../../sandbox/envtest/go.ts';
import { buildTools, type GoModule, type GoTool, moduleFiles, toolsFolder } from '../../../sandbox/envtest/goModule.ts';

/** The programs of `npm run test:gitops`, as paths, and the manifests that come with them. */
export interface GitopsBinaries extends Binaries {
  kubeControllerManager: string;
  /** One program with the role of its `ARGOCD_BINARY_NAME`. */
  argocd: string;
  /** All objects of an installation of Argo CD. */
  argocdManifest: string;
  kustomize: string;
  redisServer: string;
  /** Flux's kustomize-controller. */
  kustomizeController: string;
  fluxCrds: string[];
}

interface Program {
  module: GoModule;
  tool: GoTool;
  what: string;
  /** Files that are copied beside the program: from a path in the module `from`, which is `path@version`. */
  files: { from: string; path: string; name: string }[];
}

const module = (name: string): GoModule => ({
  name,
  folder: fileURLToPath(new URL(`../tools/${name}`, import.meta.url)),
});

/** The version of a package in the go.mod of a module. */
function versionIn({ folder }: GoModule, path: string): string {
  const [, version] = new RegExp(`^\\s*${path} (v\\S+)`, 'm').exec(readFileSync(join(folder, 'go.mod'), 'utf8')) ?? [];
  if (!version) throw new Error(`${folder}/go.mod does not require ${path}`);
  return version;
}

const ARGOCD = 'github.com/argoproj/argo-cd/v3';
const FLUX = 'github.com/fluxcd/kustomize-controller';
const KUSTOMIZE = 'sigs.k8s.io/kustomize/kustomize/v5';
/** Only the CRDs of source-controller: the program needs a module that the Go proxy does not serve. */
const SOURCES = 'github.com/fluxcd/source-controller';

function argocd(): Program {
  const argo = module('argocd');
  const version = versionIn(argo, ARGOCD);
  const flags = ['-ldflags', `-s -w -X ${ARGOCD}/common.version=${version.slice(1)}`];
  return {
    module: argo,
    tool: { name: 'argocd', package: `${ARGOCD}/cmd`, flags },
    what: `Argo CD ${version} (about 4 minutes on 2 cores, once)`,
    files: [{ from: `${ARGOCD}@${version}`, path: 'manifests/install.yaml', name: 'install.yaml' }],
  };
}

function kustomize(): Program {
  const own = module('kustomize');
  return {
    module: own,
    tool: { name: 'kustomize', package: KUSTOMIZE, flags: ['-ldflags', '-s -w'] },
    what: `kustomize ${versionIn(own, KUSTOMIZE)} (under a minute, once)`,
    files: [],
  };
}

function flux(): Program {
  const own = module('flux');
  const version = versionIn(own, FLUX);
  const crds = 'config/crd/bases';
  return {
    module: own,
    tool: { name: 'kustomize-controller', package: FLUX, flags: ['-ldflags', '-s -w'] },
    what: `Flux's kustomize-controller ${version} (about 3 minutes on 2 cores, once)`,
    files: [
      {
        from: `${FLUX}@${version}`,
        path: `${crds}/kustomize.toolkit.fluxcd.io_kustomizations.yaml`,
        name: 'kustomizations.yaml',
      },
      // It does not start without the kinds of sources that it watches.
      ...['gitrepositories', 'ocirepositories', 'buckets', 'externalartifacts'].map(plural => ({
        from: `${SOURCES}@${version}`,
        path: `${crds}/source.toolkit.fluxcd.io_${plural}.yaml`,
        name: `${plural}.yaml`,
      })),
    ],
  };
}

/**
 * Returns the programs of the GitOps tests, and builds those that are missing in the cache (about 15 minutes on two cores, once), unless
 * `mayBuild` is false. Throws `NoBinariesError` if one of them can't be had.
 */
export async function findGitopsBinaries(options: FindBinariesOptions = {}): Promise<GitopsBinaries> {
  const redisServer = inPath('redis-server');
  if (inPath('git') === undefined) throw new NoBinariesError('git is not installed.');
  if (redisServer === undefined) {
    throw new NoBinariesError('redis-server is not installed. Install it: sudo apt-get install redis-server');
  }
  const base = await findBinaries(options);
  const kubeControllerManager = await findControllerManager(options);
  const programs = { argocd: argocd(), kustomize: kustomize(), flux: flux() };
  for (const program of Object.values(programs)) await provide(program, options);
  return {
    ...base,
    kubeControllerManager,
    redisServer,
    argocd: beside(programs.argocd, 'argocd'),
    argocdManifest: beside(programs.argocd, 'install.yaml'),
    kustomize: beside(programs.kustomize, 'kustomize'),
    kustomizeController: beside(programs.flux, 'kustomize-controller'),
    fluxCrds: programs.flux.files.map(({ name }) => beside(programs.flux, name)),
  };
}

const beside = (program: Program, name: string) => join(toolsFolder(program.module, process.env), name);

async function provide(program: Program, { progress = console.error, mayBuild }: FindBinariesOptions): Promise<void> {
  await buildTools(program.module, [program.tool], { env: process.env, what: program.what, progress, mayBuild });
  for (const { from, path, name } of program.files) {
    const target = beside(program, name);
    if (!existsSync(target)) copyFileSync(join(await moduleFiles(program.module, from, process.env), path), target);
  }
}

/** The path of a program in PATH. */
function inPath(name: string): string | undefined {
  const { status, stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
