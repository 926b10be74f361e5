import { isUnknownRegion } from './context.ts';
import { ownerText, serviceName } from './names.ts';
import { type ClaimRules, describedOwner, isFullyMarked } from './ownership.ts';
import type { Targets } from './plan.ts';
import { REGIONS } from './regions.ts';
import type { InventoryEntry, Observed, ObservedAccount, Read } from './types.ts';

/**
 * A tenant whose status was lost: its service account carries all of its marks, and its inventory names neither an account nor
 * a service. The spec's region may have been edited since, so its service may be in any region. A tenant that never had
 * anything has no such account, and depends on no other region.
 */

type Rules = Pick<ClaimRules, 'owner' | 'inventory'>;

/** Whether the inventory names nothing by which the tenant could be found. */
export const isUnrecorded = (inventory: InventoryEntry[]): boolean =>
  !inventory.some(({ type }) => type === 'Service' || type === 'ServiceAccount');

export const statusWasLost = (account: Read<ObservedAccount>, { owner, inventory }: Rules): boolean =>
  account.state === 'present' &&
  describedOwner(account.value.description) === ownerText(owner) &&
  isUnrecorded(inventory);

/** The tenant's service in every region that has not been read yet. */
export function everyRegion(project: string, serviceId: string, read: Observed['services']): Targets {
  const names = REGIONS.map(region => serviceName(project, region, serviceId));
  const services = names.filter(name => !read.some(other => other.name === name));
  return { keys: [], formerGrants: [], services, invokersOf: services, isPublic: false };
}

/** Of the searched services those that are the tenant's, and those that may be, because they cannot be read. */
export const mayBeOwn = (services: Observed['services'], { owner }: Rules): Observed['services'] =>
  services.filter(({ service }) => {
    if (service.state === 'failed') return !isUnknownRegion(service.failure);
    return service.state === 'present' && isFullyMarked(service.value.labels, owner);
  });
