import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, type Env, type Go, goIn, hasGo, isExecutable, NoBinariesError } from './go.ts';

/** A Go module of this repository that requires programs of others, so that go.sum pins all that goes into them. */
export interface GoModule {
  /** The first part of the name of its folder in the cache. */
  name: string;
  /** The folder that contains its go.mod and go.sum. */
  folder: string;
}

/** A program that Go builds from a module. */
export interface GoTool {
  /** The file name of the program. */
  name: string;
  package: string;
  /** More flags for `go build`. */
  flags?: string[];
}

export interface BuildOptions {
  env: Env;
  /** What is built and how long it takes, for the first line of the progress. */
  what: string;
  /** The lines after the command that installs Go, if Go is missing: what to do in place of it. */
  instead?: string[];
  progress: (line: string) => void;
  /** False: what is not in the cache is not built, but is an error. */
  mayBuild?: boolean;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRESS_MS = 30_000;

/**
 * The folder of a module's programs in the cache. Its name contains a hash of go.mod and go.sum, so that other versions get another
 * folder.
 */
export function toolsFolder({ name, folder }: GoModule, env: Env): string {
  const hash = createHash('sha256')
    .update(readFileSync(join(folder, 'go.mod')))
    .update(readFileSync(join(folder, 'go.sum')))
    .digest('hex')
    .slice(0, 12);
  return join(cacheFolder(env), `${name}-${hash}`);
}

/** Builds those of the programs that are not in the module's folder of the cache. Throws `NoBinariesError` if nothing can be built. */
export async function buildTools(module: GoModule, tools: GoTool[], options: BuildOptions): Promise<void> {
  const folder = toolsFolder(module, options.env);
  const missing = tools.filter(({ name }) => !isExecutable(join(folder, name)));
  if (missing.length === 0) return;
  if (options.mayBuild === false) throw new NoBinariesError(`${options.what}: not in the cache ${folder}`);
  const go = goIn(options.env, module.folder);
  const path = relative(ROOT, join(module.folder, 'go.mod'));
  if (!(await hasGo(go))) throw new NoBinariesError(noGo(module, options.instead ?? []));
  options.progress(`Building ${options.what} with Go into ${folder}.`);
  await go(['list', '-deps', ...missing.map(tool => tool.package)]).catch(({ message }: Error) => {
    throw new NoBinariesError(`The Go modules that ${path} names can't be downloaded: ${message}`);
  });
  mkdirSync(folder, { recursive: true });
  for (const tool of missing) await goBuild(go, tool, join(folder, tool.name), options.progress);
}

/** The folder of Go's module cache with the files of `path@version`, such as the CRDs beside a program. Downloads them if need be. */
export async function moduleFiles(module: GoModule, pathAndVersion: string, env: Env): Promise<string> {
  const { stdout } = await goIn(env, module.folder)(['mod', 'download', '-json', pathAndVersion]);
  return (JSON.parse(stdout) as { Dir: string }).Dir;
}

/** Builds into a temporary file and then renames it to `target`, so that an interrupted build leaves no incomplete binary. */
async function goBuild(go: Go, tool: GoTool, target: string, progress: (line: string) => void) {
  const startedAt = performance.now();
  const half = `${target}.${process.pid}`;
  const total = (await go(['list', '-deps', tool.package])).stdout.split('\n').length - 1;
  let compiled = 0;
  const tell = () => {
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    progress(`  ${tool.name}: ${compiled} of at most ${total} packages compiled, ${seconds} s`);
  };
  const timer = setInterval(tell, PROGRESS_MS);
  try {
    // -v prints each package that Go compiles. Packages in Go's own cache are not printed.
    await go(['build', '-v', '-trimpath', ...(tool.flags ?? []), '-o', half, tool.package], line => {
      if (!line.startsWith('go: ')) compiled++;
    });
    renameSync(half, target);
    tell();
  } finally {
    clearInterval(timer);
    rmSync(half, { force: true });
  }
}

function noGo({ name, folder }: GoModule, instead: string[]): string {
  const [, version = ''] = /^go (\S+)/m.exec(readFileSync(join(folder, 'go.mod'), 'utf8')) ?? [];
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const command =
    process.platform === 'darwin'
      ? 'brew install go'
      : `curl -fsSL https://go.dev/dl/go${version}.${process.platform}-${arch}.tar.gz | sudo tar -xz -C /usr/local && export PATH=$PATH:/usr/local/go/bin`;
  return [
    `The programs of ${name} must be built once with Go, and Go is not installed on this machine. Install it:`,
    `  ${command}`,
    ...instead,
  ].join('\n');
}
