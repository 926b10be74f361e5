import type { JsonObject } from '../../ports/json.ts';
import type { Binding, Policy } from '../tenant/types.ts';
import { filled, isObject } from './parse.ts';

/**
 * A google.iam.v1.Policy; undefined if what the operator has to understand of it can't be read or it has no etag. A policy
 * is written back whole, with all fields that it came with: leaving out what could not be read would take somebody's
 * access away, and without an etag somebody's change.
 */
export function parsePolicy(answer: JsonObject): Policy | undefined {
  const etag = filled(answer.etag);
  const { version = 0, bindings = [], auditConfigs = [], ...rest } = answer;
  if (!etag || typeof version !== 'number') return undefined;
  if (!Array.isArray(bindings) || !Array.isArray(auditConfigs) || !auditConfigs.every(isObject)) return undefined;
  const parsed: Binding[] = [];
  for (const item of bindings) {
    const binding = parseBinding(item);
    if (!binding) return undefined;
    parsed.push(binding);
  }
  return { ...rest, version, bindings: parsed, etag, ...(auditConfigs.length > 0 && { auditConfigs }) };
}

function parseBinding(item: unknown): Binding | undefined {
  if (!isObject(item)) return undefined;
  const { members = [], condition, ...rest } = item;
  const role = filled(item.role);
  if (!role || !Array.isArray(members)) return undefined;
  if (!members.every((member): member is string => typeof member === 'string')) return undefined;
  if (condition !== undefined && condition !== null && !isObject(condition)) return undefined;
  return { ...rest, role, members, ...(condition && { condition }) };
}

/**
 * The policy as `setIamPolicy` wants it. Always version 3, or conditional bindings are mangled
 * (google/iam/v1/policy.proto).
 */
export const policyForWriting = (policy: Policy): JsonObject => ({ ...policy, version: 3 });
