import type { KubeObject } from '../../ports/kube.ts';
import { readNeeds, writeNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Verdict } from '../kube/queue.ts';
import { closingState } from '../tenant/desired.ts';
import { closingIdentity } from '../tenant/identity.ts';
import { settleInventory } from '../tenant/inventory.ts';
import { plan as planFor } from '../tenant/plan.ts';
import { NO_TARGETS, targets } from '../tenant/targets.ts';
import type { Outcome, Report, Step, Targets, Tenant, TenantStatus } from '../tenant/types.ts';
import { consentTargets, grantsOf } from '../tenant/withdrawnConsent.ts';
import { type Applying, applyClosing } from './apply.ts';
import { rankOf } from './budget.ts';
import { conclude, type Unclosed } from './ending.ts';
import { lostGrants } from './grants.ts';
import { agesOf } from './pacing.ts';
import type { Parts, Reconciliation } from './reconciliation.ts';
import { surroundings } from './surroundings.ts';
import { recordChanges } from './tenantEvents.ts';

/**
 * Closing means: removing `allUsers`, an invoker or a grant, or writing a setting that limits access. The operator closes before it
 * does anything else, and nothing else can prevent it: it needs no status write, no readable Namespace and no valid spec, and it has
 * its own share of the budget.
 */

/** The result of closing, with the status from which the removed grants were taken out. */
export interface Closed extends Unclosed {
  status: TenantStatus;
}

export function applyingOf(
  parts: Parts,
  { writer }: Reconciliation,
  actAs: string | undefined,
  recheck?: Applying['recheck'],
): Applying {
  const { gcp, shared, log, refusals } = parts;
  const generation = writer.object.metadata.generation ?? 0;
  return { gcp, shared, log, refusals, writer, actAs, generation, recheck };
}

/**
 * Applies those closing steps for which there is a budget now. Each step claims its budget alone, so that it waits neither for other
 * steps nor for another closing step. `later`: the verdict that parks the key for the first step without a budget.
 */
export async function close(
  { events }: Parts,
  { budget, writer }: Reconciliation,
  steps: Step[],
  applying: Applying,
): Promise<{ outcomes: Outcome[]; later?: Verdict }> {
  let later: Verdict | undefined;
  const paid = steps.filter(step => {
    const parked = step.closes ? budget.take(writeNeeds([step]), 'close', 'edit') : undefined;
    later ??= parked;
    return step.closes && !parked;
  });
  const outcomes = await applyClosing(paid, applying);
  recordChanges(events, writer.object, outcomes);
  return { outcomes, later };
}

/** Applies the closing steps among `steps`, and answers with the status that results. */
async function closeWith(
  parts: Parts,
  reconciliation: Reconciliation,
  steps: Step[],
  actAs: string | undefined,
): Promise<Closed> {
  const { status } = reconciliation.tenant;
  const { outcomes, later } = await close(parts, reconciliation, steps, applyingOf(parts, reconciliation, actAs));
  if (outcomes.length === 0) return { status, later };
  const inventory = settleInventory(status.inventory, status.inventory, outcomes, parts.runtime.now());
  const left = new Set(inventory.flatMap(({ type, name }) => (type === 'SecretAccess' ? name : [])));
  const keys = status.keys.map(key => ({
    ...key,
    granted: key.granted && (key.secret === undefined || left.has(key.secret)),
  }));
  const failed = outcomes.some(({ result }) => result === 'failed');
  return { status: { ...status, inventory, keys }, later, failed };
}

/**
 * Closes the access that the spec closes, while the rest of the spec cannot be followed. The project and the identity come from the
 * Namespace (`namespaceObject`), or from the status where the Namespace does not name them. `only`: reduces what is read.
 */
export async function closeOnly(
  parts: Parts,
  reconciliation: Reconciliation,
  namespaceObject: KubeObject | undefined,
  only = (all: Targets): Targets => all,
): Promise<Closed> {
  const { key, tenant, run, budget } = reconciliation;
  const { settings, pacing, runtime } = parts;
  const { status } = tenant;
  const desired = closingState(tenant, settings, surroundings(parts, tenant, namespaceObject));
  if (!desired) return { status };
  const wanted = only(targets(desired, status.inventory));
  const later = budget.take(readNeeds(wanted), rankOf(run, tenant));
  if (later) return { status, later };
  const { actAs } = desired;
  const refused = parts.refusals.of(key);
  const cached = parts.shared.at(agesOf(pacing.freshness(tenant, run), tenant, settings));
  // Cached answers and lists show whether anything has to be closed. If so, the current state is read before anything is written, with one
  // GET for each resource: a list that lacks a service is no proof that nothing uses a grant.
  for (const reads of [cached, parts.reads]) {
    const observed = await observe(reads, wanted, { actAs });
    const plan = planFor(tenant, desired, observed, settings, runtime.now(), { refused });
    if (!plan.steps.some(({ closes }) => closes)) break;
    if (reads !== cached) return closeWith(parts, reconciliation, plan.steps, actAs);
  }
  return { status };
}

/** Leaves only the account and the services to be read, for a reconcile that has no budget to read the secrets. */
export const servicesOf = ({ account, services, invokersOf, isPublic }: Targets): Targets => {
  return { ...NO_TARGETS, account, services, invokersOf, isPublic };
};

/** Removes the grants on secrets that have withdrawn their consent. If nothing was removed, the status in the answer is the same object. */
export async function withoutLostGrants(parts: Parts, reconciliation: Reconciliation): Promise<Closed> {
  const { tenant, run, budget } = reconciliation;
  const { status } = tenant;
  const grants = grantsOf(tenant);
  if (grants.length === 0) return { status };
  const { annotations } = parts.namespaces.get(tenant.namespace)?.metadata ?? {};
  const identity = closingIdentity(tenant, annotations ?? {}, parts.settings);
  if (!identity.ok) return { status };
  const later = budget.take(readNeeds(consentTargets(tenant, grants)), rankOf(run, tenant));
  if (later) return { status, later };
  const { actAs } = identity;
  return closeWith(parts, reconciliation, await lostGrants(parts, tenant, actAs), actAs);
}

/**
 * Ends a reconcile that does not follow the spec (suspended, refused, or a deletion that waits). In such a reconcile the operator still
 * removes the grants on secrets that have withdrawn their consent. `before`: the result of closing earlier in the same reconcile.
 */
export async function keepConsent(
  parts: Parts,
  reconciliation: Reconciliation,
  reportOf: (tenant: Tenant, now: number) => Report,
  before: Unclosed = {},
): Promise<Verdict> {
  const { status, failed, later } = await withoutLostGrants(parts, reconciliation);
  const report = reportOf({ ...reconciliation.tenant, status }, parts.runtime.now());
  return conclude(parts, reconciliation, report, {
    failed: before.failed || failed,
    later: before.later ?? (before.failed ? undefined : later),
  });
}
