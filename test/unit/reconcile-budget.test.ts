import { expect, test } from 'vitest';
import { createQuota, type Need, UNLIMITED } from '../../operator/gcp/quota.ts';
import { createRunBudget } from '../../operator/reconcile/budget.ts';
import type { JsonObject } from '../../ports/json.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

const HOME = { project: 'p-1', namespace: 'team' };
const writes = (calls: number): Need[] => [{ api: 'run', kind: 'write', project: 'p-1', region: 'r-1', calls }];

test('a reconcile that is parked says at debug for which budget and how much it lacks, and when it is woken', async () => {
  const runtime = fakeRuntime();
  const quota = createQuota(async () => ({ ok: true, response: {} }), runtime, { ...UNLIMITED, 'run.write': 60 });
  const lines: [string, string, JsonObject][] = [];
  const budgetOf = () => createRunBudget(quota, HOME, undefined, (...line) => void lines.push(line));

  const first = budgetOf();
  expect(first.take(writes(15), 'edit')).toBeUndefined();
  expect(lines).toEqual([]);

  const verdict = budgetOf().take(writes(3), 'edit', 'edit');
  expect(verdict).toMatchObject({ kind: 'park', priority: 'edit' });
  expect(lines, 'nothing is parked before the queue does it').toEqual([]);
  let woken = 0;
  if (verdict?.kind === 'park') {
    verdict.park(granted => {
      woken++;
      granted.release();
    });
  }
  const [level, message, fields] = lines[0] ?? [];
  expect([level, message]).toEqual(['debug', 'parked for a budget']);
  expect(fields).toMatchObject({ rank: 'edit', budget: 'run write p-1 r-1' });
  expect(Number(fields?.ms)).toBeGreaterThan(0);

  first.release();
  await runtime.advance(60_000);
  expect(woken).toBe(1);
  expect(lines.at(-1)).toEqual(['debug', 'woken with its budget', { rank: 'edit', calls: 3 }]);
});
