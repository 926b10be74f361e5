import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { type PolicyAddition, withAdditions } from '../tenant/policy.ts';
import type { Call, Failure, Policy } from '../tenant/types.ts';
import { failureOf } from './errors.ts';
import { parsePolicy, policyForWriting } from './iamPolicy.ts';
import { rpc } from './methods.ts';
import { badId, badName } from './resourceNames.ts';

export interface Request {
  method: string;
  request: JsonObject;
}

/** A member of a policy that Google Cloud has refused while it took others. */
export interface RefusedMember {
  addition: PolicyAddition;
  failure: Failure;
}

export type Executed = { ok: true; response: JsonObject; refused?: RefusedMember[] } | { ok: false; failure: Failure };

/**
 * Makes a step's call (one for each member where a policy is refused for one of them). Cloud Run's answer to create, update and delete is the operation as it stood at once: nothing
 * waits for its end. Refused without a call (`Invalid`): a name that does not belong in a URL, and a write of a policy
 * or deletion of a service without the etag that it was read with.
 */
export async function execute(call: GcpCall, step: Call, options?: GcpCallOptions): Promise<Executed> {
  const refused = refusal(step);
  if (refused) return { ok: false, failure: refused };
  const { method, request } = requestOf(step);
  const result = await call(method, request, options);
  if (result.ok) return result;
  const failure = failureOf(method, result.status);
  if (step.kind === 'setServicePolicy' && step.additions && isRefusal(failure)) {
    return addOneByOne(call, step.service, step.additions, failure, options);
  }
  return { ok: false, failure };
}

/** Refused for what was asked, not for who asks or when. */
const isRefusal = ({ kind }: Failure): boolean => kind === 'Invalid' || kind === 'Propagating';

/** One bad member refuses a whole policy: each is written alone, so that it keeps no good one out. */
async function addOneByOne(
  call: GcpCall,
  service: string,
  { base, members }: { base: Policy; members: PolicyAddition[] },
  failure: Failure,
  options?: GcpCallOptions,
): Promise<Executed> {
  const [only, ...more] = members;
  if (only && more.length === 0) return { ok: true, response: {}, refused: [{ addition: only, failure }] };
  const refused: RefusedMember[] = [];
  let response: JsonObject = {};
  let policy = base;
  for (const addition of members) {
    const next = withAdditions(policy, [addition]);
    if (!next) continue;
    const result = await execute(call, { kind: 'setServicePolicy', service, policy: next }, options);
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

/** The raw call that a step stands for. */
export function requestOf(step: Call): Request {
  switch (step.kind) {
    case 'createAccount': {
      const { project, accountId, displayName, description } = step;
      const request = { name: `projects/${project}`, accountId, serviceAccount: { displayName, description } };
      return { method: rpc.createAccount, request };
    }
    case 'updateAccount': {
      const { name, description } = step;
      return {
        method: rpc.patchAccount,
        request: { serviceAccount: { name, description }, updateMask: 'description' },
      };
    }
    case 'deleteAccount':
      return { method: rpc.deleteAccount, request: { name: step.name } };
    case 'setSecretPolicy':
      return { method: rpc.setSecretPolicy, request: { resource: step.secret, policy: policyForWriting(step.policy) } };
    case 'setServicePolicy':
      return {
        method: rpc.setServicePolicy,
        request: { resource: step.service, policy: policyForWriting(step.policy) },
      };
    case 'createService': {
      const { parent, serviceId, service } = step;
      return { method: rpc.createService, request: { parent, serviceId, service } };
    }
    case 'updateService':
      return { method: rpc.updateService, request: { service: step.service, updateMask: step.updateMask.join(',') } };
    case 'deleteService':
      return { method: rpc.deleteService, request: { name: step.name, etag: step.etag } };
  }
}

function refusal(step: Call): Failure | undefined {
  switch (step.kind) {
    case 'createAccount':
      return badName('project', `projects/${step.project}`) ?? badId('account', step.accountId);
    case 'updateAccount':
    case 'deleteAccount':
      return badName('account', step.name);
    case 'setSecretPolicy':
      return badName('secret', step.secret) ?? etagMissing(step.policy.etag);
    case 'setServicePolicy':
      return badName('service', step.service) ?? etagMissing(step.policy.etag);
    case 'createService':
      return badName('location', step.parent) ?? badId('service', step.serviceId);
    case 'updateService':
      return badName('service', String(step.service.name)) ?? maskMissing(step.updateMask);
    case 'deleteService':
      return badName('service', step.name) ?? etagMissing(step.etag);
  }
}

const etagMissing = (etag: string | undefined): Failure | undefined =>
  etag ? undefined : { kind: 'Invalid', message: 'Refused to write without the etag that was read.' };

/** No mask means "replace everything" to Cloud Run. */
const maskMissing = (mask: string[]): Failure | undefined =>
  mask.length > 0 ? undefined : { kind: 'Invalid', message: 'Refused to update a service without naming the fields.' };
