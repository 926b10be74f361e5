import type { Operator } from '../../operator/operator.ts';
import type { Timeline } from './timeline.ts';
import { INTERVAL_MS, until } from './world.ts';

/** An interval passes in so many steps: its slots come one after the other, as they do in real time. */
const STEPS = 40;

/** Tenants that wait or run. */
export function queued(operator: Operator): number {
  const { depth, running } = operator.stats();
  return depth.edit + depth.retry + depth.resync + running;
}

/** The queue is empty and stays so. */
export async function settled(operator: Operator): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    await until(() => queued(operator) === 0, 'the queue is empty');
    await new Promise(resolve => setTimeout(resolve, 5));
    if (queued(operator) > 0) quiet = -1;
  }
}

/** Lets one interval pass. */
export async function pass(time: Timeline, operator: Operator): Promise<void> {
  for (let step = 0; step < STEPS; step++) {
    time.skip(INTERVAL_MS / STEPS);
    await settled(operator);
  }
}
