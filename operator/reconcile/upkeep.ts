import type { KubeObject } from '../../ports/kube.ts';
import { writeOf } from '../gcp/execute.ts';
import { expectedWrites, readNeeds, waitNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Need } from '../gcp/quota.ts';
import type { Verdict } from '../kube/queue.ts';
import { forgets } from '../tenant/inventory.ts';
import { statusWasLost } from '../tenant/lostStatus.ts';
import { nothingWasRead } from '../tenant/outageReport.ts';
import { claimRules, plan as planFor, type TenantPlan } from '../tenant/plan.ts';
import { refused, report, suspended } from '../tenant/report.ts';
import { isReconciled } from '../tenant/slot.ts';
import { targets } from '../tenant/targets.ts';
import type { Desired, Observed, Step, Tenant } from '../tenant/types.ts';
import { mayClose, rankOf } from './budget.ts';
import { closeOnly, keepConsent, servicesOf, withoutLostGrants } from './closing.ts';
import { verified } from './ending.ts';
import { recheckGrant } from './grants.ts';
import { withLostServices } from './lostServices.ts';
import { agesOf, type Freshness, isRequested } from './pacing.ts';
import { quietOf } from './quiet.ts';
import type { Run } from './reconcilerOptions.ts';
import { type Intent, type Parts, type Reconciliation, wakeOf } from './reconciliation.ts';
import { desiredOf, namespaceOf } from './surroundings.ts';
import { shownChanges } from './tenantEvents.ts';

/** Plans the reconcile of a tenant that is not being deleted: which calls bring its resources to the desired state. */

/** Answers with an intent, or with the verdict of a reconcile that ends without one. */
export async function intendUpkeep(parts: Parts, reconciliation: Reconciliation): Promise<Intent | Verdict> {
  const { key, tenant, run, budget, expected } = reconciliation;
  const { pacing, log, onReport } = parts;
  const isFirst = pacing.isFirst(key);
  if (tenant.spec.suspend) return keepConsent(parts, reconciliation, suspended);
  if (expected) {
    if (run.priority === 'resync' && isFirst && isReconciled(tenant, expected) && !isRequested(tenant)) {
      log('debug', 'the first resync is skipped: the status says that the tenant is up to date', { tenant: key });
      onReport?.(tenant, tenant.status);
      return pacing.verdict(tenant, { kind: 'interval' }, run);
    }
    if (!pacing.isFullCheck(key, tenant, run) && !isRequested(tenant)) return checkConsent(parts, reconciliation);
    const needs = needsOf(tenant, expected, run);
    const later = reconciliation.read ? undefined : budget.reserve(needs, rankOf(run, tenant));
    if (later) {
      if (mayClose(tenant)) await closeOnly(parts, reconciliation, parts.namespaces.get(tenant.namespace), servicesOf);
      return later;
    }
  }
  const namespaceObject = await namespaceOf(parts, tenant);
  const wanted = desiredOf(parts, tenant, namespaceObject);
  if (namespaceObject && wanted.ok) return intend(parts, reconciliation, wanted.desired, namespaceObject);
  const closed = await closeOnly(parts, reconciliation, namespaceObject);
  if (!namespaceObject || wanted.ok) return { kind: 'retry' };
  const rest = { ...reconciliation, tenant: { ...tenant, status: closed.status } };
  return keepConsent(parts, rest, (current, now) => refused(current, wanted.message, now), closed);
}

/** The calls that this reconcile will make: its reads, and the writes that are expected before anything is read. */
function needsOf(tenant: Tenant, desired: Desired, run: Run): Need[] {
  const wanted = targets(desired, tenant.status.inventory);
  const waits = run.priority === 'retry' && run.failures === 0;
  return [...(waits ? waitNeeds(wanted) : readNeeds(wanted)), ...expectedWrites(tenant, desired, wanted)];
}

/** The resync of a tenant whose own interval is longer than `--sync-interval`: only the consent for its grants is read. */
async function checkConsent(parts: Parts, reconciliation: Reconciliation): Promise<Verdict> {
  const { tenant, run } = reconciliation;
  const { status, later } = await withoutLostGrants(parts, reconciliation);
  // Grants were removed. A full reconcile follows at once; it does what is left and writes the status.
  if (status !== tenant.status) return { kind: 'again', afterMs: 0, priority: 'edit' };
  return later ?? parts.pacing.verdict(tenant, { kind: 'interval' }, run);
}

/** How one pass reads Google Cloud. A pass reads once and makes one plan. */
interface Pass {
  freshness: Freshness;
  /** True if accounts, services and secrets are read with one GET each instead of from lists, to confirm the plan. */
  confirms: boolean;
}

/**
 * Reads and plans in at most three passes; `nextPass` decides whether another one is needed.
 *
 * 1. With answers that are as fresh as this reconcile needs (`Freshness`).
 * 2. With the current state, if a cached answer would lead to a write or to a blocker.
 * 3. With one GET for each account, service and secret, if the plan creates an account, creates or deletes a service, sets a
 *    secret's policy, or drops an inventory entry. A list is no proof for these: it may still lack a new resource or contain a
 *    deleted one, and no later read would restore a dropped inventory entry.
 */
