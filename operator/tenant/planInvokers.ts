import { type Context, readBlocker, step } from './context.ts';
import { absenceCounts, entryKey, iso } from './inventory.ts';
import { editPolicy, hasMember, membersOf, PUBLIC_MEMBERS, RUN_INVOKER, sameMember } from './policy.ts';
import type { Blocker, InventoryEntry, Observed, ObservedService, Step } from './types.ts';

/** Who may call a service: the switch on the service, and the members that the spec names. */
export interface InvokersPart {
  /** Set: what the switch must become. */
  invokerIamDisabled?: boolean;
  from?: string;
  step?: Step;
  entries: InventoryEntry[];
  blockers: Blocker[];
}

export function planInvokers(
  ctx: Context,
  seen: Observed['services'][number],
  found: ObservedService,
  held: InventoryEntry[],
): InvokersPart {
  const { spec } = ctx.desired;
  const former = held.filter(({ type }) => type === 'Invoker');
  const isPublic = spec.access === 'Public';
  const out: InvokersPart = { entries: [], blockers: [] };
  if (!isPublic && found.invokerIamDisabled) {
    out.invokerIamDisabled = false;
    out.from = 'Public';
  }
  const policy = seen.invokers;
  if (policy?.state === 'present') {
    const open = hasMember(policy.value, RUN_INVOKER, 'allUsers');
    if (isPublic && !found.invokerIamDisabled && !open) {
      out.invokerIamDisabled = true;
      out.from = 'Authenticated';
    }
  }

  // The API refuses these two; an object that is older than that rule opens nothing all the same.
  const wanted = isPublic ? [] : spec.invokers.filter(member => !PUBLIC_MEMBERS.includes(member));
  const leaving = former.filter(entry => !wanted.some(member => sameMember(member, entry.member ?? '')));
  const needed = !isPublic || !found.invokerIamDisabled || former.length > 0;
  if (!needed) return out;
  if (policy?.state !== 'present') {
    out.entries = former;
    const failure =
      policy?.state === 'failed' ? policy.failure : { kind: 'Transient' as const, message: 'it is not visible yet' };
    out.blockers.push(readBlocker('Service', `the IAM policy of service ${ctx.desired.serviceId}`, failure));
    return out;
  }
  const edited = editPolicy(policy.value, {
    role: RUN_INVOKER,
    add: wanted,
    remove: leaving.flatMap(({ member }) => member ?? []),
    removeEverywhere: isPublic ? [] : PUBLIC_MEMBERS,
  });
  const adding = (member: string) => !hasMember(policy.value, RUN_INVOKER, member);
  out.entries = wanted.map(member => {
    const entry = former.find(other => sameMember(other.member ?? '', member));
    return entry && !adding(member)
      ? entry
      : { ...entry, type: 'Invoker', name: found.name, member, time: iso(ctx.now) };
  });
  const present = (entry: InventoryEntry) =>
    membersOf(policy.value, RUN_INVOKER).some(member => sameMember(member, entry.member ?? ''));
  out.entries.push(...leaving.filter(entry => present(entry) || !absenceCounts(entry, ctx.now)));
  if (edited) {
    out.step = step(
      `invokers:${found.name}`,
      'Service',
      'Update',
      `callers of Cloud Run service ${ctx.desired.serviceId}`,
      {
        kind: 'setServicePolicy',
        service: found.name,
        policy: edited,
      },
    );
    const before = policy.value.bindings.flatMap(binding => binding.members);
    const after = edited.bindings.flatMap(binding => binding.members);
    out.step.changes = [
      ...before.filter(member => !after.includes(member)).map(member => ({ field: RUN_INVOKER, from: member })),
      ...after.filter(member => !before.includes(member)).map(member => ({ field: RUN_INVOKER, to: member })),
    ];
    out.step.creates = out.entries.filter(({ member = '' }) => wanted.includes(member) && adding(member)).map(entryKey);
    out.step.removes = leaving.map(entryKey);
    out.step.drift = ctx.settled;
  }
  return out;
}
