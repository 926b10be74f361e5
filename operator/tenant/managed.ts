import {
  type AccountToRemove,
  abandonAccount,
  accountDeletionTargets,
  accountLeftBehind,
  accountTargets,
  foreseeAccount,
  removeAccount,
} from './account.ts';
import type { ConnectorSecret } from './desired.ts';
import type { RemovalContext } from './removalContext.ts';
import { accessDeletionTargets, accessTargets, foreseeSecretPolicy, removeAccess } from './secretAccess.ts';
import {
  abandonServices,
  foreseeService,
  serviceDeletionTargets,
  servicesLeftBehind,
  serviceTargets,
} from './service.ts';
import type { Aspect, Call, Desired, InventoryEntry, Observed, Plan, Step, Targets, Tenant } from './types.ts';

/**
 * The resources that a tenant has in Google Cloud, in the order in which they are created. A new one is registered here, and
 * its plan gets a place in the order of `plan.ts`. `docs/development.md` has all steps.
 */

interface Managed {
  /** The message of its condition when nothing is wrong. */
  fine: string;
  /** What is read for a tenant that is not being deleted: everything that is wanted, and everything that is on record. */
  targets(desired: Desired, inventory: InventoryEntry[]): Partial<Targets>;
  /**
   * What a deletion reads: everything on record, and everything that has a name of this tenant, because a status that was lost or
   * restored may lack entries.
   */
  deletionTargets(
    tenant: Tenant,
    project: string | undefined,
    connectorSecret: (name: string, project: string) => ConnectorSecret,
  ): Partial<Targets>;
  /** Takes the owner marks off and leaves everything else as it is. */
  abandon(ctx: RemovalContext, observed: Observed, out: Plan): void;
  /** The events about what a deletion leaves although it is on record, because it no longer carries this tenant's marks. */
  leftBehind(ctx: RemovalContext, observed: Observed): string[];
}

/** A resource that is deleted once the services are gone. */
interface RemovedAfterServices extends Managed {
  remove(ctx: RemovalContext, observed: Omit<Observed, 'services'>, account: AccountToRemove, out: Plan): void;
}

export const MANAGED: { Service: Managed } & Record<Exclude<Aspect, 'Service'>, RemovedAfterServices> = {
  ServiceAccount: {
    fine: 'The service account exists and is ours.',
    targets: accountTargets,
    deletionTargets: accountDeletionTargets,
    remove: (ctx, _observed, account, out) => removeAccount(ctx, account, out),
    abandon: abandonAccount,
    leftBehind: accountLeftBehind,
  },
  SecretAccess: {
    fine: 'Every key is granted.',
    targets: accessTargets,
    deletionTargets: accessDeletionTargets,
    remove: removeAccess,
    // Grants carry no marks. An event has the command that removes them (`abandonedGrants`).
    abandon: () => {},
    leftBehind: () => [],
  },
  Service: {
    fine: 'The Cloud Run service serves what the spec asks for.',
    targets: serviceTargets,
    deletionTargets: serviceDeletionTargets,
    abandon: abandonServices,
    leftBehind: servicesLeftBehind,
  },
};

const { Service: _, ...afterServices } = MANAGED;

/** The resources that are deleted once the services are gone, in the order in which they are deleted. */
export const REMOVED_AFTER_SERVICES: readonly RemovedAfterServices[] = Object.values(afterServices).reverse();

/**
 * The observed state after the steps have succeeded. With it `plan` also shows the steps that only follow after others. It is a
 * guess about Google Cloud, and no call is ever made because of it.
 */
export const foresee = (observed: Observed, steps: Step[]): Observed =>
  steps.reduce((before, { call }) => after(before, call), observed);

function after(observed: Observed, call: Call): Observed {
  switch (call.kind) {
    case 'createAccount':
    case 'updateAccount':
    case 'deleteAccount':
      return foreseeAccount(observed, call);
    case 'setSecretPolicy':
      return foreseeSecretPolicy(observed, call);
    case 'createService':
    case 'updateService':
    case 'deleteService':
    case 'setServicePolicy':
      return foreseeService(observed, call);
  }
}
