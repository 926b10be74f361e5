import { accountConflict } from './consent.ts';
import { type Context, emptyPartialPlan, failureBlocker, type PartialPlan, readBlocker, step } from './context.ts';
import { absenceCounts, age, entriesOfType, entryKey, iso } from './inventory.ts';
import { accountName, ownerText, part, serviceAccountEmail, serviceAccountId, targetOf } from './names.ts';
import { claimAccount, describedOwner, markDescription, unmarkDescription } from './ownership.ts';
import { abandonable, keepUntilSure, notDeleted, type RemovalContext, unreadBlocker } from './removalContext.ts';
import { mayRunAs } from './serving.ts';
import type {
  AccountEntry,
  Blocker,
  Call,
  Desired,
  Observed,
  ObservedAccount,
  ObservedService,
  Plan,
  Read,
  Step,
  Targets,
  Tenant,
} from './types.ts';

/**
 * The tenant's service account. The operator creates it, marks it as the tenant's by a word in its description, and deletes it
 * after everything else. A disabled account counts as containment: the operator leaves it disabled and creates nothing.
 *
 * An account of the same e-mail that was created again has another unique ID. The inventory keeps the entries of earlier
 * identities until no policy names them any more.
 */

export interface AccountPlan extends PartialPlan {
  /** `ours`: grants may be made and removed. `pending`: the account is ours once this plan's steps have succeeded. */
  state: 'ours' | 'pending' | 'blocked';
  /** The account carries another owner's mark, so the operator changes no service of the tenant's name. */
  foreign: boolean;
  /** The account is disabled: only steps that remove or close access are made. */
  contained: boolean;
  /** Unique ID of the account that exists now. */
  uniqueId?: string;
  /** IDs of the steps that later steps depend on. */
  needs: string[];
}

export const accountTargets = ({ account }: Desired): Pick<Targets, 'account'> => ({ account: account.name });

/** The recorded account, or the one that has the tenant's name. */
export function accountDeletionTargets({ name, status }: Tenant, project?: string): Pick<Targets, 'account'> {
  const [recorded] = entriesOfType('ServiceAccount', status.inventory);
  if (recorded)
    return { account: accountName(part(recorded.name, 'projects'), part(recorded.name, 'serviceAccounts')) };
  return { account: project && accountName(project, serviceAccountEmail(serviceAccountId(name), project)) };
}

/** A new account may answer NOT_FOUND for up to a minute. */
const VISIBLE_MS = 60_000;

export function planAccount(ctx: Context, read: Read<ObservedAccount>, recorded: AccountEntry[]): AccountPlan {
  if (read.state === 'failed') return planUnread(ctx, read.failure, recorded);
  if (read.state === 'absent') return planMissing(ctx, recorded);
  const { account, owner, project } = ctx.desired;
  const found = read.value;
  const claim = claimAccount(found, ctx.rules);
  const refused = accountConflict(found, claim, project, ctx.rules);
  if (refused !== undefined) return { ...conflict(recorded, refused), foreign: claim === 'theirs' };
  const containment = [containmentBlocker(found.email, project)];
  if (claim !== 'consented') {
    if (!found.disabled) return ours(ctx, found, recorded);
    return { ...ours(ctx, found, recorded), blockers: containment, contained: true };
  }
  const description = markDescription(found.description, owner);
  if (description === undefined) {
    return conflict(
      recorded,
      `The description of service account ${account.email} has no room (256 bytes) for the owner's mark: shorten it.`,
    );
  }
  if (found.disabled) return { ...blocked(recorded, containment), contained: true };
  const adopt = step('account', 'ServiceAccount', 'Adopt', `service account ${account.email}`, {
    kind: 'updateAccount',
    name: found.name,
    description,
  });
  adopt.changes = [{ field: 'description', from: found.description, to: description }];
  return { ...ours(ctx, found, recorded), steps: [adopt], state: 'pending', needs: [adopt.id] };
}

function planUnread(ctx: Context, failure: Parameters<typeof readBlocker>[2], recorded: AccountEntry[]): AccountPlan {
  const { account, project } = ctx.desired;
  const isNew = recorded.some(entry => age(entry, ctx.now) < VISIBLE_MS);
  if (failure.kind === 'Propagating' && isNew) return waitUntilVisible(recorded, account.email);
  const unread = readBlocker('ServiceAccount', `service account ${account.email}`, failure);
  if (!wasContained(ctx)) return blocked(recorded, [unread]);
  // Only an answer that shows an enabled account ends containment.
  const blockers = [containmentBlocker(account.email, project), ...(unread.unread ? [] : [unread])];
  return { ...blocked(recorded, blockers), contained: true };
}

