import { describe, expect, test } from 'vitest';
import type { TenantPlan } from '../../operator/tenant/plan.ts';
import { report } from '../../operator/tenant/report.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import type { Blocker, Desired, Observed } from '../../operator/tenant/types.ts';

const NOW = Date.UTC(2030, 0, 1);

function tenantThatWas(reason: 'UpToDate' | 'Updating', generation = 1) {
  return readTenant({
    metadata: { name: 'tenant-a', namespace: 'n', generation },
    spec: { region: 'r', keys: [] },
    status: {
      conditions: [
        {
          type: 'Ready',
          status: reason === 'UpToDate' ? 'True' : 'False',
          reason,
          message: 'as it was',
          lastTransitionTime: '2029-01-01T00:00:00Z',
          observedGeneration: 1,
        },
      ],
    },
  });
}

const desired: Desired = {
  owner: { cluster: 'c', namespace: 'n', name: 'tenant-a' },
  project: 'p',
  account: { id: 'sa-tenant-a', email: 'e', name: 'n', displayName: 'd' },
  keys: [],
  region: 'r',
  serviceId: 'ai-platform-tenant-a',
  spec: tenantThatWas('UpToDate').spec,
};
const nothingSeen: Observed = { account: { state: 'absent' }, keys: [], formerGrants: [], services: [] };
const planWith = (...blockers: Blocker[]): TenantPlan => ({
  steps: [],
  blockers,
  waiting: [],
  inventory: [],
  notes: [],
  keys: [],
  versions: new Map(),
  secrets: new Map(),
  adopted: [],
});
const unanswered: Blocker = {
  aspect: 'Service',
  reason: 'Updating',
  message: 'Cannot read: no answer. The operator tries again.',
};
const denied: Blocker = { aspect: 'SecretAccess', reason: 'PermissionDenied', message: 'denied' };
const notAllowed: Blocker = { aspect: 'SecretAccess', reason: 'SecretNotAllowed', message: 'not allowed' };

describe('a tenant whose reads are not answered', () => {
  test('stays UpToDate if it was, and is tried again', () => {
    const tenant = tenantThatWas('UpToDate');
    const { status, again, unread } = report(tenant, desired, nothingSeen, planWith(unanswered), undefined, NOW);
    expect(status).toBe(tenant.status);
    expect(again.kind).toBe('backoff');
    expect(unread).toBe(true);
  });

  test.each([
    ['it was not up to date', tenantThatWas('Updating'), [unanswered]],
    ['the spec is newer', tenantThatWas('UpToDate', 2), [unanswered]],
    ['something else is wrong too', tenantThatWas('UpToDate'), [unanswered, denied]],
  ])('is told so where %s', (_why, tenant, blockers) => {
    const { status, unread } = report(tenant, desired, nothingSeen, planWith(...blockers), undefined, NOW);
    expect(status.conditions[0]).toMatchObject({ type: 'Ready', status: 'False' });
    expect(unread).toBeUndefined();
  });
});

describe('Ready', () => {
  test('tells the worst, with every message once, and is Stalled where no retry helps', () => {
    const blockers = [denied, notAllowed, denied];
    const { status, again } = report(
      tenantThatWas('UpToDate'),
      desired,
      nothingSeen,
      planWith(...blockers),
      undefined,
      NOW,
    );
    const [ready] = status.conditions;
    expect(ready).toMatchObject({ reason: 'SecretNotAllowed', message: 'not allowed · denied' });
    expect(status.conditions.find(({ type }) => type === 'Stalled')).toMatchObject({
      status: 'True',
      reason: 'SecretNotAllowed',
    });
    expect(again).toMatchObject({ kind: 'backoff' });
  });

  test('changes its time only with its status', () => {
    const tenant = tenantThatWas('Updating');
    const same = report(tenant, desired, nothingSeen, planWith(denied), undefined, NOW).status.conditions[0];
    const other = report(tenantThatWas('UpToDate'), desired, nothingSeen, planWith(denied), undefined, NOW).status
      .conditions[0];
    expect(same?.lastTransitionTime).toBe('2029-01-01T00:00:00Z');
    expect(other?.lastTransitionTime).toBe('2030-01-01T00:00:00Z');
  });
});
