import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compareRecording } from '../acceptance/recording/compareRecording.ts';

/** Every recording of the folder is a test: one from a real Google Cloud need only be put there. */

const FOLDER = new URL('../acceptance/recordings/', import.meta.url);
const RECORDINGS = readdirSync(FOLDER).filter(name => name.endsWith('.jsonl'));

test('there are recordings of the facts and of the life of a tenant', () => {
  expect(RECORDINGS).toEqual(expect.arrayContaining(['local-facts.jsonl', 'local-life.jsonl']));
});

test.each(RECORDINGS)('%s: the local Google Cloud answers as recorded', { timeout: 180_000 }, async name => {
  const printed: string[] = [];
  const code = await compareRecording(new URL(name, FOLDER).pathname, undefined, text => printed.push(text));
  expect(printed.join('\n')).toMatch(/No difference\.$/);
  expect(code).toBe(0);
});
