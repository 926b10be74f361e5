import assert from 'node:assert';
import type { Runtime } from '../../ports/runtime.ts';
import type { Priority } from '../collections/fairQueue.ts';
import { createTally } from '../collections/tally.ts';

/**
 * The places of a work queue decide which run may start.
 *
 * 1. There are as many places as workers. A run holds a place from its start until it ends or becomes slow.
 * 2. Resyncs hold at most three quarters of the places, so an edit finds a free one however slow the resyncs are.
 * 3. A run that takes longer than 2 s is waiting for a server that does not answer. It continues without its place, which
 *    another run may then take.
 * 4. The number of runs, slow ones included, is limited for each region of a project and for each project, but not over all
 *    of them. A project that does not answer therefore takes no place from the others.
 */

/** A run that has not ended. */
export interface Run {
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  readonly priority: Priority;
  /** `PROJECT/REGION` of the calls that the run makes. */
  readonly destination: string;
  /** The run takes so long that it no longer holds a place. */
  isSlow: boolean;
}

const SLOW_MS = 2_000;
/** The most runs at once in one region of a project and in one project, in multiples of the number of workers. */
const MOST_TIMES = { destination: 2, project: 4 };

export function createPlaces(runtime: Runtime, workers: number) {
  const mostResyncs = Math.max(1, workers - Math.ceil(workers / 4));
  /** All runs that have not ended, in the order in which they started, so that the slow ones come first. */
  const running = new Set<Run>();
  /** Runs that hold a place, by priority and in all. */
  const held = createTally();
  /** Runs, slow ones included, by destination and by project: the limits of rule 4. */
  const ofDestination = createTally();
  const ofProject = createTally();
  let cancelTimer: (() => void) | undefined;

  function count({ priority, isSlow, destination }: Run, change: 1 | -1): void {
    ofDestination.add(destination, change);
    ofProject.add(projectOf(destination), change);
    if (!isSlow) hold(priority, change);
  }

  function hold(priority: Priority, change: 1 | -1): void {
    held.add('all', change);
    held.add(priority, change);
  }

  function lend(onFree: () => void): void {
    cancelTimer = undefined;
    const now = runtime.monotonic();
    for (const run of running) {
      if (run.isSlow) continue;
      if (now - run.startedAt < SLOW_MS) break;
      run.isSlow = true;
      hold(run.priority, -1);
    }
    onFree();
  }

  return {
    isAnyFree: () => held.of('all') < workers,
    /** True if rules 2 and 4 allow such a run to start. */
    allows: (priority: Priority, destination: string): boolean =>
      (priority !== 'resync' || held.of('resync') < mostResyncs) &&
      ofDestination.of(destination) < workers * MOST_TIMES.destination &&
      ofProject.of(projectOf(destination)) < workers * MOST_TIMES.project,
    start(priority: Priority, destination: string): Run {
      const run: Run = { startedAt: runtime.monotonic(), priority, destination, isSlow: false };
      running.add(run);
      count(run, 1);
      assert(held.of('all') <= workers, 'more runs hold a place than there are workers');
      return run;
    },
    end(run: Run): void {
      assert(running.delete(run), 'a run has ended twice');
      count(run, -1);
    },
    /** For a key that waits for a place: calls `onFree` when the oldest run that holds one becomes slow. */
    lendLater(onFree: () => void): void {
      const oldest = running.values().find(({ isSlow }) => !isSlow);
      if (cancelTimer || !oldest) return;
      const ms = Math.max(0, oldest.startedAt + SLOW_MS - runtime.monotonic());
      cancelTimer = runtime.after(ms, () => lend(onFree));
    },
    cancelLending: () => cancelTimer?.(),
    running: () => running.size,
    longestRunMs(): number {
      const [oldest] = running;
      return oldest ? runtime.monotonic() - oldest.startedAt : 0;
    },
  };
}

const projectOf = (destination: string): string => destination.split('/')[0] ?? '';
