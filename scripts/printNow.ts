import { writeSync } from 'node:fs';

/**
 * Prints a line before it returns, also while the process exits. `console.log` leaves what does not fit into a full pipe for later, and
 * after `exit` there is no later (https://nodejs.org/api/process.html#a-note-on-process-io).
 */
export function printNow(line: string): void {
  // What console.log has left may end in the middle of a line.
  const start = process.stdout.writableLength > 0 ? '\n' : '';
  for (let rest = Buffer.from(`${start}${line}\n`); rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // The reader of the pipe is slow. Any other error means that nobody reads.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}
