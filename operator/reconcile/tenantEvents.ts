import type { KubeObject } from '../../ports/kube.ts';
import { MESSAGE_BYTES } from '../kube/eventMemory.ts';
import type { EventRecorder } from '../kube/eventRecorder.ts';
import { entriesOfType, serviceEntry } from '../tenant/inventory.ts';
import { printable } from '../tenant/printable.ts';
import type { Change, Outcome, Step, Tenant, TenantStatus } from '../tenant/types.ts';

/**
 * Records Kubernetes Events on AiTenants: each change made in Google Cloud is in one, and there is one when Ready gets another reason or
 * message.
 */

const REASONS: Record<Step['verb'], string> = {
  Create: 'Created',
  Update: 'Updated',
  Grant: 'Granted',
  Revoke: 'Revoked',
  Delete: 'Deleted',
  Adopt: 'Adopted',
  Abandon: 'Abandoned',
};

/** Records one event for each step that was applied. Creations and grants in a row share one, as far as its message fits. */
export function recordChanges(events: EventRecorder, object: KubeObject, outcomes: Outcome[]): void {
  const told: { reason: string; message: string; joins: boolean }[] = [];
  for (const { step, result } of outcomes) {
    // An update without changes is not reported: Google Cloud refused every member that it was to add.
    if (result !== 'done' || (step.verb === 'Update' && step.changes.length === 0)) continue;
    const changes = shownChanges(step.changes);
    const reason = step.drift ? 'DriftCorrected' : REASONS[step.verb];
    const message = `${reason} ${step.target}${changes === '' ? '' : `: ${changes}`}`;
    const joins = reason === 'Created' || reason === 'Granted';
    const last = told.at(-1);
    const joined = `${last?.message}; ${message}`;
    if (last?.joins && joins && Buffer.byteLength(joined) <= MESSAGE_BYTES) {
      last.message = joined;
      if (reason === 'Created') last.reason = reason;
    } else told.push({ reason, message, joins });
  }
  for (const { reason, message } of told) events.record(object, 'Normal', reason, message);
}

/** Records one event for each move to another region that has finished, and one when Ready gets another reason or message. */
export function recordTransitions(
  events: EventRecorder,
  object: KubeObject,
  before: TenantStatus,
  after: TenantStatus,
): void {
  for (const entry of entriesOfType('Service', after.inventory)) {
    const earlierEntry = serviceEntry(before.inventory, entry.name);
    if (entry.retireAt === undefined || earlierEntry?.retireAt !== undefined) continue;
    const message = `Moved to ${after.region}; ${entry.name} and its URL stay until ${entry.retireAt}`;
    events.record(object, 'Normal', 'Moved', message);
  }
  const [ready, earlier] = [readyOf(after), readyOf(before)];
  if (!ready || (earlier?.reason === ready.reason && earlier.message === ready.message)) return;
  if (ready.reason === 'UpToDate' && earlier?.reason !== 'UpToDate') {
    events.record(object, 'Normal', 'UpToDate', after.url ? `Ready at ${after.url}` : 'Ready');
  } else if (!['UpToDate', 'Updating', 'Deleting', 'Suspended'].includes(ready.reason)) {
    events.record(object, 'Warning', ready.reason, ready.message);
  }
}

const readyOf = ({ conditions }: Pick<Tenant['status'], 'conditions'>) =>
  conditions.find(({ type }) => type === 'Ready');

/** `field: old → new, …`, for events and logs. */
export function shownChanges(changes: Change[]): string {
  const all = changes
    .map(({ field, from, to }) => {
      if (from === undefined) return to === undefined ? field : `${field} = ${to}`;
      return to === undefined ? `${field} ${from} removed` : `${field}: ${from} → ${to}`;
    })
    .join(', ');
  return printable(all);
}
