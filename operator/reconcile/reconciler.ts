import { readConnectorSecret } from '../connectorSecret.ts';
import { createSharedReads } from '../gcp/lists.ts';
import { observe } from '../gcp/observe.ts';
import { createReads } from '../gcp/reads.ts';
import { createServiceAges } from '../gcp/serviceAges.ts';
import type { Verdict } from '../kube/queue.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../kube/resources.ts';
import type { KubeObject } from '../ports.ts';
import { isQuotaShort } from '../stretch.ts';
import { abandonable, deletionPolicy, deletionTargets, planAbandon, planDeletion } from '../tenant/deletion.ts';
import { desiredState, inventoryProject } from '../tenant/desired.ts';
import { deletingIdentity } from '../tenant/identity.ts';
import { forgets } from '../tenant/inventory.ts';
import { plan as planFor, targets } from '../tenant/plan.ts';
import { deleting, type Report, refused, report, suspended } from '../tenant/report.ts';
import { readTenant } from '../tenant/resource.ts';
import { isReconciled } from '../tenant/slot.ts';
import type { Desired, Outcome, Plan, Step, Tenant, TenantStatus } from '../tenant/types.ts';
import { AI_TENANT_CRD } from '../tenantResource.ts';
import { type Applying, applyClosing, applyRecorded } from './apply.ts';
import { createOwnWrites, type TenantWriter, type Written } from './ownWrites.ts';
import { createPacing, EDIT_AGES, isRequested, NEW_AGES, type Run, requestAnswer } from './pacing.ts';
import { createRefusalMemory } from './refusals.ts';
import { recordChanges, recordTransitions } from './tenantEvents.ts';
import { keyOf, type ReconcilerOptions } from './types.ts';

/**
 * One way through for one tenant: desired → observed → plan → close → record → apply → report. The only place that joins
 * the tenant's rules, Google Cloud and Kubernetes. Level-triggered: it gets a key and reads the present state.
 */

export type Reconcile = (key: string, run?: Run) => Promise<Verdict>;

/** A person waits for a deletion as for an edit. */
const DELETION: Run = { priority: 'edit', failures: 0 };
/** How old a policy or version may be that was read moments before, for the first pass of the same reconcile. */
const SAME_PASS_MS = 1_000;
/**
 * After a write to the cluster that failed. A resource that has changed meanwhile is read anew soon, because only the cache
 * has to catch up. A refusal (an admission webhook that is down, a full etcd) lasts: it backs off as any failure does.
 */
const AFTER_WRITE: Record<Exclude<Written, 'ok'>, Verdict> = {
  changed: { kind: 'retry', atMostMs: 2_000 },
  refused: { kind: 'retry', atMostMs: 120_000 },
};

