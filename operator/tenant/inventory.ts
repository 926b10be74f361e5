import type { Failure, InventoryEntry, Outcome } from './types.ts';

/**
 * The inventory: everything in Google Cloud that is or may be ours, so that what has left the spec, or was made by a call
 * whose answer never came, is still found. An entry is written before the call and goes only when the thing is surely gone.
 */

/** A create call that is still under way may take effect this long after it; until then a 404 proves nothing. */
export const SETTLE_MS = 120_000;

export const iso = (ms: number): string => new Date(ms).toISOString();

export function entryKey(entry: InventoryEntry): string {
  const detail = entry.member ?? entry.variable ?? (entry.type === 'ServiceAccount' ? entry.uniqueId : undefined);
  return [entry.type, entry.name, detail ?? ''].join(' ');
}

/** Whether something is no longer on record. */
export function forgets(before: InventoryEntry[], after: InventoryEntry[]): boolean {
  if (before.length === after.length && before.every((entry, index) => entry === after[index])) return false;
  const kept = new Set(after.map(entryKey));
  return before.some(entry => !kept.has(entryKey(entry)));
}

/** Milliseconds since the last create call; an unreadable time counts as long ago. */
export function age(entry: InventoryEntry, now: number): number {
  const time = Date.parse(entry.time);
  return Number.isNaN(time) ? Number.POSITIVE_INFINITY : now - time;
}

/** Whether not finding the thing means that it is gone. */
export function absenceCounts(entry: InventoryEntry, now: number): boolean {
  return entry.deletedAt !== undefined || age(entry, now) >= SETTLE_MS;
}

/**
 * The answer leaves open whether the call took effect. A create that is refused because something is there already made
 * nothing: what is there was made by an earlier call, which is on record, or by somebody else.
 */
const ambiguous = ({ kind, exists }: Failure): boolean => kind === 'Transient' || (kind === 'Conflict' && !exists);

/**
 * The inventory after the calls: a create that was refused outright puts its entries back to what they were before, a
 * removal that succeeded takes its entries away (a service's only says when: its deletion is a long-running operation).
 */
export function settleInventory(
  before: InventoryEntry[],
  recorded: InventoryEntry[],
  outcomes: Outcome[],
  now: number,
): InventoryEntry[] {
  return outcomes.reduce((inventory, { step, ...outcome }) => {
    if (outcome.result === 'done') {
      const { call } = step;
      const kept = inventory.filter(entry => !step.removes.includes(entryKey(entry)));
      if (call.kind !== 'deleteService') return kept;
      return kept.map(entry =>
        entry.type === 'Service' && entry.name === call.name ? { ...entry, deletedAt: iso(now) } : entry,
      );
    }
    if (outcome.result === 'failed' && ambiguous(outcome.failure)) return inventory;
    return inventory.flatMap(entry => {
      if (!step.creates.includes(entryKey(entry))) return [entry];
      return before.find(other => entryKey(other) === entryKey(entry)) ?? [];
    });
  }, recorded);
}
