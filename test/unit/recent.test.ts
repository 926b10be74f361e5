import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRecent } from '../../operator/collections/recent.ts';

/** The same by looking at everything each time. */
function slowRecent(forMs: number, most: number, isKept: (value: number) => boolean) {
  let entries: { key: string; value: number; at: number }[] = [];
  const prune = (now: number, newest?: string) => {
    for (const entry of [...entries]) {
      const isOne = now - entry.at > forMs || entries.length > most;
      if (isOne && entry.key !== newest && !isKept(entry.value)) entries = entries.filter(other => other !== entry);
    }
  };
  return {
    get(key: string, now: number) {
      prune(now);
      return entries.find(entry => entry.key === key)?.value;
    },
    set(key: string, value: number, now: number) {
      entries = [...entries.filter(entry => entry.key !== key), { key, value, at: now }];
      prune(now, key);
    },
    delete(key: string) {
      entries = entries.filter(entry => entry.key !== key);
    },
    values(now: number) {
      prune(now);
      return entries.map(({ value }) => value);
    },
  };
}

test('what was not set again for so long is dropped, and the oldest beyond a number, but nothing that is kept', () => {
  const step = fc.record({
    passMs: fc.nat(40),
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    value: fc.nat(9),
    kind: fc.constantFrom('get', 'set', 'set', 'delete', 'values'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 6 }), (steps, most) => {
      let now = 0;
      const isKept = (value: number) => value === 9;
      const recent = createRecent<number>({ monotonic: () => now }, { forMs: 100, most, isKept });
      const model = slowRecent(100, most, isKept);
      for (const { passMs, key, value, kind } of steps) {
        now += passMs;
        if (kind === 'get') expect(recent.get(key)).toBe(model.get(key, now));
        else if (kind === 'values') expect(recent.values()).toEqual(model.values(now));
        else if (kind === 'delete') {
          recent.delete(key);
          model.delete(key);
        } else {
          recent.set(key, value);
          model.set(key, value, now);
        }
      }
    }),
  );
});
