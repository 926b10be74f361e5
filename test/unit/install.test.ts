import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const ROOT = new URL('../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'install-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** npm as `npm_execpath` names it: installs what the lock file names but for $LEAVE_OUT, and writes its own list last, as npm does. */
const NPM = `
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
appendFileSync(process.env.CALLS, process.argv.slice(2).join(' ') + '\\n');
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
await new Promise(resolve => setTimeout(resolve, 300));
if (process.env.BROKEN) process.exit(1);
const installed = Object.fromEntries(
  Object.entries(packages).filter(([path, { os = [process.platform] }]) => path && path !== process.env.LEAVE_OUT && [os].flat().includes(process.platform)),
);
for (const path of Object.keys(installed)) {
  mkdirSync(path, { recursive: true });
  writeFileSync(path + '/package.json', '{}');
}
mkdirSync('node_modules/.bin', { recursive: true });
writeFileSync('node_modules/.bin/hello', '#!/bin/sh\\necho "hello $*"; exit 3\\n', { mode: 0o755 });
writeFileSync('node_modules/.package-lock.json', JSON.stringify({ packages: installed }));
`;

const PACKAGES = {
  '': {},
  'node_modules/koa': { version: '3.3.0', integrity: 'sha512-a' },
  'node_modules/node-here': {
    version: '26.10.0',
    integrity: 'sha512-b',
    optional: true,
    os: process.platform,
    cpu: process.arch,
  },
  'node_modules/node-elsewhere': { version: '26.10.0', integrity: 'sha512-c', optional: true, os: 'plan9', cpu: 'x64' },
};

let count = 0;
function clone() {
  const root = join(folder, `${++count}`);
  mkdirSync(join(root, 'scripts'), { recursive: true });
  for (const file of ['scripts/install.mjs', 'scripts/run.mjs']) copyFileSync(`${ROOT}${file}`, join(root, file));
  writeFileSync(join(root, 'package.json'), '{"type":"module"}');
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages: PACKAGES }));
  writeFileSync(join(root, 'npm.mjs'), NPM);
  const calls = join(root, 'calls');
  const end = (args: string[], env: Record<string, string>, signal?: NodeJS.Signals) =>
    new Promise<{ status: number | null; signal: string | null; stdout: string; stderr: string }>(resolve => {
      const child = spawn(process.execPath, args, {
        cwd: root,
        env: { ...process.env, npm_execpath: join(root, 'npm.mjs'), CALLS: calls, ...env },
      });
      const [stdout, stderr]: [string[], string[]] = [[], []];
      child.stdout.on('data', chunk => stdout.push(`${chunk}`));
      child.stderr.on('data', chunk => stderr.push(`${chunk}`));
      if (signal) child.stdout.once('data', () => child.kill(signal));
      child.on('close', (status, by) =>
        resolve({ status, signal: by, stdout: stdout.join(''), stderr: stderr.join('') }),
      );
    });
  return {
    root,
    calls: () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []),
    run: (env: Record<string, string> = {}) => end(['scripts/install.mjs'], env),
    /** As an npm script does; `signal`: sent once the command prints something. */
    task: (command: string[], env: Record<string, string> = {}, signal?: NodeJS.Signals) =>
      end(['scripts/run.mjs', 'Says hello', ...command], env, signal),
  };
}

test('it installs once, says so on the standard error, and runs no install script', async () => {
  const { root, run, calls } = clone();
  const first = await run();
  expect(first).toMatchObject({ status: 0, stdout: '' });
  expect(first.stderr).toContain('Installing 2 packages (npm ci)');
  expect(first.stderr).toContain('Installed in');
  expect(calls()).toEqual([expect.stringContaining('ci --ignore-scripts --include=dev')]);
  expect(await run()).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
  expect(calls()).toHaveLength(1);
  expect(readdirSync(join(root, '.cache/install'))).toEqual([]);
});

test('what another command installed is recognized', async () => {
  const { root, run, calls } = clone();
  await new Promise(resolve =>
    spawn(process.execPath, ['npm.mjs', 'ci'], { cwd: root, env: { ...process.env, CALLS: join(root, 'calls') } }).on(
      'close',
      resolve,
    ),
  );
  expect(await run()).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
  expect(calls()).toEqual(['ci']);
});

