import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { withAdditions } from '../tenant/policy.ts';
import type { Binding, Failure, Policy, PolicyAddition, Read } from '../tenant/types.ts';
import { getOne } from './getOne.ts';
import { rpc } from './methods.ts';
import { filled, isObject } from './parse.ts';
import { badName } from './resourceNames.ts';
import { type Executed, etagMissing, type RefusedMember, type Writes } from './write.ts';

/** IAM policies of secrets and of Cloud Run services. */

/**
 * Parses a google.iam.v1.Policy; undefined if it has no etag, or if a binding or an audit config has an unknown form. The operator writes
 * a policy back with all fields that it read. If it left out a binding, it would revoke access that others granted; if it wrote
 * without the etag, it would overwrite a change that was made in between.
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
 * The policy as SetIamPolicy takes it. The version is always 3, because an older one drops the conditions of bindings
 * (google/iam/v1/policy.proto).
 */
export const policyForWriting = (policy: Policy): JsonObject => ({ ...policy, version: 3 });

const GET = { secret: rpc.getSecretPolicy, service: rpc.getServicePolicy };

/** Reads the policy of a secret or a service; `absent` if the secret or the service does not exist. */
export function getPolicy(
  call: GcpCall,
  shape: 'secret' | 'service',
  name: string,
  options?: GcpCallOptions,
): Promise<Read<Policy>> {
  const request = { resource: name, options: { requestedPolicyVersion: 3 } };
  return getOne(call, { method: GET[shape], shape, name, request, parse: parsePolicy }, options);
}

export const policyWrites: Writes<'setSecretPolicy' | 'setServicePolicy'> = {
  setSecretPolicy: {
    method: rpc.setSecretPolicy,
    guard: ({ secret, policy }) => badName('secret', secret) ?? etagMissing(policy.etag),
    request: ({ secret, policy }) => ({ resource: secret, policy: policyForWriting(policy) }),
    changes: ({ secret }) => secret,
    setsPolicy: true,
    needsGet: true,
  },
  setServicePolicy: {
    method: rpc.setServicePolicy,
    guard: ({ service, policy }) => badName('service', service) ?? etagMissing(policy.etag),
    request: ({ service, policy }) => ({ resource: service, policy: policyForWriting(policy) }),
    changes: ({ service }) => service,
    setsPolicy: true,
  },
};

/** True if the content of the policy caused the failure: it is invalid, or it names a member that Google Cloud does not know yet. */
export const isRefusal = ({ kind }: Failure): boolean => kind === 'Invalid' || kind === 'Propagating';

/**
 * Writes each new member alone, after a write of all of them was refused with `failure`. Google Cloud refuses a whole policy because of one
 * invalid member; so the invalid one does not block the others.
 */
export async function addOneByOne(
  service: string,
  { base, members }: { base: Policy; members: PolicyAddition[] },
  failure: Failure,
  write: (policy: Policy) => Promise<Executed>,
): Promise<Executed> {
  const [only, ...more] = members;
  if (only && more.length === 0) return { ok: true, response: {}, refused: [{ addition: only, failure }] };
  const refused: RefusedMember[] = [];
  let response: JsonObject = {};
  let policy = base;
  for (const addition of members) {
    const next = withAdditions(policy, [addition]);
    if (!next) continue;
    const result = await write(next);
    if (!result.ok) {
      if (!isRefusal(result.failure)) return result;
      refused.push({ addition, failure: result.failure });
      continue;
    }
    const written = parsePolicy(result.response);
    if (!written)
      return { ok: false, failure: { kind: 'Transient', message: `The policy of ${service} is not understood.` } };
    response = result.response;
    policy = written;
  }
  return { ok: true, response, refused };
}
