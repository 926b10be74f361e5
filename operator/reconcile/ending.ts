import type { Verdict } from '../kube/queue.ts';
import { sameJson } from '../kube/writes.ts';
import { notVerified } from '../tenant/outageReport.ts';
import { released } from '../tenant/report.ts';
import { FINALIZER } from '../tenant/resource.ts';
import type { Report, Tenant } from '../tenant/types.ts';
import { abandonedGrants } from '../tenant/withdrawnConsent.ts';
import type { Written } from './ownWrites.ts';
import { isRequested, requestAnswer } from './pacing.ts';
import type { Ending, Intent, Parts, Reconciliation } from './reconciliation.ts';
import { recordTransitions } from './tenantEvents.ts';

/** Ends a reconcile: it writes the status and answers with the time of the next reconcile, or it removes the finalizer. */

/**
 * The verdict after a failed write to the AiTenant. `changed`: the object has changed in the meantime, and the cache only has to catch up,
 * so the key backs off to 2 s at most. `refused`: the cause may last (an admission webhook that is down, a full etcd), so the key
 * backs off to 2 min.
 */
export const AFTER_WRITE: Record<Exclude<Written, 'ok'>, Verdict> = {
  changed: { kind: 'retry', atMostMs: 2_000 },
  refused: { kind: 'retry', atMostMs: 120_000 },
};

/** Closing steps that were not applied. `failed`: at least one failed. `later`: the verdict that waits for the budget of the others. */
export interface Unclosed {
  failed?: boolean;
  later?: Verdict;
}

/**
 * Writes the status if it differs, and answers with the time of the next reconcile. If closing steps are left, the key waits for their
 * budget or backs off, whatever the report asks for.
 */
export async function conclude(
  parts: Parts,
  { tenant, object, writer, run }: Reconciliation,
  { status, again, unread }: Report,
  { paceMs = 0, quiet, failed, later }: Unclosed & Pick<Intent, 'paceMs' | 'quiet'> = {},
): Promise<Verdict> {
  const answer = requestAnswer(tenant.annotations);
  const answered = answer === undefined || tenant.spec.suspend || unread ? {} : { lastHandledReconcileAt: answer };
  const final = { ...status, ...answered };
  recordTransitions(parts.events, writer.object, tenant.status, final);
  // After a first change the next reconcile follows within 250 ms. It reads `granted` again, so `granted` alone needs no write here.
  const waits =
    again.kind === 'changed' && run.changes === 0 && sameJson({ ...final, keys: writer.status.keys }, writer.status);
  const written = waits ? 'ok' : await writer.writeStatus(final);
  if (written !== 'ok') return AFTER_WRITE[written];
  // Only if the status was there already: a status whose write failed must be computed again.
  if (quiet && again.kind === 'interval' && writer.object === object) parts.quiet.set(object, quiet);
  parts.onReport?.(tenant, final);
  return later ?? (failed ? { kind: 'retry' } : parts.pacing.verdict(tenant, again, run, paceMs));
}

/**
 * Changes the report of a plan without steps during and after an outage. A tenant that was up to date and could not be read for a long time becomes
 * NotVerified. After an outage, each tenant's status is written after a delay that depends on its uid, so that the operator does not
 * write all statuses at once.
 */
export function verified(parts: Parts, { key, tenant }: Reconciliation, found: Report): Report {
  const { outages, runtime } = parts;
  if (found.unread) {
    return notVerified(tenant, found, outages.unread(key, tenant.uid, found.failure ?? ''), runtime.now());
  }
  const isUpToDate = found.status.conditions.some(({ type, reason }) => type === 'Ready' && reason === 'UpToDate');
  const reported = tenant.status.conditions.find(({ type }) => type === 'Ready');
  const waits = isUpToDate && reported?.reason === 'NotVerified' && reported.observedGeneration === tenant.generation;
  const ms = outages.over(key, waits && !isRequested(tenant) ? tenant.uid : undefined);
  return ms > 0 ? { status: tenant.status, again: { kind: 'after', ms } } : found;
}

/** Removes the finalizer. If finalizers of other controllers keep the object, a last status names them first. */
export async function end(parts: Parts, { tenant, writer }: Reconciliation, ending: Ending): Promise<Verdict> {
  const others = (writer.object.metadata.finalizers ?? []).filter(finalizer => finalizer !== FINALIZER);
  if (others.length > 0) {
    const status = released(tenant, others, ending === 'abandoned', parts.runtime.now());
    const written = await writer.writeStatus(status);
    if (written === 'changed') return AFTER_WRITE[written];
  }
  const removed = await writer.removeFinalizer();
  if (removed !== 'ok') return AFTER_WRITE[removed];
  if (ending === 'abandoned') recordAbandoned(parts, tenant, writer.object);
  return { kind: 'done' };
}

/** Grants stay after a tenant is abandoned. For each one, an event prints the command that removes it. */
function recordAbandoned(
  { events, onAbandoned }: Parts,
  tenant: Tenant,
  object: Reconciliation['writer']['object'],
): void {
  onAbandoned?.(tenant.status.inventory.filter(entry => entry.type !== 'Service' || !entry.deletedAt));
  for (const message of abandonedGrants(tenant)) events.record(object, 'Warning', 'GrantAbandoned', message);
}