export function createReconciler(options: ReconcilerOptions): Reconcile {
  const { kube, gcp, runtime, settings, events, log } = options;
  const reads = createReads(gcp);
  const shared = createSharedReads(gcp, runtime);
  const withAges = createServiceAges(runtime);
  const ownWrites = createOwnWrites(kube, options.tenants, log);
  const pacing = createPacing(options);
  const refusals = createRefusalMemory(() => runtime.now());

  return async function reconcile(key, run = { priority: 'edit', failures: 0 }) {
    const object = ownWrites.current(key);
    if (!object) {
      pacing.forget(key);
      refusals.forget(key);
      return { kind: 'done' };
    }
    const isFirst = pacing.isFirst(key);
    const tenant = readTenant(object);
    const writer = ownWrites.writer(key, object);
    if (tenant.deletionTimestamp !== undefined) {
      return tenant.hasFinalizer ? remove(writer, tenant) : { kind: 'done' };
    }
    if (tenant.spec.suspend) return conclude(writer, tenant, suspended(tenant, runtime.now()));
    const waits = pacing.restMs(key, tenant);
    if (waits > 0) return { kind: 'again', afterMs: waits, priority: 'edit' };

    const namespaceAnnotations = await annotationsFor(tenant);
    if (!namespaceAnnotations) return { kind: 'retry' };
    const wanted = desiredState(tenant, settings, {
      namespaceAnnotations,
      connectorSecret: (name, project) => {
        const secret = options.connectorSecrets.get(`${tenant.namespace}/${name}`);
        if (!secret && !options.connectorSecrets.isSynced()) return { state: 'unread' };
        return readConnectorSecret(secret, namespaceAnnotations, project);
      },
    });
    if (!wanted.ok) return conclude(writer, tenant, refused(tenant, wanted.message, runtime.now()));
    const { desired } = wanted;
    if (run.priority === 'resync' && isFirst && isReconciled(tenant, desired) && !isRequested(tenant)) {
      options.onReport?.(tenant, tenant.status);
      return pacing.atSlot(tenant, desired.project);
    }
    const later = pacing.waitForQuota(key, tenant, desired.project, run);
    if (later) return later;
    const finalizer = tenant.hasFinalizer ? 'ok' : await writer.addFinalizer();
    if (finalizer !== 'ok') return AFTER_WRITE[finalizer];
    return converge(writer, tenant, desired, run);
  };

  /**
   * Reads, plans, writes and reports. Where a cached answer would lead to a write, a complaint or to forgetting an inventory
   * entry, the same is done once more with the present state: no later read would bring a forgotten entry back. Something is
   * created, deleted or forgotten only on answers about that one service and account (a GET), never on a list.
   */
  async function converge(writer: TenantWriter, tenant: Tenant, desired: Desired, run: Run): Promise<Verdict> {
    const key = keyOf(writer.object);
    const regular = run.priority === 'resync' ? () => options.wake(key) : undefined;
    let ages = pacing.ages(tenant, run);
    for (let confirmed = false; ; ) {
      const cached: boolean = ages !== EDIT_AGES && !confirmed;
      const lists = shared.at(ages, cached ? regular : undefined);
      const current = confirmed ? { ...lists, account: reads.account, service: reads.service } : lists;
      const wanted = targets(desired, tenant.status.inventory);
      const observed = withAges(await observe(current, wanted, { actAs: desired.actAs }));
      if (isQuotaShort(observed)) options.stretch.short(desired.project);
      const now = runtime.now();
      const plan = planFor(tenant, desired, observed, settings, now, { refused: refusals.of(key) });
      const complains = cached && plan.blockers.length > 0 && (run.priority === 'resync' || ages === NEW_AGES);
      const writes = cached && plan.steps.length > 0 && run.priority === 'resync';
      const decides: boolean =
        !confirmed && (forgets(tenant.status.inventory, plan.inventory) || plan.steps.some(needsGet));
      if (complains || writes || decides) {
        // Two more reads do not wait for a budget: who waited would read all else again.
        const more: Run = { ...run, priority: 'edit' };
        const later = complains || writes ? pacing.waitForQuota(key, tenant, desired.project, more) : undefined;
        if (later) return later;
        confirmed = decides;
        if (complains || writes) ages = EDIT_AGES;
        // Policies and versions that were read for this very plan are not read again.
        if (decides) ages = { ...ages, single: SAME_PASS_MS };
        continue;
      }

      const pace = shared.paceMs(desired.project, desired.region, { actAs: desired.actAs });
      const before = report(tenant, desired, observed, plan, undefined, now);
      if (plan.steps.length === 0) return conclude(writer, tenant, before, pace);
      const outcomes = await carryOut(writer, plan, before.status, desired.actAs);
      if (typeof outcomes === 'string') return AFTER_WRITE[outcomes];
      const recorded = readTenant(writer.object);
      const after = report(
        { ...tenant, resourceVersion: recorded.resourceVersion },
        desired,
        observed,
        { ...plan, inventory: recorded.status.inventory },
        outcomes,
        runtime.now(),
      );
      return conclude(writer, tenant, after, pace);
    }
  }

  /** The steps that close, then the record, then all others; or how a write of the status failed. */
  async function carryOut(
    writer: TenantWriter,
    plan: Plan,
    record: TenantStatus,
    actAs: string | undefined,
  ): Promise<Outcome[] | Exclude<Written, 'ok'>> {
    const generation = writer.object.metadata.generation ?? 0;
    const applying: Applying = { gcp, shared, log, writer, actAs, refusals, generation };
    const closed = await applyClosing(plan.steps, applying);
    recordChanges(events, writer.object, closed);
    const written = await writer.writeStatus(record);
    if (written !== 'ok') return written;
    const outcomes = await applyRecorded(plan.steps, closed, record, applying);
    if (typeof outcomes !== 'string') recordChanges(events, writer.object, outcomes.slice(closed.length));
    return outcomes;
  }

  /**
   * The annotations of the tenant's Namespace. A tenant never leaves the project of its first call, and that call must be
   * made as the identity that the Namespace names. Until something is on record they are read live, as the cache may be stale.
   */
  async function annotationsFor(tenant: Tenant): Promise<Record<string, string> | undefined> {
    const cached = tenant.status.inventory.length > 0 ? options.namespaces.get(tenant.namespace) : undefined;
    if (cached) return cached.metadata.annotations ?? {};
    const live = await kube.get(NAMESPACES, undefined, tenant.namespace);
    if (live.ok) return live.value.metadata.annotations ?? {};
    log('warn', 'cannot read the Namespace', {
      tenant: `${tenant.namespace}/${tenant.name}`,
      error: live.status.message,
    });
    return undefined;
  }

  /** Writes the status if it differs, and says when to reconcile again. */
  async function conclude(
    writer: TenantWriter,
    tenant: Tenant,
    { status, again, unread }: Report,
    pace = 0,
  ): Promise<Verdict> {
    const answer = requestAnswer(tenant.annotations);
    const answered = answer === undefined || tenant.spec.suspend || unread ? {} : { lastHandledReconcileAt: answer };
    const final = { ...status, ...answered };
    recordTransitions(events, writer.object, tenant.status, final);
    const written = await writer.writeStatus(final);
    if (written !== 'ok') return AFTER_WRITE[written];
    options.onReport?.(tenant, final);
    return pacing.verdict(tenant, again, final.projectId, pace);
  }

  // --------------------------------------------------------------------------------------------------- deleting

  /** Undefined: the CRD could not be read, so whether all tenants are to be abandoned cannot be known. */
  async function goesWithCrd(tenant: Tenant, object: KubeObject): Promise<boolean | undefined> {
    const crd = await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
    if (!crd.ok) {
      log('warn', 'cannot read the CRD', { tenant: keyOf(object), error: crd.status.message });
      return undefined;
    }
    const crdDeleted = Date.parse(crd.value.metadata.deletionTimestamp ?? '');
    return !Number.isNaN(crdDeleted) && Date.parse(tenant.deletionTimestamp ?? '') >= crdDeleted;
  }

  async function remove(writer: TenantWriter, tenant: Tenant): Promise<Verdict> {
    const withCrd = await goesWithCrd(tenant, writer.object);
    if (withCrd === undefined) return { kind: 'retry' };
    if (tenant.spec.suspend) {
      if (withCrd) return release(writer);
      return conclude(writer, tenant, suspended(tenant, runtime.now()));
    }
    const policy = deletionPolicy(tenant);
    if (!policy.ok && !withCrd) {
      const none: Plan = { steps: [], blockers: [], waiting: [], inventory: tenant.status.inventory, notes: [] };
      return conclude(writer, tenant, deleting(tenant, none, [], runtime.now(), policy.message));
    }
    const project = inventoryProject(tenant.status.inventory) ?? '';
    const later = pacing.waitForQuota(keyOf(writer.object), tenant, project, DELETION);
    if (later) return later;
    return takeDown(writer, tenant, withCrd || (policy.ok && policy.policy === 'abandon'));
  }

  async function takeDown(writer: TenantWriter, tenant: Tenant, abandon: boolean): Promise<Verdict> {
    const annotations = options.namespaces.get(tenant.namespace)?.metadata.annotations ?? {};
    const actAs = deletingIdentity(tenant, annotations, settings);
    const observed = await observe(reads, deletionTargets(tenant.status), { actAs });
    const now = runtime.now();
    const plan = abandon ? planAbandon(tenant, observed, settings) : planDeletion(tenant, observed, settings, now);
    if (plan.inventory.length === 0 && plan.blockers.length === 0) return release(writer);
    const before = deleting(tenant, plan, [], now);
    if (plan.steps.length === 0) return conclude(writer, tenant, before);
    const outcomes = await carryOut(writer, plan, before.status, actAs);
    if (typeof outcomes === 'string') return AFTER_WRITE[outcomes];
    if (abandon && plan.blockers.length === 0 && outcomes.every(letGo)) return release(writer);
    const after = deleting(tenant, plan, outcomes, runtime.now());
    if (after.status.inventory.length === 0 && !abandon) return release(writer);
    return conclude(writer, tenant, after);
  }

  async function release(writer: TenantWriter): Promise<Verdict> {
    const removed = await writer.removeFinalizer();
    return removed === 'ok' ? { kind: 'done' } : AFTER_WRITE[removed];
  }
}

/** A list that lacks something, or has it still, is no proof. */
const needsGet = ({ call }: Step): boolean =>
  call.kind === 'createAccount' || call.kind === 'createService' || call.kind === 'deleteService';

const letGo = (outcome: Outcome): boolean =>
  outcome.result === 'done' || (outcome.result === 'failed' && abandonable(outcome.failure));
