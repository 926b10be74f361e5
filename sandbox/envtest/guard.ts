import { spawn } from 'node:child_process';

/**
 * `guard.ts GRACE_MS COMMAND ARG…`: runs a program for as long as the parent process lives. When the parent ends for any reason, the
 * IPC channel closes, and the guard sends the program SIGTERM and, after GRACE_MS milliseconds, SIGKILL. The guard has its own
 * session, so that Ctrl-C in a terminal reaches neither it nor the program: the parent decides when they stop.
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
// If the parent has already ended, this call fails and `disconnect` follows.
process.send?.({ pid: child.pid }, undefined, undefined, () => {});
