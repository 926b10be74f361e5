import { accountConflict } from './consent.ts';
import { type Context, emptyPart, type Part, readBlocker, step } from './context.ts';
import { absenceCounts, age, entryKey, iso } from './inventory.ts';
import { ownerText } from './names.ts';
import { claimAccount, markDescription } from './ownership.ts';
import type { AccountEntry, Blocker, ObservedAccount, Read } from './types.ts';

export interface AccountPart extends Part {
  /** `ours`: grants may be made and removed. `pending`: it will be, by this plan's steps. */
  state: 'ours' | 'pending' | 'blocked';
  /** It carries another owner's mark: no service of the tenant's name is touched. */
  foreign: boolean;
  /** It is disabled: containment. Nothing is created, enabled or changed; what only removes or closes goes on. */
  contained: boolean;
  /** The identity that is there now. */
  uniqueId?: string;
  /** Ids of the steps that later ones depend on. */
  needs: string[];
}

/** A new account may answer 404 for up to a minute. */
const VISIBLE_MS = 60_000;

/** The tenant's service account: made and marked as ours. One that somebody disabled is left disabled. */
export function planAccount(ctx: Context, read: Read<ObservedAccount>, held: AccountEntry[]): AccountPart {
  const { account, owner, project } = ctx.desired;
  const target = `service account ${account.email}`;
  const blocked = (part: Partial<Part>): AccountPart => ({
    ...emptyPart(),
    entries: held,
    ...part,
    state: 'blocked',
    foreign: false,
    contained: false,
    needs: [],
  });
  const conflict = (message: string) =>
    blocked({ blockers: [{ aspect: 'ServiceAccount', reason: 'ManagementConflict', message }] });

  if (read.state === 'failed') {
    const fresh = held.some(entry => age(entry, ctx.now) < VISIBLE_MS);
    if (read.failure.kind === 'Propagating' && fresh) return { ...waitUntilVisible(held, account.email) };
    const unread = readBlocker('ServiceAccount', target, read.failure);
    if (!wasHeld(ctx)) return blocked({ blockers: [unread] });
    // Containment ends with an answer that says so.
    const blockers = [containment(account.email, project), ...(unread.unread ? [] : [unread])];
    return { ...blocked({ blockers }), contained: true };
  }

  if (read.state === 'absent') {
    const made = held.find(entry => entry.uniqueId !== undefined && age(entry, ctx.now) < VISIBLE_MS);
    if (made && !absenceCounts(made, ctx.now)) return waitUntilVisible(held, account.email);
    const description = markDescription('', owner);
    if (description === undefined) {
      return conflict(
        `The owner's mark ${ownerText(owner)} is too long for a service account's description: use a shorter --cluster-id.`,
      );
    }
    const entry: AccountEntry = { type: 'ServiceAccount', name: account.name, time: iso(ctx.now) };
    const create = step('account', 'ServiceAccount', 'Create', target, {
      kind: 'createAccount',
      project,
      accountId: account.id,
      email: account.email,
      displayName: account.displayName,
      description,
    });
    create.creates = [entryKey(entry)];
    create.drift = ctx.settled;
    return {
      ...emptyPart(),
      steps: [create],
      entries: [...held.filter(other => other.uniqueId !== undefined), entry],
      state: 'pending',
      foreign: false,
      contained: false,
      needs: [create.id],
    };
  }

  const found = read.value;
  const claim = claimAccount(found, ctx.rules);
  const refused = accountConflict(found, claim, project, ctx.rules);
  if (refused !== undefined) return { ...conflict(refused), foreign: claim === 'theirs' };
  const contained: AccountPart = { ...blocked({ blockers: [containment(found.email, project)] }), contained: true };
  if (claim === 'consented') {
    const description = markDescription(found.description, owner);
    if (description === undefined) {
      return conflict(
        `The description of service account ${account.email} has no room (256 bytes) for the owner's mark: shorten it.`,
      );
    }
    if (found.disabled) return contained;
    const adopt = step('account', 'ServiceAccount', 'Adopt', target, {
      kind: 'updateAccount',
      name: found.name,
      description,
    });
    adopt.changes = [{ field: 'description', from: found.description, to: description }];
    return { ...ours(ctx, found, held), steps: [adopt], state: 'pending', needs: [adopt.id] };
  }
  if (!found.disabled) return ours(ctx, found, held);
  return { ...ours(ctx, found, held), blockers: contained.blockers, contained: true };
}

function ours(ctx: Context, found: ObservedAccount, held: AccountEntry[]): AccountPart {
  return {
    ...emptyPart(),
    entries: identified(held, ctx.desired.account.name, found.uniqueId, ctx.now),
    state: 'ours',
    foreign: false,
    contained: false,
    uniqueId: found.uniqueId,
    needs: [],
  };
}

/** Whether the account was disabled when it was read last. */
const wasHeld = ({ status }: Context): boolean =>
  status.conditions.some(({ type, reason }) => type === 'ServiceAccountReady' && reason === 'Held');

function containment(email: string, project: string): Blocker {
  return {
    aspect: 'ServiceAccount',
    reason: 'Held',
    message:
      `Service account ${email} is disabled, which counts as containment: nothing of this tenant is created, enabled or changed ` +
      'until it is enabled again; grants that have left the spec or lost consent are still removed, and access is still closed. ' +
      `To end it: gcloud iam service-accounts enable ${email} --project=${project}`,
  };
}

function waitUntilVisible(held: AccountEntry[], email: string): AccountPart {
  const message = `Service account ${email} was made and is not visible yet.`;
  return {
    ...emptyPart(),
    waiting: [{ aspect: 'ServiceAccount', message, retryAfterMs: 1_000 }],
    entries: held,
    state: 'blocked',
    foreign: false,
    contained: false,
    needs: [],
  };
}

/** The entries with the identity that was seen; those of earlier identities stay until nothing names them any more. */
function identified(held: AccountEntry[], name: string, uniqueId: string, now: number): AccountEntry[] {
  const known = held.find(entry => entry.uniqueId === uniqueId);
  const unnamed = held.find(entry => entry.uniqueId === undefined);
  const current: AccountEntry = {
    ...(known ?? unnamed),
    type: 'ServiceAccount',
    name,
    uniqueId,
    time: known?.time ?? unnamed?.time ?? iso(now),
  };
  return [...held.filter(entry => entry.uniqueId !== undefined && entry.uniqueId !== uniqueId), current];
}
