import assert from 'node:assert';
import { writeNeeds } from '../gcp/needs.ts';
import type { Verdict } from '../kube/queue.ts';
import type { Outcome, Step, TenantStatus } from '../tenant/types.ts';
import { applyRecorded } from './apply.ts';
import { applyingOf, close } from './closing.ts';
import { AFTER_WRITE, conclude, end } from './ending.ts';
import { checkQuiet } from './quiet.ts';
import type { ReconcilerOptions, Run } from './reconcilerOptions.ts';
import {
  createParts,
  forget,
  type Intent,
  type Parts,
  type Reconciliation,
  startReconciliation,
} from './reconciliation.ts';
import { intendRemoval } from './removal.ts';
import { recordChanges } from './tenantEvents.ts';
import { intendUpkeep } from './upkeep.ts';

/**
 * One reconcile of one AiTenant. Reconciles are level-triggered: the queue hands over only a key, and the reconcile reads the
 * current state. An AiTenant that stays and one that is being deleted pass through the same steps; only their plans differ.
 *
 * 1. Start: take the object from the cache, or from this process's own write if that is newer than the cache. Take over the
 *    budget that the key was parked for, if it was parked.
 *    A periodic check that finds nothing changed ends here (`quiet.ts`).
 * 2. Intend (`upkeep.ts` or `removal.ts`): read Google Cloud, make a plan, and read again what the plan depends on. This step
 *    writes nothing, with one exception: if the spec cannot be followed now, it still revokes grants and closes access
 *    (`closing.ts`).
 * 3. Close: apply the steps that revoke or limit access. They come first and do not need an inventory entry.
 * 4. Record: write the finalizer and the inventory, before the first call that creates something.
 * 5. Apply: make all other calls, one for each step, in the plan's order.
 * 6. Report: write the status, record the events, and answer with the time of the next reconcile.
 */

export type Reconcile = (key: string, run?: Run) => Promise<Verdict>;

const EDIT: Run = { priority: 'edit', failures: 0, changes: 0 };

export function createReconciler(options: ReconcilerOptions): Reconcile {
  const parts = createParts(options);
  const running = new Set<string>();
  return async (key, run = EDIT) => {
    assert(!running.has(key), `two reconciles of ${key} at once`);
    running.add(key);
    try {
      return await reconcile(parts, key, run);
    } finally {
      running.delete(key);
    }
  };
}

async function reconcile(parts: Parts, key: string, run: Run): Promise<Verdict> {
  const object = parts.ownWrites.current(key);
  if (!object) {
    run.granted?.release();
    forget(parts, key);
    return { kind: 'done' };
  }
  const before = await checkQuiet(parts, key, object, run);
  if (before && 'kind' in before) return before;
  const reconciliation = startReconciliation(parts, key, object, run, before);
  try {
    const isDeleted = reconciliation.tenant.deletionTimestamp !== undefined;
    if (isDeleted && !reconciliation.tenant.hasFinalizer) return { kind: 'done' };
    const intent = await (isDeleted ? intendRemoval(parts, reconciliation) : intendUpkeep(parts, reconciliation));
    return 'kind' in intent ? intent : await carryOut(parts, reconciliation, intent);
  } finally {
    reconciliation.budget.release();
  }
}

/** Steps 3 to 6: closes, records, applies and reports what `intent` contains. */
async function carryOut(parts: Parts, reconciliation: Reconciliation, intent: Intent): Promise<Verdict> {
  const { plan } = intent;
  if (plan.steps.length === 0) {
    const ending = intent.ending?.([], plan.inventory);
    if (ending) return end(parts, reconciliation, ending);
    const finalizer = await reconciliation.writer.addFinalizer();
    return finalizer === 'ok' ? conclude(parts, reconciliation, intent.reportBefore(), intent) : AFTER_WRITE[finalizer];
  }
  const outcomes = await apply(parts, reconciliation, intent, intent.reportBefore().status);
  if ('kind' in outcomes) return outcomes;
  const after = intent.reportAfter(outcomes, reconciliation.writer.status);
  const ending = intent.ending?.(outcomes, after.status.inventory);
  return ending ? end(parts, reconciliation, ending) : conclude(parts, reconciliation, after, intent);
}

/** Answers with the outcomes of all steps, or with a verdict if the reconcile has to end before all steps were applied. */
async function apply(
  parts: Parts,
  reconciliation: Reconciliation,
  { plan, actAs, recheck }: Intent,
  record: TenantStatus,
): Promise<Outcome[] | Verdict> {
  const applying = applyingOf(parts, reconciliation, actAs, recheck);
  const { outcomes: closed, later: parked } = await close(parts, reconciliation, plan.steps, applying);
  const isOpen = ({ closes }: Step): boolean => !closes;
  const later = parked ?? reconciliation.budget.take(writeNeeds(plan.steps.filter(isOpen)), 'edit', 'edit');
  if (later) return later;
  const finalizer = await reconciliation.writer.addFinalizer();
  const written = finalizer === 'ok' ? await reconciliation.writer.writeStatus(record) : finalizer;
  if (written !== 'ok') return AFTER_WRITE[written];
  const outcomes = await applyRecorded(plan.steps, closed, record, applying);
  if (typeof outcomes === 'string') return AFTER_WRITE[outcomes];
  recordChanges(parts.events, reconciliation.writer.object, outcomes.slice(closed.length));
  return outcomes;
}
