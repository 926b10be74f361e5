import type { Verdict } from '../kube/queue.ts';
import { notVerified } from '../tenant/outageReport.ts';
import { released } from '../tenant/report.ts';
import { FINALIZER } from '../tenant/resource.ts';
import type { Report, Tenant } from '../tenant/types.ts';
import { abandonedGrants } from '../tenant/withdrawnConsent.ts';
import type { Written } from './ownWrites.ts';
import { isRequested, requestAnswer } from './pacing.ts';
import type { Ending, Parts, Reconciliation } from './reconciliation.ts';
import { recordTransitions } from './tenantEvents.ts';

/** How a reconcile ends: with a status and the time of the next one, or with the finalizer removed. */

/**
 * After a write to the cluster that failed. `changed`: the resource has changed meanwhile; the next reconcile comes soon,
 * because only the cache has to catch up. `refused`: an admission webhook that is down or a full etcd lasts; the key backs off
 * as after any failure.
 */
export const AFTER_WRITE: Record<Exclude<Written, 'ok'>, Verdict> = {
  changed: { kind: 'retry', atMostMs: 2_000 },
  refused: { kind: 'retry', atMostMs: 120_000 },
};

/** What is left of steps that only close: they failed, or they wait for a budget. */
export interface Unclosed {
  failed?: boolean;
  later?: Verdict;
}

/** Writes the status if it differs, and answers with the time of the next reconcile. What could not be closed comes first. */
export async function conclude(
  parts: Parts,
  { tenant, writer, run }: Reconciliation,
  { status, again, unread }: Report,
  { paceMs = 0, failed, later }: Unclosed & { paceMs?: number } = {},
): Promise<Verdict> {
  const answer = requestAnswer(tenant.annotations);
  const answered = answer === undefined || tenant.spec.suspend || unread ? {} : { lastHandledReconcileAt: answer };
  const final = { ...status, ...answered };
  recordTransitions(parts.events, writer.object, tenant.status, final);
  const written = await writer.writeStatus(final);
  if (written !== 'ok') return AFTER_WRITE[written];
  parts.onReport?.(tenant, final);
  return later ?? (failed ? { kind: 'retry' } : parts.pacing.verdict(tenant, again, run, paceMs));
}

/**
 * The report of a plan without steps. A tenant that could not be read for long becomes NotVerified. The end of a long outage is
 * reported with a delay of its own for each tenant, so that not all statuses are written at once.
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

/** Removes the finalizer. If finalizers of others keep the object, its last status says so. */
export async function end(parts: Parts, { tenant, writer }: Reconciliation, ending: Ending): Promise<Verdict> {
  const others = (writer.object.metadata.finalizers ?? []).filter(finalizer => finalizer !== FINALIZER);
  if (others.length > 0) {
    const status = released(tenant, others, ending === 'abandoned', parts.runtime.now());
    const written = await writer.writeStatus(status);
    if (written === 'changed') return AFTER_WRITE[written];
  }
  const removed = await writer.removeFinalizer();
  if (removed !== 'ok') return AFTER_WRITE[removed];
  if (ending === 'abandoned') tellAbandoned(parts, tenant, writer.object);
  return { kind: 'done' };
}

/** Grants outlive an abandoned tenant, so an event for each has the command that removes it. */
function tellAbandoned(
  { events, onAbandoned }: Parts,
  tenant: Tenant,
  object: Reconciliation['writer']['object'],
): void {
  onAbandoned?.(tenant.status.inventory.filter(entry => entry.type !== 'Service' || !entry.deletedAt));
  for (const message of abandonedGrants(tenant)) events.record(object, 'Warning', 'GrantAbandoned', message);
}
