import { createInterface } from 'node:readline';

/**
 * A process of its own that outlives the sandbox by a moment: the sandbox writes `+PID` and `-PID` lines for the process
 * groups it starts; when the pipe closes, for whatever reason (kill -9 too), those still there are killed.
 */
const groups = new Set<number>();

createInterface({ input: process.stdin })
  .on('line', line => {
    const pid = Number(line.slice(1));
    if (!Number.isSafeInteger(pid) || pid <= 1) return;
    if (line.startsWith('+')) groups.add(pid);
    else groups.delete(pid);
  })
  .on('close', () => {
    for (const pid of groups) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It went by itself.
      }
    }
    process.exit();
  });

// A Ctrl-C in the terminal is for the sandbox, which stops its instances in order.
process.on('SIGINT', () => {});
