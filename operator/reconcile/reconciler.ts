import type { GcpCallOptions } from '../../ports/gcp.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANT_CRD, CUSTOM_RESOURCE_DEFINITIONS, keyOf, NAMESPACES } from '../../ports/kubeResources.ts';
import { createSharedReads } from '../gcp/lists.ts';
import { deletionNeeds, expectedWrites, numberOf, readNeeds, waitNeeds, writeNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import { createReads, type Reads } from '../gcp/reads.ts';
import { createServiceAges } from '../gcp/serviceAges.ts';
import type { Verdict } from '../kube/queue.ts';
import {
  abandonable,
  deletionPolicy,
  deletionProject,
  deletionTargets,
  leftBehind,
  noProject,
  planAbandon,
  planAccountDeletion,
  planServiceDeletion,
} from '../tenant/deletion.ts';
import {
  type ConnectorSecret,
  closingState,
  desiredState,
  inventoryProject,
  type Surroundings,
} from '../tenant/desired.ts';
import { closingIdentity, deletingIdentity } from '../tenant/identity.ts';
import { forgets, settleInventory } from '../tenant/inventory.ts';
import { everyRegion, isUnrecorded, mayBeOwn, statusWasLost } from '../tenant/lostStatus.ts';
import { serviceId } from '../tenant/names.ts';
import { claimRules, plan as planFor, type Targets, targets } from '../tenant/plan.ts';
import { abandonedGrants, consentTargets, grantsOf } from '../tenant/planConsent.ts';
import {
  deleting,
  nothingWasRead,
  notVerified,
  type Report,
  refused,
  released,
  report,
  suspended,
} from '../tenant/report.ts';
import { FINALIZER, readTenant } from '../tenant/resource.ts';
import { isReconciled } from '../tenant/slot.ts';
import type { Desired, Observed, Outcome, Plan, Step, Tenant, TenantStatus } from '../tenant/types.ts';
import { type Applying, applyClosing, applyRecorded } from './apply.ts';
import { createRunBudget, mayClose, type RunBudget, rankOf } from './budget.ts';
import { readConnectorSecret } from './connectorSecret.ts';
import { lostGrants, type Recheck, recheckGrant } from './grants.ts';
import { createOutageMemory } from './outages.ts';
import { createOwnWrites, type TenantWriter, type Written } from './ownWrites.ts';
import { createPacing, EDIT_AGES, isRequested, NEW_AGES, type Run, requestAnswer } from './pacing.ts';
import { createRefusalMemory } from './refusals.ts';
import { recordChanges, recordTransitions, shownChanges } from './tenantEvents.ts';
import type { ReconcilerOptions } from './types.ts';

/**
 * One way through for one tenant: desired → observed → plan → close → record → apply → report. The only place that joins
 * the tenant's rules, Google Cloud and Kubernetes. Level-triggered: it gets a key and reads the present state.
 */

export type Reconcile = (key: string, run?: Run) => Promise<Verdict>;

const EDIT: Run = { priority: 'edit', failures: 0, changes: 0 };
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

/** What closing has come to: the status without what was removed, and when to go on if it is not done. */
interface Closed {
  status: TenantStatus;
  failed?: boolean;
  later?: Verdict;
}

export function createReconciler(options: ReconcilerOptions): Reconcile {
  const { kube, gcp, runtime, settings, events, log } = options;
  const reads = createReads(gcp);
  const alone = { account: reads.account, service: reads.service, secret: reads.secret };
  const shared = createSharedReads(gcp, runtime, settings.syncIntervalMs);
  const withAges = createServiceAges(runtime);
  const ownWrites = createOwnWrites(kube, options.tenants, log, () => runtime.monotonic());
  const pacing = createPacing(options);
  const refusals = createRefusalMemory(() => runtime.now());
  const outages = createOutageMemory(runtime, settings.syncIntervalMs);
  /** Keys with a grant whose consent could not be read again, or was found withdrawn: no cached answer will do for them. */
  const uncertain = new Set<string>();

  return async function reconcile(key, run = EDIT) {
    const object = ownWrites.current(key);
    if (!object) {
      run.granted?.release();
      pacing.forget(key);
      refusals.forget(key);
      outages.over(key);
      uncertain.delete(key);
      events.forget(key);
      options.onGone?.(key);
      return { kind: 'done' };
    }
    const tenant = readTenant(object);
    const writer = ownWrites.writer(key, object);
    // What the caches say is wanted is good enough to say what the reconcile needs, before anything is called.
    const cached = desiredOf(tenant, options.namespaces.get(tenant.namespace));
    const expected = cached.ok ? cached.desired : undefined;
    const project = inventoryProject(tenant.status.inventory) ?? expected?.project ?? '';
    const home = { project, namespace: tenant.namespace };
    const budget = createRunBudget(options.quota, home, run.granted, (level, message, fields) =>
      log(level, message, { tenant: key, ...fields }),
    );
    try {
      if (tenant.deletionTimestamp === undefined) return await bring(writer, tenant, run, expected, budget);
      return tenant.hasFinalizer ? await remove(writer, tenant, run, budget) : { kind: 'done' };
    } finally {
      budget.release();
    }
  };

  function connectorSecretsOf({ namespace }: Tenant, namespaceAnnotations: Record<string, string>) {
    return (name: string, project: string): ConnectorSecret => {
      const secret = options.connectorSecrets.get(`${namespace}/${name}`);
      if (!secret && !options.connectorSecrets.isSynced()) return { state: 'unread' };
      return readConnectorSecret(secret, namespaceAnnotations, project);
    };
  }

  function surroundings(tenant: Tenant, home: KubeObject | undefined): Surroundings {
    const namespaceAnnotations = home?.metadata.annotations ?? {};
    const connectorSecret = connectorSecretsOf(tenant, namespaceAnnotations);
    // The project of a SecretManagerSecret depends on the Namespace's annotations.
    const unread = () => ({ state: 'unread' as const });
    return {
      namespaceAnnotations,
      namespaceUid: home?.metadata.uid,
      connectorSecret: home ? connectorSecret : unread,
    };
  }

  function desiredOf(tenant: Tenant, home: KubeObject | undefined) {
    return desiredState(tenant, settings, surroundings(tenant, home));
  }

  /** Brings a tenant that is not being deleted to what its spec says. */
  async function bring(
    writer: TenantWriter,
    tenant: Tenant,
    run: Run,
    expected: Desired | undefined,
    budget: RunBudget,
  ): Promise<Verdict> {
    const isFirst = pacing.isFirst(keyOf(writer.object.metadata));
    if (tenant.spec.suspend) return keepConsent(writer, tenant, run, budget, suspended);
    if (expected) {
      if (run.priority === 'resync' && isFirst && isReconciled(tenant, expected) && !isRequested(tenant)) {
        log('debug', 'first check left out: the status says that all is done', {
          tenant: keyOf(writer.object.metadata),
        });
        options.onReport?.(tenant, tenant.status);
        return pacing.verdict(tenant, { kind: 'interval' }, run);
      }
      if (!pacing.isFullCheck(keyOf(writer.object.metadata), tenant, run) && !isRequested(tenant)) {
        return betweenChecks(writer, tenant, run, budget);
      }
      const later = budget.take(needsOf(tenant, expected, run), rankOf(run, tenant));
      if (later) {
        const home = options.namespaces.get(tenant.namespace);
        if (mayClose(tenant)) await closeOnly(writer, tenant, home, run, budget, servicesOf);
        return later;
      }
    }
    const home = await namespaceOf(tenant);
    const wanted = desiredOf(tenant, home);
    if (home && wanted.ok) return converge(writer, tenant, wanted.desired, run, budget);
    const closed = await closeOnly(writer, tenant, home, run, budget);
    if (!home || wanted.ok) return { kind: 'retry' };
    const refusal = (current: Tenant, now: number) => refused(current, wanted.message, now);
    return ending(await keepConsent(writer, { ...tenant, status: closed.status }, run, budget, refusal), closed);
  }

  function needsOf(tenant: Tenant, desired: Desired, run: Run) {
    const wanted = targets(desired, tenant.status.inventory);
    const waits = run.priority === 'retry' && run.failures === 0;
    return [...(waits ? waitNeeds(wanted) : readNeeds(wanted)), ...expectedWrites(tenant, desired)];
  }

  /**
   * Reads, plans, writes and reports. Where a cached answer would lead to a write, a complaint or to forgetting an inventory
   * entry, the same is done once more with the present state: no later read would bring a forgotten entry back. Something is
   * created, deleted, granted, revoked or forgotten only on answers about that one resource (a GET), never on a list.
   */
  async function converge(
    writer: TenantWriter,
    tenant: Tenant,
    desired: Desired,
    run: Run,
    budget: RunBudget,
  ): Promise<Verdict> {
    const key = keyOf(writer.object.metadata);
    const regular = pacing.isRegular(tenant, run) ? () => options.wake(key) : undefined;
    const rules = claimRules(tenant, desired, settings);
    const recheck = async (grant: Step): Promise<Recheck> => {
      const answer = await recheckGrant(reads, grant, tenant, desired, rules);
      if (answer.kind !== 'stands') uncertain.add(key);
      return answer;
    };
    let ages = uncertain.has(key) ? EDIT_AGES : pacing.ages(tenant, run);
    for (let confirmed = false; ; ) {
      const cached: boolean = ages !== EDIT_AGES && !confirmed;
      const lists = shared.at(ages, cached ? regular : undefined);
      const current = confirmed ? { ...lists, ...alone } : lists;
      const wanted = targets(desired, tenant.status.inventory);
      const asked = { actAs: desired.actAs, tenant: key };
      const read = await observe(current, wanted, asked);
      const isLost = statusWasLost(read.account, rules) && (rules.restore || rules.adopt);
      const search = isLost ? everyRegion(desired.project, desired.serviceId, read.services) : undefined;
      const unpaid = search && budget.take(readNeeds(search), rankOf(run, tenant));
      if (unpaid) return unpaid;
      const observed = withAges(search ? await withFound(current, read, search, rules, asked) : read);
      if (observed.keys.every(({ secret }) => secret.state !== 'failed')) uncertain.delete(key);
      const now = runtime.now();
      const plan = planFor(tenant, desired, observed, settings, now, { refused: refusals.of(key) });
      log('debug', 'planned', {
        tenant: key,
        steps: plan.steps.map(({ verb, target, changes }) => `${verb} ${target}: ${shownChanges(changes)}`),
        blockers: plan.blockers.map(({ reason, message }) => `${reason}: ${message}`),
        waiting: plan.waiting.map(({ message }) => message),
      });
      const complains = cached && plan.blockers.length > 0 && (run.priority === 'resync' || ages === NEW_AGES);
      const writes = cached && plan.steps.length > 0 && run.priority === 'resync';
      const decides: boolean =
        !confirmed && (forgets(tenant.status.inventory, plan.inventory) || plan.steps.some(needsGet));
      if (complains || writes || decides) {
        // The two reads that confirm a decision do not wait for a budget: who waited would read all else again.
        const rank = plan.steps.some(({ closes }) => closes) ? 'close' : 'edit';
        const later = complains || writes ? budget.take(readNeeds(wanted), rank, 'edit') : undefined;
        if (later) return later;
        confirmed = decides;
        if (complains || writes) ages = EDIT_AGES;
        // Policies and versions that were read for this very plan are not read again.
        if (decides) ages = { ...ages, single: SAME_PASS_MS };
        continue;
      }

      const pace = shared.paceMs(desired.project, desired.region, { actAs: desired.actAs });
      for (const message of plan.adopted) events.record(writer.object, 'Warning', 'AdoptedContent', message);
      if (!nothingWasRead(observed)) outages.answered(desired.project);
      const before = report(tenant, desired, observed, plan, undefined, now, outages.isOwn(key, desired.project));
      if (plan.steps.length === 0) {
        const written = await putOnRecord(writer, tenant.status);
        if (written !== 'ok') return AFTER_WRITE[written];
        return conclude(writer, tenant, verified(key, tenant, before), run, pace);
      }
      outages.over(key);
      const outcomes = await carryOut(writer, plan, before.status, budget, desired.actAs, recheck);
      if ('kind' in outcomes) return outcomes;
      const recorded = readTenant(writer.object);
      const after = report(
        { ...tenant, resourceVersion: recorded.resourceVersion },
        desired,
        observed,
        { ...plan, inventory: recorded.status.inventory },
        outcomes,
        runtime.now(),
      );
      return conclude(writer, tenant, after, run, pace);
    }
  }

  /** What was read, and what was found besides in the regions that nothing names. */
  async function withFound(
    from: Reads,
    read: Observed,
    search: Targets,
    rules: Parameters<typeof mayBeOwn>[1],
    asked: GcpCallOptions,
  ): Promise<Observed> {
    const { services } = await observe(from, search, asked);
    return { ...read, services: [...read.services, ...mayBeOwn(services, rules)] };
  }

  /** A report of a tenant that cannot be read says so after a while; the end of a long outage is told with a delay. */
  function verified(key: string, tenant: Tenant, found: Report): Report {
    if (found.unread) {
      return notVerified(tenant, found, outages.unread(key, tenant.uid, found.failure ?? ''), runtime.now());
    }
    const isFine = found.status.conditions.some(({ type, reason }) => type === 'Ready' && reason === 'UpToDate');
    const told = tenant.status.conditions.find(({ type }) => type === 'Ready');
    const waits = isFine && told?.reason === 'NotVerified' && told.observedGeneration === tenant.generation;
    const ms = outages.over(key, waits && !isRequested(tenant) ? tenant.uid : undefined);
    return ms > 0 ? { status: tenant.status, again: { kind: 'after', ms } } : found;
  }

  function applyingTo(writer: TenantWriter, actAs: string | undefined, recheck?: Applying['recheck']): Applying {
    const generation = writer.object.metadata.generation ?? 0;
    return { gcp, shared, log, writer, actAs, refusals, generation, recheck };
  }

  /**
   * The steps that close, each as far as there is a budget for it. That is a budget of its own: what closes does not wait for
   * anything else, nor for what closes something else.
   */
  async function close(
    { steps }: Pick<Plan, 'steps'>,
    applying: Applying,
    budget: RunBudget,
  ): Promise<{ outcomes: Outcome[]; unpaid?: Verdict }> {
    let unpaid: Verdict | undefined;
    const paid = steps.filter(step => {
      const later = step.closes ? budget.take(writeNeeds([step]), 'close', 'edit') : undefined;
      unpaid ??= later;
      return step.closes && !later;
    });
    const outcomes = await applyClosing(paid, applying);
    recordChanges(events, applying.writer.object, outcomes);
    return { outcomes, unpaid };
  }

  /** The steps that close, then the record, then all others; or the verdict of a reconcile that ends before. */
  async function carryOut(
    writer: TenantWriter,
    plan: Plan,
    record: TenantStatus,
    budget: RunBudget,
    actAs: string | undefined,
    recheck?: Applying['recheck'],
  ): Promise<Outcome[] | Verdict> {
    const applying = applyingTo(writer, actAs, recheck);
    const { outcomes: closed, unpaid } = await close(plan, applying, budget);
    const later = unpaid ?? budget.take(writeNeeds(plan.steps.filter(({ closes }) => !closes)), 'edit', 'edit');
    if (later) return later;
    const written = await putOnRecord(writer, record);
    if (written !== 'ok') return AFTER_WRITE[written];
    const outcomes = await applyRecorded(plan.steps, closed, record, applying);
    if (typeof outcomes === 'string') return AFTER_WRITE[outcomes];
    recordChanges(events, writer.object, outcomes.slice(closed.length));
    return outcomes;
  }

  /**
   * The tenant's Namespace. A tenant never leaves the project of its first call, and that call must be
   * made as the identity that the Namespace names. Until something is on record they are read live, as the cache may be stale.
   */
  async function namespaceOf(tenant: Tenant): Promise<KubeObject | undefined> {
    const cached = tenant.status.inventory.length > 0 ? options.namespaces.get(tenant.namespace) : undefined;
    if (cached) return cached;
    const live = await kube.get(NAMESPACES, undefined, tenant.namespace);
    if (live.ok) return live.value;
    log('warn', 'cannot read the Namespace', {
      tenant: `${tenant.namespace}/${tenant.name}`,
      error: live.status.message,
    });
    return undefined;
  }

  /**
   * A tenant whose spec is not followed now: its status, and one thing goes on: grants whose secret has lost its consent
   * are removed, whatever else the tenant's owner has set.
   */
  async function keepConsent(
    writer: TenantWriter,
    tenant: Tenant,
    run: Run,
    budget: RunBudget,
    reportOf: (tenant: Tenant, now: number) => Report,
  ): Promise<Verdict> {
    const closed = await withoutLostGrants(writer, tenant, run, budget);
    const { status } = closed;
    return ending(await conclude(writer, tenant, reportOf({ ...tenant, status }, runtime.now()), run), closed);
  }

  /**
   * What the spec closes, where the rest of it cannot be followed. Identity and project are then those on record, as far as
   * the Namespace does not say them.
   */
  async function closeOnly(
    writer: TenantWriter,
    tenant: Tenant,
    home: KubeObject | undefined,
    run: Run,
    budget: RunBudget,
    only = (all: Targets): Targets => all,
  ): Promise<Closed> {
    const { status } = tenant;
    const desired = closingState(tenant, settings, surroundings(tenant, home));
    if (!desired) return { status };
    const wanted = only(targets(desired, status.inventory));
    const later = budget.take(readNeeds(wanted), rankOf(run, tenant));
    if (later) return { status, later };
    const { actAs } = desired;
    const refused = refusals.of(keyOf(writer.object.metadata));
    // The shared lists show whether anything is to be closed; before anything is, the present state is read.
    for (const ages of [pacing.ages(tenant, run), EDIT_AGES]) {
      const observed = await observe(shared.at(ages), wanted, { actAs });
      const plan = planFor(tenant, desired, observed, settings, runtime.now(), { refused });
      if (!plan.steps.some(({ closes }) => closes)) break;
      if (ages === EDIT_AGES) return closedBy(plan, writer, tenant, actAs, budget);
    }
    return { status };
  }

  /** The status after the closing steps: without what they have removed. */
  async function closedBy(
    plan: Pick<Plan, 'steps'>,
    writer: TenantWriter,
    { status }: Tenant,
    actAs: string | undefined,
    budget: RunBudget,
  ): Promise<Closed> {
    const { outcomes, unpaid: later } = await close(plan, applyingTo(writer, actAs), budget);
    if (outcomes.length === 0) return { status, later };
    const inventory = settleInventory(status.inventory, status.inventory, outcomes, runtime.now());
    const left = new Set(inventory.flatMap(({ type, name }) => (type === 'SecretAccess' ? name : [])));
    const keys = status.keys.map(key => ({
      ...key,
      granted: key.granted && (key.secret === undefined || left.has(key.secret)),
    }));
    return {
      status: { ...status, inventory, keys },
      later,
      failed: outcomes.some(({ result }) => result === 'failed'),
    };
  }

  /** The run of a tenant with a rarer interval of its own: only the consent of its grants is read. */
  async function betweenChecks(writer: TenantWriter, tenant: Tenant, run: Run, budget: RunBudget): Promise<Verdict> {
    const { status, later } = await withoutLostGrants(writer, tenant, run, budget);
    // What is left to do about it, and what the status says of it, is for a full check.
    if (status !== tenant.status) return { kind: 'again', afterMs: 0, priority: 'edit' };
    return later ?? pacing.verdict(tenant, { kind: 'interval' }, run);
  }

  /** The status after the grants were removed whose secret has lost its consent; the same one if there was none such. */
  async function withoutLostGrants(writer: TenantWriter, tenant: Tenant, run: Run, budget: RunBudget): Promise<Closed> {
    const { status } = tenant;
    const grants = grantsOf(tenant);
    if (grants.length === 0) return { status };
    const { annotations } = options.namespaces.get(tenant.namespace)?.metadata ?? {};
    const identity = closingIdentity(tenant, annotations ?? {}, settings);
    if (!identity.ok) return { status };
    const unread = budget.take(readNeeds(consentTargets(tenant, grants)), rankOf(run, tenant));
    if (unread) return { status, later: unread };
    const { actAs } = identity;
    const steps = await lostGrants(shared, reads, tenant, settings, actAs);
    return closedBy({ steps }, writer, tenant, actAs, budget);
  }

  /** Writes the status if it differs, and says when to reconcile again. */
  async function conclude(
    writer: TenantWriter,
    tenant: Tenant,
    { status, again, unread }: Report,
    run: Run,
    pace = 0,
  ): Promise<Verdict> {
    const answer = requestAnswer(tenant.annotations);
    const answered = answer === undefined || tenant.spec.suspend || unread ? {} : { lastHandledReconcileAt: answer };
    const final = { ...status, ...answered };
    recordTransitions(events, writer.object, tenant.status, final);
    const written = await writer.writeStatus(final);
    if (written !== 'ok') return AFTER_WRITE[written];
    options.onReport?.(tenant, final);
    return pacing.verdict(tenant, again, run, pace);
  }

  // --------------------------------------------------------------------------------------------------- deleting

  /** Undefined: the CRD could not be read, so whether all tenants are to be abandoned cannot be known. */
  async function goesWithCrd(tenant: Tenant, object: KubeObject): Promise<boolean | undefined> {
    const crd = await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
    if (!crd.ok) {
      log('warn', 'cannot read the CRD', { tenant: keyOf(object.metadata), error: crd.status.message });
      return undefined;
    }
    const crdDeleted = Date.parse(crd.value.metadata.deletionTimestamp ?? '');
    return !Number.isNaN(crdDeleted) && Date.parse(tenant.deletionTimestamp ?? '') >= crdDeleted;
  }

  async function remove(writer: TenantWriter, tenant: Tenant, run: Run, budget: RunBudget): Promise<Verdict> {
    const policy = deletionPolicy(tenant);
    if (!tenant.spec.suspend && policy.ok) {
      const later = budget.take(needsOfDeletion(tenant), 'edit', 'edit');
      if (later) return later;
    }
    const withCrd = await goesWithCrd(tenant, writer.object);
    if (withCrd === undefined) return { kind: 'retry' };
    if (tenant.spec.suspend) {
      if (withCrd) return abandonAll(writer, tenant);
      return keepConsent(writer, tenant, run, budget, suspended);
    }
    if (!policy.ok && !withCrd) {
      const none: Plan = { steps: [], blockers: [], waiting: [], inventory: tenant.status.inventory, notes: [] };
      return keepConsent(writer, tenant, run, budget, (current, now) =>
        deleting(current, { ...none, inventory: current.status.inventory }, [], now, policy.message),
      );
    }
    const home = await namespaceOf(tenant);
    if (!home) return { kind: 'retry' };
    const annotations = home.metadata.annotations ?? {};
    const abandon = withCrd || (policy.ok && policy.policy === 'abandon');
    return takeDown(writer, tenant, { abandon, annotations }, run, budget);
  }

  function needsOfDeletion(tenant: Tenant) {
    const { inventory } = tenant.status;
    const number = numberOf(tenant);
    const project = inventoryProject(inventory);
    if (number !== undefined && project !== undefined) options.quota.alias(number, project);
    const annotations = options.namespaces.get(tenant.namespace)?.metadata.annotations ?? {};
    const { keys, ...wanted } = targetsOfDeletion(tenant, annotations);
    const formerGrants = [...new Set([...wanted.formerGrants, ...keys.map(({ secret }) => secret)])];
    const writes = inventory.flatMap(({ type, name, deletedAt }) => (type === 'Service' && !deletedAt ? name : []));
    return deletionNeeds({ ...wanted, keys, formerGrants }, writes);
  }

  function targetsOfDeletion(tenant: Tenant, annotations: Record<string, string>) {
    const project = deletionProject(tenant, annotations, settings);
    return { project, ...deletionTargets(tenant, project, connectorSecretsOf(tenant, annotations)) };
  }

  async function takeDown(
    writer: TenantWriter,
    tenant: Tenant,
    how: { abandon: boolean; annotations: Record<string, string> },
    run: Run,
    budget: RunBudget,
  ): Promise<Verdict> {
    const { abandon, annotations } = how;
    const actAs = deletingIdentity(tenant, annotations, settings);
    const plan = await planTakeDown(tenant, how, actAs, budget);
    if ('kind' in plan) return plan;
    for (const message of plan.notes) events.record(writer.object, 'Warning', 'LeftBehind', message);
    if (plan.steps.length + plan.inventory.length + plan.blockers.length === 0) {
      return abandon ? abandonAll(writer, tenant) : release(writer, tenant, false);
    }
    const before = deleting(tenant, plan, [], runtime.now());
    if (plan.steps.length === 0) return conclude(writer, tenant, before, run);
    const outcomes = await carryOut(writer, plan, before.status, budget, actAs);
    if ('kind' in outcomes) return outcomes;
    if (abandon && plan.blockers.length === 0 && outcomes.every(letGo)) return abandonAll(writer, tenant);
    const after = deleting(tenant, plan, outcomes, runtime.now());
    if (after.status.inventory.length + plan.blockers.length === 0 && !abandon) {
      return release(writer, tenant, false);
    }
    return conclude(writer, tenant, after, run);
  }

  /**
   * The grants and the account are read only once the services are gone, because nothing is done about them before. With
   * nothing on record the account is read first: its marks say whether the status was lost.
   */
  async function planTakeDown(
    tenant: Tenant,
    { abandon, annotations }: { abandon: boolean; annotations: Record<string, string> },
    actAs: string | undefined,
    budget: RunBudget,
  ): Promise<Plan | Verdict> {
    const { project, ...all } = targetsOfDeletion(tenant, annotations);
    const { namespace, name, status } = tenant;
    const unrecorded = isUnrecorded(status.inventory);
    const account = abandon || unrecorded ? all.account : undefined;
    const read = await observe(reads, { ...all, account, keys: [], formerGrants: [] }, { actAs });
    const rules = { owner: { cluster: settings.clusterId, namespace, name }, inventory: status.inventory };
    const isLost = project !== undefined && statusWasLost(read.account, rules);
    const search = isLost ? everyRegion(project, serviceId(name), read.services) : undefined;
    const later = search && budget.take(readNeeds(search), 'edit', 'edit');
    if (later) return later;
    const observed = search ? await withFound(reads, read, search, rules, { actAs }) : read;
    if (abandon) return planAbandon(tenant, observed, settings);
    if (read.account.state === 'failed') return planAccountDeletion(tenant, observed, settings, runtime.now());
    const first = planServiceDeletion(tenant, observed, settings, runtime.now());
    if (first) return first;
    if (project === undefined) return noProject(tenant);
    const rest = await observe(reads, { ...all, services: [] }, { actAs });
    const notes = leftBehind(tenant, { ...rest, services: observed.services }, settings);
    return { ...planAccountDeletion(tenant, rest, settings, runtime.now()), notes };
  }

  /** Grants outlive an abandoned tenant, so whoever owns the secrets gets the commands that remove them. */
  async function abandonAll(writer: TenantWriter, tenant: Tenant): Promise<Verdict> {
    const verdict = await release(writer, tenant, true);
    if (verdict.kind !== 'done') return verdict;
    options.onAbandoned?.(tenant.status.inventory.filter(({ deletedAt }) => !deletedAt));
    for (const message of abandonedGrants(tenant)) events.record(writer.object, 'Warning', 'GrantAbandoned', message);
    return verdict;
  }

  /** Takes the finalizer off. Where others' finalizers keep the object, its last status says so. */
  async function release(writer: TenantWriter, tenant: Tenant, abandoned: boolean): Promise<Verdict> {
    const others = (writer.object.metadata.finalizers ?? []).filter(finalizer => finalizer !== FINALIZER);
    if (others.length > 0) {
      const written = await writer.writeStatus(released(tenant, others, abandoned, runtime.now()));
      if (written === 'changed') return AFTER_WRITE[written];
    }
    const removed = await writer.removeFinalizer();
    if (removed !== 'ok') return AFTER_WRITE[removed];
    return { kind: 'done' };
  }
}

/** A list that lacks something, or has it still, is no proof; nor is one that shows a consent that was taken back. */
const needsGet = ({ call }: Step): boolean =>
  ['createAccount', 'createService', 'deleteService', 'setSecretPolicy'].includes(call.kind);

/** What must stand before anything is made: the finalizer, then the inventory. */
async function putOnRecord(writer: TenantWriter, record: TenantStatus): Promise<Written> {
  const finalizer = await writer.addFinalizer();
  return finalizer === 'ok' ? writer.writeStatus(record) : finalizer;
}

/** Services alone, for want of a budget to read all else. */
const servicesOf = (all: Targets): Targets => ({ ...all, keys: [], formerGrants: [] });

/** The verdict, unless closing is to go on before. A write to the cluster that failed says best when. */
const ending = (verdict: Verdict, { failed, later }: Closed): Verdict =>
  Object.values(AFTER_WRITE).includes(verdict) ? verdict : (later ?? (failed ? { kind: 'retry' } : verdict));

const letGo = (outcome: Outcome): boolean =>
  outcome.result === 'done' || (outcome.result === 'failed' && abandonable(outcome.failure));
