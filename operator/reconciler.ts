import { readConnectorSecret } from './connectorSecret.ts';
import { execute } from './gcp/execute.ts';
import { type Ages, createSharedReads } from './gcp/lists.ts';
import { observe } from './gcp/observe.ts';
import { KINDS, type Quota } from './gcp/quota.ts';
import { createReads } from './gcp/reads.ts';
import type { EventRecorder } from './kube/events.ts';
import type { Priority, Verdict } from './kube/queue.ts';
import { CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from './kube/resources.ts';
import type { ReadonlyStore } from './kube/store.ts';
import { addFinalizer, patchStatus, removeFinalizer, sameJson, type WriteOutcome } from './kube/writes.ts';
import type { GcpCall, JsonObject, KubeApi, KubeObject, Runtime } from './ports.ts';
import { isQuotaShort, type Stretch } from './stretch.ts';
import { abandonable, deletionPolicy, deletionTargets, planAbandon, planDeletion } from './tenant/deletion.ts';
import { desiredState, inventoryProject } from './tenant/desired.ts';
import { deletingIdentity } from './tenant/identity.ts';
import { forgets } from './tenant/inventory.ts';
import { plan as planFor, targets } from './tenant/plan.ts';
import { printable } from './tenant/printable.ts';
import { type Again, deleting, type Report, refused, report, suspended } from './tenant/report.ts';
import { FINALIZER, readTenant } from './tenant/resource.ts';
import { isReconciled, untilSlot } from './tenant/slot.ts';
import type { Change, InventoryEntry, Outcome, Plan, Settings, Step, Tenant, TenantStatus } from './tenant/types.ts';
import { AI_TENANT_CRD, AI_TENANTS } from './tenantResource.ts';

/**
 * One way through for one tenant: desired → observed → plan → record → apply → report. The only place that sees the
 * tenant's rules, Google Cloud and Kubernetes together. Level-triggered: it gets a key and looks at what is.
 */

export interface ReconcilerOptions {
  kube: KubeApi;
  gcp: GcpCall;
  runtime: Runtime;
  settings: Settings;
  tenants: ReadonlyStore;
  namespaces: ReadonlyStore;
  connectorSecrets: ReadonlyStore;
  events: EventRecorder;
  stretch: Stretch;
  quota: Pick<Quota, 'waitMs'>;
  /** What was seen of it at its last check no longer holds. */
  wake: (key: string) => void;
  log: (level: 'info' | 'warn' | 'error' | 'debug', message: string, fields: JsonObject) => void;
  onReport?: (tenant: Tenant, status: TenantStatus) => void;
}

const RECONCILE_REQUEST = 'ai-platform.dev/reconcile-requested-at';
const INTERVAL = 'ai-platform.dev/reconcile-interval-in-seconds';
/** A person waits for it. */
const DELETION = { priority: 'edit', failures: 0 } as const;
const CONFLICT: Verdict = { kind: 'retry', atMostMs: 2_000 };

/** After a change Google Cloud is looked at again this soon; each further one in a row beyond a few doubles the wait. */
const SOON_MS = 250;
const CALM_STREAK = 6;
const SLOWEST_MS = 300_000;
/** An edit of such a tenant waits no longer than this: who edits without end does not use up everybody’s quota, and yet is seen within 5 s. */
const EDIT_WAITS_MS = 3_000;
const paceMs = (changes: number): number => SOON_MS * 2 ** Math.max(0, changes - CALM_STREAK);

/** How old what is seen may be: an edit or a request is answered by a look at what is now. */
const EDIT_AGES: Ages = { listed: 0, single: 0 };
/** Nothing is there of a new tenant, or its creation is refused; ten thousand new ones are not a reason to list every second. */
const NEW_AGES: Ages = { listed: 10_000, single: 0 };
/** Who tries again shares lists with all others who do. */
const RETRY_AGES: Ages = { listed: 1_000, single: 0 };
/** Who waits for an operation to end waits for nothing that a policy or a version says. */
const WAIT_AGES: Ages = { listed: 1_000, single: 30_000 };
/** The same while nothing has gone wrong: behind ten thousand new tenants a wait is long. */
const CALM_AGES: Ages = { listed: 1_000, single: 180_000 };

interface Run {
  priority: Priority;
  failures: number;
  /** Absent: by what the run is for. */
  ages?: Ages;
}

export type Reconcile = (key: string, run?: Run) => Promise<Verdict>;

export function createReconciler(options: ReconcilerOptions): Reconcile {
  const { kube, gcp, runtime, settings, events, log } = options;
  const reads = createReads(gcp);
  const shared = createSharedReads(gcp, runtime);
  /** What we wrote ourselves and the watch has not shown yet, with the resourceVersions that it supersedes. */
  const written = new Map<string, { object: KubeObject; supersedes: Set<string> }>();

  /** Whom this process has met: what it knows of them is its own. */
  const met = new Set<string>();

  /** Since when checks wait that the budget has no room for. */
  const lateSince = new Map<string, number>();

  /** How many reconciles in a row have changed something: a tenant that never comes to rest is slowed down. */
  const streaks = new Map<string, { changes: number; generation: number; at: number }>();

  /** The newest state known: the watch's, unless our own last write came after that. */
  function current(key: string): KubeObject | undefined {
    const cached = options.tenants.get(key);
    const own = written.get(key);
    if (!own) return cached;
    const { uid, resourceVersion = '' } = cached?.metadata ?? {};
    if (cached && uid === own.object.metadata.uid && own.supersedes.has(resourceVersion)) return own.object;
    written.delete(key);
    return cached;
  }

  function remember(key: string, before: KubeObject, outcome: WriteOutcome): void {
    if (outcome.kind !== 'updated') return;
    const supersedes = written.get(key)?.supersedes ?? new Set<string>();
    supersedes.add(before.metadata.resourceVersion ?? '');
    written.set(key, { object: outcome.object, supersedes });
  }

  /** One reconcile's view of its object; every write moves it on. Undefined: what was computed is void, start anew. */
  function hold(key: string, object: KubeObject) {
    let now = object;
    const settle = (outcome: WriteOutcome): boolean => {
      remember(key, now, outcome);
      if (outcome.kind === 'updated') now = outcome.object;
      if (outcome.kind === 'error') {
        log('warn', 'the API server refused a write', { tenant: key, error: outcome.status.message });
      }
      return outcome.kind === 'updated' || outcome.kind === 'unchanged';
    };
    return {
      get object() {
        return now;
      },
      writeStatus: async (status: TenantStatus) =>
        sameJson(now.status ?? {}, status) || settle(await patchStatus(kube, AI_TENANTS, now, statusJson(status))),
      addFinalizer: async () => settle(await addFinalizer(kube, AI_TENANTS, now, FINALIZER)),
      removeFinalizer: async () => {
        const outcome = await removeFinalizer(kube, AI_TENANTS, now, FINALIZER);
        return outcome.kind === 'gone' || settle(outcome);
      },
    };
  }
  type Held = ReturnType<typeof hold>;

  /**
   * What the tenant's Namespace says. A tenant never leaves the project of its first call, nor is that call to be made as
   * somebody else than the Namespace names: until then the API server is asked, as the cache may be behind.
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

  /** Nobody waits in a worker's place for a budget: who has none comes back when there will be some. */
  function waitForQuota(
    key: string,
    tenant: Tenant,
    project: string,
    { priority, failures }: Run,
  ): Verdict | undefined {
    const failing = priority === 'retry' && failures > 0;
    const need = priority === 'edit' ? 'edit' : failing ? 'retry' : 'check';
    const ms = options.quota.waitMs(project, need, priority === 'resync' ? ['read'] : KINDS);
    if (ms <= 0) {
      lateSince.delete(key);
      return undefined;
    }
    const afterMs = Math.ceil(ms * (1 + runtime.random()));
    if (failing) return { kind: 'retry', atLeastMs: afterMs };
    if (priority === 'resync') {
      const since = lateSince.get(key) ?? runtime.monotonic();
      lateSince.set(key, since);
      if (runtime.monotonic() - since > intervalMs(tenant, settings) / 4) options.stretch.short(project);
    }
    return { kind: 'again', afterMs, priority };
  }

  /** How long the edit of a tenant that has not come to rest has to wait still. */
  function restMs(key: string, tenant: Tenant): number {
    const streak = streaks.get(key);
    if (!streak || streak.changes <= CALM_STREAK || streak.generation === tenant.generation) return 0;
    return Math.min(EDIT_WAITS_MS, paceMs(streak.changes)) - (runtime.monotonic() - streak.at);
  }

  return async function reconcile(key, run = { priority: 'edit', failures: 0 }) {
    const object = current(key);
    if (!object) {
      streaks.delete(key);
      met.delete(key);
      lateSince.delete(key);
      return { kind: 'done' };
    }
    const isFirst = !met.has(key);
    met.add(key);
    const tenant = readTenant(object);
    const held = hold(key, object);
    if (tenant.deletionTimestamp !== undefined) {
      return tenant.hasFinalizer ? remove(held, tenant) : { kind: 'done' };
    }
    if (tenant.spec.suspend) return conclude(held, tenant, suspended(tenant, runtime.now()));
    const waits = restMs(key, tenant);
    if (waits > 0) return { kind: 'again', afterMs: waits, priority: 'edit' };

    const namespaceAnnotations = await annotationsFor(tenant);
    if (!namespaceAnnotations) return { kind: 'retry' };
    const wanted = desiredState(tenant, settings, {
      namespaceAnnotations,
      connectorSecret: (name, project) =>
        readConnectorSecret(options.connectorSecrets.get(`${tenant.namespace}/${name}`), namespaceAnnotations, project),
    });
    if (!wanted.ok) return conclude(held, tenant, refused(tenant, wanted.message, runtime.now()));
    const { desired } = wanted;
    if (run.priority === 'resync' && isFirst && isReconciled(tenant, desired) && !isRequested(tenant)) {
      options.onReport?.(tenant, tenant.status);
      return atSlot(tenant, desired.project);
    }
    const later = waitForQuota(key, tenant, desired.project, run);
    if (later) return later;
    if (!tenant.hasFinalizer && !(await held.addFinalizer())) return CONFLICT;

    const seen = ages(tenant, run);
    const regular = run.priority === 'resync' ? () => options.wake(key) : undefined;
    const observed = await observe(shared.at(seen, regular), targets(desired, tenant.status.inventory), {
      actAs: desired.actAs,
    });
    if (isQuotaShort(observed)) options.stretch.short(desired.project);
    const now = runtime.now();
    const plan = planFor(tenant, desired, observed, settings, now);
    // What was seen may be old where nothing is to do: before a write, or a complaint, what is now is looked at; and so it
    // is before anything of ours is forgotten, which no later look would bring back.
    const complains = plan.blockers.length > 0 && (run.priority === 'resync' || seen === NEW_AGES);
    const writes = plan.steps.length > 0 && run.priority === 'resync';
    if (complains || writes || (seen !== EDIT_AGES && forgets(tenant.status.inventory, plan.inventory))) {
      return reconcile(key, { ...run, priority: 'edit', ages: EDIT_AGES });
    }
    const pace = shared.paceMs(desired.project, desired.region, { actAs: desired.actAs });
    const before = report(tenant, desired, observed, plan, undefined, now);
    if (plan.steps.length === 0) return conclude(held, tenant, before, pace);

    if (!(await held.writeStatus(before.status))) return CONFLICT;
    const outcomes = await apply(held, plan, before.status, desired.actAs);
    if (!outcomes) return CONFLICT;
    tell(held.object, outcomes);
    const recorded = readTenant(held.object);
    const after = report(
      { ...tenant, resourceVersion: recorded.resourceVersion },
      desired,
      observed,
      { ...plan, inventory: recorded.status.inventory },
      outcomes,
      runtime.now(),
    );
    return conclude(held, tenant, after, pace);
  };

  function ages(tenant: Tenant, run: Run): Ages {
    if (run.ages) return run.ages;
    const isNew = tenant.status.conditions.length === 0;
    if (run.priority === 'resync') return { listed: intervalMs(tenant, settings) / 2, single: 0 };
    if (run.priority === 'retry' && run.failures > 0) return RETRY_AGES;
    if (run.priority === 'retry') {
      const ready = tenant.status.conditions.find(({ type }) => type === 'Ready');
      return ready?.reason === 'Updating' ? CALM_AGES : WAIT_AGES;
    }
    return isNew ? NEW_AGES : EDIT_AGES;
  }

  // ---------------------------------------------------------------------------------------------------- applying

  /** The steps in order, one call each. Undefined: a status write found that the resource has changed. */
  async function apply(
    held: Held,
    plan: Plan,
    recorded: TenantStatus,
    actAs: string | undefined,
  ): Promise<Outcome[] | undefined> {
    const outcomes: Outcome[] = [];
    const done = new Set<string>();
    let stop = false;
    for (const step of plan.steps) {
      if (stop || !step.needs.every(id => done.has(id))) {
        outcomes.push({ step, result: 'skipped' });
        continue;
      }
      const result = await execute(gcp, step.call, { actAs });
      shared.wrote(step.call, result, { actAs });
      const fields = { tenant: keyOf(held.object), verb: step.verb, target: step.target };
      if (!result.ok) {
        log('warn', 'a call failed', { ...fields, kind: result.failure.kind, error: result.failure.message });
        outcomes.push({ step, result: 'failed', failure: result.failure });
        stop = result.failure.kind === 'Conflict';
        continue;
      }
      log('info', 'changed Google Cloud', { ...fields, changes: shown(step.changes) });
      done.add(step.id);
      outcomes.push({ step, result: 'done', response: result.response });
      if (step.call.kind === 'createAccount') {
        const inventory = identify(recorded.inventory, result.response.uniqueId);
        if (!(await held.writeStatus({ ...recorded, inventory }))) return undefined;
      }
    }
    return outcomes;
  }

  /** Writes the status if it differs, and says when to look again. */
  async function conclude(held: Held, tenant: Tenant, { status, again, unread }: Report, pace = 0): Promise<Verdict> {
    const requested = tenant.annotations[RECONCILE_REQUEST];
    const answered =
      requested === undefined || tenant.spec.suspend || unread ? {} : { lastHandledReconcileAt: requested };
    const final = { ...status, ...answered };
    warn(held.object, tenant, final);
    if (!(await held.writeStatus(final))) return CONFLICT;
    options.onReport?.(tenant, final);
    return verdict(tenant, again, final.projectId, pace);
  }

  function verdict(tenant: Tenant, again: Again, project = '', pace = 0): Verdict {
    const key = `${tenant.namespace}/${tenant.name}`;
    if (again.kind === 'changed') {
      const { changes = 0, generation } = streaks.get(key) ?? {};
      streaks.set(key, { changes: changes + 1, generation: tenant.generation, at: runtime.monotonic() });
      const edited = generation !== tenant.generation;
      return { kind: 'again', afterMs: Math.min(edited ? EDIT_WAITS_MS : SLOWEST_MS, paceMs(changes + 1)) };
    }
    streaks.delete(key);
    if (again.kind === 'after') return { kind: 'again', afterMs: together(again.ms, pace) };
    if (again.kind === 'backoff') return { kind: 'retry', atMostMs: again.capMs, atLeastMs: again.atLeastMs };
    return atSlot(tenant, project);
  }

  /** All who wait for an operation in one place come back at the same moments: one list serves them all. */
  function together(afterMs: number, pace: number): number {
    if (pace <= SOON_MS) return afterMs;
    const now = runtime.monotonic();
    return Math.ceil((now + afterMs) / pace) * pace - now;
  }

  function atSlot(tenant: Tenant, project: string): Verdict {
    const interval = intervalMs(tenant, settings);
    if (interval === 0) return { kind: 'done' };
    const more = (options.stretch.of(project) - 1) * interval;
    const afterMs = untilSlot(tenant.uid, interval, runtime.now()) + more;
    return { kind: 'again', afterMs, priority: 'resync' };
  }

  // --------------------------------------------------------------------------------------------------- deleting

  async function remove(held: Held, tenant: Tenant): Promise<Verdict> {
    const none: Plan = { steps: [], blockers: [], waiting: [], inventory: tenant.status.inventory, notes: [] };
    const fail = (message: string) => conclude(held, tenant, deleting(tenant, none, [], runtime.now(), message));

    const crd = await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
    if (!crd.ok) {
      // Whether all tenants are to be abandoned can't be told: nothing is deleted.
      log('warn', 'cannot read the CRD', { tenant: keyOf(held.object), error: crd.status.message });
      return { kind: 'retry' };
    }
    const crdDeleted = Date.parse(crd.value.metadata.deletionTimestamp ?? '');
    const withCrd = !Number.isNaN(crdDeleted) && Date.parse(tenant.deletionTimestamp ?? '') >= crdDeleted;
    if (tenant.spec.suspend) {
      if (withCrd) return (await held.removeFinalizer()) ? { kind: 'done' } : CONFLICT;
      return conclude(held, tenant, suspended(tenant, runtime.now()));
    }
    const policy = deletionPolicy(tenant);
    if (!policy.ok && !withCrd) return fail(policy.message);

    const actAs = deletingIdentity(
      tenant,
      options.namespaces.get(tenant.namespace)?.metadata.annotations ?? {},
      settings,
    );
    const key = keyOf(held.object);
    const later = waitForQuota(key, tenant, inventoryProject(tenant.status.inventory) ?? '', DELETION);
    if (later) return later;
    const abandon = withCrd || (policy.ok && policy.policy === 'abandon');
    const observed = await observe(reads, deletionTargets(tenant.status), { actAs });
    const now = runtime.now();
    const plan = abandon ? planAbandon(tenant, observed, settings) : planDeletion(tenant, observed, settings, now);
    if (plan.inventory.length === 0 && plan.blockers.length === 0) {
      return (await held.removeFinalizer()) ? { kind: 'done' } : CONFLICT;
    }
    const before = deleting(tenant, plan, [], now);
    if (plan.steps.length === 0) return conclude(held, tenant, before);
    if (!(await held.writeStatus(before.status))) return CONFLICT;
    const outcomes = await apply(held, plan, before.status, actAs);
    if (!outcomes) return CONFLICT;
    tell(held.object, outcomes);
    if (abandon && plan.blockers.length === 0 && outcomes.every(letGo)) {
      return (await held.removeFinalizer()) ? { kind: 'done' } : CONFLICT;
    }
    const after = deleting(tenant, plan, outcomes, runtime.now());
    if (after.status.inventory.length === 0 && !abandon) {
      return (await held.removeFinalizer()) ? { kind: 'done' } : CONFLICT;
    }
    return conclude(held, tenant, after);
  }

  // ----------------------------------------------------------------------------------------------------- telling

  function tell(object: KubeObject, outcomes: Outcome[]): void {
    for (const outcome of outcomes) {
      if (outcome.result !== 'done') continue;
      const { step } = outcome;
      const changes = shown(step.changes);
      const reason = step.drift ? 'DriftCorrected' : EVENT_REASONS[step.verb];
      events.record(object, 'Normal', reason, `${reason} ${step.target}${changes === '' ? '' : `: ${changes}`}`);
    }
  }

  /** A warning when Ready turns to a reason that somebody has to do something about. */
  function warn(object: KubeObject, tenant: Tenant, status: TenantStatus): void {
    const ready = status.conditions.find(({ type }) => type === 'Ready');
    const before = tenant.status.conditions.find(({ type }) => type === 'Ready');
    for (const entry of status.inventory) {
      const known = tenant.status.inventory.find(({ type, name }) => type === entry.type && name === entry.name);
      if (entry.retireAt === undefined || known?.retireAt !== undefined) continue;
      events.record(
        object,
        'Normal',
        'Moved',
        `Moved to ${status.region}; ${entry.name} and its URL stay until ${entry.retireAt}`,
      );
    }
    if (!ready || (before?.reason === ready.reason && before.message === ready.message)) return;
    if (ready.reason === 'UpToDate' && before?.reason !== 'UpToDate') {
      events.record(object, 'Normal', 'UpToDate', status.url ? `Ready at ${status.url}` : 'Ready');
    } else if (!['UpToDate', 'Updating', 'Deleting', 'Suspended'].includes(ready.reason)) {
      events.record(object, 'Warning', ready.reason, ready.message);
    }
  }
}

const EVENT_REASONS: Record<Step['verb'], string> = {
  Create: 'Created',
  Update: 'Updated',
  Grant: 'Granted',
  Revoke: 'Revoked',
  Delete: 'Deleted',
  Adopt: 'Adopted',
  Abandon: 'Abandoned',
};

const keyOf = (object: KubeObject): string => `${object.metadata.namespace}/${object.metadata.name}`;

const letGo = (outcome: Outcome): boolean =>
  outcome.result === 'done' || (outcome.result === 'failed' && abandonable(outcome.failure));

/** The account that was just made gets its identity on record before anything is granted to it. */
function identify(inventory: InventoryEntry[], uniqueId: unknown): InventoryEntry[] {
  if (typeof uniqueId !== 'string' || uniqueId === '') return inventory;
  return inventory.map(entry =>
    entry.type === 'ServiceAccount' && entry.uniqueId === undefined ? { ...entry, uniqueId } : entry,
  );
}

function shown(changes: Change[]): string {
  const all = changes
    .map(({ field, from, to }) => {
      if (from === undefined) return to === undefined ? field : `${field} = ${to}`;
      return to === undefined ? `${field} ${from} removed` : `${field}: ${from} → ${to}`;
    })
    .join(', ');
  return printable(all);
}

const isRequested = ({ annotations, status }: Tenant): boolean =>
  annotations[RECONCILE_REQUEST] !== undefined && annotations[RECONCILE_REQUEST] !== status.lastHandledReconcileAt;

/** 0: only on change. */
function intervalMs(tenant: Tenant, settings: Settings): number {
  const asked = tenant.annotations[INTERVAL];
  if (asked === undefined || !/^\d{1,9}$/.test(asked)) return settings.syncIntervalMs;
  const seconds = Number(asked);
  return seconds === 0 ? 0 : Math.max(60, seconds) * 1000;
}

/** The status as it is written: no empty fields. */
function statusJson(status: TenantStatus): JsonObject {
  return JSON.parse(JSON.stringify(status)) as JsonObject;
}
