import { runInThisContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { fuzz, randomFrom } from '../fuzz/fuzzer.ts';
import { targets } from '../fuzz/targets.ts';

/** A short run of `npm run fuzz`, from another seed each time. */
const seed = Date.now() % 1e9;
const RUNS = 2_000;

describe('the fuzzer', () => {
  // A declaration: what stands in parentheses V8 compiles at once, and then not again when it is to count.
  const planted = runInThisContext(
    `function planted(text) {
      if (text[0] !== 'k') return 0;
      if (text[1] !== '7') return 1;
      if (text[2] !== ':') return 2;
      if (text[3] === 'z') throw new Error('found');
      return 3;
    }
    planted`,
    { filename: 'fuzzed.js' },
  ) as (text: string) => number;
  const target = { name: 'planted', seeds: ['abcd'], words: [], run: (text: string) => void planted(text) };

  test('follows what is reached, and finds what chance alone does not', () => {
    const guided = fuzz(target, randomFrom(7), runs => runs > 200_000);
    expect(guided.failure?.input).toBe('k7:z');
    expect(guided.kept).toBeGreaterThan(3);
    const random = randomFrom(7);
    const blind = () => String.fromCharCode(...Array.from({ length: 4 }, () => Math.floor(random() * 128)));
    for (let runs = 0; runs < guided.runs; runs++) expect(() => planted(blind())).not.toThrow();
  });
});

test.each(targets)(`$name: ${RUNS} inputs`, { timeout: 120_000 }, target => {
  const runs = target.name.startsWith('manifests') ? RUNS / 20 : RUNS;
  const { failure, reached } = fuzz(target, randomFrom(seed), count => count >= runs);
  expect(failure, `npm run fuzz -- --seed ${seed} "${target.name}"`).toBeUndefined();
  // It saw the code that it was to follow.
  expect(reached).toBeGreaterThan(500);
});
