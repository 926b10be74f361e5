import { expect, test } from 'vitest';
import { type Claim, createQuota, type Need, UNLIMITED } from '../../operator/gcp/quota.ts';
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

test.each([['at once'], ['after it was parked']])(
  'the writes that a reconcile expects are claimed once, %s',
  async how => {
    const runtime = fakeRuntime();
    const quota = createQuota(async () => ({ ok: true, response: {} }), runtime, { ...UNLIMITED, 'run.write': 60 });
    const budgetOf = (granted?: Claim) => createRunBudget(quota, HOME, granted, () => {});
    const isFree = (calls: number) => {
      const claim = quota.claim({ ...HOME, rank: 'edit', needs: writes(calls) });
      claim?.release();
      return claim !== undefined;
    };
    let granted: Claim | undefined;
    const parked = (verdict: ReturnType<ReturnType<typeof budgetOf>['take']>) => {
      if (verdict?.kind !== 'park') throw new Error('it was not parked');
      verdict.park(claim => {
        granted = claim as Claim;
      });
    };
    if (how !== 'at once') {
      const other = budgetOf();
      other.take(writes(15), 'edit');
      parked(budgetOf().reserve(writes(10), 'edit'));
      other.release();
      await runtime.advance(60_000);
      expect(granted).toBeDefined();
    }
    const budget = budgetOf(granted);
    expect(budget.reserve(writes(10), 'edit')).toBeUndefined();
    expect([isFree(5), isFree(6)], 'ten of fifteen are reserved').toEqual([true, false]);
    expect(budget.take(writes(10), 'edit')).toBeUndefined();
    expect([isFree(5), isFree(6)], 'and no more, once they are used').toEqual([true, false]);
    parked(budget.take(writes(6), 'edit'));
    budget.release();
    await runtime.advance(60_000);
    const calls = (granted as Claim | undefined)?.needs.map(need => need.calls);
    expect(calls, 'all that it has asked for, once').toEqual([10, 6]);
    expect(isFree(1)).toBe(false);
    (granted as Claim | undefined)?.release();
    expect(isFree(15)).toBe(true);
  },
);
