import { advised, type Context, PROPAGATION_MS, readBlocker, step } from './context.ts';
import { absenceCounts, entriesOfType, entryKey, iso } from './inventory.ts';
import {
  editPolicy,
  hasAddition,
  hasMember,
  isDeletedFormOf,
  membersOf,
  PUBLIC_MEMBERS,
  RUN_INVOKER,
  sameMember,
  withAdditions,
} from './policy.ts';
import { quoted } from './printable.ts';
import type {
  Blocker,
  InventoryEntry,
  InvokerEntry,
  Observed,
  ObservedService,
  Policy,
  PolicyAddition,
  Refusal,
  Step,
} from './types.ts';

/**
 * The callers of a service: the invoker check, which the spec's `access` switches, and the members of the service's IAM policy.
 *
 * The operator removes and adds callers in two writes. Google Cloud refuses a whole policy because of one wrong member, so in
 * one write such a member would prevent the removal of another one. A refused member is retried later than the rest
 * (`addition`). Cloud Run deletes the callers with their service.
 */
export interface InvokersPlan {
  /** The new value of the service's `invokerIamDisabled`. Undefined: it stays. */
  invokerIamDisabled?: boolean;
  from?: string;
  /** Removes members that the spec no longer names, and public members where callers are checked. */
  remove?: Step;
  /** Adds the members that the spec names, and those that are carried over. Planned only when nothing is to be removed. */
  add?: Step;
  entries: InventoryEntry[];
  blockers: Blocker[];
  notes: string[];
  /** The policy could not be read. */
  unread: boolean;
}

export const refusalKey = (service: string, { role, member }: PolicyAddition): string => `${service} ${role} ${member}`;

/** Retry interval of a member that may be too new. All other refused members are retried at the sync interval. */
const NEW_MEMBER_MS = 15_000;

/** `carried`: members that others added to the predecessor's policy. */
export function planInvokers(
  ctx: Context,
  { invokers: read }: Observed['services'][number],
  found: ObservedService,
  recorded: InventoryEntry[],
  carried: PolicyAddition[],
): InvokersPlan {
  const { spec } = ctx.desired;
  const former = entriesOfType('Invoker', recorded);
  const isPublic = spec.access === 'Public';
  const out: InvokersPlan = { entries: [], blockers: [], notes: [], unread: false };
  if (!isPublic && found.invokerIamDisabled) {
    out.invokerIamDisabled = false;
    out.from = 'Public';
  }
  if (isPublic && !found.invokerIamDisabled && read?.state === 'present') {
    const open = [...carried, ...listed(read.value)].some(({ role, member, condition }) => {
      return role === RUN_INVOKER && member === 'allUsers' && condition === undefined;
    });
    if (!open) {
      out.invokerIamDisabled = true;
      out.from = 'Authenticated';
    }
  }

  // The CRD refuses public members. They are left out here too, because the object may be older than that rule.
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
  // Both are computed from the same policy, so the second write must wait for a new read.
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

/** Removes recorded members that the spec no longer names and, where callers are checked, public members. */
function removal(ctx: Context, name: string, policy: Policy, leaving: InvokerEntry[]): Step | undefined {
  const isPublic = ctx.desired.spec.access === 'Public';
  // The member of a deleted account has another name in the policy, and becomes valid again if the account is restored.
  const deletedForms = membersOf(policy, RUN_INVOKER).filter(member =>
    leaving.some(entry => isDeletedFormOf(member, entry.member)),
  );
  const edited = editPolicy(policy, {
    role: RUN_INVOKER,
    add: [],
    remove: [...leaving.map(({ member }) => member), ...deletedForms],
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

/** Adds the missing members. A refused member that is not due yet is only reported. */
function addition(
  ctx: Context,
  name: string,
  policy: Policy,
  wanted: string[],
  carried: PolicyAddition[],
  out: InvokersPlan,
): Step | undefined {
  const own = wanted.map((member): PolicyAddition => ({ role: RUN_INVOKER, member }));
  const missing = [...own, ...carried].filter(one => !hasAddition(policy, one));
  const due = missing.filter(one => {
    const refusal = ctx.refused.get(refusalKey(name, one));
    if (!refusal) return true;
    const isNew = refusal.propagating && ctx.now - refusal.since < PROPAGATION_MS;
    if (own.includes(one)) out.blockers.push(refusalBlocker(ctx, one, refusal, isNew));
    else out.notes.push(`${quoted(one.member)} (${one.role}) was not carried over: ${refusal.message}`);
    const waitMs = isNew ? NEW_MEMBER_MS : ctx.settings.syncIntervalMs;
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
  isNew: boolean,
): Blocker {
  const { namespace, name } = ctx.desired.owner;
  const refused = `spec.invokers: Google Cloud refuses ${quoted(member)} as a caller: ${message}`;
  const remedy = advice ?? `Correct this one or take it out: kubectl edit aitenant ${name} -n ${namespace}`;
  return isNew
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
