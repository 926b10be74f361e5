// Runs a command of package.json after the packages are installed: `node scripts/run.mjs "WHAT IT DOES" COMMAND ARGS…`. Every npm script
// that needs a package begins with it, so `npm run` lists each task with a line that says what it does. Like install.mjs it runs on any
// Node.js from version 18 on.
//
// The command is looked up after the installation: the shell that npm started would still know the system's `node`, which may be too
// old. Where Node.js can, the command takes the place of this process, so that it gets every signal and its exit code is npm's.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './install.mjs';

const [, command, ...args] = process.argv.slice(2);
if (command === undefined) {
  console.error('Usage: node scripts/run.mjs "WHAT IT DOES" COMMAND ARGS…');
  process.exit(2);
}
const bin = fileURLToPath(new URL('../node_modules/.bin', import.meta.url));
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` };
// Node.js keeps what it made of each TypeScript file for the next start. Coverage is exact only without this, and the fuzz tests go by it.
const isExact = env.NODE_V8_COVERAGE || args.includes('test/fuzz/main.ts');
if (!isExact) env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/node', import.meta.url));
const file = env.PATH.split(delimiter)
  .map(folder => join(folder, command))
  .find(path => existsSync(path));

// Node.js 22.15 or newer, and not on Windows.
if (process.execve && process.platform !== 'win32' && file !== undefined) {
  process.execve(file, [command, ...args], env);
}

const windows = process.platform === 'win32';
const quoted = args.map(arg => (windows ? `"${arg.replaceAll('"', '\\"')}"` : arg));
const child = spawn(command, quoted, { stdio: 'inherit', env, shell: windows });
// Ctrl-C reaches the command without this process, which must only outlive it. What else ends this process is handed on.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', error => {
  console.error(`${command} could not be started: ${error.message}`);
  process.exit(1);
});
child.on('close', (status, signal) => {
  if (signal === null) process.exit(status);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
