import { describe, expect, test } from 'vitest';
import { fingerprint, isReconciled, untilSlot } from '../../operator/tenant/slot.ts';
import type { Desired, Tenant } from '../../operator/tenant/types.ts';

const INTERVAL = 600_000;
const uids = Array.from({ length: 1_000 }, (_, i) => `0b5c9f3e-0000-4000-8000-${String(i).padStart(12, '0')}`);

describe('a tenant’s own place in the interval', () => {
  test('comes round within it, and the same for each process', () => {
    for (const uid of uids) {
      const ms = untilSlot(uid, INTERVAL, 1_800_000_000_000);
      expect(ms).toBeGreaterThanOrEqual(1_000);
      expect(ms).toBeLessThanOrEqual(INTERVAL);
      // Who starts later waits for the same moment.
      const later = untilSlot(uid, INTERVAL, 1_800_000_000_000 + ms / 2);
      if (ms / 2 >= 1_000) expect(later).toBeCloseTo(ms / 2, 3);
    }
  });

  test('is followed by the next one an interval later, also if the timer was a little early or late', () => {
    for (const off of [-20, 0, 20]) {
      const now = 1_800_000_000_000;
      const slot = now + untilSlot(uids[0] ?? '', INTERVAL, now);
      expect(untilSlot(uids[0] ?? '', INTERVAL, slot + off)).toBeCloseTo(INTERVAL - Math.max(0, off), 3);
    }
  });

  test('is spread evenly: no tenth of the interval has more than an eighth of all', () => {
    const tenths = new Array<number>(10).fill(0);
    for (const uid of uids) {
      const tenth = Math.floor((untilSlot(uid, INTERVAL, 0) % INTERVAL) / (INTERVAL / 10));
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    expect(Math.max(...tenths)).toBeLessThan(uids.length / 8 + 10);
    expect(Math.min(...tenths)).toBeGreaterThan(uids.length / 15);
  });

  test('of an interval as short as a test’s leaves time between two checks', () => {
    for (const uid of uids) expect(untilSlot(uid, 500, 1_800_000_000_123)).toBeGreaterThanOrEqual(50);
  });
});

describe('a tenant counts as reconciled', () => {
  const desired = { project: 'p', region: 'r', keys: [{ name: 'openai' }] } as unknown as Desired;
  const tenant = (status: object = {}, ready: object = {}): Tenant =>
    ({
      generation: 3,
      status: {
        reconciledHash: fingerprint(desired),
        conditions: [{ type: 'Ready', status: 'True', reason: 'UpToDate', observedGeneration: 3, ...ready }],
        ...status,
      },
    }) as unknown as Tenant;

  test('if its status says so of this generation and this desired state', () => {
    expect(isReconciled(tenant(), desired)).toBe(true);
  });

  test.each([
    ['another desired state', tenant({ reconciledHash: fingerprint({ ...desired, region: 's' }) })],
    ['no hash', tenant({ reconciledHash: undefined })],
    ['no conditions', tenant({ conditions: [] })],
    ['an older generation', tenant({}, { observedGeneration: 2 })],
    ['not Ready', tenant({}, { status: 'False' })],
    ['suspended while it was Ready', tenant({}, { reason: 'Suspended' })],
  ])('but not with %s', (_, other) => {
    expect(isReconciled(other, desired)).toBe(false);
  });
});
