import type { ConnectorSecret } from './desired.ts';
import { MANAGED } from './managed.ts';
import type { Desired, InventoryEntry, Targets, Tenant } from './types.ts';

/** What is read in Google Cloud for a tenant. Each resource adds its own targets (`managed.ts`). */

/** Nothing to read. */
export const NO_TARGETS: Targets = { keys: [], formerGrants: [], services: [], invokersOf: [], isPublic: false };

const ofAll = (part: (resource: (typeof MANAGED)[keyof typeof MANAGED]) => Partial<Targets>): Targets =>
  Object.assign({}, NO_TARGETS, ...Object.values(MANAGED).map(part));

export const targets = (desired: Desired, inventory: InventoryEntry[]): Targets =>
  ofAll(resource => resource.targets(desired, inventory));

/** What a deletion reads. Consent plays no part in it. */
export const deletionTargets = (
  tenant: Tenant,
  project: string | undefined,
  connectorSecret: (name: string, project: string) => ConnectorSecret = () => ({ state: 'absent' }),
): Targets => ofAll(resource => resource.deletionTargets(tenant, project, connectorSecret));
