import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findBinaries } from '../../sandbox/envtest/binaries.ts';
import { NoBinariesError } from '../../sandbox/envtest/go.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'aitenant-binaries-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = (path: string, text = '') => writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });

describe('the binaries of a real Kubernetes API', () => {
  test('KUBEBUILDER_ASSETS: from there', async () => {
    for (const name of ['etcd', 'kube-apiserver']) program(join(folder, name));
    expect(await findBinaries({ env: { KUBEBUILDER_ASSETS: folder } })).toEqual({
      etcd: join(folder, 'etcd'),
      kubeApiserver: join(folder, 'kube-apiserver'),
    });
  });

  test('KUBEBUILDER_ASSETS without them: says what is missing, and builds nothing in their stead', async () => {
    program(join(folder, 'etcd'));
    const found = findBinaries({ env: { KUBEBUILDER_ASSETS: folder } });
    await expect(found).rejects.toThrow(
      `KUBEBUILDER_ASSETS is set, but ${folder}/kube-apiserver is not an executable file.`,
    );
    await expect(found).rejects.toBeInstanceOf(NoBinariesError);
  });

  test('no Go: one command that helps, with the version that the module wants', async () => {
    const goMod = readFileSync(new URL('../kube/go.mod', import.meta.url), 'utf8');
    const [, version = ''] = /^go (\S+)/m.exec(goMod) ?? [];
    const found = findBinaries({ env: { PATH: folder, XDG_CACHE_HOME: join(folder, 'cache') } });
    await expect(found).rejects.toBeInstanceOf(NoBinariesError);
    await expect(found).rejects.toThrow('Go is not installed on this machine. Install it:');
    if (process.platform === 'linux') await expect(found).rejects.toThrow(`https://go.dev/dl/go${version}.linux-`);
    await expect(found).rejects.toThrow('export KUBEBUILDER_ASSETS=$(setup-envtest use -p path)');
    expect(existsSync(join(folder, 'cache'))).toBe(false);
  });

  test('no way to the Go modules: nothing to build with either', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    program(join(bin, 'go'), `[ "$1" != list ] || { echo 'dial tcp: no such host' >&2; exit 1; }`);
    const found = findBinaries({ env: { PATH: bin, XDG_CACHE_HOME: join(folder, 'cache') }, progress: () => {} });
    await expect(found).rejects.toBeInstanceOf(NoBinariesError);
    await expect(found).rejects.toThrow("can't be downloaded: go list -deps");
  });

  test('built once, told as it goes, then found in the cache', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const [built, asked] = [join(folder, 'built'), join(folder, 'asked')];
    program(
      join(bin, 'go'),
      `echo "$@" >> ${asked}
case "$1" in
  list) printf 'a\\nb\\nc\\n' ;;
  build)
    echo a >&2; echo b >&2
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\n' > "$2"; /bin/chmod +x "$2"; echo "$3" >> ${built} ;;
esac`,
    );
    const env = { PATH: bin, XDG_CACHE_HOME: join(folder, 'cache') };
    const told: string[] = [];
    const first = await findBinaries({ env, progress: line => told.push(line) });
    expect(readFileSync(built, 'utf8')).toBe('go.etcd.io/etcd/server/v3\nk8s.io/kubernetes/cmd/kube-apiserver\n');
    expect(readFileSync(asked, 'utf8')).toContain('-X k8s.io/component-base/version.gitVersion=v1.37.2');
    expect(told[0]).toContain('Building kube-apiserver v1.37.2');
    expect(told.slice(1).map(line => line.replace(/\d+ s$/, 'N s'))).toEqual([
      '  etcd: 2 of at most 3 packages compiled, N s',
      '  kube-apiserver: 2 of at most 3 packages compiled, N s',
    ]);
    rmSync(join(bin, 'go'));
    expect(await findBinaries({ env })).toEqual(first);
  });

  test('a build that fails leaves nothing that would be taken for one that did not', async () => {
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    program(
      join(bin, 'go'),
      `case "$1" in
  build) while [ "$1" != -o ]; do shift; done; echo half > "$2"; echo 'out of memory' >&2; exit 1 ;;
esac`,
    );
    const env = { PATH: bin, XDG_CACHE_HOME: join(folder, 'cache') };
    await expect(findBinaries({ env, progress: () => {} })).rejects.toThrow('out of memory');
    rmSync(join(bin, 'go'));
    await expect(findBinaries({ env })).rejects.toBeInstanceOf(NoBinariesError);
  });
});

describe('a guarded program', () => {
  /** A process that starts one which writes its process id and sleeps; what `then` does happens once that is written. */
  async function guarded(then: string) {
    const pidFile = join(folder, 'pid');
    const script = join(folder, 'parent.ts');
    const module = new URL('../../sandbox/envtest/guarded.ts', import.meta.url).href;
    writeFileSync(
      script,
      `import { existsSync } from 'node:fs';
      import { startGuarded } from '${module}';
      const guarded = startGuarded({ command: '/bin/sh', args: ['-c', 'echo $$ > ${pidFile}.half; mv ${pidFile}.half ${pidFile}; exec sleep 600'], log: '${folder}/log', graceMs: 0 });
      const timer = setInterval(async () => { if (!existsSync('${pidFile}')) return; clearInterval(timer); ${then} }, 20);`,
    );
    const parent = spawn(process.execPath, [script], { stdio: 'inherit' });
    const ended = once(parent, 'close');
    await expect.poll(() => existsSync(pidFile), { timeout: 10_000 }).toBe(true);
    return { parent, ended, runs: () => isAlive(Number(readFileSync(pidFile, 'utf8'))) };
  }

  function isAlive(pid: number): boolean {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  test('goes with its parent, killed with SIGKILL', async () => {
    const { parent, ended, runs } = await guarded('setInterval(() => {}, 1000);');
    expect(runs()).toBe(true);
    parent.kill('SIGKILL');
    await ended;
    await expect.poll(runs, { timeout: 10_000 }).toBe(false);
  });

  test('goes with a parent that comes to its end, or to a bug', async () => {
    for (const then of ['', "throw new Error('a bug');"]) {
      const { ended, runs } = await guarded(then);
      await ended;
      await expect.poll(runs, { timeout: 10_000 }).toBe(false);
      rmSync(join(folder, 'pid'));
    }
  });

  test('has ended when stop resolves', async () => {
    const { ended, runs } = await guarded('await guarded.stop();');
    await ended;
    expect(runs()).toBe(false);
  });
});
