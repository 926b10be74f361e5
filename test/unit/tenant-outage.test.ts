import { describe, expect, test } from 'vitest';
import { createOutageMemory } from '../../operator/reconcile/outages.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { notVerified, report } from '../../operator/tenant/report.ts';
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

const reportOf = (changes: Partial<Observed>, given: Parameters<typeof tenantA>[0] = {}) => {
  const tenant = tenantA(given);
  const desired = desiredOf(tenant);
  const observed = cloud(changes);
  return {
    tenant,
    found: report(tenant, desired, observed, plan(tenant, desired, observed, settings, NOW), undefined, NOW),
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

  test('is told of a 403 that only some of its reads get, and of one after an edit', () => {
    const some = reportOf({ services: [seen(failed('PermissionDenied'), REGION)] }).found;
    expect(some.unread).toBeUndefined();
    expect(some.status.conditions[0]).toMatchObject({ status: 'False', reason: 'PermissionDenied' });
    expect(reportOf(dark('PermissionDenied'), { generation: 2 }).found.unread).toBeUndefined();
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
      const told = outage ? notVerified(tenant, found, outage) : found;
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
    memory.over(uid);
    statuses.add(JSON.stringify(found.status));
    expect(found.status.conditions[0]).toMatchObject({ status: 'True', reason: 'UpToDate' });
    expect(statuses.size).toBeLessThanOrEqual(4);
    expect(memory.unread(uid, uid, 'later')).toBeUndefined();
  }
});

test('the tenants of one outage say so at different times', () => {
  let now = 0;
  const memory = createOutageMemory({ now: () => NOW, monotonic: () => now }, INTERVAL);
  const uids = Array.from({ length: 200 }, (_, at) => `uid-${at}`);
  const told = () => uids.filter(uid => memory.unread(uid, uid, 'x') !== undefined).length;
  const counts = [0, 3, 3.25, 3.5, 3.75, 4].map(intervals => {
    now = intervals * INTERVAL;
    return told();
  });
  expect(counts[1]).toBe(0);
  expect(counts[5]).toBe(200);
  for (let at = 2; at < counts.length; at++) expect((counts[at] ?? 0) - (counts[at - 1] ?? 0)).toBeLessThan(90);
});
