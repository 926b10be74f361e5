import { type Context, emptyPart, type Part, readBlocker, step } from './context.ts';
import { absenceCounts, age, entryKey, iso } from './inventory.ts';
import { ownerText } from './names.ts';
import { claimByDescription, consentCommand, describedOwner, markDescription } from './ownership.ts';
import type { InventoryEntry, ObservedAccount, Read } from './types.ts';

export interface AccountPart extends Part {
  /** `ours`: grants may be made and removed. `pending`: it will be, by this plan's steps. */
  state: 'ours' | 'pending' | 'blocked';
  /** The identity that is there now. */
  uniqueId?: string;
  /** Ids of the steps that later ones depend on. */
  needs: string[];
}

/** A new account may answer 404 for up to a minute. */
const VISIBLE_MS = 60_000;

/** The tenant's service account: made, marked as ours, kept enabled. */
export function planAccount(ctx: Context, read: Read<ObservedAccount>, held: InventoryEntry[]): AccountPart {
  const { account, owner, project } = ctx.desired;
  const target = `service account ${account.email}`;
  const blocked = (part: Partial<Part>): AccountPart => ({
    ...emptyPart(),
    entries: held,
    ...part,
    state: 'blocked',
    needs: [],
  });
  const conflict = (message: string) =>
    blocked({ blockers: [{ aspect: 'ServiceAccount', reason: 'ManagementConflict', message }] });

  if (read.state === 'failed') {
    const fresh = held.some(entry => age(entry, ctx.now) < VISIBLE_MS);
    if (read.failure.kind === 'Propagating' && fresh) return { ...waitUntilVisible(held, account.email) };
    return blocked({ blockers: [readBlocker('ServiceAccount', target, read.failure)] });
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
    const entry: InventoryEntry = { type: 'ServiceAccount', name: account.name, time: iso(ctx.now) };
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
      needs: [create.id],
    };
  }

  const found = read.value;
  const claim = claimByDescription(found.description, ctx.rules);
  if (claim === 'theirs') {
    return conflict(
      `Service account ${account.email} belongs to ${describedOwner(found.description)} (cluster/namespace/name), not to ${ownerText(owner)}. ` +
        'Rename this tenant, or delete the other one with the annotation ai-platform.dev/deletion-policy=abandon.',
    );
  }
  if (claim === 'unclaimed') {
    return conflict(
      `Service account ${account.email} exists already and does not name namespace ${owner.namespace}. To let this tenant adopt it: ` +
        consentCommand.account(project, account.email, found.description, owner),
    );
  }
  const part: AccountPart = {
    ...emptyPart(),
    entries: identified(held, account.name, found.uniqueId, ctx.now),
    state: 'ours',
    uniqueId: found.uniqueId,
    needs: [],
  };
  if (claim === 'consented') {
    const description = markDescription(found.description, owner);
    if (description === undefined) {
      return conflict(
        `The description of service account ${account.email} has no room (256 bytes) for the owner's mark: shorten it.`,
      );
    }
    const adopt = step('account', 'ServiceAccount', 'Adopt', target, {
      kind: 'updateAccount',
      name: found.name,
      description,
    });
    adopt.changes = [{ field: 'description', from: found.description, to: description }];
    part.steps.push(adopt);
  }
  if (found.disabled) {
    const enable = step('account:enable', 'ServiceAccount', 'Update', target, {
      kind: 'enableAccount',
      name: found.name,
    });
    enable.changes = [{ field: 'disabled', from: 'true', to: 'false' }];
    enable.drift = ctx.settled;
    part.steps.push(enable);
  }
  return { ...part, state: part.steps.length > 0 ? 'pending' : 'ours', needs: part.steps.map(({ id }) => id) };
}

function waitUntilVisible(held: InventoryEntry[], email: string): AccountPart {
  const message = `Service account ${email} was made and is not visible yet.`;
  return {
    ...emptyPart(),
    waiting: [{ aspect: 'ServiceAccount', message, retryAfterMs: 1_000 }],
    entries: held,
    state: 'blocked',
    needs: [],
  };
}

/** The entries with the identity that was seen; those of earlier identities stay until nothing names them any more. */
function identified(held: InventoryEntry[], name: string, uniqueId: string, now: number): InventoryEntry[] {
  const known = held.find(entry => entry.uniqueId === uniqueId);
  const unnamed = held.find(entry => entry.uniqueId === undefined);
  const current: InventoryEntry = {
    ...(known ?? unnamed),
    type: 'ServiceAccount',
    name,
    uniqueId,
    time: known?.time ?? unnamed?.time ?? iso(now),
  };
  return [...held.filter(entry => entry.uniqueId !== undefined && entry.uniqueId !== uniqueId), current];
}
