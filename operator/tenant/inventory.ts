import assert from 'node:assert/strict';
import type { Aspect, EntryOf, Failure, InventoryEntry, InventoryType, Outcome, ServiceEntry, Step } from './types.ts';

/**
 * The inventory lists everything in Google Cloud that is, or may be, this tenant's. With it the operator finds what has left
 * the spec, and what a call created whose answer never came.
 *
 * 1. The operator writes an entry before the call that creates the resource (`assertRecorded`).
 * 2. The entry stays until the resource is known to be gone (`absenceCounts`).
 * 3. An entry of a type that this version does not know stays in `status.notUnderstood`.
 */

/** A create call that has no answer yet may still take effect for this long. Until then NOT_FOUND proves nothing. */
export const SETTLE_MS = 120_000;

/** The CRD's bound of `status.inventory`. */
export const MOST_ENTRIES = 2_000;

export const iso = (ms: number): string => new Date(ms).toISOString();

type CommonField = 'type' | 'name' | 'time';

interface EntryRules<T extends InventoryType> {
  /** The resource whose plan keeps these entries on record and removes them. */
  keptBy: Aspect;
  /** The fields that an entry has besides its type, name and time. */
  fields: Record<Exclude<keyof EntryOf<T>, CommonField>, 'required' | 'optional'>;
  /** The field that tells two entries of one name apart. */
  detail?: Exclude<keyof EntryOf<T>, CommonField>;
  /** Whether the metric of abandoned resources counts it. Invokers, variables and fields are part of their service. */
  isCounted: boolean;
}

/** What distinguishes the entries of each type. */
export const ENTRY_TYPES: { readonly [T in InventoryType]: EntryRules<T> } = {
  // An account that was created again is another resource.
  ServiceAccount: {
    keptBy: 'ServiceAccount',
    fields: { uniqueId: 'optional' },
    detail: 'uniqueId',
    isCounted: true,
  },
  SecretAccess: { keptBy: 'SecretAccess', fields: { uniqueId: 'optional' }, isCounted: true },
  Service: { keptBy: 'Service', fields: { retireAt: 'optional', deletedAt: 'optional' }, isCounted: true },
  Invoker: { keptBy: 'Service', fields: { member: 'required' }, detail: 'member', isCounted: false },
  Variable: { keptBy: 'Service', fields: { variable: 'required' }, detail: 'variable', isCounted: false },
  Field: { keptBy: 'Service', fields: { field: 'required' }, detail: 'field', isCounted: false },
};

export const entriesKeptBy = (aspect: Aspect, inventory: InventoryEntry[]): InventoryEntry[] =>
  inventory.filter(({ type }) => ENTRY_TYPES[type].keptBy === aspect);

export const entriesOfType = <T extends InventoryType>(type: T, inventory: InventoryEntry[]): EntryOf<T>[] =>
  inventory.filter((entry): entry is EntryOf<T> => entry.type === type);

/** The entry of the service with this full name. */
export const serviceEntry = (inventory: InventoryEntry[], name: string): ServiceEntry | undefined =>
  inventory.find((entry): entry is ServiceEntry => entry.type === 'Service' && entry.name === name);

/** Two entries with the same key stand for the same resource. */
export function entryKey(entry: InventoryEntry): string {
  const { detail } = ENTRY_TYPES[entry.type];
  return [entry.type, entry.name, (detail && (entry as unknown as Record<string, string>)[detail]) ?? ''].join(' ');
}

/** The account's unique ID that an entry names: of the account itself, or of the account that was granted access. */
export const identityOf = (entry: InventoryEntry): string | undefined =>
  'uniqueId' in entry ? entry.uniqueId : undefined;

/** Fails if a step may create something that is not in the inventory: after a crash nobody would find it again. */
export function assertRecorded(steps: Step[], inventory: InventoryEntry[]): void {
  const created = steps.flatMap(({ creates }) => creates);
  if (created.length === 0) return;
  const recorded = new Set(inventory.map(entryKey));
  const missing = created.filter(key => !recorded.has(key));
  assert.deepEqual(missing, [], 'every resource must be recorded in the inventory before the call that creates it');
}

/** Whether `after` lacks an entry that `before` has. */
export function forgets(before: InventoryEntry[], after: InventoryEntry[]): boolean {
  if (before.length === after.length && before.every((entry, index) => entry === after[index])) return false;
  const kept = new Set(after.map(entryKey));
  return before.some(entry => !kept.has(entryKey(entry)));
}

/** Milliseconds since the last create call. A time that cannot be parsed counts as long ago. */
export function age(entry: InventoryEntry, now: number): number {
  const time = Date.parse(entry.time);
  return Number.isNaN(time) ? Number.POSITIVE_INFINITY : now - time;
}

/** Whether NOT_FOUND means that the resource is gone. */
export function absenceCounts(entry: InventoryEntry, now: number): boolean {
  return (entry.type === 'Service' && entry.deletedAt !== undefined) || age(entry, now) >= SETTLE_MS;
}

/**
 * Whether a failed call may have taken effect. A create that fails with ALREADY_EXISTS created nothing: the resource was
 * created by an earlier call, which is on record, or by somebody else.
 */
const ambiguous = ({ kind, exists }: Failure): boolean => kind === 'Transient' || (kind === 'Conflict' && !exists);

/**
 * The inventory after the calls. A create that was refused puts its entries back to what they were before. A removal that
 * succeeded takes its entries away; the deletion of a service is a long-running operation, so its entry only gets a time.
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
