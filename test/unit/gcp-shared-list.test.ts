import { expect, test } from 'vitest';
import { createSharedList, type Listed } from '../../operator/gcp/sharedList.ts';
import type { Read } from '../../operator/tenant/types.ts';
import type { Runtime } from '../../ports/runtime.ts';

/** What a list that is shared answers, where calls begin and end in every order. Values are texts. */

const AGE = 60_000;
const ABSENT = 10_000;

/** Calls that end when the test says so. */
function given() {
  let time = 0;
  const runtime = { monotonic: () => time } as Runtime;
  const lists: ((answer: Listed<string>) => void)[] = [];
  const gets: { key: string; end(read: Read<string>): void }[] = [];
  const shared = createSharedList<string>(runtime, () => new Promise(end => lists.push(end)), ABSENT);
  return {
    shared,
    lists,
    gets,
    pass: (ms: number) => {
      time += ms;
    },
    read: (key: string, maxAgeMs: number) =>
      shared.read(key, maxAgeMs, () => new Promise(end => gets.push({ key, end }))),
    /** The list that runs ends with these. */
    async listed(values: Record<string, string>, more: { pages?: number; partial?: boolean } = {}) {
      const items = new Map(Object.entries(values));
      lists.at(-1)?.({ ok: true, listing: { items, pages: 1, partial: false, ...more } });
      await settled();
    },
    async refused(passes: boolean) {
      lists.at(-1)?.({ ok: false, failure: { kind: 'Transient', message: 'no' }, passes });
      await settled();
    },
    async got(read: Read<string>) {
      gets.at(-1)?.end(read);
      await settled();
    },
    calls: () => [lists.length, gets.length],
  };
}

const settled = () => new Promise(setImmediate);
const present = (value: string): Read<string> => ({ state: 'present', value });
const absent: Read<string> = { state: 'absent' };
const failed: Read<string> = { state: 'failed', failure: { kind: 'Transient', message: 'no' } };

/** A list that costs ten calls, so that one reader alone does not ask for it. */
async function dear() {
  const world = given();
  const first = world.read('a', AGE);
  await world.listed({ a: '1', b: '1' }, { pages: 10 });
  await first;
  return world;
}

test('what was read alone after a list began is not undone by that list', async () => {
  const world = await dear();
  world.pass(AGE + 1);
  // Eleven who can do with an older answer: the list pays.
  const many = Array.from({ length: 11 }, () => world.read('a', AGE));
  expect(world.calls()[0]).toBe(2);
  world.shared.wrote('b', false);
  const fresh = world.read('b', 0);
  expect(world.gets.at(-1)?.key).toBe('b');
  await world.got(present('2'));
  expect(await fresh).toEqual(present('2'));
  await world.listed({ a: '1', b: '1' }, { pages: 10 });
  for (const get of world.gets) get.end(present('1'));
  await Promise.all(many);
  expect(await world.read('b', AGE)).toEqual(present('2'));
});

test('what was read alone before a list began gives way to what the list says', async () => {
  const world = await dear();
  world.pass(1);
  const alone = world.read('b', 0);
  await world.got(present('2'));
  await alone;
  world.pass(AGE + 1);
  const many = Array.from({ length: 12 }, () => world.read('a', AGE));
  await world.listed({ a: '1', b: '3' }, { pages: 10 });
  for (const get of world.gets) get.end(present('1'));
  await Promise.all(many);
  expect(await world.read('b', AGE)).toEqual(present('3'));
});

test('an answer that comes late does not replace a fresher one', async () => {
  const world = await dear();
  world.pass(1);
  const [early, late] = [world.read('b', 0), world.read('b', 0)];
  world.gets.at(1)?.end(present('new'));
  await settled();
  world.gets.at(0)?.end(present('old'));
  expect([await early, await late]).toEqual([present('old'), present('new')]);
  expect(await world.read('b', AGE)).toEqual(present('new'));
});

test('a failed read of one alone leaves what is known, and what is doubted', async () => {
  const world = await dear();
  world.shared.wrote('b', false);
  const doubted = world.read('b', AGE);
  await world.got(failed);
  expect(await doubted).toEqual(failed);
  const again = world.read('b', AGE);
  expect(world.calls()).toEqual([1, 2]);
  await world.got(present('2'));
  expect(await again).toEqual(present('2'));
  expect(await world.read('b', AGE)).toEqual(present('2'));
  expect(world.calls()).toEqual([1, 2]);
});

test('what was in the list before and is not in this one is asked for once, and then believed', async () => {
  const world = given();
  const first = world.read('a', 0);
  await world.listed({ a: '1' });
  await first;
  const second = world.read('b', 0);
  await world.listed({});
  expect(await second).toEqual(absent);
  const gone = world.read('a', AGE);
  expect(world.calls()).toEqual([2, 1]);
  await world.got(absent);
  expect(await gone).toEqual(absent);
  expect(await world.read('a', AGE)).toEqual(absent);
  expect(world.calls()).toEqual([2, 1]);
});

