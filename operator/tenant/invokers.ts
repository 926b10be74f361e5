import { advised, type Context, PROPAGATION_MS, readBlocker, step } from './context.ts';
import { absenceCounts, entriesOfType, entryKey, iso } from './inventory.ts';
import {
  editPolicy,
  hasAddition,
  hasMember,
  isDeletedFormOf,
  membersOf,
  type PolicyAddition,
  PUBLIC_MEMBERS,
  RUN_INVOKER,
  sameMember,
  withAdditions,
} from './policy.ts';
import { quoted } from './printable.ts';
import type { Blocker, InventoryEntry, InvokerEntry, Observed, ObservedService, Policy, Step } from './types.ts';

/**
 * Who may call a service: the switch on the service, and the members of its IAM policy. Taking callers off and adding
 * callers are two writes, so that a member that Google Cloud refuses never keeps another one on.
 */
export interface InvokersPart {
  /** Set: what the service's switch must become. */
  invokerIamDisabled?: boolean;
  from?: string;
  /** Takes off whom the spec no longer names, and everybody where callers are checked. */
  remove?: Step;
  /** Adds whom the spec names, and what is carried over; comes only after what is to be removed is off. */
  add?: Step;
  entries: InventoryEntry[];
  blockers: Blocker[];
  notes: string[];
  /** The policy could not be read: whether it is as wanted is not known. */
  unread: boolean;
}

/** A member that Google Cloud has refused, by `refusalKey`. */
export interface Refusal {
  /** Google Cloud's own words. */
  message: string;
  /** What a person can do about it, where that is more than to correct or remove the member. */
  advice?: string;
  /** The words are also those of a member that is too new to be known everywhere. */
  propagating: boolean;
  /** Milliseconds since the epoch of the first refusal in a row, and of the last. */
  since: number;
  at: number;
  /** The generation of the spec that named it: after an edit it is tried again at once. */
  generation: number;
}
export type Refusals = ReadonlyMap<string, Refusal>;

export const refusalKey = (service: string, { role, member }: PolicyAddition): string => `${service} ${role} ${member}`;

/** A member that may be too new is tried again this soon; any other at the interval. */
const NEW_MEMBER_MS = 15_000;

/** `carried`: what a predecessor's policy holds of others and the service is to get too. */
export function planInvokers(
  ctx: Context,
  seen: Observed['services'][number],
  found: ObservedService,
  held: InventoryEntry[],
  carried: PolicyAddition[],
): InvokersPart {
  const { spec } = ctx.desired;
  const former = entriesOfType('Invoker', held);
  const isPublic = spec.access === 'Public';
  const out: InvokersPart = { entries: [], blockers: [], notes: [], unread: false };
  if (!isPublic && found.invokerIamDisabled) {
    out.invokerIamDisabled = false;
    out.from = 'Public';
  }
  const read = seen.invokers;
  if (isPublic && !found.invokerIamDisabled && read?.state === 'present') {
    const open = [...carried, ...listed(read.value)].some(({ role, member, condition }) => {
      return role === RUN_INVOKER && member === 'allUsers' && condition === undefined;
    });
    if (!open) {
      out.invokerIamDisabled = true;
      out.from = 'Authenticated';
    }
  }

  // The API refuses these two; an object that is older than that rule opens nothing all the same.
  const wanted = isPublic ? [] : spec.invokers.filter(member => !PUBLIC_MEMBERS.includes(member));
  const leaving = former.filter(entry => !wanted.some(member => sameMember(member, entry.member)));
  const needed = !isPublic || !found.invokerIamDisabled || former.length > 0 || carried.length > 0;
  if (!needed) return out;
  if (read?.state !== 'present') {
    out.entries = former;
    out.unread = true;
    const failure =
      read?.state === 'failed' ? read.failure : { kind: 'Transient' as const, message: 'it is not visible yet' };
    out.blockers.push(readBlocker('Service', `the IAM policy of service ${ctx.desired.serviceId}`, failure));
    return out;
  }
  const policy = read.value;
  out.remove = removal(ctx, found.name, policy, leaving);
  const adding = addition(ctx, found.name, policy, wanted, carried, out);
  // Both are computed from the same policy: the second write needs what the first one makes of it.
  if (!out.remove) out.add = adding;

  const stands = (member: string) => hasMember(policy, RUN_INVOKER, member);
  const creates = new Set(adding?.creates);
  out.entries = wanted.flatMap((member): InvokerEntry[] => {
    const entry = former.find(other => sameMember(other.member, member));
    const fresh: InvokerEntry = { type: 'Invoker', name: found.name, member, time: iso(ctx.now) };
    if (creates.has(entryKey(fresh))) return [fresh];
    if (stands(member)) return [entry ?? fresh];
    return entry && !absenceCounts(entry, ctx.now) ? [entry] : [];
  });
  out.entries.push(...leaving.filter(entry => stands(entry.member) || !absenceCounts(entry, ctx.now)));
  return out;
}

