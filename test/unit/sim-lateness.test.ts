import { describe, expect, test } from 'vitest';
import { createClock, createRandom } from '../sim/clock.ts';
import { createLateness } from '../sim/lateness.ts';
import type { Fault, Script } from '../sim/script.ts';

const KILL: Fault = { at: 0, fault: 'kill', cluster: 0, replica: 0, forMs: 60_000 };

function script(faults: Fault[]): Script {
  return {
    seed: 1,
    replicas: [1],
    cloud: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 0 },
    latencyMs: 10,
    watchLagMs: 0,
    spanMs: 0,
    steps: [],
    faults,
  };
}

/** One tenant whose problems a test sets, and what the oracle of lateness says of it. */
function watching(faults: Fault[] = []) {
  const clock = createClock(createRandom(1));
  const state = { generation: 1, problems: [] as string[] };
  const late: string[] = [];
  const lateness = createLateness({
    clock,
    script: script(faults),
    watched: () => [{ tenant: 'alpha', ...state }],
    onLate: text => late.push(text),
  });
  return { clock, state, late, lateness };
}

const OPEN = 'alpha: public access of service is true, not false';
const DRIFT = 'alpha: timeout of service is 1, not 2';

describe('the simulation’s oracle of lateness', () => {
  test('drift that stands longer than an interval is told once', async () => {
    const { clock, state, late } = watching();
    await clock.advance(2_000);
    state.problems = [DRIFT];
    await clock.advance(175_000);
    expect(late).toEqual([]);
    await clock.advance(200_000);
    expect(late).toHaveLength(1);
    expect(late[0]).toContain(DRIFT);
  });

  test('what is put right in between begins its time anew', async () => {
    const { clock, state, late, lateness } = watching();
    for (let round = 0; round < 5; round++) {
      state.problems = [DRIFT];
      await clock.advance(100_000);
      state.problems = [];
      lateness.check();
    }
    expect(late).toEqual([]);
  });

  test('access that an edit closes has five seconds, by hand an interval', async () => {
    const { clock, state, late, lateness } = watching();
    await clock.advance(2_000);
    state.problems = [OPEN];
    await clock.advance(20_000);
    expect(late).toEqual([]);
    state.problems = [];
    await clock.advance(2_000);
    Object.assign(state, { generation: 2, problems: [OPEN] });
    // As after every step.
    lateness.check();
    await clock.advance(4_000);
    expect(late).toEqual([]);
    await clock.advance(4_000);
    expect(late).toHaveLength(1);
  });

  test('edits and touches of other things, and other words for the same, are no excuse', async () => {
    const { clock, state, late, lateness } = watching();
    for (let second = 0; second < 200; second++) {
      Object.assign(state, {
        generation: second,
        problems: [`alpha: Ready is Updating (${second}), not UpToDate`, DRIFT],
      });
      lateness.step({ at: 0, who: 'rotation', do: 'add', secret: 'key-1', back: 0 });
      await clock.advance(1_000);
    }
    expect(late).toHaveLength(1);
    expect(late[0]).toContain(DRIFT);
  });

  test('while something fails nothing is late; after it there is a bound again', async () => {
    const { clock, state, late, lateness } = watching([KILL]);
    state.problems = [DRIFT];
    for (let minute = 0; minute < 20; minute++) {
      lateness.fault(KILL);
      await clock.advance(60_000);
    }
    expect(late).toEqual([]);
    await clock.advance(600_000);
    expect(late).toHaveLength(1);
  });
});
