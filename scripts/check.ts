import { spawnSync } from 'node:child_process';

/** `npm run check`: every part runs, whatever the one before it found. Exit code 1 if one of them found something. */
const PARTS = [
  ['tsc', '-p', '.'],
  // Code of a browser: it has the DOM and not the modules of Node.js.
  ['tsc', '-p', 'sandbox/console/page'],
  ['biome', 'check', '--error-on-warnings', '.'],
  // An exception in knip.json that is not needed is an error too.
  ['knip', '--treat-config-hints-as-errors'],
  ['node', 'scripts/layout.ts'],
];

const failed = PARTS.filter(([command = '', ...args]) => {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', shell: process.platform === 'win32' });
  if (error) console.error(`${command} could not be started: ${error.message}`);
  return status !== 0;
});
for (const part of failed) console.error(`FAILED: ${part.join(' ')}`);
process.exit(failed.length === 0 ? 0 : 1);