const listed = ({ bindings }: Policy): PolicyAddition[] =>
  bindings.flatMap(({ role, members, condition }) => members.map(member => ({ role, member, condition })));

/** Who is to be taken off: whom we gave the role and the spec no longer names; where callers are checked, everybody. */
function removal(ctx: Context, name: string, policy: Policy, leaving: InvokerEntry[]): Step | undefined {
  const isPublic = ctx.desired.spec.access === 'Public';
  // A member whose account was deleted meanwhile stands under another name, and would come back with the account.
  const gone = membersOf(policy, RUN_INVOKER).filter(member =>
    leaving.some(entry => isDeletedFormOf(member, entry.member)),
  );
  const edited = editPolicy(policy, {
    role: RUN_INVOKER,
    add: [],
    remove: [...leaving.map(({ member }) => member), ...gone],
    removeEverywhere: isPublic ? [] : PUBLIC_MEMBERS,
  });
  if (!edited) return undefined;
  const target = `callers of Cloud Run service ${ctx.desired.serviceId}`;
  const remove = step(`callers:${name}`, 'Service', 'Update', target, {
    kind: 'setServicePolicy',
    service: name,
    policy: edited,
  });
  const before = policy.bindings.flatMap(({ members }) => members);
  const after = edited.bindings.flatMap(({ members }) => members);
  remove.changes = before
    .filter(member => !after.includes(member))
    .map(member => ({ field: RUN_INVOKER, from: member }));
  remove.removes = leaving.map(entryKey);
  remove.drift = ctx.settled;
  return remove;
}

/** Who is to be added, the refused ones aside that are not due yet: those are told. */
function addition(
  ctx: Context,
  name: string,
  policy: Policy,
  wanted: string[],
  carried: PolicyAddition[],
  out: InvokersPart,
): Step | undefined {
  const own = wanted.map((member): PolicyAddition => ({ role: RUN_INVOKER, member }));
  const missing = [...own, ...carried].filter(one => !hasAddition(policy, one));
  const due = missing.filter(one => {
    const refusal = ctx.refused.get(refusalKey(name, one));
    if (!refusal) return true;
    const young = refusal.propagating && ctx.now - refusal.since < PROPAGATION_MS;
    if (own.includes(one)) out.blockers.push(refusalBlocker(ctx, one, refusal, young));
    else out.notes.push(`${quoted(one.member)} (${one.role}) was not carried over: ${refusal.message}`);
    const waitMs = young ? NEW_MEMBER_MS : ctx.settings.syncIntervalMs;
    return refusal.generation !== ctx.generation || Math.abs(ctx.now - refusal.at) >= waitMs;
  });
  const edited = withAdditions(policy, due);
  if (!edited) return undefined;
  const add = step(`invokers:${name}`, 'Service', 'Update', `callers of Cloud Run service ${ctx.desired.serviceId}`, {
    kind: 'setServicePolicy',
    service: name,
    policy: edited,
    additions: { base: policy, members: due },
  });
  add.changes = due.map(({ role, member }) => ({ field: role, to: member }));
  add.creates = due
    .filter(one => own.includes(one))
    .map(({ member }) => entryKey({ type: 'Invoker', name, member, time: '' }));
  add.drift = ctx.settled;
  return add;
}

function refusalBlocker(
  ctx: Context,
  { member }: PolicyAddition,
  { message, advice }: Refusal,
  young: boolean,
): Blocker {
  const { namespace, name } = ctx.desired.owner;
  const refused = `spec.invokers: Google Cloud refuses ${quoted(member)} as a caller: ${message}`;
  const remedy = advice ?? `Correct this one or take it out: kubectl edit aitenant ${name} -n ${namespace}`;
  return young
    ? {
        aspect: 'Service',
        reason: 'Updating',
        message: advised(
          refused,
          'A new account takes up to a minute to be known everywhere. The operator tries again.',
        ),
        retryAfterMs: NEW_MEMBER_MS,
      }
    : {
        aspect: 'Service',
        reason: 'InvalidSpec',
        message: advised(refused, `All other callers are as the spec says. ${remedy}`),
      };
}
