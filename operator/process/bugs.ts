import type { Log } from './log.ts';

export type BugKind = 'request' | 'unhandledRejection' | 'uncaughtException';
export type OnBug = (kind: BugKind, error: unknown) => void;

/**
 * Installs the process's last handlers and returns the function that reports a bug: one log line, one count.
 *
 * - A rejected promise that nobody handles leaves only its own task undone. The loops (reflector, lease, queue) catch their own
 *   errors and every key is reconciled again, so the process goes on.
 * - After an exception outside of any promise the process's state is unknown (Node.js: "It is not safe to resume normal operation"):
 *   `stop` ends it in order, which also gives the lease to the other replica.
 * - A log that can't be written (its reader is gone) is no reason to stop.
 */
export function catchBugs(log: Log, count: (kind: BugKind) => void, stop: () => void): OnBug {
  const onBug: OnBug = (kind, error) => {
    count(kind);
    log('error', 'a bug in the operator: please report it with this line', { kind, error: textOf(error) });
  };
  process.stdout.on('error', () => {});
  process.on('unhandledRejection', error => onBug('unhandledRejection', error));
  process.on('uncaughtException', error => {
    onBug('uncaughtException', error);
    stop();
  });
  return onBug;
}

const textOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
