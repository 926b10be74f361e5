import { hash } from 'node:crypto';
import type { Desired, Tenant } from './types.ts';

/**
 * The slot is the time within the interval at which a tenant that is up to date is checked. The fingerprint is a hash in the
 * status. It tells a new process that the tenant is up to date, so that the process need not check all tenants at its start.
 */

/** A slot that is closer than this is skipped, so that an early timer does not cause a second check. */
const LEAST_MS = 1_000;

/** Hash of a desired state, for the status. Without the Namespace's UID, which only matters for consent. */
export function fingerprint(desired: Desired): string {
  return hash('sha256', JSON.stringify({ ...desired, namespaceUid: undefined }), 'base64url').slice(0, 22);
}

/** Whether the status says that this generation and desired state are up to date. */
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
 * Milliseconds until the tenant's slot in the interval, at most one interval. The slot depends on the tenant's UID and the wall
 * clock (`now`), so it is the same for every process, and the slots of all tenants are spread evenly.
 */
export function untilSlot(uid: string, intervalMs: number, now: number): number {
  const share = Number.parseInt(hash('sha256', uid).slice(0, 8), 16) / 2 ** 32;
  const ms = (share * intervalMs - (now % intervalMs) + intervalMs) % intervalMs;
  return ms < Math.min(LEAST_MS, intervalMs / 10) ? intervalMs : ms;
}
