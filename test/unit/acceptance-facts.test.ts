import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Fact } from '../acceptance/fact.ts';
import { FACTS } from '../acceptance/facts/all.ts';
import { recorded, type Verdicts } from '../acceptance/verdicts/verdicts.ts';
import { type FactCloud, factCloud } from './support/factCloud.ts';
import { NOT_OBSERVABLE, POLICIES, UNDER_POLICY } from './support/observable.ts';

const committedFile = new URL('../acceptance/verdicts/local.json', import.meta.url);
/** The verdicts that docs/facts.md shows. */
const { verdicts } = JSON.parse(readFileSync(committedFile, 'utf8')) as Verdicts;

const clouds: FactCloud[] = [];
const opened = async (...options: Parameters<typeof factCloud>): Promise<FactCloud> => {
  const cloud = await factCloud(...options);
  clouds.push(cloud);
  return cloud;
};
afterAll(() => Promise.all(clouds.map(cloud => cloud.close())));

const cheap = FACTS.filter(({ expensive }) => expensive === undefined);
const isSeen = ({ id }: Fact) => !NOT_OBSERVABLE.includes(id) && !UNDER_POLICY.includes(id);

describe('the local Google Cloud', () => {
  let cloud: FactCloud;
  beforeAll(async () => {
    cloud = await opened();
    await cloud.addDenyPolicy();
  });

  test.each(cheap.filter(isSeen))('confirms $id', async fact => {
    expect(await cloud.probe(fact)).toEqual({ verdict: 'confirmed' });
    expect(verdicts[fact.id], 'run: node scripts/facts.ts').toBe('confirmed');
  });

  test.each(cheap.filter(fact => !isSeen(fact)))('shows nothing about $id, and the probe says why', async fact => {
    const verdict = await cloud.probe(fact);
    expect(verdict.verdict).toBe('notObservable');
    const committed = UNDER_POLICY.includes(fact.id) ? 'confirmed' : recorded(verdict);
    expect(verdicts[fact.id], 'run: node scripts/facts.ts').toEqual(committed);
  });
});

test.each(FACTS.filter(({ id }) => UNDER_POLICY.includes(id)))(
  '$id is confirmed where an organization policy is in force',
  async fact => {
    const cloud = await opened({ settings: POLICIES });
    expect(await cloud.probe(fact)).toEqual({ verdict: 'confirmed' });
  },
);

test('every fact has an id of its own, a sentence, a source and a committed verdict', () => {
  expect(Object.keys(verdicts), 'run: node scripts/facts.ts').toEqual(FACTS.map(({ id }) => id));
  expect(new Set(FACTS.map(({ id }) => id)).size).toBe(FACTS.length);
  for (const { id, text, source, unsure } of FACTS) {
    expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
    expect(text, id).toMatch(/^["`A-Z\d].*[."]$/s);
    expect(source, id).toMatch(unsure ? /^\?/ : /^[PDC]: ./);
  }
});
