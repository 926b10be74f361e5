import type { KubeObject } from '../../ports/kube.ts';
import { readNeeds, writeNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Verdict } from '../kube/queue.ts';
import { closingState } from '../tenant/desired.ts';
import { closingIdentity } from '../tenant/identity.ts';
import { settleInventory } from '../tenant/inventory.ts';
import { plan as planFor } from '../tenant/plan.ts';
import { type Targets, targets } from '../tenant/targets.ts';
import type { Outcome, Report, Step, Tenant, TenantStatus } from '../tenant/types.ts';
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
 * Closing comes before everything else and depends on nothing else: neither on a status write, nor on the Namespace, nor on a spec
 * that can be followed, nor on a budget that something else uses up. Closing is: to take away `allUsers`, an invoker or a
 * grant, and to write settings that limit access.
 */

/** What has been closed: the status without what was removed. */
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
 * Applies the steps that close, each as far as there is a budget for it. Each takes a budget of its own, so that it waits neither
 * for other steps nor for the closing of something else. `unpaid`: the verdict that waits for the budget of the others.
 */
export async function close(
  { events }: Parts,
  { budget, writer }: Reconciliation,
  steps: Step[],
  applying: Applying,
): Promise<{ outcomes: Outcome[]; unpaid?: Verdict }> {
  let unpaid: Verdict | undefined;
  const paid = steps.filter(step => {
    const later = step.closes ? budget.take(writeNeeds([step]), 'close', 'edit') : undefined;
    unpaid ??= later;
    return step.closes && !later;
  });
  const outcomes = await applyClosing(paid, applying);
  recordChanges(events, writer.object, outcomes);
  return { outcomes, unpaid };
}

/** Applies these steps and answers with the status that remains. */
async function closeWith(parts: Parts, its: Reconciliation, steps: Step[], actAs: string | undefined): Promise<Closed> {
  const { status } = its.tenant;
  const { outcomes, unpaid: later } = await close(parts, its, steps, applyingOf(parts, its, actAs));
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
 * Closes what the spec closes where the rest of it cannot be followed. Project and identity are then those on record, as far as
 * the Namespace (`home`) does not say them.
 */
export async function closeOnly(
  parts: Parts,
  its: Reconciliation,
  home: KubeObject | undefined,
  only = (all: Targets): Targets => all,
): Promise<Closed> {
  const { key, tenant, run, budget } = its;
  const { settings, pacing, runtime } = parts;
  const { status } = tenant;
  const desired = closingState(tenant, settings, surroundings(parts, tenant, home));
  if (!desired) return { status };
  const wanted = only(targets(desired, status.inventory));
  const later = budget.take(readNeeds(wanted), rankOf(run, tenant));
  if (later) return { status, later };
  const { actAs } = desired;
  const refused = parts.refusals.of(key);
  // Cached answers show whether anything is to be closed. Before anything is, the present state is read.
  for (const freshness of [pacing.freshness(tenant, run), 'now'] as const) {
    const ages = agesOf(freshness, tenant, settings);
    const observed = await observe(parts.shared.at(ages), wanted, { actAs });
    const plan = planFor(tenant, desired, observed, settings, runtime.now(), { refused });
    if (!plan.steps.some(({ closes }) => closes)) break;
    if (freshness === 'now') return closeWith(parts, its, plan.steps, actAs);
  }
  return { status };
}

/** Only the services are read, where there is no budget to read everything else. */
export const servicesOf = (all: Targets): Targets => ({ ...all, keys: [], formerGrants: [] });

/** Removes the grants whose secret has lost its consent. The status is the same object if there were none. */
export async function withoutLostGrants(parts: Parts, its: Reconciliation): Promise<Closed> {
  const { tenant, run, budget } = its;
  const { status } = tenant;
  const grants = grantsOf(tenant);
  if (grants.length === 0) return { status };
  const { annotations } = parts.namespaces.get(tenant.namespace)?.metadata ?? {};
  const identity = closingIdentity(tenant, annotations ?? {}, parts.settings);
  if (!identity.ok) return { status };
  const later = budget.take(readNeeds(consentTargets(tenant, grants)), rankOf(run, tenant));
  if (later) return { status, later };
  const { actAs } = identity;
  return closeWith(parts, its, await lostGrants(parts, tenant, actAs), actAs);
}

/**
 * The end of a reconcile that does not follow the spec (suspended, refused, a deletion that waits). One thing goes on, whatever the
 * tenant's owner has set: grants whose secret has lost its consent are removed. `before`: what was closed already.
 */
export async function keepConsent(
  parts: Parts,
  its: Reconciliation,
  reportOf: (tenant: Tenant, now: number) => Report,
  before: Unclosed = {},
): Promise<Verdict> {
  const { status, failed, later } = await withoutLostGrants(parts, its);
  const report = reportOf({ ...its.tenant, status }, parts.runtime.now());
  return conclude(parts, its, report, {
    failed: before.failed || failed,
    later: before.later ?? (before.failed ? undefined : later),
  });
}
