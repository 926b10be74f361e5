import { hash } from 'node:crypto';
import type { Desired, Tenant } from './types.ts';

/** When a tenant that is as it should be is looked at again, and how a new process knows that it is. Pure. */

/** A check that has just ended, or timers that are a little early, are not followed by another at once. */
const LEAST_MS = 1_000;

/** Stands for a desired state, in the status of a tenant for which Google Cloud was seen to match it. */
// A Namespace's UID says who may use what, and nothing about what is wanted.
export function fingerprint(desired: Desired): string {
  return hash('sha256', JSON.stringify({ ...desired, namespaceUid: undefined }), 'base64url').slice(0, 22);
}

/** Whether the status says, of this very generation and desired state, that nothing was left to do. */
export function isReconciled({ status, generation }: Tenant, desired: Desired): boolean {
  const ready = status.conditions.find(({ type }) => type === 'Ready');
  return (
    ready?.status === 'True' &&
    ready.reason === 'UpToDate' &&
    ready.observedGeneration === generation &&
    status.reconciledHash === fingerprint(desired)
  );
}

/**
 * Milliseconds until the tenant's own place in the interval comes round: the interval at most, whatever was last. Its place
 * goes by its UID and the wall clock (`now`): the same for every process, and spread evenly over all tenants.
 */
export function untilSlot(uid: string, intervalMs: number, now: number): number {
  const share = Number.parseInt(hash('sha256', uid).slice(0, 8), 16) / 2 ** 32;
  const ms = (share * intervalMs - (now % intervalMs) + intervalMs) % intervalMs;
  return ms < Math.min(LEAST_MS, intervalMs / 10) ? intervalMs : ms;
}
