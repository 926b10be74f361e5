import { afterEach, expect, test } from 'vitest';
import { FACTS } from '../acceptance/facts/all.ts';
import { type FactCloud, factCloud } from './support/factCloud.ts';

let cloud: FactCloud;
afterEach(() => cloud.close());

test.each(FACTS.filter(({ expensive }) => expensive !== undefined))(
  'the local Google Cloud confirms $id',
  async fact => {
    cloud = await factCloud();
    expect(await cloud.probe(fact)).toEqual({ verdict: 'confirmed' });
  },
);
