import { type AccountPlan, planAccount } from './account.ts';
import { adoptedContent } from './adoptedContent.ts';
import { type Context, emptyPartialPlan, isUnknownRegion, type PartialPlan } from './context.ts';
import {
  absenceCounts,
  assertRecorded,
  entriesKeptBy,
  entriesOfType,
  entryKey,
  identityOf,
  iso,
  MOST_ENTRIES,
  serviceEntry,
} from './inventory.ts';
import { statusWasLost } from './lostStatus.ts';
import { part } from './names.ts';
import { ADOPT, type ClaimRules, claimService } from './ownership.ts';
import { deletedMember } from './policy.ts';
import { planServices } from './regionMove.ts';
import { type AccessPlan, planAccess, recordedIdentities, type SecretUse } from './secretAccess.ts';
import type { ServicesPlan } from './service.ts';
import { mayRead } from './serving.ts';
import type {
  Aspect,
  Desired,
  InventoryEntry,
  KeyStatus,
  Observed,
  Plan,
  Policy,
  Refusals,
  Settings,
  Tenant,
} from './types.ts';

/**
 * The plan of a tenant: the steps that bring Google Cloud to the desired state, in order, and what prevents it. The order is
 * account → grants → services, and each plan gets the one before it, so the order is checked by the types. `deletion.ts` has
 * the order of a deletion.
 */

export interface TenantPlan extends Plan {
  keys: KeyStatus[];
  /** By key name: the version that is live once the service is ready. */
  versions: Map<string, string>;
  /** By key name: the secret's name as Google Cloud answers it. */
  secrets: Map<string, string>;
  /** Messages about content of adopted services that the spec does not name: for events, and for the command `plan`. */
  adopted: string[];
}

/** The rules by which the tenant may treat a resource as its own. */
export function claimRules(tenant: Tenant, desired: Desired, settings: Settings): ClaimRules {
  return {
    owner: desired.owner,
    policy: settings.claimPolicy,
    inventory: tenant.status.inventory,
    namespaceUid: desired.namespaceUid,
    adopt: tenant.annotations[ADOPT] === 'true',
    restore: settings.restore,
    consentUid: settings.consentUid,
  };
}

/** `anyCluster`: the cluster's ID is not known, so consent for any cluster counts. */
export function plan(
  tenant: Tenant,
  desired: Desired,
  observed: Observed,
  settings: Settings,
  now: number,
  options: { refused?: Refusals; anyCluster?: boolean } = {},
): TenantPlan {
  const { status } = tenant;
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  const ctx: Context = {
    desired,
    status,
    settings,
    rules: { ...claimRules(tenant, desired, settings), anyCluster: options.anyCluster },
    now,
    generation: tenant.generation,
    refused: options.refused ?? new Map(),
    settled: ready?.status === 'True' && ready.observedGeneration === tenant.generation,
  };
  const account = planAccount(ctx, observed.account, entriesOfType('ServiceAccount', status.inventory));
  const grants = entriesOfType('SecretAccess', status.inventory);
  const keys = planAccess(ctx, account, observed, grants, secret => secretUse(ctx, observed, secret));
  const access = account.contained ? { ...keys, ...onlyClosing(keys, grants) } : keys;
  const services = planOwnServices(ctx, account, access, observed);
  // In the order of the steps.
  const plans = Object.values({
    ServiceAccount: { ...account, entries: withoutForgotten(account.entries, ctx, access, observed) },
    SecretAccess: access,
    Service: services,
  } satisfies Record<Aspect, PartialPlan>);
  const whole = withinBounds(status, {
    steps: plans.flatMap(({ steps }) => steps),
    blockers: plans.flatMap(({ blockers }) => blockers),
    waiting: plans.flatMap(({ waiting }) => waiting),
    inventory: plans.flatMap(({ entries }) => entries),
    recheckAfterMs: services.recheckAfterMs,
    notes: plans.flatMap(({ notes }) => notes),
    keys: access.keys,
    versions: access.versions,
    adopted: adoptedContent(ctx, observed),
    secrets: new Map(
      observed.keys.flatMap(({ name, secret }) => (secret.state === 'present' ? [[name, secret.value.name]] : [])),
    ),
  });
  assertRecorded(whole.steps, whole.inventory);
  return whole;
}

/**
 * Whether a service of the tenant may read the secret. A service that was created just now may serve although it was not
 * found.
 */
