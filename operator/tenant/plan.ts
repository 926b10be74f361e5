import { type AccountPart, planAccount } from './account.ts';
import { adoptedContent } from './adopted.ts';
import { type Context, emptyPart, isUnknownRegion, type Part } from './context.ts';
import { absenceCounts, assertRecorded, entriesKeptBy, entriesOfType, entryKey, identityOf, iso } from './inventory.ts';
import type { Refusals } from './invokers.ts';
import { statusWasLost } from './lostStatus.ts';
import { part, serviceName } from './names.ts';
import { ADOPT, type ClaimRules, claimService } from './ownership.ts';
import { deletedMember } from './policy.ts';
import { type AccessPart, planAccess, recordedIdentities, type SecretUse } from './secretAccess.ts';
import { mayRead, planServices, type ServicesPart } from './service.ts';
import type { Desired, InventoryEntry, KeyStatus, Observed, Plan, Policy, Settings, Tenant } from './types.ts';

/** What to read in Google Cloud: everything that is wanted, and everything that the inventory says is or may be ours. */
export interface Targets {
  account?: { project: string; email: string };
  keys: { name: string; secret: string; want: 'newestEnabled' | 'latest' | 'none' | (string & {}) }[];
  formerGrants: string[];
  /** Whether the former grants' secrets still consent matters: a grant without consent goes, whatever reads it. */
  formerConsent?: boolean;
  services: string[];
  /** Services whose invokers matter whatever their switch says. */
  invokersOf: string[];
  /** A service whose switch is not open may be public by an allUsers invoker: that is read too. */
  isPublic: boolean;
}

export function targets(desired: Desired, inventory: InventoryEntry[]): Targets {
  const wanted = serviceName(desired.project, desired.region, desired.serviceId);
  const named = (type: InventoryEntry['type']) =>
    inventory.filter(entry => entry.type === type).map(({ name }) => name);
  const services = [...new Set([wanted, ...named('Service')])];
  // Until the wanted region's service has replaced them, others' bindings are carried over from the former ones.
  const moving = entriesOfType('Service', inventory).some(({ name, retireAt }) => name !== wanted && !retireAt);
  const checked = desired.spec.access === 'Authenticated' || moving;
  return {
    account: { project: desired.project, email: desired.account.email },
    keys: desired.keys.flatMap(({ name, secret, env, version, rollout }) => {
      if (secret === undefined) return [];
      const latest = rollout === 'OnNewVersion' ? 'newestEnabled' : 'latest';
      return [{ name, secret, want: env === undefined ? 'none' : version === 'latest' ? latest : version }];
    }),
    formerGrants: named('SecretAccess'),
    formerConsent: true,
    services,
    invokersOf: checked ? services : named('Invoker'),
    isPublic: desired.spec.access === 'Public',
  };
}

export interface TenantPlan extends Plan {
  keys: KeyStatus[];
  /** By key: the version that becomes the live one once the service is ready. */
  versions: Map<string, string>;
  /** By key: its secret as Google Cloud answers it. */
  secrets: Map<string, string>;
  /** What the services that this plan takes over hold that nobody named: for an event, and for `plan`. */
  adopted: string[];
}

/** Whose things the tenant may treat as its own. */
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

