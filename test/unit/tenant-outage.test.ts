import { describe, expect, test } from 'vitest';
import { createOutageMemory } from '../../operator/reconcile/outages.ts';
import { notVerified } from '../../operator/tenant/outageReport.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { report } from '../../operator/tenant/report.ts';
import type { FailureKind, Observed } from '../../operator/tenant/types.ts';
import {
  cloud,
  desiredOf,
  failed,
  NOW,
  present,
  REGION,
  seen,
  serviceA,
  settings,
  tenantA,
} from './support/tenantWorld.ts';

const INTERVAL = 600_000;
const HOUR = 3_600_000;

/** A cloud of which nothing can be read. */
const dark = (kind: FailureKind, message?: string): Partial<Observed> => ({
  account: failed(kind, message),
  keys: [{ name: 'openai', secret: failed(kind, message) }],
  services: [seen(failed(kind, message), REGION)],
});

const reportOf = (changes: Partial<Observed>, given: Parameters<typeof tenantA>[0] = {}, isOwn = false) => {
  const tenant = tenantA(given);
  const desired = desiredOf(tenant);
  const observed = cloud(changes);
  return {
    tenant,
    found: report(tenant, desired, observed, plan(tenant, desired, observed, settings, NOW), undefined, NOW, isOwn),
  };
};

describe('a tenant that was up to date', () => {
  test.each<[FailureKind]>([['Transient'], ['QuotaExceeded'], ['PermissionDenied']])(
    'stays so while nothing can be read: %s',
    kind => {
      const { tenant, found } = reportOf(dark(kind));
      expect(found).toMatchObject({ unread: true, failure: expect.stringContaining('said no') });
      expect(found.status).toBe(tenant.status);
      expect(found.again.kind).not.toBe('interval');
    },
  );

  test('is told of a 403 that only some of its reads get', () => {
    const some = reportOf({ services: [seen(failed('PermissionDenied'), REGION)] }).found;
    expect(some.unread).toBeUndefined();
    expect(some.status.conditions[0]).toMatchObject({ status: 'False', reason: 'PermissionDenied' });
  });

  test('stays so where only Cloud Run answers 429', () => {
    expect(reportOf({ services: [seen(failed('QuotaExceeded'), REGION)] }).found.unread).toBe(true);
  });
});

test('an outage of two hours costs two status writes a tenant, and no Ready turns False', () => {
  let now = 0;
  const memory = createOutageMemory({ now: () => NOW + now, monotonic: () => now }, INTERVAL);
  for (const uid of ['a', 'b', 'c', 'd', 'e']) {
    let { status } = tenantA();
    const statuses = new Set([JSON.stringify(status)]);
    const start = now;
    for (; now < start + 2 * HOUR; now += 60_000) {
      const { tenant, found } = reportOf(dark('PermissionDenied', `no ${now}`), { status });
      const outage = memory.unread(uid, uid, found.failure ?? '');
      const told = notVerified(tenant, found, outage, NOW + now);
      expect(told.unread).toBe(true);
      status = told.status;
      statuses.add(JSON.stringify(status));
      const [ready] = status.conditions;
      expect(ready?.status).toBe('True');
      const late = now - start;
      if (late < 3 * INTERVAL) expect(ready?.reason).toBe('UpToDate');
      if (late >= 4 * INTERVAL) expect(ready?.reason).toBe('NotVerified');
    }
    const [ready] = status.conditions;
    expect(ready?.message).toContain(`since ${new Date(NOW + start).toISOString()}`);
    expect(ready?.message).toContain(`no ${start}`);
    const { found } = reportOf({ services: [seen(present(serviceA()), REGION)] }, { status });
    expect(memory.over(uid, uid)).toBeLessThanOrEqual(INTERVAL);
    memory.over(uid);
    statuses.add(JSON.stringify(found.status));
    expect(found.status.conditions[0]).toMatchObject({ status: 'True', reason: 'UpToDate' });
    expect(statuses.size).toBeLessThanOrEqual(4);
    expect(memory.unread(uid, uid, 'later').isLong).toBe(false);
  }
});

