import assert from 'node:assert';

export interface Tally {
  of(name: string): number;
  add(name: string, change: 1 | -1): void;
}

/** Counts by name. A count of 0 takes no memory; a count below 0 is a bug of the caller. */
export function createTally(): Tally {
  const counts = new Map<string, number>();
  const of = (name: string): number => counts.get(name) ?? 0;
  return {
    of,
    add(name, change) {
      const count = of(name) + change;
      assert(count >= 0, `the count of ${name} is negative`);
      if (count === 0) counts.delete(name);
      else counts.set(name, count);
    },
  };
}
