import { spawn } from 'node:child_process';

/**
 * `guard.ts GRACE_MS COMMAND ARG…`: runs a program for as long as the process that forked this one lives. When that one
 * goes, however it goes, its end of the IPC channel closes with it, and the program is ended: SIGTERM, and SIGKILL after
 * GRACE_MS. Sits in a session of its own, so Ctrl-C in a terminal reaches neither: the parent decides.
 */
const [graceMs = '0', command = '', ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });

function stop() {
  child.kill(Number(graceMs) > 0 ? 'SIGTERM' : 'SIGKILL');
  setTimeout(() => child.kill('SIGKILL'), Number(graceMs));
}
process.on('disconnect', stop);
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

child.on('error', error => {
  console.error(error.message);
  process.exit(127);
});
child.on('exit', code => process.exit(code ?? 1));
// The parent may be gone already: then `disconnect` says so.
process.send?.({ pid: child.pid }, undefined, undefined, () => {});
