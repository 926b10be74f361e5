import type { Log } from './log.ts';

export type BugKind = 'request' | 'unhandledRejection' | 'uncaughtException';
export type OnBug = (kind: BugKind, error: unknown) => void;

/**
 * Installs the handlers for errors that no other code has caught, and returns the function that reports a bug: it writes one log
 * line and counts it.
 *
 * - A rejected promise that no code handles concerns one task only. The loops (reflector, lease, queue) catch their own errors, and
 *   every key is reconciled again, so the process continues.
 * - After an exception outside of any promise the process's state is unknown (Node.js: "It is not safe to resume normal operation"):
 *   `stop` ends it in order, which also releases the lease for another replica.
 * - An error of standard output, for instance because the reader of the log has ended, is ignored.
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
