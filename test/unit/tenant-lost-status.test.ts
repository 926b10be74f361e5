import { describe, expect, test } from 'vitest';
import { everyRegion, mayBeOwn, statusWasLost } from '../../operator/tenant/lostStatus.ts';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import { REGIONS } from '../../operator/tenant/regions.ts';
import type { InventoryEntry } from '../../operator/tenant/types.ts';
import {
  absent,
  accountA,
  ENTRIES,
  entry,
  failed,
  type Given,
  OWNER,
  PROJECT,
  planFor,
  present,
  SERVICE,
  seen,
  serviceA,
  serviceIn,
} from './support/tenantWorld.ts';

describe('a status was lost', () => {
  const rules = (inventory: InventoryEntry[] = []) => ({ owner: OWNER, inventory });

  test('if the account carries the tenant’s marks and neither account nor service is on record', () => {
    expect(statusWasLost(present(accountA()), rules())).toBe(true);
    expect(statusWasLost(present(accountA()), rules([entry(ENTRIES.grant)]))).toBe(true);
    expect(statusWasLost(present(accountA()), rules([entry(ENTRIES.account)]))).toBe(false);
    expect(statusWasLost(present(accountA()), rules([entry(ENTRIES.service)]))).toBe(false);
    expect(statusWasLost(present(accountA({ description: 'by hand' })), rules())).toBe(false);
    expect(statusWasLost(present(accountA({ description: 'ai-tenant-owner=c/other/tenant-a' })), rules())).toBe(false);
    // A tenant that never had anything depends on no other region.
    expect(statusWasLost(absent, rules())).toBe(false);
    expect(statusWasLost(failed('Transient', '503'), rules())).toBe(false);
  });

  test('then the wanted region’s service stays on record too while it cannot be read, once somebody vouches for the marks', () => {
    const unread = { services: [seen(failed('Transient', '503'))] };
    const lost = { status: { inventory: [], conditions: [] }, cloud: unread };
    const recorded = (given: Given) => planFor(given).inventory.some(({ name }) => name === SERVICE);
    expect(recorded({ ...lost, settings: { restore: true } })).toBe(true);
    expect(recorded({ ...lost, annotations: { 'ai-platform.dev/adopt': 'true' } })).toBe(true);
    expect(recorded(lost)).toBe(false);
    expect(recorded({ ...lost, cloud: { ...unread, account: absent }, settings: { restore: true } })).toBe(false);
  });

  test('then every region is read that was not', () => {
    const { services } = everyRegion(PROJECT, 'ai-platform-tenant-a', [seen(absent)]);
    expect([...services, SERVICE].toSorted()).toEqual(REGIONS.map(serviceIn).toSorted());
  });

  test('and what is fully marked or cannot be read may be the tenant’s', () => {
    const ours = seen(present(serviceA()));
    const unread = seen(failed('Transient', '503'));
    const { [Object.keys(ownerLabels(OWNER))[0] as string]: _, ...labels } = ownerLabels(OWNER);
    const partly = seen(present(serviceA({ labels })));
    const noRegion = seen(failed('PermissionDenied', "Permission denied on 'locations/x1' (or it may not exist)."));
    expect(mayBeOwn([ours, unread, partly, noRegion, seen(absent)], rules())).toEqual([ours, unread]);
  });
});
