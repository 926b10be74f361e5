import { isUnknownRegion } from './context.ts';
import { ownerText, serviceName } from './names.ts';
import { type ClaimRules, describedOwner, isFullyMarked } from './ownership.ts';
import { REGIONS } from './regions.ts';
import { NO_TARGETS } from './targets.ts';
import type { InventoryEntry, Observed, ObservedAccount, Read, Targets } from './types.ts';

/**
 * A tenant whose status was lost: its service account carries its mark, but its inventory has neither an account nor a service.
 * The spec's region may have been edited since, so the operator searches every region for the tenant's service. A new tenant
 * has no such account, so it never waits for the other regions.
 */

type Rules = Pick<ClaimRules, 'owner' | 'inventory'>;

/** Whether the inventory has neither an account nor a service. */
export const isUnrecorded = (inventory: InventoryEntry[]): boolean =>
  !inventory.some(({ type }) => type === 'Service' || type === 'ServiceAccount');

export const statusWasLost = (account: Read<ObservedAccount>, { owner, inventory }: Rules): boolean =>
  account.state === 'present' &&
  describedOwner(account.value.description) === ownerText(owner) &&
  isUnrecorded(inventory);

/** Reads the tenant's service in every region that has not been read yet. */
export function everyRegion(project: string, serviceId: string, read: Observed['services']): Targets {
  const names = REGIONS.map(region => serviceName(project, region, serviceId));
  const services = names.filter(name => !read.some(other => other.name === name));
  return { ...NO_TARGETS, services, invokersOf: services };
}

/** The services that are the tenant's, and those that may be because they could not be read. */
export const mayBeOwn = (services: Observed['services'], { owner }: Rules): Observed['services'] =>
  services.filter(({ service }) => {
    if (service.state === 'failed') return !isUnknownRegion(service.failure);
    return service.state === 'present' && isFullyMarked(service.value.labels, owner);
  });