function planMissing(ctx: Context, recorded: AccountEntry[]): AccountPlan {
  const { account, owner, project } = ctx.desired;
  const created = recorded.find(entry => entry.uniqueId !== undefined && age(entry, ctx.now) < VISIBLE_MS);
  if (created && !absenceCounts(created, ctx.now)) return waitUntilVisible(recorded, account.email);
  const description = markDescription('', owner);
  if (description === undefined) {
    return conflict(
      recorded,
      `The owner's mark ${ownerText(owner)} is too long for a service account's description: use a shorter --cluster-id.`,
    );
  }
  const entry: AccountEntry = { type: 'ServiceAccount', name: account.name, time: iso(ctx.now) };
  const create = step('account', 'ServiceAccount', 'Create', `service account ${account.email}`, {
    kind: 'createAccount',
    project,
    accountId: account.id,
    email: account.email,
    displayName: account.displayName,
    description,
  });
  create.creates = [entryKey(entry)];
  create.drift = ctx.settled;
  const former = recorded.filter(other => other.uniqueId !== undefined);
  return { ...blocked([...former, entry], []), steps: [create], state: 'pending', needs: [create.id] };
}

const blocked = (entries: AccountEntry[], blockers: Blocker[]): AccountPlan => ({
  ...emptyPartialPlan(),
  entries,
  blockers,
  state: 'blocked',
  foreign: false,
  contained: false,
  needs: [],
});

const conflict = (recorded: AccountEntry[], message: string): AccountPlan =>
  blocked(recorded, [{ aspect: 'ServiceAccount', reason: 'ManagementConflict', message }]);

const ours = (ctx: Context, { uniqueId }: ObservedAccount, recorded: AccountEntry[]): AccountPlan => ({
  ...blocked(identified(recorded, ctx.desired.account.name, uniqueId, ctx.now), []),
  state: 'ours',
  uniqueId,
});

/** Whether the account was disabled when it was last read. */
const wasContained = ({ status }: Context): boolean =>
  status.conditions.some(({ type, reason }) => type === 'ServiceAccountReady' && reason === 'Held');

function containmentBlocker(email: string, project: string): Blocker {
  return {
    aspect: 'ServiceAccount',
    reason: 'Held',
    message:
      `Service account ${email} is disabled, which counts as containment: nothing of this tenant is created, enabled or changed ` +
      'until it is enabled again. Only grants that have left the spec or lost consent are removed, and access that the spec closes is closed. ' +
      `To end it: gcloud iam service-accounts enable ${email} --project=${project}`,
  };
}

function waitUntilVisible(recorded: AccountEntry[], email: string): AccountPlan {
  const message = `Service account ${email} was made and is not visible yet.`;
  return { ...blocked(recorded, []), waiting: [{ aspect: 'ServiceAccount', message, retryAfterMs: 1_000 }] };
}

/** The entries with the observed unique ID. Entries of earlier identities stay (`withoutForgotten` in plan.ts removes them). */
function identified(recorded: AccountEntry[], name: string, uniqueId: string, now: number): AccountEntry[] {
  const known = recorded.find(entry => entry.uniqueId === uniqueId);
  const unnamed = recorded.find(entry => entry.uniqueId === undefined);
  const current: AccountEntry = {
    ...(known ?? unnamed),
    type: 'ServiceAccount',
    name,
    uniqueId,
    time: known?.time ?? unnamed?.time ?? iso(now),
  };
  return [...recorded.filter(entry => entry.uniqueId !== undefined && entry.uniqueId !== uniqueId), current];
}

// ------------------------------------------------------------------------------------------------ remove, abandon

/** The account as a deletion finds it. `ours`: it exists and carries this tenant's marks. */
export interface AccountToRemove {
  email: string;
  recorded: AccountEntry[];
  ours?: ObservedAccount;
  /** Services that are not this tenant's and may run as the account. While there are any, the account is not deleted. */
  users: ObservedService[];
}

/**
 * Finds the account to remove. Undefined: it is not known yet whether the account exists; `out` then has the reason and the
 * entries.
 */
export function accountToRemove(
  ctx: RemovalContext,
  { account: read, services }: Pick<Observed, 'account' | 'services'>,
  out: Plan,
): AccountToRemove | undefined {
  const recorded = entriesOfType('ServiceAccount', ctx.tenant.status.inventory);
  const email =
    read.state === 'present'
      ? read.value.email
      : recorded[0]
        ? part(recorded[0].name, 'serviceAccounts')
        : serviceAccountId(ctx.tenant.name);
  const target = `service account ${email}`;
  if (read.state === 'failed') {
    // An account that was created just now answers 403. An old one does so only if a permission is missing.
    const sinceMs = Math.min(...recorded.map(entry => age(entry, ctx.now)));
    out.inventory.push(...recorded);
    out.blockers.push(unreadBlocker(ctx, 'ServiceAccount', target, read.failure, recorded.length > 0, sinceMs));
    return undefined;
  }
  const fresh = recorded.find(entry => !absenceCounts(entry, ctx.now));
  if (read.state !== 'present' && fresh) {
    // The account may not be visible yet. Its grants are removed once it is, because then it is known whose it is.
    out.inventory.push(...recorded.filter(entry => entry !== fresh));
    keepUntilSure(fresh, target, ctx, out);
    return undefined;
  }
  const isOurs = read.state === 'present' && claimAccount(read.value, ctx.rules) === 'ours';
  // The account follows when none of the tenant's own services is left, so all of these are another owner's or nobody's.
  const users = services.flatMap(({ service }) =>
    service.state === 'present' && mayRunAs(service.value, email) ? [service.value] : [],
  );
  return { email, recorded, users, ...(isOurs && { ours: read.value }) };
}

