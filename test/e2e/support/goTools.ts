import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cacheFolder, type Env, goIn, hasGo, isExecutable, NoBinariesError } from '../../../sandbox/envtest/go.ts';

/**
 * Programs in Go that some tests run, at fixed versions. `go install` builds them from the Go module proxy once, into the same cache
 * folder as kube-apiserver, and checks the modules by Go's checksum database. Helm takes some minutes on two cores, the others seconds.
 * `node test/e2e/support/goTools.ts` builds all of them. Exit code 3: they are missing and cannot be built on this machine.
 */
const TOOLS = {
  helm3: { module: 'helm.sh/helm/v3', version: 'v3.22.0', command: 'cmd/helm' },
  helm4: { module: 'helm.sh/helm/v4', version: 'v4.3.1', command: 'cmd/helm' },
  actionlint: { module: 'github.com/rhysd/actionlint', version: 'v1.7.12', command: 'cmd/actionlint' },
  kubeconform: { module: 'github.com/yannh/kubeconform', version: 'v0.8.0', command: 'cmd/kubeconform' },
} as const;

export type Tool = keyof typeof TOOLS;

/** The path of the program, which is built if it is not in the cache. Throws `NoBinariesError` if it cannot be built here. */
async function goTool(name: Tool, env: Env = process.env): Promise<string> {
  const { module, version, command } = TOOLS[name];
  const folder = join(cacheFolder(env), `${name}-${version}`);
  const program = command.split('/').at(-1) ?? '';
  const target = join(folder, program);
  if (isExecutable(target)) return target;
  mkdirSync(folder, { recursive: true });
  // Outside of every module, so that no go.mod changes the versions that the program is built with.
  const empty = mkdtempSync(join(tmpdir(), 'go-tool-'));
  const bin = mkdtempSync(join(folder, 'build-'));
  try {
    if (!(await hasGo(goIn(env, empty)))) throw new NoBinariesError(`${name}: Go is not installed on this machine.`);
    console.log(`Building ${module} ${version} with Go into ${folder}.`);
    await goIn(
      { ...env, GOBIN: bin },
      empty,
    )(['install', '-trimpath', '-ldflags', '-s -w', `${module}/${command}@${version}`]).catch(({ message }: Error) => {
      throw new NoBinariesError(`${name} can't be built: ${message}`);
    });
    renameSync(join(bin, program), target);
  } finally {
    for (const path of [empty, bin]) rmSync(path, { recursive: true, force: true });
  }
  return target;
}

/**
 * The paths of the programs that are in the cache or can be built. For each of the others, a line `NOT RUN` says that its tests do not
 * run, and why.
 */
export async function goTools<T extends Tool>(...names: T[]): Promise<Partial<Record<T, string>>> {
  const found: Partial<Record<T, string>> = {};
  for (const name of names) {
    try {
      found[name] = await goTool(name);
    } catch (error) {
      if (!(error instanceof NoBinariesError)) throw error;
      console.log(`NOT RUN: tests that need ${name}: ${error.message}`);
    }
  }
  return found;
}

if (import.meta.main) {
  const names = Object.keys(TOOLS) as Tool[];
  const found = await goTools(...names);
  if (names.some(name => !found[name])) process.exitCode = 3;
}
