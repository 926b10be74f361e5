import { condition, readyOf } from './conditions.ts';
import type { Blocker, Condition, Observed, Plan, Reason, Report, Tenant } from './types.ts';

/** The report of a tenant during an outage, that is, while Google Cloud cannot be read. */

/** The reasons of failures that are not caused by the tenant: no answer, 5xx, 429. */
const OUTAGE: readonly Reason[] = ['Updating', 'QuotaExceeded'];
/** If none of a tenant's resources can be read, 401 and 403 are not caused by the tenant either. */
const LOCKED_OUT: readonly Reason[] = [...OUTAGE, 'PermissionDenied'];

/**
 * Whether the status must stay unchanged because Google Cloud did not answer. A tenant that was up to date stays Ready, because
 * its service continues to serve. `isOwnRefusal`: Google Cloud answers for other tenants of the project, so a 403 is this
 * tenant's problem.
 */
export function isUnread(
  tenant: Tenant,
  observed: Observed,
  plan: Plan,
  blockers: Blocker[],
  isOwnRefusal: boolean,
): boolean {
  const ready = readyOf(tenant);
  const isNothingRead = nothingWasRead(observed);
  const reasons = isNothingRead && !isOwnRefusal ? LOCKED_OUT : OUTAGE;
  const isEdited = ready?.observedGeneration !== tenant.generation;
  return (
    ((ready?.status === 'True' && (!isEdited || isNothingRead)) ||
      (isNothingRead && ready !== undefined && isOutageMessage(ready))) &&
    plan.steps.length + plan.waiting.length === 0 &&
    blockers.length > 0 &&
    blockers.every(({ reason }) => reasons.includes(reason))
  );
}

/** Whether every read of the tenant's resources has failed. */
export function nothingWasRead({ account, keys, formerGrants, services }: Observed): boolean {
  const reads = [account, ...keys.map(({ secret }) => secret), ...services.map(({ service }) => service)];
  return [...reads, ...formerGrants.map(({ policy }) => policy)].every(({ state }) => state === 'failed');
}

const OUTAGE_WORDS = 'Google Cloud could not be read since ';

/** Whether Ready is Updating because the spec was edited during an outage. */
const isOutageMessage = ({ reason, message }: Condition): boolean =>
  reason === 'Updating' && message.startsWith(OUTAGE_WORDS);

/**
 * The report of a tenant during an outage. A tenant that was up to date gets the reason NotVerified once the outage is long;
 * Ready stays True. A tenant whose spec was edited is Updating at once. The message then stays the same until the outage
 * ends. The conditions of the resources keep their last values, because the resources were not read.
 */
export function notVerified(
  tenant: Tenant,
  before: Report,
  outage: { since: string; failure: string; isLong: boolean },
  now: number,
): Report {
  const at = tenant.status.conditions.findIndex(({ type }) => type === 'Ready');
  const ready = tenant.status.conditions[at];
  if (!ready) return before;
  const isEdited = ready.observedGeneration !== tenant.generation;
  if (!isEdited && (ready.reason === 'NotVerified' || isOutageMessage(ready) || !outage.isLong)) return before;
  const last = isEdited ? 'The spec was edited and is not applied yet.' : 'What was read last matched the spec.';
  const message = `${OUTAGE_WORDS}${outage.since}. ${last} It is tried again by itself. First failure: ${outage.failure}`;
  const [status, reason] = isEdited ? (['False', 'Updating'] as const) : (['True', 'NotVerified'] as const);
  const conditions = tenant.status.conditions.with(at, condition(tenant, 'Ready', status, reason, message, now));
  return { ...before, status: { ...tenant.status, observedGeneration: tenant.generation, conditions } };
}
