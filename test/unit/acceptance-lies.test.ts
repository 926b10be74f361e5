import { afterEach, describe, expect, test } from 'vitest';
import type { Fact, Verdict } from '../acceptance/fact.ts';
import { FACTS } from '../acceptance/facts/all.ts';
import { LIES, type Lie, lying } from '../acceptance/lies.ts';
import { type FactCloud, factCloud } from './support/factCloud.ts';
import { NOT_OBSERVABLE, POLICIES, UNDER_POLICY } from './support/observable.ts';

/** Facts whose probe does not ask Google Cloud. */
const NOT_ASKED = ['client-timeouts-short', 'run-client-drops-fields'];

let cloud: FactCloud;
afterEach(() => cloud.close());

const factOf = ({ fact }: Lie): Fact => FACTS.find(({ id }) => id === fact) as Fact;
const needsPolicy = ({ fact }: Lie) => UNDER_POLICY.includes(fact);

/** A cloud of its own in which the facts of these lies can be seen, and the verdicts of their probes while all of the lies are told. */
async function verdicts(told: readonly Lie[]): Promise<[fact: string, verdict: Verdict['verdict']][]> {
  cloud = await factCloud(told.some(needsPolicy) ? { settings: POLICIES } : {});
  await cloud.addDenyPolicy();
  const found: [string, Verdict['verdict']][] = [];
  for (const lie of told) found.push([lie.fact, (await cloud.probe(factOf(lie), lying(told))).verdict]);
  return found;
}

const refuted = (told: readonly Lie[]) => told.map(({ fact }) => [fact, 'refuted']);

describe('each lie alone is found by the probe of its fact', () => {
  test.each(LIES)('$fact: $says', async lie => {
    expect(await verdicts([lie])).toEqual(refuted([lie]));
  });
});

describe('no lie hides another one', () => {
  const open = LIES.filter(lie => !needsPolicy(lie));
  const alone = open.filter(({ notWith }) => notWith !== undefined);

  test('all that can be told together are found together', async () => {
    const told = open.filter(lie => !alone.includes(lie));
    expect(await verdicts(told)).toEqual(refuted(told));
  });

  test.each(alone)('$fact cannot be told with $notWith.fact, because $notWith.why', async lie => {
    const told = open.filter(other => other.fact !== lie.notWith?.fact);
    expect(await verdicts(told)).toEqual(refuted(told));
  });

  test('under organization policies', async () => {
    const told = LIES.filter(needsPolicy);
    expect(await verdicts(told)).toEqual(refuted(told));
  });
});

test('there is one lie for each fact that can be seen', async () => {
  cloud = await factCloud();
  const seen = FACTS.filter(({ id }) => ![...NOT_OBSERVABLE, ...NOT_ASKED].includes(id));
  expect(LIES.map(({ fact }) => fact)).toEqual(seen.map(({ id }) => id));
  expect(LIES.length).toBeGreaterThanOrEqual(40);
});
