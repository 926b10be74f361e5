import { isDeepStrictEqual } from 'node:util';
import type { Binding, Policy, PolicyAddition } from './types.ts';

/**
 * Edits of IAM policies. Each returns a new policy, or undefined if nothing would change. Everything else survives: other
 * bindings, conditions, audit configs, and the order.
 */

export const SECRET_ACCESSOR = 'roles/secretmanager.secretAccessor';
export const RUN_INVOKER = 'roles/run.invoker';
export const PUBLIC_MEMBERS: readonly string[] = ['allUsers', 'allAuthenticatedUsers'];

export const accountMember = (email: string): string => `serviceAccount:${email}`;

/** The name of a member after its account was deleted. Source: IAM documentation, "Policies and deleted principals". */
export const deletedMember = (email: string, uniqueId: string): string =>
  `deleted:serviceAccount:${email}?uid=${uniqueId}`;

/** IAM stores e-mail addresses in lower case. Other identifiers keep their case. */
export function sameMember(a: string, b: string): boolean {
  const folded = (member: string) =>
    /^(user|group|serviceAccount|domain):/.test(member) ? member.toLowerCase() : member;
  return folded(a) === folded(b);
}

const unconditional = (binding: Binding, role: string): boolean =>
  binding.role === role && binding.condition === undefined;

/** Whether the member has the role without a condition. */
export function hasMember(policy: Policy, role: string, member: string): boolean {
  return policy.bindings.some(
    binding => unconditional(binding, role) && binding.members.some(other => sameMember(other, member)),
  );
}

/** Every member that holds `role` without a condition. */
export function membersOf(policy: Policy, role: string): string[] {
  return policy.bindings.filter(binding => unconditional(binding, role)).flatMap(binding => binding.members);
}

/** Whether `other` is the name of `member` after its account was deleted, with any unique ID. */
export const isDeletedFormOf = (other: string, member: string): boolean =>
  other.toLowerCase().startsWith(`deleted:${member.toLowerCase()}?uid=`);

/** Whether the binding has the role and the condition of the addition. */
const isBindingFor = (binding: Binding, { role, condition }: PolicyAddition): boolean =>
  binding.role === role && isDeepStrictEqual(binding.condition, condition);

/** Whether the policy has the member already. */
export const hasAddition = (policy: Policy, addition: PolicyAddition): boolean =>
  policy.bindings.some(
    binding => isBindingFor(binding, addition) && binding.members.some(other => sameMember(other, addition.member)),
  );

/** The policy with the members added. Undefined: it has all of them already. */
export function withAdditions(policy: Policy, additions: PolicyAddition[]): Policy | undefined {
  let edited = policy;
  for (const addition of additions) {
    if (hasAddition(edited, addition)) continue;
    const { role, member, condition } = addition;
    const fitting = edited.bindings.findIndex(binding => isBindingFor(binding, addition));
    const bindings =
      fitting < 0
        ? [...edited.bindings, { role, members: [member], ...(condition && { condition }) }]
        : edited.bindings.map((other, at) =>
            at === fitting ? { ...other, members: [...other.members, member] } : other,
          );
    edited = { ...edited, bindings };
  }
  return edited === policy ? undefined : edited;
}

export interface PolicyEdit {
  role: string;
  add: string[];
  remove: string[];
  /** Members to remove from every binding of every role, also from conditional ones. */
  removeEverywhere?: readonly string[];
}

export function editPolicy(policy: Policy, edit: PolicyEdit): Policy | undefined {
  const adding = edit.add.filter(member => !hasMember(policy, edit.role, member));
  let changed = adding.length > 0;
  const bindings: Binding[] = [];
  let ofRole: Binding | undefined;
  for (const binding of policy.bindings) {
    const hasRole = unconditional(binding, edit.role);
    const members = binding.members.filter(
      member =>
        !(hasRole && edit.remove.some(other => sameMember(other, member))) && !edit.removeEverywhere?.includes(member),
    );
    changed ||= members.length !== binding.members.length;
    const kept = { ...binding, members };
    if (hasRole) ofRole ??= kept;
    bindings.push(kept);
  }
  if (!changed) return undefined;
  if (adding.length > 0) {
    if (ofRole === undefined) {
      ofRole = { role: edit.role, members: [] };
      bindings.push(ofRole);
    }
    ofRole.members.push(...adding);
  }
  return { ...policy, bindings: bindings.filter(binding => binding.members.length > 0) };
}
