import { readdirSync, readFileSync } from 'node:fs';

/** In the environment of every process that a supervisor starts, and so of all that these start themselves. */
export const MARK = 'AITENANT_SANDBOX_PROCESS';

/** More than once, because a process may start another one while the list is read. */
const PASSES = 3;

/**
 * Kills what carries one of the marks: also what has left the process group by a session of its own (setsid), which a container's
 * end would take with it. Linux only, where /proc has each process's first environment; elsewhere it does nothing.
 */
export function killMarked(marks: readonly string[]): void {
  for (let pass = 0; pass < PASSES; pass++) {
    const found = processes().filter(pid => pid !== process.pid && marks.includes(markOf(pid) ?? ''));
    if (found.length === 0) return;
    for (const pid of found) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }
}

function processes(): number[] {
  try {
    return readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

function markOf(pid: number): string | undefined {
  try {
    const variables = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
    return variables.find(variable => variable.startsWith(`${MARK}=`))?.slice(MARK.length + 1);
  } catch {
    // It has ended, or belongs to another user.
    return undefined;
  }
}
