import { expect, test } from 'vitest';
import { realRuntime } from '../../operator/runtime.ts';
import { createStretch, isQuotaShort } from '../../operator/stretch.ts';
import type { Failure, Observed } from '../../operator/tenant/types.ts';

const INTERVAL = 600_000;
const clocked = () => {
  const clock = { now: 5_000_000 };
  return { clock, stretch: createStretch({ ...realRuntime, monotonic: () => clock.now }, INTERVAL) };
};

test('doubles once an interval, however many tenants are refused, and no further than eightfold', () => {
  const { clock, stretch } = clocked();
  expect(stretch.of('p')).toBe(1);
  for (let tenant = 0; tenant < 1_000; tenant++) stretch.short('p');
  expect(stretch.of('p')).toBe(2);
  const seen = [1, 2, 3].map(() => {
    clock.now += INTERVAL;
    stretch.short('p');
    return stretch.of('p');
  });
  expect(seen).toEqual([4, 8, 8]);
  expect(stretch.all()).toEqual([['p', 8]]);
});

test('goes back by itself, and starts from there if it is short again', () => {
  const { clock, stretch } = clocked();
  stretch.short('p');
  clock.now += INTERVAL;
  stretch.short('p');
  clock.now += 10 * INTERVAL - 1;
  expect(stretch.of('p')).toBe(4);
  clock.now += 1;
  expect(stretch.of('p')).toBe(2);
  stretch.short('p');
  expect(stretch.of('p')).toBe(4);
  clock.now += 1_000 * INTERVAL;
  expect(stretch.of('p')).toBe(1);
});

test('is each project’s own', () => {
  const { stretch } = clocked();
  stretch.short('p');
  expect(stretch.of('other')).toBe(1);
});

test('counts refused reads of every kind, and only those that lack quota', () => {
  const failed = (kind: Failure['kind']) => ({ state: 'failed' as const, failure: { kind, message: '' } });
  const absent = { state: 'absent' as const };
  const nothing: Observed = { account: absent, keys: [], formerGrants: [], services: [] };
  const short = failed('QuotaExceeded');
  const key = { name: 'k', secret: absent };
  const service = { name: 's', region: 'r', service: absent };
  const seen: Partial<Observed>[] = [
    { account: short },
    { keys: [{ ...key, secret: short }] },
    { keys: [{ ...key, policy: short }] },
    { keys: [key, { ...key, version: short }] },
    { formerGrants: [{ secret: 's', policy: short }] },
    { services: [{ ...service, service: short }] },
    { services: [{ ...service, invokers: short }] },
  ];
  for (const part of seen) expect(isQuotaShort({ ...nothing, ...part }), JSON.stringify(part)).toBe(true);
  expect(isQuotaShort({ ...nothing, account: failed('Transient') })).toBe(false);
});