test('three at once install once, and each goes on only when all is there', async () => {
  const { root, run, calls } = clone();
  const ends = await Promise.all(
    [1, 2, 3].map(async () => {
      const end = await run();
      return { ...end, there: existsSync(join(root, 'node_modules/node-here/package.json')) };
    }),
  );
  expect(ends.map(({ status, there }) => ({ status, there }))).toEqual(ends.map(() => ({ status: 0, there: true })));
  expect(calls()).toHaveLength(1);
});

test('the lock of a process that was killed does not stop the next, and its folder is removed', async () => {
  const { root, run, calls } = clone();
  const { pid } = spawn(process.execPath, ['-e', '']);
  mkdirSync(join(root, `.cache/install/${pid}`), { recursive: true });
  writeFileSync(join(root, '.cache/install/lock'), `${pid}`);
  await expect.poll(() => existsSync(`/proc/${pid}/exe`) || undefined).toBeUndefined();
  expect(await run()).toMatchObject({ status: 0 });
  expect(calls()).toHaveLength(1);
  expect(readdirSync(join(root, '.cache/install'))).toEqual([]);
});

test('a changed lock file installs anew beside the old packages, which stay until all is there', async () => {
  const { root, run, calls } = clone();
  await run();
  const changed = { ...PACKAGES, 'node_modules/koa': { version: '3.4.0', integrity: 'sha512-d' } };
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify({ packages: changed }));
  writeFileSync(join(root, 'node_modules/old'), '');
  const failed = await run({ BROKEN: '1' });
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain('npm ci ended with status 1. Is the npm registry reachable from here?');
  expect(existsSync(join(root, 'node_modules/old'))).toBe(true);
  expect(await run()).toMatchObject({ status: 0 });
  expect(existsSync(join(root, 'node_modules/old'))).toBe(false);
  expect(calls()).toHaveLength(3);
});

test('a package for this machine that npm could not get is named, one for another machine is not missed', async () => {
  const { root, run } = clone();
  const end = await run({ LEAVE_OUT: 'node_modules/node-here' });
  expect(end.status).toBe(1);
  expect(end.stderr).toContain('npm ci left out 1 packages that package-lock.json names for this machine: node-here.');
  expect(existsSync(join(root, 'node_modules'))).toBe(false);
});

test('started by another package manager, npm is called all the same', async () => {
  const { root, run, calls } = clone();
  const bin = join(root, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'npm'), `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'npm.mjs')}' "$@"\n`, {
    mode: 0o755,
  });
  writeFileSync(join(root, 'pnpm.cjs'), 'process.exit(7)');
  const { status, stderr } = await run({ npm_execpath: join(root, 'pnpm.cjs'), PATH: `${bin}:${process.env.PATH}` });
  expect(stderr).toContain('Installed in');
  expect(status).toBe(0);
  expect(calls()).toHaveLength(1);
});

describe.each([
  ['in place of the process that installed', {}],
  // Node.js before 22.15, and Windows.
  ['beside the process that installed', { NODE_OPTIONS: '--import=data:text/javascript,process.execve=undefined' }],
])('a task runs %s', (_, env) => {
  test('from the packages that were just installed, with its arguments, its output and its exit code', async () => {
    const { root, task } = clone();
    const first = await task(['hello', 'a b', '--c'], env);
    expect(first).toMatchObject({ status: 3, stdout: 'hello a b --c\n' });
    expect(first.stderr).toContain('Installed in');
    expect(readdirSync(join(root, '.cache/install'))).toEqual([]);
    expect(await task(['hello'], env)).toEqual({ status: 3, signal: null, stdout: 'hello \n', stderr: '' });
  });

  test('and gets the signal that ends it', async () => {
    const { task } = clone();
    const script =
      'process.on("SIGTERM", () => { console.log("bye"); process.exit(7); }); console.log("up"); setInterval(() => {}, 1e3);';
    expect(await task(['node', '-e', script], env, 'SIGTERM')).toMatchObject({ status: 7, stdout: 'up\nbye\n' });
    const killed = await task(['node', '-e', 'console.log("up"); setInterval(() => {}, 1e3);'], env, 'SIGTERM');
    expect(killed).toMatchObject({ status: null, signal: 'SIGTERM' });
  });
});

test('a command that does not exist is named', async () => {
  const { task } = clone();
  const { status, stderr } = await task(['no-such-command']);
  expect(status).toBe(1);
  expect(stderr).toContain('no-such-command could not be started');
});
