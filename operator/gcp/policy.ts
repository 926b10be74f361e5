import type { JsonObject } from '../ports.ts';
import type { Binding, Policy } from '../tenant/types.ts';
import { filled, isObject } from './parse.ts';

/**
 * A google.iam.v1.Policy; undefined if any of it can't be understood or it has no etag. A policy is written back whole:
 * leaving out what we could not read would take somebody's access away, and without an etag somebody's change.
 */
export function parsePolicy(answer: JsonObject): Policy | undefined {
  const etag = filled(answer.etag);
  const { version = 0, bindings = [], auditConfigs = [] } = answer;
  if (!etag || typeof version !== 'number') return undefined;
  if (!Array.isArray(bindings) || !Array.isArray(auditConfigs) || !auditConfigs.every(isObject)) return undefined;
  const parsed: Binding[] = [];
  for (const item of bindings) {
    const binding = parseBinding(item);
    if (!binding) return undefined;
    parsed.push(binding);
  }
  return { version, bindings: parsed, etag, ...(auditConfigs.length > 0 && { auditConfigs }) };
}

function parseBinding(item: unknown): Binding | undefined {
  if (!isObject(item)) return undefined;
  const role = filled(item.role);
  const { members = [], condition } = item;
  if (!role || !Array.isArray(members)) return undefined;
  if (!members.every((member): member is string => typeof member === 'string')) return undefined;
  if (condition !== undefined && condition !== null && !isObject(condition)) return undefined;
  return { role, members, ...(condition && { condition }) };
}

/**
 * The policy as `setIamPolicy` wants it. Always version 3, or conditional bindings are mangled
 * (google/iam/v1/policy.proto).
 */
export function policyForWriting(policy: Policy): JsonObject {
  return {
    version: 3,
    etag: policy.etag,
    bindings: policy.bindings.map(({ role, members, condition }) => ({
      role,
      members,
      ...(condition && { condition }),
    })),
    ...(policy.auditConfigs && { auditConfigs: policy.auditConfigs }),
  };
}