/**
 * Deletes the account after this plan's other steps. The call names the unique ID, so that it never deletes a later account of
 * the same e-mail. An account that a service of somebody else may run as only loses its mark.
 */
export function removeAccount(
  { now }: RemovalContext,
  { email, recorded, ours, users }: AccountToRemove,
  out: Plan,
): void {
  if (!ours) {
    // The grants that are left are found by the account's e-mail and unique IDs, so its entries stay with them.
    if (out.inventory.length > 0) out.inventory.push(...recorded);
    return;
  }
  const { uniqueId } = ours;
  const found: AccountEntry = { type: 'ServiceAccount', name: ours.name, uniqueId, time: iso(now) };
  const entries = recorded.length > 0 ? recorded : [found];
  out.inventory.push(...entries);
  if (out.blockers.length > 0 || out.waiting.length > 0) return;
  if (users.length > 0) {
    const abandon = abandonStep(ours);
    abandon.needs = out.steps.map(({ id }) => id);
    // The grants that stay are not this tenant's any more either.
    abandon.removes = out.inventory.map(entryKey);
    out.steps.push(abandon);
    out.notes.push(inUse(ours, users));
    return;
  }
  const name = `${ours.name.split('/serviceAccounts/')[0]}/serviceAccounts/${uniqueId}`;
  const remove = step('account', 'ServiceAccount', 'Delete', `service account ${email}`, {
    kind: 'deleteAccount',
    name,
  });
  remove.needs = out.steps.map(({ id }) => id);
  remove.removes = entries.map(entryKey);
  out.steps.push(remove);
}

/** The event about an account that a deletion leaves, because services that are not this tenant's may run as it. */
const inUse = ({ name, email }: ObservedAccount, users: ObservedService[]): string =>
  `The service account ${email} is not deleted and keeps the grants that are in use, because the ` +
  `${users.map(service => targetOf(service.name)).join(' and the ')}, which is not this tenant's, may run as it. ` +
  `Only the owner mark is removed. Once nothing runs as it: gcloud iam service-accounts delete ${email} --project=${part(name, 'projects')}`;

/** The event about a recorded account that a deletion leaves, because it does not carry this tenant's marks. */
export function accountLeftBehind({ tenant, rules }: RemovalContext, { account: read }: Observed): string[] {
  const isRecorded = entriesOfType('ServiceAccount', tenant.status.inventory).length > 0;
  if (read.state !== 'present' || !isRecorded || claimAccount(read.value, rules) === 'ours') return [];
  const { name, email, description } = read.value;
  const command = `gcloud iam service-accounts delete ${email} --project=${part(name, 'projects')}`;
  return [notDeleted(`service account ${email}`, 'keeps its grants', describedOwner(description), command)];
}

/** Removes the owner's mark from the description and leaves everything else as it is. */
export function abandonAccount({ rules }: RemovalContext, { account: read }: Observed, out: Plan): void {
  if (read.state === 'failed' && !abandonable(read.failure)) {
    out.blockers.push(failureBlocker('ServiceAccount', 'Cannot read the service account', read.failure, 0));
  } else if (read.state === 'present' && claimAccount(read.value, rules) === 'ours') {
    out.steps.push(abandonStep(read.value));
  }
}

function abandonStep({ name, email, description }: ObservedAccount): Step {
  const abandon = step('account', 'ServiceAccount', 'Abandon', `service account ${email}`, {
    kind: 'updateAccount',
    name,
    description: unmarkDescription(description),
  });
  abandon.changes = [{ field: 'description', from: 'owner mark', to: undefined }];
  return abandon;
}

// -------------------------------------------------------------------------------------------------------- foresee

type AccountCall = Extract<Call, { kind: 'createAccount' | 'updateAccount' | 'deleteAccount' }>;

/** The observed state with the account as it will be once the call has succeeded. */
export function foreseeAccount(observed: Observed, call: AccountCall): Observed {
  if (call.kind === 'deleteAccount') return { ...observed, account: { state: 'absent' } };
  const { description } = call;
  if (call.kind === 'updateAccount') {
    if (observed.account.state !== 'present') return observed;
    return { ...observed, account: { state: 'present', value: { ...observed.account.value, description } } };
  }
  const { project, email } = call;
  const name = `projects/${project}/serviceAccounts/${email}`;
  return {
    ...observed,
    account: { state: 'present', value: { name, email, uniqueId: 'new', description, disabled: false } },
  };
}
