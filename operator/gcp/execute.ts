import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { Call } from '../tenant/types.ts';
import { failureOf } from './errors.ts';
import { addOneByOne, isRefusal } from './iamPolicy.ts';
import { WRITES } from './resources.ts';
import type { Calls, Executed, Write } from './write.ts';

/** The row of the table for a step's call. */
export const writeOf = <Kind extends Call['kind']>({ kind }: Calls[Kind]): Write<Calls[Kind]> => WRITES[kind as Kind];

/** The method and the request message of a step. */
export const requestOf = (step: Call) => ({ method: writeOf(step).method, request: writeOf(step).request(step) });

/**
 * Makes a step's call. If the step's guard refuses it, the call is not made and the failure is `Invalid`. If Google Cloud refuses a
 * service's policy because of a new member, each new member is written alone.
 */
export async function execute(call: GcpCall, step: Call, options?: GcpCallOptions): Promise<Executed> {
  const refused = writeOf(step).guard(step);
  if (refused) return { ok: false, failure: refused };
  const { method, request } = requestOf(step);
  const result = await call(method, request, options);
  if (result.ok) return result;
  const failure = failureOf(method, result.status, request);
  if (step.kind !== 'setServicePolicy' || !step.additions || !isRefusal(failure)) return { ok: false, failure };
  const { kind, service, additions } = step;
  return addOneByOne(service, additions, failure, policy => execute(call, { kind, service, policy }, options));
}
