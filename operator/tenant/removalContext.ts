import { isUnknownRegion, readBlocker } from './context.ts';
import { absenceCounts, age, iso, SETTLE_MS } from './inventory.ts';
import type { ClaimRules } from './ownership.ts';
import type { Aspect, Blocker, Failure, InventoryEntry, Plan, Settings, Tenant } from './types.ts';

/** The input of removing or abandoning any resource of a tenant, besides the observed state. */
export interface RemovalContext {
  tenant: Tenant;
  rules: ClaimRules;
  /** Milliseconds since the epoch. */
  now: number;
}

export function removalContext(tenant: Tenant, settings: Settings, now: number): RemovalContext {
  const owner = { cluster: settings.clusterId, namespace: tenant.namespace, name: tenant.name };
  // A resource that carries the tenant's full owner marks is removed with it, even if the status does not list it.
  const rules = { owner, policy: settings.claimPolicy, inventory: tenant.status.inventory, restore: true };
  return { tenant, rules, now };
}

export const emptyPlan = (): Plan => ({ steps: [], blockers: [], waiting: [], inventory: [], notes: [] });

/** Keeps the entry of a resource that was not found while a call that creates it may still be running. */
export function keepUntilSure(entry: InventoryEntry, what: string, { now }: RemovalContext, out: Plan): void {
  if (absenceCounts(entry, now)) return;
  out.inventory.push(entry);
  const left = SETTLE_MS - age(entry, now);
  const until = `${iso(now + left).slice(0, 19)}Z`;
  const message = `Google Cloud shows no ${what}, but a call that creates it may still be under way: the operator checks again until ${until}.`;
  out.waiting.push({ aspect: 'Service', message, retryAfterMs: Math.min(left, 5_000) });
}

/** Blocks the deletion on a resource that cannot be read. `sinceMs`: milliseconds since the last call that created it. */
export function unreadBlocker(
  { tenant: { namespace, name } }: RemovalContext,
  aspect: Aspect,
  what: string,
  failure: Failure,
  isRecorded: boolean,
  sinceMs?: number,
): Blocker {
  const blocker = readBlocker(aspect, what, failure, sinceMs);
  if (isRecorded || !abandonable(failure)) return blocker;
  const letGo = `kubectl annotate aitenant ${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  return {
    ...blocker,
    message: `${blocker.message} The inventory does not name it. If Google Cloud has nothing of this tenant there, abandon the rest: ${letGo}`,
  };
}

/** Whether a tenant may be abandoned in spite of this failure. `Propagating` is the 403 of an account that was created just now. */
export const abandonable = (failure: Failure): boolean =>
  ['PermissionDenied', 'Propagating', 'NotFound'].includes(failure.kind) || isUnknownRegion(failure);

/** The event of a resource that a deletion leaves because it no longer carries this tenant's full owner marks. */
export function notDeleted(what: string, consequence: string, owner: string | undefined, command: string): string {
  const isAnothers = owner !== undefined && !owner.includes('?');
  return isAnothers
    ? `The ${what} carries the marks of another owner (${owner}, cluster/namespace/name), so it is not deleted and ${consequence}.`
    : `The ${what} has lost this tenant's owner marks, so it is not deleted and ${consequence}. If nobody else uses it: ${command}`;
}