test('an absence that only a GET told of is no reason to doubt the next list', async () => {
  const world = await dear();
  world.pass(1);
  const missing = world.read('c', 0);
  await world.got(absent);
  expect(await missing).toEqual(absent);
  world.pass(AGE + 1);
  const many = Array.from({ length: 12 }, () => world.read('a', AGE));
  await world.listed({ a: '1', b: '1' }, { pages: 10 });
  for (const get of world.gets) get.end(present('1'));
  await Promise.all(many);
  const calls = world.calls();
  expect(await world.read('c', AGE)).toEqual(absent);
  expect(world.calls()).toEqual(calls);
});

test('a partial list tells what is there, and of the rest each is asked for', async () => {
  const world = given();
  const [here, missing] = [world.read('a', 0), world.read('b', 0)];
  await world.listed({ a: '1' }, { partial: true });
  expect(await here).toEqual(present('1'));
  await world.listed({ a: '1' }, { partial: true });
  expect(world.gets.at(-1)?.key).toBe('b');
  await world.got(absent);
  expect(await missing).toEqual(absent);
  // The GET is younger than the list: its word counts.
  const calls = world.calls();
  expect(await world.read('b', AGE)).toEqual(absent);
  expect(await world.read('a', AGE)).toEqual(present('1'));
  expect(world.calls()).toEqual(calls);
});

test('nothing is known before the first list, not even that something is missing', async () => {
  const world = given();
  const first = world.read('a', Number.POSITIVE_INFINITY);
  expect(world.calls()).toEqual([1, 0]);
  await world.listed({});
  expect(await first).toEqual(absent);
  expect(await world.read('a', Number.POSITIVE_INFINITY)).toEqual(absent);
  world.pass(ABSENT);
  expect(await world.read('a', Number.POSITIVE_INFINITY)).toEqual(absent);
  world.pass(1);
  world.read('a', Number.POSITIVE_INFINITY);
  expect(world.calls()).toEqual([2, 0]);
});

test('who comes while a list runs takes it if it began after their own write, and else the next', async () => {
  const world = given();
  const first = world.read('a', AGE);
  world.shared.wrote('a', true);
  const [second, third] = [world.read('a', AGE), world.read('b', AGE)];
  await world.listed({ a: '1', b: '1' });
  expect([await first, await third]).toEqual([present('1'), present('1')]);
  expect(world.calls()).toEqual([2, 0]);
  await world.listed({ a: '2', b: '1' });
  expect(await second).toEqual(present('2'));
});

test('a write of ours that a list has seen is forgotten: the list’s age alone counts then', async () => {
  const world = given();
  world.shared.wrote('a', true);
  const first = world.read('a', AGE);
  await world.listed({ a: '1' });
  expect(await first).toEqual(present('1'));
  expect(await world.read('a', AGE)).toEqual(present('1'));
  world.shared.wrote('a', true);
  const second = world.read('a', AGE);
  expect(world.calls()).toEqual([2, 0]);
  await world.listed({ a: '2' });
  expect(await second).toEqual(present('2'));
});

test('a refused list is asked for again after five minutes, and each is read alone until then', async () => {
  const world = given();
  const first = world.read('a', 0);
  await world.refused(false);
  await world.got(present('1'));
  expect(await first).toEqual(present('1'));
  world.pass(299_999);
  world.read('a', 0);
  expect(world.calls()).toEqual([1, 2]);
  world.pass(1);
  world.read('a', 0);
  expect(world.calls()).toEqual([2, 2]);
});

test('one failed list answers everybody who needs a list until its backoff is over; the backoff grows and is bounded', async () => {
  const world = given();
  let waited = 1_000;
  for (let lists = 1; lists <= 8; lists++) {
    const asking = ['a', 'b', 'c'].map(key => world.read(key, 0));
    await world.refused(true);
    expect(await Promise.all(asking)).toEqual([failed, failed, failed]);
    world.pass(waited - 1);
    for (let reader = 0; reader < 100; reader++) expect(await world.read(String(reader), 0)).toEqual(failed);
    expect(world.calls()).toEqual([lists, 0]);
    world.pass(1);
    waited = Math.min(15_000, waited * 2);
  }
  const healed = world.read('a', 0);
  await world.listed({ a: '1' });
  expect(await healed).toEqual(present('1'));
});

test('what is known well enough is answered also while lists fail', async () => {
  const world = given();
  const first = world.read('a', 0);
  await world.listed({ a: '1' });
  await first;
  const fresh = world.read('a', 0);
  await world.refused(true);
  expect(await fresh).toEqual(failed);
  expect(await world.read('a', AGE)).toEqual(present('1'));
});

test('a list costs its pages, or a call for each hundred items, whichever is more', async () => {
  for (const [items, pages] of [
    [250, 1],
    [2, 3],
  ] as const) {
    const world = given();
    const first = world.read('0', 0);
    await world.listed(Object.fromEntries(Array.from({ length: items }, (_, i) => [String(i), ''])), { pages });
    await first;
    // Two read alone; the third has cost as much as a list.
    for (let i = 0; i < 3; i++) {
      world.read('0', 0);
      await settled();
    }
    expect(world.calls()).toEqual([2, 2]);
  }
});