/** What brings Google Cloud to the desired state, in order; and what stands in the way. Pure. */
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
  // What another owner's service reads is for that owner's grants. One that is out of sight may serve all the same.
  const madeJustNow = entriesOfType('Service', status.inventory).filter(entry => !absenceCounts(entry, now));
  const inUse = (secret: string): SecretUse => {
    const mayServe = observed.services.some(({ name, service }) => {
      if (service.state === 'failed') return false;
      if (service.state === 'absent') return madeJustNow.some(entry => entry.name === name);
      if (claimService(service.value, ctx.rules) === 'theirs') return false;
      return mayRead(service.value, part(secret, 'secrets'));
    });
    if (mayServe) return 'used';
    return observed.services.some(({ service }) => service.state === 'failed') ? 'unknown' : 'unused';
  };
  const grants = entriesOfType('SecretAccess', status.inventory);
  const ofServices = entriesKeptBy('Service', status.inventory);
  const keys = planAccess(ctx, account, observed, grants, inUse);
  const access = account.contained ? { ...keys, ...onlyClosing(keys, grants) } : keys;
  const services = plannedServices(ctx, account, access, observed, ofServices);
  return withinBounds(status, {
    // Closing access and taking grants away come first: nothing that may fail should keep them waiting.
    steps: [...account.steps, ...access.steps, ...services.steps],
    blockers: [...account.blockers, ...access.blockers, ...services.blockers],
    waiting: [...account.waiting, ...access.waiting, ...services.waiting],
    inventory: [...withoutForgotten(account.entries, ctx, access, observed), ...access.entries, ...services.entries],
    recheckAfterMs: services.recheckAfterMs,
    notes: [...access.notes, ...services.notes],
    keys: access.keys,
    versions: access.versions,
    adopted: adoptedContent(ctx, observed),
    secrets: new Map(
      observed.keys.flatMap(({ name, secret }) => (secret.state === 'present' ? [[name, secret.value.name]] : [])),
    ),
  });
}

/** The CRD's bound of `status.inventory`. */
const MOST_ENTRIES = 2_000;

/**
 * A status that the API server refuses would freeze the tenant. Where the inventory would outgrow its bound, nothing new is
 * put on record and only what removes or closes is done, until earlier entries have gone.
 */
function withinBounds(status: Tenant['status'], plan: TenantPlan): TenantPlan {
  assertRecorded(plan.steps, plan.inventory);
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
 * No service is touched, not even closed, while the account of the tenant's name is another owner's: by its name the
 * service is that owner's too. Of a contained tenant's services only access is closed.
 */
function plannedServices(
  ctx: Context,
  account: AccountPart,
  access: AccessPart,
  observed: Observed,
  held: InventoryEntry[],
): ServicesPart {
  if (account.foreign) return { ...emptyPart(), entries: held, notes: [] };
  const known = planServices(ctx, access, observed, held);
  const unread = account.state === 'ours' ? unreadOfLost(ctx, observed, known.entries) : [];
  const planned = { ...known, entries: [...known.entries, ...unread] };
  if (!account.contained) return planned;
  return { ...planned, ...onlyClosing(planned, held), recheckAfterMs: undefined };
}

/**
 * Services of a tenant whose status was lost that could not be read: they may be its own, and once the account is on record
 * they are not searched again.
 */
function unreadOfLost(ctx: Context, { account, services }: Observed, entries: InventoryEntry[]): InventoryEntry[] {
  if (!statusWasLost(account, ctx.rules)) return [];
  return services.flatMap(({ name, service }) => {
    const isUnread = service.state === 'failed' && !isUnknownRegion(service.failure);
    if (!isUnread || entries.some(entry => entry.type === 'Service' && entry.name === name)) return [];
    return { type: 'Service' as const, name, time: iso(ctx.now) };
  });
}

/** The part without the steps that create, change or delete, and with nothing on record that these would have made. */
function onlyClosing(part: Part, held: InventoryEntry[]): Pick<Part, 'steps' | 'entries'> {
  const planned = new Set(part.entries.map(entryKey));
  return {
    steps: part.steps.filter(({ closes }) => closes),
    entries: held.filter(entry => planned.has(entryKey(entry))),
  };
}

/** Identities of deleted accounts go from the inventory once no policy names them any more. */
function withoutForgotten(
  entries: InventoryEntry[],
  ctx: Context,
  access: AccessPart,
  observed: Observed,
): InventoryEntry[] {
  const current = observed.account.state === 'present' ? observed.account.value.uniqueId : undefined;
  if (current === undefined || access.steps.length > 0) return entries;
  const policies: Policy[] = [];
  for (const { policy } of [...observed.keys, ...observed.formerGrants]) {
    if (policy?.state === 'failed') return entries;
    if (policy?.state === 'present') policies.push(policy.value);
  }
  const named = (uid: string) =>
    policies.some(({ bindings }) =>
      bindings.some(({ members }) => members.includes(deletedMember(ctx.desired.account.email, uid))),
    );
  const forgotten = recordedIdentities(ctx).filter(uid => uid !== current && !named(uid));
  return entries.filter(entry => !forgotten.includes(identityOf(entry) ?? ''));
}
