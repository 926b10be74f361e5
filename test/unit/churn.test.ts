import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ChurnWorld } from '../../bench/support/churn.ts';
import type { JsonObject } from '../../ports/json.ts';

/**
 * What the operator still holds of tenants that are gone, in virtual time. Every Map and Set that the operator's code (or the
 * metrics library) makes is recorded with the line that makes it; after a garbage collection those that are left are the
 * long-lived ones, and their entries are counted.
 */

const made: { ref: WeakRef<Map<unknown, unknown> | Set<unknown>>; line: string }[] = [];
const [PlainMap, PlainSet] = [Map, Set];
const OURS = /\/((?:operator|node_modules\/prom-client)\/[^():]+:\d+)/;

function record(collection: Map<unknown, unknown> | Set<unknown>): void {
  const { stackTraceLimit, prepareStackTrace } = Error;
  Error.stackTraceLimit = 3;
  // As the engine has it: to map each of them to its source takes a hundred times as long.
  Error.prepareStackTrace = (_, sites) => `${sites[2]?.getFileName()}:${sites[2]?.getLineNumber()}`;
  const maker = String(new Error().stack);
  Object.assign(Error, { stackTraceLimit, prepareStackTrace });
  const line = OURS.exec(maker)?.[1];
  if (line !== undefined) made.push({ ref: new WeakRef(collection), line });
}

beforeAll(() => {
  globalThis.Map = class<K, V> extends PlainMap<K, V> {
    constructor(entries?: Iterable<readonly [K, V]> | null) {
      super(entries);
      record(this);
    }
  } as MapConstructor;
  globalThis.Set = class<T> extends PlainSet<T> {
    constructor(values?: Iterable<T> | null) {
      super(values);
      record(this);
    }
  } as SetConstructor;
});
afterAll(() => {
  globalThis.Map = PlainMap;
  globalThis.Set = PlainSet;
});

/** Entries of all Maps and Sets that are reachable, by the line that made them. */
async function entriesByLine(): Promise<Record<string, number>> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  // A WeakRef that was read keeps its target until the turn of the event loop ends.
  for (let turn = 0; turn < 3; turn++) {
    await sleep(1);
    gc();
  }
  const entries: Record<string, number> = {};
  for (const { ref, line } of made) {
    const size = ref.deref()?.size ?? 0;
    if (size > 0) entries[line] = (entries[line] ?? 0) + size;
  }
  return entries;
}

async function series(world: ChurnWorld): Promise<string[]> {
  const lines = (await world.metrics()).split('\n').filter(line => !line.startsWith('#'));
  return lines.filter(line => /team-|project-|tenant-/.test(line));
}

/** Of calls about tenants that come and go, one in six fails in one of these ways. */
function failures() {
  const codes = ['UNAVAILABLE', 'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'DEADLINE_EXCEEDED'] as const;
  let calls = 0;
  return (_method: string, request: JsonObject) =>
    /project-/.test(JSON.stringify(request)) && ++calls % 6 === 0 ? codes[(calls / 6) % codes.length] : undefined;
}

test('nothing is kept of tenants, namespaces and projects that are gone: no entry in any Map or Set, no series', async () => {
  const { createChurnWorld } = await import('../../bench/support/churn.ts');
  const world = await createChurnWorld();
  await world.rest();
  const before = await entriesByLine();
  expect(Object.keys(before).length, 'the Maps and Sets of the standing tenants are found').toBeGreaterThan(10);

  world.broken = failures();
  await world.churn(25);
  world.broken = () => undefined;
  await world.churn(25);
  expect((await series(world)).length, 'there are series while the tenants are there').toBeGreaterThan(0);
  await world.rest();

  expect(await entriesByLine()).toEqual(before);
  expect(await series(world)).toEqual([]);
  await world.release();
}, 300_000);
