import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { absenceCounts, entryKey, settleInventory } from '../../operator/tenant/inventory.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import type { FailureKind, InventoryEntry, Step } from '../../operator/tenant/types.ts';

const NOW = Date.UTC(2030, 0, 1);
const service: InventoryEntry = {
  type: 'Service',
  name: 'projects/p/locations/r/services/s',
  time: '2029-12-31T23:59:00Z',
};
const creating: Step = {
  id: 's',
  aspect: 'Service',
  verb: 'Create',
  target: 's',
  needs: [],
  closes: false,
  changes: [],
  creates: [entryKey(service)],
  removes: [],
  drift: false,
  call: { kind: 'createService', parent: 'p', serviceId: 's', service: {} },
};

describe('the inventory after a create', () => {
  test.each<[FailureKind, boolean]>([
    ['Transient', true],
    ['Conflict', true],
    ['Invalid', false],
    ['PermissionDenied', false],
    ['QuotaExceeded', false],
    ['NotFound', false],
    ['Propagating', false],
  ])('that failed with %s keeps the entry: %s', (kind, kept) => {
    const after = settleInventory(
      [],
      [service],
      [{ step: creating, result: 'failed', failure: { kind, message: '' } }],
      NOW,
    );
    expect(after).toEqual(kept ? [service] : []);
  });

  test('that was refused puts the earlier entry back, whose call may still take effect', () => {
    const earlier = { ...service, time: '2029-12-31T23:00:00Z' };
    const refused = { step: creating, result: 'failed' as const, failure: { kind: 'Invalid' as const, message: '' } };
    expect(settleInventory([earlier], [service], [refused], NOW)).toEqual([earlier]);
  });

  test('that found an earlier one there keeps the entry of the call that may have made it', () => {
    const earlier = { ...service, time: '2029-12-31T23:00:00Z' };
    const there = {
      step: creating,
      result: 'failed' as const,
      failure: { kind: 'Conflict' as const, message: '', exists: true },
    };
    expect(settleInventory([earlier], [service], [there], NOW)).toEqual([earlier]);
    expect(settleInventory([], [service], [there], NOW)).toEqual([]);
  });

  test('that was never made forgets it', () => {
    expect(settleInventory([], [service], [{ step: creating, result: 'skipped' }], NOW)).toEqual([]);
  });
});

describe('a 404', () => {
  test('counts only two minutes after the last create, or after our own delete', () => {
    expect(absenceCounts(service, NOW)).toBe(false);
    expect(absenceCounts(service, NOW + 61_000)).toBe(true);
    expect(absenceCounts({ ...service, deletedAt: '2029-12-31T23:59:30Z' }, NOW)).toBe(true);
    // It may be visible to one read and not yet to the next one.
    expect(absenceCounts({ ...service, retireAt: '2029-12-31T23:59:30Z' }, NOW)).toBe(false);
    expect(absenceCounts({ ...service, time: 'nonsense' }, NOW)).toBe(true);
  });

  test('after our delete of a service: the entry says when, and stays until it is gone', () => {
    const remove: Step = {
      ...creating,
      verb: 'Delete',
      creates: [],
      call: { kind: 'deleteService', name: service.name, etag: 'e' },
    };
    expect(settleInventory([service], [service], [{ step: remove, result: 'done', response: {} }], NOW)).toEqual([
      { ...service, deletedAt: '2030-01-01T00:00:00.000Z' },
    ]);
  });
});

describe('an object from a watch', () => {
  test('is read whatever it holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (spec, status) => {
        const tenant = readTenant({ metadata: { name: 'tenant-a', namespace: 'n' }, spec, status });
        expect(tenant.spec.scaling.maxInstances).toBeTypeOf('number');
        expect(Array.isArray(tenant.status.inventory)).toBe(true);
      }),
    );
  });
});
