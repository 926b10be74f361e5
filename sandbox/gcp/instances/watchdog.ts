import { createInterface } from 'node:readline';
import { killMarked } from './marked.ts';

/**
 * A process of its own that outlives the sandbox by a moment: the sandbox writes `+PID MARK` and `-PID` lines for the process
 * groups it starts; when the pipe closes, for whatever reason (kill -9 too), those still there are killed.
 */
const groups = new Map<number, string>();

createInterface({ input: process.stdin })
  .on('line', line => {
    const [number = '', mark = ''] = line.slice(1).split(' ');
    const pid = Number(number);
    if (!Number.isSafeInteger(pid) || pid <= 1) return;
    if (line.startsWith('+')) groups.set(pid, mark);
    else groups.delete(pid);
  })
  .on('close', () => {
    for (const pid of groups.keys()) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It went by itself.
      }
    }
    killMarked([...groups.values()].filter(Boolean));
    process.exit();
  });

// A Ctrl-C in the terminal is for the sandbox, which stops its instances in order.
process.on('SIGINT', () => {});
