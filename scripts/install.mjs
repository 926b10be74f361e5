// Installs what package-lock.json names, unless all of it is installed already, by whatever command. It runs on any Node.js from
// version 18 on, because the project's own Node.js is among the packages. The standard output belongs to the command that follows.
//
// `npm ci` empties node_modules first, also under processes that run from it, such as this one. So here
// 1. npm ci runs in a folder of its own, .cache/install/PID, with a copy of package.json and package-lock.json;
// 2. the result is checked, because npm says nothing about an optional package that it could not get: Node.js itself is one;
// 3. two renames put it in the place of node_modules. What ran from the old one keeps its open files.
// An interrupted installation changes nothing. The lock only saves work: two installations at once would both be right.
import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const place = `${root}.cache/install/`;
const lock = `${place}lock`;
const mine = `${place}${process.pid}/`;
/** An older lock is not believed: no installation takes that long, so its process id is some other program's by now. */
const LOCK_LIFE_MS = 15 * 60_000;

const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

function fail(...lines) {
  for (const line of lines) console.error(line);
  process.exit(1);
}

/** Whether a package's `os`, `cpu` or `libc` in the lock file includes this machine's; one without is for every machine. */
const fits = (listed, value) => listed === undefined || value === undefined || [listed].flat().includes(value);

function libc() {
  if (process.platform !== 'linux') return undefined;
  return process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
}

/** The optional packages of a lock file that are for certain machines are needed on those; other optional ones on none. */
function needed([path, { optional, os, cpu, libc: libraries }], library) {
  if (path === '') return false;
  if (!optional) return true;
  if (os === undefined && cpu === undefined) return false;
  return fits(os, process.platform) && fits(cpu, process.arch) && fits(libraries, library);
}

/** The packages that package-lock.json names for this machine and that `folder` has not. npm lists what it installed. */
function missingIn(folder) {
  const packagesOf = file => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).packages : {});
  const installed = packagesOf(`${folder}node_modules/.package-lock.json`);
  const library = libc();
  return Object.entries(packagesOf(`${root}package-lock.json`))
    .filter(entry => needed(entry, library))
    .filter(([path, { integrity }]) => {
      return installed[path]?.integrity !== integrity || !existsSync(`${folder}${path}/package.json`);
    })
    .map(([path]) => path.replace(/^.*node_modules\//, ''));
}

/** Whether this process has the lock now. A lock whose process has ended is taken over. */
function locked() {
  mkdirSync(place, { recursive: true });
  try {
    writeFileSync(lock, `${process.pid}`, { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') fail(`${lock} can't be written: ${error.message}`);
  }
  try {
    const holder = Number(readFileSync(lock, 'utf8'));
    if (Date.now() - statSync(lock).mtimeMs < LOCK_LIFE_MS && (holder === 0 || running(holder))) return false;
  } catch {
    // Gone meanwhile.
  }
  rmSync(lock, { force: true });
  return false;
}

function running(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Removes the folders of installations that were killed. */
function clear() {
  for (const name of readdirSync(place)) {
    if (/^\d+$/.test(name) && !running(Number(name))) rmSync(place + name, { recursive: true, force: true });
  }
}

/** `npm ci` in this process's own folder. Nothing of what is installed runs meanwhile. */
async function npmCi() {
  mkdirSync(mine, { recursive: true });
  for (const file of ['package.json', 'package-lock.json', '.npmrc']) {
    if (existsSync(root + file)) copyFileSync(root + file, mine + file);
  }
  // Everything is needed, also where NODE_ENV or npm's own settings leave something out.
  const args = [
    'ci',
    '--ignore-scripts',
    '--include=dev',
    '--include=optional',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ];
  const options = { cwd: mine, stdio: ['ignore', 'ignore', 'inherit'] };
  // pnpm, yarn and bun put themselves there, and none of them knows package-lock.json.
  const npm = process.env.npm_execpath ?? '';
  const child = /(^|[\\/])npm[^\\/]*$/.test(npm)
    ? spawn(process.execPath, [npm, ...args], options)
    : spawn('npm', args, { ...options, shell: process.platform === 'win32' });
  const kill = () => child.kill();
  process.on('exit', kill);
  const status = await new Promise(resolve => child.on('error', resolve).on('close', resolve));
  process.off('exit', kill);
  if (status !== 0) {
    const end = status instanceof Error ? `could not be started: ${status.message}` : `ended with status ${status}`;
    fail(
      `npm ci ${end}. Is the npm registry reachable from here? \`npm ping\` tells. Then run the same command again.`,
    );
  }
  const missing = missingIn(mine);
  if (missing.length > 0) {
    const names = missing.slice(0, 5).join(', ');
    fail(
      `npm ci left out ${missing.length} packages that package-lock.json names for this machine: ${names}.`,
      `Either they could not be fetched: run the same command again. Or they do not run on Node.js ${process.version}: version 22 or newer does.`,
    );
  }
}

function swap() {
  const modules = `${root}node_modules`;
  try {
    if (existsSync(modules)) renameSync(modules, `${mine}old`);
    renameSync(`${mine}node_modules`, modules);
  } catch (error) {
    // Another installation may have been quicker.
    if (missingIn(root).length === 0) return;
    fail(
      `node_modules can't be replaced (${error.code}). Stop what runs from it, run \`npm ci\`, then the same command again.`,
    );
  }
}

async function install() {
  clear();
  const count = missingIn(root).length;
  console.error(`Installing ${count} packages (npm ci). This takes a minute or two and 620 MB of disk …`);
  const start = Date.now();
  const seconds = () => Math.round((Date.now() - start) / 1000);
  const told = setInterval(() => console.error(`… still installing after ${seconds()} s`), 10_000);
  await npmCi();
  clearInterval(told);
  swap();
  console.error(`Installed in ${seconds()} s.`);
}

function release() {
  rmSync(mine, { recursive: true, force: true });
  rmSync(lock, { force: true });
}

let waiting = false;
while (missingIn(root).length > 0) {
  if (locked()) {
    const endings = { SIGINT: () => process.exit(130), SIGTERM: () => process.exit(143) };
    process.on('exit', release);
    for (const [signal, end] of Object.entries(endings)) process.on(signal, end);
    // Whoever had the lock before may have installed everything.
    if (missingIn(root).length > 0) await install();
    // run.mjs goes on from here in the same process, and may then end without the event `exit`.
    release();
    process.off('exit', release);
    for (const [signal, end] of Object.entries(endings)) process.off(signal, end);
    break;
  }
  if (!waiting) console.error('Waiting for another command that installs the packages …');
  waiting = true;
  await pause(200);
}
