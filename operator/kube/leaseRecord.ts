import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';

/** The `spec` of a Lease. */
export interface LeaseRecord {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}

/** The record of a lease. Only fields of the right type count, because any program may have written the lease. */
export function recordOf(lease: KubeObject): LeaseRecord {
  const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = (lease.spec ??
    {}) as JsonObject;
  return {
    ...(typeof holderIdentity === 'string' && { holderIdentity }),
    ...(typeof leaseDurationSeconds === 'number' && { leaseDurationSeconds }),
    ...(typeof acquireTime === 'string' && { acquireTime }),
    ...(typeof renewTime === 'string' && { renewTime }),
    ...(typeof leaseTransitions === 'number' && { leaseTransitions }),
  };
}

/** The record with which `identity` takes or renews the lease. */
export function renewed(
  previous: LeaseRecord,
  identity: string,
  leaseDurationSeconds: number,
  now: number,
): JsonObject {
  // A clock that stands still or was set back must not make a renewal without a change, which the other replicas would not see.
  const renewTime = microTime(microTime(now) === previous.renewTime ? now + 1 : now);
  const isOurs = previous.holderIdentity === identity;
  return {
    holderIdentity: identity,
    leaseDurationSeconds,
    acquireTime: isOurs ? (previous.acquireTime ?? renewTime) : renewTime,
    renewTime,
    leaseTransitions: (previous.leaseTransitions ?? 0) + (isOurs ? 0 : 1),
  };
}

/** The record with which a leader gives the lease back: no holder, and the shortest duration. */
export function givenBack(now: number): JsonObject {
  const time = microTime(now);
  return { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: time, renewTime: time };
}

/** metav1.MicroTime: the API server refuses any number of decimals but six. */
function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z');
}
