// Installs what package-lock.json names if it is not installed yet. Runs on any Node.js (it comes before ours is there).
// No install script of a dependency runs but those of package.json's `allowScripts`: npm itself heeds that from version 12 on.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = `${root}node_modules/.installed-lock`;
const wanted = createHash('sha256')
  .update(readFileSync(`${root}package-lock.json`))
  .digest('hex');

function npm(...args) {
  const path = process.env.npm_execpath;
  const options = { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] };
  const run = path
    ? spawnSync(process.execPath, [path, ...args, '--loglevel=error'], options)
    : spawnSync('npm', [...args, '--loglevel=error'], { ...options, shell: process.platform === 'win32' });
  if (run.status === 0) return;
  console.error(`npm ${args[0]} failed: see the lines above. Is the npm registry reachable from here?`);
  process.exit(1);
}

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.log('Installing dependencies (npm ci) …');
  npm('ci', '--ignore-scripts', '--no-audit', '--no-fund');
  const { allowScripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  const allowed = Object.keys(allowScripts).filter(name => allowScripts[name] === true);
  npm('rebuild', ...allowed);
  writeFileSync(stamp, wanted);
}
