import type { GcpCall } from '../../ports/gcp.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import { execute } from '../gcp/execute.ts';
import type { SharedReads } from '../gcp/lists.ts';
import type { RefusedMember } from '../gcp/write.ts';
import { assertRecorded } from '../tenant/inventory.ts';
import type { Call, InventoryEntry, Outcome, Step, TenantStatus } from '../tenant/types.ts';
import type { Recheck } from './grants.ts';
import type { TenantWriter, Written } from './ownWrites.ts';
import type { ReconcileLog } from './reconcilerOptions.ts';
import type { RefusalMemory } from './refusals.ts';
import { shownChanges } from './tenantEvents.ts';

/** Applies the steps of a plan in the plan's order. Each step is one call that writes. Only `recheck` reads. */

export interface Applying {
  gcp: GcpCall;
  shared: SharedReads;
  log: ReconcileLog;
  writer: TenantWriter;
  /** The service account that the operator impersonates; undefined: the operator's own identity. */
  actAs: string | undefined;
  refusals: RefusalMemory;
  /** The generation of the AiTenant that the plan was made for. */
  generation: number;
  /** Reads the secret again after a grant that was made, or may have been made, to see whether the secret still consents. */
  recheck?: (grant: Step) => Promise<Recheck>;
}

/**
 * Applies only the steps that revoke or limit access. They are applied before the first status write and need no inventory entry,
 * so a refused status write cannot delay them, and neither can a step that opens access. If one fails with a conflict, the others
 * are applied all the same.
 */
export async function applyClosing(steps: Step[], applying: Applying): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const done = new Set<string>();
  const written = new Set<unknown>();
  for (const step of steps) {
    if (!step.closes) continue;
    // After one update of a service the etag of the next one is stale. The next reconcile makes that update.
    const service = step.call.kind === 'updateService' ? step.call.service.name : undefined;
    const isDue = !written.has(service) && step.needs.every(id => done.has(id));
    outcomes.push(isDue ? await applyStep(step, applying) : { step, result: 'skipped' });
    if (outcomes.at(-1)?.result !== 'done') continue;
    done.add(step.id);
    if (service !== undefined) written.add(service);
  }
  return outcomes;
}

/**
 * Applies all other steps. `closed`: the outcomes of `applyClosing`. `recorded`: the status that was written before this call; its
 * inventory names everything that the steps create. Answers with all outcomes, or, after a status write that failed, at once with
 * the reason of that failure.
 */
export async function applyRecorded(
  steps: Step[],
  closed: Outcome[],
  recorded: TenantStatus,
  applying: Applying,
): Promise<Outcome[] | Exclude<Written, 'ok'>> {
  const outcomes = [...closed];
  assertRecorded(steps, recorded.inventory);
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
    const recheck = step.verb === 'Grant' && mayStand(outcome) ? await applying.recheck?.(step) : undefined;
    if (recheck?.kind === 'revoke') outcomes.push(await applyStep(recheck.step, applying));
    stop ||= recheck?.kind === 'unread';
    if (outcome.result !== 'done' || (recheck && recheck.kind !== 'stands')) continue;
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

/** True if the grant may exist now. A `Transient` failure includes a lost answer: Google Cloud may have made the grant. */
const mayStand = (outcome: Outcome): boolean =>
  outcome.result === 'done' || (outcome.result === 'failed' && outcome.failure.kind === 'Transient');

async function applyStep(step: Step, applying: Applying): Promise<Outcome> {
  const { gcp, shared, log, writer, actAs } = applying;
  const result = await execute(gcp, step.call, { actAs, tenant: keyOf(writer.object.metadata) });
  shared.wrote(step.call, result, { actAs });
  const fields = { tenant: keyOf(writer.object.metadata), verb: step.verb, target: step.target };
  if (!result.ok) {
    log('warn', 'a call failed', { ...fields, kind: result.failure.kind, error: result.failure.message });
    return { step, result: 'failed', failure: result.failure };
  }
  const taken =
    step.call.kind === 'setServicePolicy' ? withoutRefused(step, step.call, result.refused, applying) : step;
  log('info', 'changed Google Cloud', { ...fields, changes: shownChanges(taken.changes) });
  return { step: taken, result: 'done', response: result.response };
}

/** The step with only those changes that Google Cloud accepted. The refused members are noted in `refusals`. */
function withoutRefused(
  step: Step,
  { additions, service }: Extract<Call, { kind: 'setServicePolicy' }>,
  refused: RefusedMember[] = [],
  { refusals, log, writer, generation }: Applying,
): Step {
  if (!additions) return step;
  const key = keyOf(writer.object.metadata);
  refusals.note(key, service, additions.members, refused, generation);
  for (const { addition, failure } of refused) {
    log('warn', 'a member was refused', { tenant: key, target: step.target, ...addition, error: failure.message });
  }
  return { ...step, changes: step.changes.filter(({ to }) => !refused.some(({ addition }) => addition.member === to)) };
}

/** Adds the new account's unique id to its inventory entry. This is written before anything is granted to the account. */
function identify(inventory: InventoryEntry[], uniqueId: unknown): InventoryEntry[] {
  if (typeof uniqueId !== 'string' || uniqueId === '') return inventory;
  return inventory.map(entry =>
    entry.type === 'ServiceAccount' && entry.uniqueId === undefined ? { ...entry, uniqueId } : entry,
  );
}