function secretUse({ rules, now }: Context, { services }: Observed, secret: string): SecretUse {
  const mayServe = services.some(({ name, service }) => {
    if (service.state === 'failed') return false;
    if (service.state === 'absent') {
      return entriesOfType('Service', rules.inventory).some(entry => entry.name === name && !absenceCounts(entry, now));
    }
    // A service of another owner reads its secrets by that owner's grants.
    return claimService(service.value, rules) !== 'theirs' && mayRead(service.value, part(secret, 'secrets'));
  });
  if (mayServe) return 'used';
  return services.some(({ service }) => service.state === 'failed') ? 'unknown' : 'unused';
}

/**
 * The API server would refuse a status with more entries than the CRD allows, and the tenant could never change again. Until
 * entries have left the inventory, the plan then only removes and closes, and records nothing new.
 */
function withinBounds(status: Tenant['status'], plan: TenantPlan): TenantPlan {
  if (plan.inventory.length + status.notUnderstood.inventory.length <= MOST_ENTRIES) return plan;
  const recorded = new Set(status.inventory.map(entryKey));
  const message = 'The inventory is full: nothing new is made until entries of earlier edits have gone.';
  return {
    ...plan,
    steps: plan.steps.filter(({ closes, verb }) => closes || verb === 'Revoke' || verb === 'Delete'),
    inventory: plan.inventory.filter(entry => recorded.has(entryKey(entry))),
    waiting: [...plan.waiting, { aspect: 'Service', message, retryAfterMs: 30_000 }],
  };
}

/**
 * If the account of the tenant's name belongs to another owner, its service of that name does so too: no service is changed, and
 * none is closed. If the account is contained, access to the services is only closed.
 */
function planOwnServices(ctx: Context, account: AccountPlan, access: AccessPlan, observed: Observed): ServicesPlan {
  const recorded = entriesKeptBy('Service', ctx.status.inventory);
  if (account.foreign) return { ...emptyPartialPlan(), entries: recorded };
  const known = planServices({ ctx, access, recorded }, observed.services);
  const unread = account.state === 'ours' ? unreadOfLost(ctx, observed, known.entries) : [];
  const planned = { ...known, entries: [...known.entries, ...unread] };
  return account.contained ? { ...planned, ...onlyClosing(planned, recorded), recheckAfterMs: undefined } : planned;
}

/**
 * Entries for services that could not be read after the status was lost. They may be the tenant's own, and once the account is on
 * record the other regions are not searched again.
 */
function unreadOfLost(ctx: Context, { account, services }: Observed, entries: InventoryEntry[]): InventoryEntry[] {
  if (!statusWasLost(account, ctx.rules)) return [];
  return services.flatMap(({ name, service }) => {
    const isUnread = service.state === 'failed' && !isUnknownRegion(service.failure);
    return isUnread && !serviceEntry(entries, name) ? { type: 'Service' as const, name, time: iso(ctx.now) } : [];
  });
}

/** The plan without the steps that create, change or delete, and without the entries that these would have added. */
function onlyClosing(planned: PartialPlan, recorded: InventoryEntry[]): Pick<PartialPlan, 'steps' | 'entries'> {
  const kept = new Set(planned.entries.map(entryKey));
  return {
    steps: planned.steps.filter(({ closes }) => closes),
    entries: recorded.filter(entry => kept.has(entryKey(entry))),
  };
}

/** The account's entries without the unique IDs of deleted accounts that no policy names any more. */
function withoutForgotten(
  entries: InventoryEntry[],
  ctx: Context,
  access: AccessPlan,
  observed: Observed,
): InventoryEntry[] {
  const current = observed.account.state === 'present' ? observed.account.value.uniqueId : undefined;
  if (current === undefined || access.steps.length > 0) return entries;
  const policies: Policy[] = [];
  for (const { policy } of [...observed.keys, ...observed.formerGrants]) {
    if (policy?.state === 'failed') return entries;
    if (policy?.state === 'present') policies.push(policy.value);
  }
  const members = policies.flatMap(({ bindings }) => bindings.flatMap(binding => binding.members));
  const isNamed = (uid: string) => members.includes(deletedMember(ctx.desired.account.email, uid));
  const forgotten = recordedIdentities(ctx.status).filter(uid => uid !== current && !isNamed(uid));
  return entries.filter(entry => !forgotten.includes(identityOf(entry) ?? ''));
}