test('the tenants of one outage say so at different times', () => {
  let now = 0;
  const memory = createOutageMemory({ now: () => NOW, monotonic: () => now }, INTERVAL);
  const uids = Array.from({ length: 200 }, (_, at) => `uid-${at}`);
  const told = () => uids.filter(uid => memory.unread(uid, uid, 'x').isLong).length;
  const counts = [0, 3, 3.25, 3.5, 3.75, 4].map(intervals => {
    now = intervals * INTERVAL;
    return told();
  });
  expect(counts[1]).toBe(0);
  expect(counts[5]).toBe(200);
  for (let at = 2; at < counts.length; at++) expect((counts[at] ?? 0) - (counts[at - 1] ?? 0)).toBeLessThan(90);
});

describe('a 403 on everything of one tenant', () => {
  test('is an outage only while nothing else of its project is read', () => {
    let now = 0;
    const memory = createOutageMemory({ now: () => NOW + now, monotonic: () => now }, INTERVAL);
    memory.answered('mine');
    memory.unread('bad', 'bad', 'no');
    for (now = 60_000; now <= 300_000; now += 60_000) memory.answered('another');
    expect(memory.isOwn('bad', 'mine')).toBe(false);
    for (; now <= 600_000; now += 60_000) memory.answered('mine');
    expect(memory.isOwn('bad', 'mine')).toBe(true);
    expect(memory.isOwn('fine', 'mine')).toBe(false);
    const { found } = reportOf(dark('PermissionDenied'), {}, true);
    expect(found.status.conditions[0]).toMatchObject({ status: 'False', reason: 'PermissionDenied' });
  });

  test('is no refusal of that tenant when an outage of two hours has just ended for another one', () => {
    let now = 0;
    const memory = createOutageMemory({ now: () => NOW + now, monotonic: () => now }, INTERVAL);
    memory.answered('mine');
    memory.unread('slow', 'slow', 'no');
    now = 2 * HOUR;
    memory.answered('mine');
    expect(memory.isOwn('slow', 'mine')).toBe(false);
  });
});

test('an edit during an outage is Updating with words that do not change; what was not read keeps its conditions', () => {
  const outage = { since: '2030-01-01T00:00:00.000Z', failure: 'PERMISSION_DENIED', isLong: false };
  const first = reportOf(dark('PermissionDenied'), { generation: 2 });
  expect(first.found.unread).toBe(true);
  const { status } = notVerified(first.tenant, first.found, outage, NOW);
  expect(status.conditions[0]).toMatchObject({ status: 'False', reason: 'Updating', observedGeneration: 2 });
  expect(status.conditions[0]?.message).toMatch(/since 2030-01-01T00:00:00.000Z.*PERMISSION_DENIED/);
  expect(status.conditions.slice(1)).toEqual(first.tenant.status.conditions.slice(1));
  const later = reportOf(dark('Transient', 'other words'), { generation: 2, status });
  expect(notVerified(later.tenant, later.found, { ...outage, isLong: true }, NOW + HOUR).status).toEqual(status);
});

test('the statuses of one outage are written at different times when it ends', () => {
  let now = 0;
  const memory = createOutageMemory({ now: () => NOW, monotonic: () => now }, INTERVAL);
  const uids = Array.from({ length: 100 }, (_, at) => `uid-${at}`);
  const left = uids.map(uid => memory.over(uid, uid));
  expect(Math.max(...left)).toBeLessThanOrEqual(INTERVAL);
  for (let at = 0; at < 4; at++) {
    const quarter = left.filter(ms => Math.floor((ms * 4) / INTERVAL) === at).length;
    expect(quarter).toBeGreaterThan(10);
    expect(quarter).toBeLessThan(40);
  }
  now = INTERVAL;
  expect(uids.every(uid => memory.over(uid, uid) === 0)).toBe(true);
});
