import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

/** How the programs in Go that some tests run are built and found, with a stand-in for Go. */

const SCRIPT = new URL('../e2e/support/goTools.ts', import.meta.url).pathname;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'go-tools-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function run() {
  const env = { PATH: `${join(folder, 'bin')}:${dirname(process.execPath)}`, XDG_CACHE_HOME: join(folder, 'cache') };
  const { status, stdout } = spawnSync(process.execPath, [SCRIPT], { env, encoding: 'utf8' });
  return { status, lines: stdout.trim().split('\n') };
}

function stubGo(script: string) {
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/go'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

test('without Go, each program has a line NOT RUN, and the exit code is 3', () => {
  const { status, lines } = run();
  expect(status).toBe(3);
  expect(lines).toHaveLength(4);
  expect(lines[0]).toBe('NOT RUN: tests that need helm3: helm3: Go is not installed on this machine.');
});

test('each program is built once at its version, and then found in the cache', () => {
  stubGo(
    [
      '[ "$1" != version ] || exit 0',
      `for last in "$@"; do :; done; echo "$last" >> '${folder}/built'`,
      'file=$GOBIN/$(/usr/bin/basename "$(echo "$last" | /usr/bin/cut -d @ -f 1)")',
      'echo "#!/bin/sh" > "$file"; /bin/chmod +x "$file"',
    ].join('\n'),
  );
  expect(run().status).toBe(0);
  expect(run()).toEqual({ status: 0, lines: [''] });
  const built = readFileSync(join(folder, 'built'), 'utf8').trim().split('\n');
  expect(built).toEqual([
    expect.stringMatching(/^helm\.sh\/helm\/v3\/cmd\/helm@v3\.\d+\.\d+$/),
    expect.stringMatching(/^helm\.sh\/helm\/v4\/cmd\/helm@v4\.\d+\.\d+$/),
    expect.stringMatching(/^github\.com\/rhysd\/actionlint\/cmd\/actionlint@v\d/),
    expect.stringMatching(/^github\.com\/yannh\/kubeconform\/cmd\/kubeconform@v\d/),
  ]);
});

test('without a way to the modules, the line says what Go says', () => {
  stubGo('[ "$1" = version ] || { echo "dial tcp: no such host" >&2; exit 1; }');
  const { status, lines } = run();
  expect(status).toBe(3);
  expect(lines.join('\n')).toContain("NOT RUN: tests that need kubeconform: kubeconform can't be built: go install");
  expect(lines.join('\n')).toContain('dial tcp: no such host');
});
