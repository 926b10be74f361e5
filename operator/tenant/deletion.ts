import { accountToRemove } from './account.ts';
import { inventoryProject, namedProject } from './desired.ts';
import { ENTRY_TYPES, entriesKeptBy } from './inventory.ts';
import { MANAGED, REMOVED_AFTER_SERVICES } from './managed.ts';
import { isProjectId } from './names.ts';
import { quoted } from './printable.ts';
import { emptyPlan, removalContext } from './removalContext.ts';
import { removeServices } from './service.ts';
import type { Aspect, Blocker, Observed, Plan, Settings, Tenant } from './types.ts';

/**
 * The deletion of a tenant, in the opposite order of `plan.ts`: services, then grants, then the account. Each follows only
 * when nothing is left that needs it.
 *
 * Only the inventory and the owner marks in Google Cloud decide what is deleted. The spec and the Namespace only say where
 * to look for resources that the inventory lacks; such a resource is recorded before it is deleted. Consent plays no part.
 */

export type DeletionPolicy = 'delete' | 'abandon';

const ANNOTATIONS = ['ai-platform.dev/deletion-policy', 'cnrm.cloud.google.com/deletion-policy'];

/** The operator's own annotation wins over Config Connector's. Any other value than `delete` or `abandon` is refused. */
export function deletionPolicy(tenant: Tenant): { ok: true; policy: DeletionPolicy } | { ok: false; message: string } {
  const key = ANNOTATIONS.find(annotation => tenant.annotations[annotation] !== undefined);
  const value = key === undefined ? 'delete' : tenant.annotations[key];
  if (value === 'delete' || value === 'abandon') return { ok: true, policy: value };
  const set = (policy: DeletionPolicy) =>
    `kubectl annotate aitenant ${tenant.name} -n ${tenant.namespace} ${key}=${policy} --overwrite`;
  return {
    ok: false,
    message:
      `The annotation ${key} is ${quoted(value ?? '')}: nothing is deleted until it is delete or abandon. To delete everything in Google ` +
      `Cloud: \`${set('delete')}\`. To keep everything there: ${set('abandon')}`,
  };
}

/** The project of the deletion: the recorded one, or the one that the Namespace names if nothing is on record. */
export function deletionProject(
  { status }: Tenant,
  namespaceAnnotations: Record<string, string>,
  settings: Settings,
): string | undefined {
  const recorded = inventoryProject(status.inventory) ?? status.projectId;
  const named = recorded ?? namedProject(namespaceAnnotations, settings);
  return named !== undefined && isProjectId(named) ? named : undefined;
}

/** A resource of a newer version may need what would be deleted first, so the deletion waits until its entry is gone. */
function notUnderstood({ namespace, name, status }: Tenant): Blocker | undefined {
  const [first, ...more] = status.notUnderstood.inventory;
  if (!first) return undefined;
  const others = more.length > 0 ? ` and ${more.length} more` : '';
  const message =
    `The inventory has an entry that this version of the operator does not know: ${first.type} ${first.name}${others}. ` +
    'Install the newer operator that wrote it. Or delete what the entry names by hand, and abandon everything else: ' +
    `kubectl annotate aitenant ${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  return { aspect: 'Service', reason: 'ManagementConflict', message };
}

/** The plan of a deletion if the inventory is empty and no project is known. */
export function noProject({ namespace, name, status }: Tenant): Plan {
  const message =
    `The inventory of this tenant is empty, and no project is known in which to search for its resources. Name the project: \`kubectl annotate ` +
    `namespace ${namespace} ai-platform.dev/project-id=PROJECT --overwrite\`. If Google Cloud has nothing of this tenant: kubectl annotate aitenant ` +
    `${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  const blocker: Blocker = { aspect: 'ServiceAccount', reason: 'InvalidSpec', message };
  return { ...emptyPlan(), blockers: [blocker], inventory: status.inventory };
}

/** The whole deletion. It is complete when the plan has no step, no blocker and no entry. */
export function planDeletion(tenant: Tenant, observed: Observed, settings: Settings, now: number): Plan {
  return planServiceDeletion(tenant, observed, settings, now) ?? planAccountDeletion(tenant, observed, settings, now);
}

/**
 * The deletion of the services. Undefined: no service is left. Until then the inventory keeps all entries of the grants and the
 * account.
 */
export function planServiceDeletion(
  tenant: Tenant,
  observed: Pick<Observed, 'services'>,
  settings: Settings,
  now: number,
): Plan | undefined {
  const { inventory } = tenant.status;
  const out = emptyPlan();
  const unknown = notUnderstood(tenant);
  if (unknown) return { ...out, blockers: [unknown], inventory };
  removeServices(removalContext(tenant, settings, now), observed, out);
  if (out.inventory.length + out.blockers.length === 0) return undefined;
  const ofServices = new Set(entriesKeptBy('Service', inventory));
  return { ...out, inventory: [...out.inventory, ...inventory.filter(entry => !ofServices.has(entry))] };
}

/** The resources without which no other one is removed. */
const WAITED_FOR: readonly Aspect[] = ['Service', 'ServiceAccount'];

/** The deletion of the grants and the account, once no service is left. */
export function planAccountDeletion(tenant: Tenant, observed: Observed, settings: Settings, now: number): Plan {
  const ctx = removalContext(tenant, settings, now);
  const out = emptyPlan();
  const account = accountToRemove(ctx, observed, out);
  if (!account) {
    const others = tenant.status.inventory.filter(({ type }) => !WAITED_FOR.includes(ENTRY_TYPES[type].keptBy));
    return { ...out, inventory: [...others, ...out.inventory] };
  }
  for (const resource of REMOVED_AFTER_SERVICES) resource.remove(ctx, observed, account, out);
  return out;
}

/** The Warning events of what a deletion leaves although it is on record, because it no longer carries this tenant's marks. */
export function leftBehind(tenant: Tenant, observed: Observed, settings: Settings): string[] {
  const ctx = removalContext(tenant, settings, 0);
  return Object.values(MANAGED)
    .reverse()
    .flatMap(resource => resource.leftBehind(ctx, observed));
}

/**
 * Removes the owner marks and leaves everything else as it is. A resource that does not exist or that the operator may not change
 * does not stop it.
 */
export function planAbandon(tenant: Tenant, observed: Observed, settings: Settings): Plan {
  const ctx = removalContext(tenant, settings, 0);
  const out = emptyPlan();
  for (const { abandon } of Object.values(MANAGED).reverse()) abandon(ctx, observed, out);
  // The entries stay on record while anything is left to do: after that the finalizer is removed.
  return { ...out, inventory: out.steps.length + out.blockers.length > 0 ? tenant.status.inventory : [] };
}