async function intend(
  parts: Parts,
  reconciliation: Reconciliation,
  desired: Desired,
  namespace: KubeObject,
): Promise<Intent | Verdict> {
  const { key, tenant, run, budget } = reconciliation;
  const isSure = !parts.uncertain.has(key);
  let before = reconciliation.read;
  let pass: Pass = { freshness: isSure ? parts.pacing.freshness(tenant, run) : 'now', confirms: false };
  for (;;) {
    const observed = await observeAll(parts, reconciliation, desired, pass, before);
    before = undefined;
    if ('kind' in observed) return observed;
    const { settings, runtime, refusals, log } = parts;
    const [now, refused] = [runtime.now(), refusals.of(key)];
    const plan = planFor(tenant, desired, observed, settings, now, { refused });
    log('debug', 'planned', { tenant: key, ...shownPlan(plan) });
    const next = nextPass(pass, plan, tenant, run);
    if (!next) {
      const quiet = quietOf({ tenant, desired, observed, namespace }, plan, now);
      return { ...intentOf(parts, reconciliation, desired, observed, plan), quiet };
    }
    // The GETs of a confirming pass do not wait for a budget: if the tenant were parked here, it would have to read everything again.
    if (next.freshness !== pass.freshness) {
      const rank = plan.steps.some(({ closes }) => closes) ? 'close' : 'edit';
      const later = budget.take(readNeeds(targets(desired, tenant.status.inventory)), rank, 'edit');
      if (later) return later;
    }
    pass = next;
  }
}

/** The pass that must follow before the plan may be applied; undefined if the plan may be applied now. */
export function nextPass(
  { freshness, confirms }: Pass,
  { steps, blockers, inventory }: Pick<TenantPlan, 'steps' | 'blockers' | 'inventory'>,
  { status }: Pick<Tenant, 'status'>,
  { priority }: Pick<Run, 'priority'>,
): Pass | undefined {
  const isCached = freshness !== 'now' && !confirms;
  const reportsBlocker = blockers.length > 0 && (priority === 'resync' || freshness === 'new');
  const writes = steps.length > 0 && priority === 'resync';
  const decides = !confirms && (forgets(status.inventory, inventory) || steps.some(needsGet));
  if (isCached && (reportsBlocker || writes)) return { freshness: 'now', confirms: decides };
  return decides ? { freshness, confirms: true } : undefined;
}

/** True for a call that may be made only after the resources were read with one GET each. */
const needsGet = ({ call }: Step): boolean => writeOf(call).needsGet === true;

/** A confirming pass accepts policies and versions up to this old, so that it does not repeat the reads of the pass before. */
const SAME_RECONCILE_MS = 1_000;

async function observeAll(
  parts: Parts,
  reconciliation: Reconciliation,
  desired: Desired,
  { freshness, confirms }: Pass,
  before?: Observed,
): Promise<Observed | Verdict> {
  const { key, tenant, run, budget } = reconciliation;
  const { shared, pacing, settings, uncertain } = parts;
  const ages = agesOf(freshness, tenant, settings);
  const isCached = freshness !== 'now' && !confirms;
  const onChanged = isCached && pacing.isRegular(tenant, run) ? wakeOf(parts, key) : undefined;
  const current = shared.at(confirms ? { ...ages, alone: true, single: SAME_RECONCILE_MS } : ages, onChanged);
  const rules = claimRules(tenant, desired, settings);
  const asked = { actAs: desired.actAs, tenant: key };
  const read = before ?? (await observe(current, targets(desired, tenant.status.inventory), asked));
  const isLost = statusWasLost(read.account, rules) && (rules.restore || rules.adopt);
  const take = (needs: Need[]) => budget.take(needs, rankOf(run, tenant));
  const found = isLost ? await withLostServices(current, read, desired, rules, asked, take) : read;
  if ('kind' in found) return found;
  const observed = parts.withAges(found);
  if (observed.keys.every(({ secret }) => secret.state !== 'failed')) uncertain.delete(key);
  return observed;
}

function intentOf(
  parts: Parts,
  reconciliation: Reconciliation,
  desired: Desired,
  observed: Observed,
  plan: TenantPlan,
): Intent {
  const { key, tenant, writer } = reconciliation;
  const { events, outages, shared, runtime, settings, reads, uncertain } = parts;
  for (const message of plan.adopted) events.record(writer.object, 'Warning', 'AdoptedContent', message);
  if (!nothingWasRead(observed)) outages.answered(desired.project);
  const isOwn = outages.isOwn(key, desired.project);
  if (plan.steps.length > 0) outages.over(key);
  const rules = claimRules(tenant, desired, settings);
  return {
    plan,
    actAs: desired.actAs,
    paceMs: shared.paceMs(desired.project, desired.region, { actAs: desired.actAs }),
    reportBefore() {
      const before = report(tenant, desired, observed, plan, undefined, runtime.now(), isOwn);
      return plan.steps.length === 0 ? verified(parts, reconciliation, before) : before;
    },
    reportAfter(outcomes, { inventory, conditions }) {
      // The recorded conditions have the transition times. The tenant keeps its inventory, to which refused creates go back.
      const recorded = { ...tenant, status: { ...tenant.status, conditions } };
      return report(recorded, desired, observed, { ...plan, inventory }, outcomes, runtime.now());
    },
    async recheck(grant) {
      const answer = await recheckGrant(reads, grant, tenant, desired, rules);
      if (answer.kind !== 'stands') uncertain.add(key);
      return answer;
    },
  };
}

const shownPlan = ({ steps, blockers, waiting }: TenantPlan) => ({
  steps: steps.map(({ verb, target, changes }) => `${verb} ${target}: ${shownChanges(changes)}`),
  blockers: blockers.map(({ reason, message }) => `${reason}: ${message}`),
  waiting: waiting.map(({ message }) => message),
});
