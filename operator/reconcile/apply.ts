import { execute } from '../gcp/execute.ts';
import type { SharedReads } from '../gcp/lists.ts';
import type { GcpCall } from '../ports.ts';
import type { InventoryEntry, Outcome, Step, TenantStatus } from '../tenant/types.ts';
import type { TenantWriter, Written } from './ownWrites.ts';
import { shownChanges } from './tenantEvents.ts';
import { keyOf, type ReconcileLog } from './types.ts';

/** Carries out the steps of a plan: writes only, one call a step, in the plan's order. */

export interface Applying {
  gcp: GcpCall;
  shared: SharedReads;
  log: ReconcileLog;
  writer: TenantWriter;
  /** The service account to act as; undefined: the operator itself. */
  actAs: string | undefined;
}

/**
 * The steps that only remove or close. They come before the first status write and need no record, so that neither a
 * refused status write nor a step that opens something can hold them back. A conflict of one does not stop the others.
 */
export async function applyClosing(steps: Step[], applying: Applying): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const done = new Set<string>();
  for (const step of steps) {
    if (!step.closes) continue;
    outcomes.push(step.needs.every(id => done.has(id)) ? await applyStep(step, applying) : { step, result: 'skipped' });
    if (outcomes.at(-1)?.result === 'done') done.add(step.id);
  }
  return outcomes;
}

/**
 * All other steps. `closed` are the outcomes of `applyClosing`, `recorded` the status that was written before.
 * A status write that failed ends it.
 */
export async function applyRecorded(
  steps: Step[],
  closed: Outcome[],
  recorded: TenantStatus,
  applying: Applying,
): Promise<Outcome[] | Exclude<Written, 'ok'>> {
  const outcomes = [...closed];
  const done = new Set(closed.flatMap(({ step, result }) => (result === 'done' ? [step.id] : [])));
  let stop = closed.some(isConflict);
  for (const step of steps) {
    if (step.closes) continue;
    if (stop || !step.needs.every(id => done.has(id))) {
      outcomes.push({ step, result: 'skipped' });
      continue;
    }
    const outcome = await applyStep(step, applying);
    outcomes.push(outcome);
    stop = isConflict(outcome);
    if (outcome.result !== 'done') continue;
    done.add(step.id);
    if (step.call.kind === 'createAccount') {
      const inventory = identify(recorded.inventory, outcome.response.uniqueId);
      const written = await applying.writer.writeStatus({ ...recorded, inventory });
      if (written !== 'ok') return written;
    }
  }
  return outcomes;
}

const isConflict = (outcome: Outcome): boolean => outcome.result === 'failed' && outcome.failure.kind === 'Conflict';

async function applyStep(step: Step, { gcp, shared, log, writer, actAs }: Applying): Promise<Outcome> {
  const result = await execute(gcp, step.call, { actAs });
  shared.wrote(step.call, result, { actAs });
  const fields = { tenant: keyOf(writer.object), verb: step.verb, target: step.target };
  if (!result.ok) {
    log('warn', 'a call failed', { ...fields, kind: result.failure.kind, error: result.failure.message });
    return { step, result: 'failed', failure: result.failure };
  }
  log('info', 'changed Google Cloud', { ...fields, changes: shownChanges(step.changes) });
  return { step, result: 'done', response: result.response };
}

/** The account that was just made gets its identity on record before anything is granted to it. */
function identify(inventory: InventoryEntry[], uniqueId: unknown): InventoryEntry[] {
  if (typeof uniqueId !== 'string' || uniqueId === '') return inventory;
  return inventory.map(entry =>
    entry.type === 'ServiceAccount' && entry.uniqueId === undefined ? { ...entry, uniqueId } : entry,
  );
}
