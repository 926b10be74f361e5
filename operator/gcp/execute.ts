import type { GcpCall, GcpCallOptions, JsonObject } from '../ports.ts';
import type { Call, Failure } from '../tenant/types.ts';
import { failureOf } from './errors.ts';
import { rpc } from './methods.ts';
import { badId, badName } from './names.ts';
import { policyForWriting } from './policy.ts';

export interface Request {
  method: string;
  request: JsonObject;
}

export type Executed = { ok: true; response: JsonObject } | { ok: false; failure: Failure };

/**
 * Makes a step's one call. Cloud Run's answer to create, update and delete is the operation as it stood at once: nothing
 * waits for its end. Refused without a call (`Invalid`): a name that does not belong in a URL, and a write of a policy
 * or deletion of a service without the etag that it was read with.
 */
export async function execute(call: GcpCall, step: Call, options?: GcpCallOptions): Promise<Executed> {
  const refused = refusal(step);
  if (refused) return { ok: false, failure: refused };
  const { method, request } = requestOf(step);
  const result = await call(method, request, options);
  return result.ok ? result : { ok: false, failure: failureOf(method, result.status) };
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
    case 'enableAccount':
      return { method: rpc.enableAccount, request: { name: step.name } };
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
    case 'enableAccount':
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
