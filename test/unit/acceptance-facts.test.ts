import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Fact, Verdict } from '../acceptance/fact.ts';
import { FACTS } from '../acceptance/facts/all.ts';
import { type FactCloud, factCloud } from './support/factCloud.ts';
import { NOT_OBSERVABLE, POLICIES, UNDER_POLICY } from './support/observable.ts';

const clouds: FactCloud[] = [];
const opened = async (...options: Parameters<typeof factCloud>): Promise<FactCloud> => {
  const cloud = await factCloud(...options);
  clouds.push(cloud);
  return cloud;
};
afterAll(() => Promise.all(clouds.map(cloud => cloud.close())));

const cheap = FACTS.filter(({ expensive }) => expensive === undefined);
const isSeen = ({ id }: Fact) => !NOT_OBSERVABLE.includes(id) && !UNDER_POLICY.includes(id);

describe('the local Google Cloud confirms', () => {
  let cloud: FactCloud;
  beforeAll(async () => {
    cloud = await opened();
    await cloud.addDenyPolicy();
  });

  test.each(cheap.filter(isSeen))('$id', async fact => {
    expect(await cloud.probe(fact)).toEqual({ verdict: 'confirmed' });
  });

  test('the other facts are not observable in it', async () => {
    const others = cheap.filter(fact => !isSeen(fact));
    const verdicts: Verdict['verdict'][] = [];
    for (const fact of others) verdicts.push((await cloud.probe(fact)).verdict);
    expect(others).toHaveLength(NOT_OBSERVABLE.length + UNDER_POLICY.length);
    expect(verdicts).toEqual(others.map(() => 'notObservable'));
  });
});

test.each(FACTS.filter(({ id }) => UNDER_POLICY.includes(id)))(
  '$id is confirmed where an organization policy is in force',
  async fact => {
    const cloud = await opened({ settings: POLICIES });
    expect(await cloud.probe(fact)).toEqual({ verdict: 'confirmed' });
  },
);

test('every fact has an id of its own, a sentence and a source', () => {
  expect(new Set(FACTS.map(({ id }) => id)).size).toBe(FACTS.length);
  for (const { id, text, source, unsure } of FACTS) {
    expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$/);
    expect(text, id).toMatch(/^["`A-Z6\d].*[."]$/s);
    expect(source, id).toMatch(unsure ? /^\?/ : /^[PDC]: ./);
  }
});
