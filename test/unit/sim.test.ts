import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { generate } from '../sim/generate.ts';
import { MUTANTS, mutated } from '../sim/mutants/list.ts';
import { runAll } from '../sim/pool.ts';
import regressions from '../sim/regressions.json' with { type: 'json' };
import { run } from '../sim/run.ts';
import { SCENARIOS } from '../sim/scenarios.ts';
import type { Script } from '../sim/script.ts';

/** A taste of `npm run test:sim`, so that every test run covers it. */

describe('a run', () => {
  it('is the same again for the same seed', async () => {
    // given a seed with crashes and several tenants, when it runs twice
    const [first, second] = [await run(generate(7)), await run(generate(7))];

    // then everybody did the same at the same times
    expect(first.timeline.length).toBeGreaterThan(20);
    expect(second.timeline).toEqual(first.timeline);
  });

  it('fails where something is broken', async () => {
    // given somebody who takes a mark off, and nobody to put it back as the operator never runs
    const script = { ...generate(7), replicas: [0], faults: [] };

    // when it ends, then nothing has come to be as it must be
    const { problems } = await run(script);
    expect(problems.join('\n')).toMatch(/late: for \d+ s: .*|not settled/);
  });
});

it('what failed once does not fail again', async () => {
  for (const { name, script } of regressions as { name: string; script: Script }[]) {
    expect((await run(script)).problems, name).toEqual([]);
  }
});

describe('every scenario', () => {
  it.each(SCENARIOS.map(scenario => [scenario.name, scenario] as const))('%s', async (_name, { script }) => {
    expect((await run(script)).problems).toEqual([]);
  });
});

describe('every mutant', () => {
  it.each(MUTANTS.map(mutant => [mutant.name, mutant] as const))('still applies: %s', (_name, mutant) => {
    const source = readFileSync(new URL(`../../operator/${mutant.file}`, import.meta.url), 'utf8');
    const changed = mutated(mutant, source);
    expect(changed).toBeDefined();
    expect(changed).not.toBe(source);
  });
});

describe('seeds', () => {
  it.each(Array.from({ length: 16 }, (_, index) => index + 1))('%i', async seed => {
    expect((await run(generate(seed))).problems).toEqual([]);
  });
});

describe('a batch of runs', () => {
  const tasks = Array.from({ length: 9 }, (_, at) => ({ name: `seed ${at}`, script: generate(at) }));

  it.each([1, 2])('begins no run after its time is over (%d workers)', async workers => {
    expect(await runAll(tasks, { workers, until: 0 })).toEqual([]);
  });
});