test('keysOf and size tell of what was there when last looked at', async () => {
  const world = given();
  expect(world.shared.size()).toBe(0);
  expect(world.shared.keysOf(() => true)).toEqual([]);
  const first = world.read('a', 0);
  await world.listed({ a: 'x', b: 'y' }, { pages: 5 });
  await first;
  const gone = world.read('c', 0);
  await world.got(absent);
  await gone;
  expect(world.shared.keysOf(() => true)).toEqual(['a', 'b']);
  expect(world.shared.keysOf(value => value === 'y')).toEqual(['b']);
  expect(world.shared.size()).toBe(3);
});

/** One who looks again every `2 * AGE`, and what they were told. */
function regular(world: ReturnType<typeof given>) {
  const told: string[] = [];
  const read = (key: string, maxAgeMs = AGE) =>
    world.shared.read(
      key,
      maxAgeMs,
      () => new Promise(end => world.gets.push({ key, end })),
      () => told.push(key),
    );
  return { told, read };
}

test('who relied on an older list is told, once, if the next says otherwise: changed, gone or there', async () => {
  const world = given();
  const { told, read } = regular(world);
  const keeper = read('keeper');
  await world.listed({ keeper: '1', same: '1', changed: '1', gone: '1' });
  await keeper;
  world.pass(ABSENT);
  for (const key of ['same', 'changed', 'gone', 'new']) await read(key);
  expect(world.calls()).toEqual([1, 0]);
  world.pass(AGE);
  const again = read('keeper');
  await world.listed({ keeper: '2', same: '1', changed: '2', new: '1' });
  expect(await again).toEqual(present('2'));
  expect(told).toEqual(['changed', 'gone', 'new']);
  world.pass(2 * AGE);
  const last = read('keeper');
  await world.listed({});
  await world.got(absent);
  await last;
  expect(told).toEqual(['changed', 'gone', 'new']);
});

test('nobody is told of what we wrote ourselves', async () => {
  const world = given();
  const { told, read } = regular(world);
  const keeper = read('keeper');
  await world.listed({ keeper: '1', mine: '1' });
  await keeper;
  world.pass(1);
  await read('mine');
  world.shared.wrote('mine', true);
  world.pass(2 * AGE);
  const again = read('keeper');
  await world.listed({ keeper: '1', mine: '2' });
  await again;
  expect(told).toEqual([]);
});

test('a regular reader relies on no list whose readers may not come back in time', async () => {
  const world = given();
  const { read } = regular(world);
  const once = world.read('a', 0);
  await world.listed({ a: '1', b: '1' });
  await once;
  const mine = read('b');
  expect(world.calls()).toEqual([2, 0]);
  await world.listed({ a: '1', b: '2' });
  expect(await mine).toEqual(present('2'));
  // That list is kept by one who comes back after 2 * AGE: too late for a hastier one, early enough for a slower one.
  world.pass(1);
  expect(await read('a', 2 * AGE)).toEqual(present('1'));
  expect(world.calls()).toEqual([2, 0]);
  read('a', AGE / 2);
  expect(world.calls()).toEqual([3, 0]);
});

test('a list that somebody relied on is followed by another, however dear it is; else one reads alone', async () => {
  const world = await dear();
  const { told, read } = regular(world);
  world.pass(3 * AGE);
  // Few ask, and what they ask for does not make up for a list.
  const alone = read('a');
  expect(world.calls()).toEqual([1, 1]);
  await world.got(present('1'));
  await alone;
  const many = Array.from({ length: 11 }, () => read('a'));
  expect(world.calls()[0]).toBe(2);
  await world.listed({ a: '1', b: '1' }, { pages: 100 });
  for (const get of world.gets) get.end(present('1'));
  await Promise.all(many);
  world.pass(1);
  expect(await read('b')).toEqual(present('1'));
  world.pass(AGE);
  const again = read('a');
  expect(world.calls()[0]).toBe(3);
  await world.listed({ a: '1', b: '2' }, { pages: 100 });
  await again;
  expect(told).toEqual(['b']);
});

test('who relied on a list is not told by one that was refused', async () => {
  const world = given();
  const { told, read } = regular(world);
  const keeper = read('a');
  await world.listed({ a: '1', b: '1' });
  await keeper;
  world.pass(1);
  await read('b');
  world.pass(AGE);
  const again = read('a');
  await world.refused(false);
  await world.got(present('2'));
  expect(await again).toEqual(present('2'));
  expect(told).toEqual([]);
});

test('where the list is refused, nothing is kept of what was read and written before', async () => {
  const world = await dear();
  for (let round = 0; round < 20; round++) {
    for (let i = 0; i < 10; i++) {
      const reading = world.read(`${round}-${i}`, 0);
      if (world.calls()[0] === round + 2) await world.refused(false);
      await settled();
      await world.got(absent);
      await reading;
      world.shared.wrote(`${round}-${i}`, i % 2 === 0);
    }
    world.pass(300_001);
  }
  expect(world.shared.size()).toBeLessThanOrEqual(20);
});
