import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { shareStrings } from '../../operator/collections/commonStrings.ts';
import { json } from '../../operator/gcp/parse.ts';
import type { Json } from '../../ports/json.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const heap = (): number => {
  gc();
  return process.memoryUsage().heapUsed;
};

const COUNT = 20_000;

/** Bytes of heap for each of many answers that are made by `make`. */
function bytesEach(make: (text: string) => unknown): number {
  const answers: unknown[] = [];
  const before = heap();
  for (let i = 0; i < COUNT; i++)
    answers.push(make(JSON.stringify({ a: 'a value that many answers contain', id: `${i}` })));
  const used = heap() - before;
  return used / answers.length;
}

test('a string that many answers contain is kept once', () => {
  // The first time, V8 compiles.
  bytesEach(json);
  const [copied, shared] = [bytesEach(text => JSON.parse(text)), bytesEach(json)];
  expect(copied - shared).toBeGreaterThan(30);
});

test('values stay as they are', () => {
  const text = `{"__proto__":{"a":"x"},"list":["x",{"b":"x"},["x"],null,1,true],"long":"${'y'.repeat(500)}","":""}`;
  const value = shareStrings(JSON.parse(text) as Json);
  expect(JSON.stringify(value)).toBe(text);
  expect(Object.hasOwn(value as object, '__proto__')).toBe(true);
  expect(shareStrings('x')).toBe('x');
  expect(shareStrings(null)).toBe(null);
});

test('an answer that is nested deeper than the stack is no problem', () => {
  let deep: Json = 'x';
  for (let i = 0; i < 200_000; i++) deep = [deep];
  expect(shareStrings([deep])).toHaveLength(1);
});

test('strings that are not used again are dropped', () => {
  const before = heap();
  for (let i = 0; i < 50_000; i++) json(`["a name that only one answer contains, ${i}"]`);
  expect(heap() - before).toBeLessThan(1_000_000);
});
