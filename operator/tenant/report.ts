import {
  condition,
  doing,
  messageOf,
  readyCondition,
  readyOf,
  resourceConditions,
  STALLED,
  withStalled,
} from './conditions.ts';
import { failureBlocker } from './context.ts';
import { age, iso, settleInventory } from './inventory.ts';
import { serviceName } from './names.ts';
import { isUnread } from './outageReport.ts';
import { claimService } from './ownership.ts';
import type { TenantPlan } from './plan.ts';
import { settingsOnRecord } from './serviceSettings.ts';
import { isReady } from './serving.ts';
import { fingerprint } from './slot.ts';
import { imageOf } from './template.ts';
import type {
  Again,
  Blocker,
  Condition,
  Desired,
  InventoryEntry,
  KeyStatus,
  Observed,
  ObservedService,
  Outcome,
  Plan,
  Reason,
  Report,
  Tenant,
  TenantStatus,
} from './types.ts';

/**
 * The report of a reconcile: the status to write, and when to reconcile the tenant again. `conditions.ts` has the conditions,
 * `outageReport.ts` what is reported while Google Cloud cannot be read.
 */

/**
 * The report of a reconcile. `outcomes`: the results of the plan's steps; undefined before the first call. `isOwnRefusal`: see
 * `isUnread`.
 */
export function report(
  tenant: Tenant,
  desired: Desired,
  observed: Observed,
  plan: TenantPlan,
  outcomes: Outcome[] | undefined,
  now: number,
  isOwnRefusal = false,
): Report {
  const blockers = withTimes([...plan.blockers, ...failures(tenant, outcomes ?? [], now)], now);
  if (isUnread(tenant, observed, plan, blockers, isOwnRefusal)) {
    const failure = blockers[0]?.message;
    return { status: tenant.status, again: again(blockers, plan, outcomes), unread: true, failure };
  }
  const service = shownService(desired, observed, plan.inventory);
  const wanted = wantedService(desired, observed);
  const isBlocked = blockers.some(({ aspect }) => aspect === 'Service');
  const serving = wanted !== undefined && isReady(wanted) && plan.steps.length === 0 && !isBlocked;
  const aspects = resourceConditions(tenant, plan, blockers, wanted !== undefined, now);
  const ready = readyCondition(tenant, plan, blockers, aspects, now);
  const inventory =
    outcomes === undefined ? plan.inventory : settleInventory(tenant.status.inventory, plan.inventory, outcomes, now);
  const next = again(blockers, plan, outcomes);
  const status: TenantStatus = {
    ...tenant.status,
    observedGeneration: tenant.generation,
    conditions: withStalled([ready, ...aspects], tenant, now),
    reconciledHash: ready.status === 'True' && next.kind === 'interval' ? fingerprint(desired) : undefined,
    url: service?.latestReadyRevision ? urlOf(service) : tenant.status.url,
    serviceAccountEmail: desired.account.email,
    impersonatedServiceAccount: desired.actAs,
    latestReadyRevision: service?.latestReadyRevision.split('/').at(-1) || tenant.status.latestReadyRevision,
    projectId: desired.project,
    region: service?.latestReadyRevision ? service.region : (tenant.status.region ?? desired.region),
    keys: plan.keys.map(key => keyStatus(key, desired, plan, outcomes, serving)),
    ...onRecord(tenant, desired, service),
    inventory,
  };
  return { status, again: next };
}

/** The URL at which the service answers. Undefined: its run.app URL is disabled. */
const urlOf = ({ raw, uri, urls }: ObservedService): string | undefined =>
  raw.defaultUriDisabled === true ? undefined : uri || urls[0];

/**
 * The image and the settings with which the operator creates the service again if somebody deletes it. If the wanted region's
 * service is on record, only that service changes them. A service of another owner never does (`shownService`).
 */
function onRecord(
  { status }: Tenant,
  desired: Desired,
  service: ObservedService | undefined,
): Pick<TenantStatus, 'image' | 'serviceSettings'> {
  const name = serviceName(desired.project, desired.region, desired.serviceId);
  const isAnothers = service?.name !== name && status.inventory.some(entry => entry.name === name);
  if (service === undefined || isAnothers) return { image: status.image, serviceSettings: status.serviceSettings };
  return {
    image: imageOf(service.template) ?? status.image,
    serviceSettings: settingsOnRecord(service.raw, status.serviceSettings),
  };
}

/**
 * The service whose URL the status shows: the wanted region's once it has a ready revision, else the one that the tenant is
 * leaving. It must be the tenant's own, because another owner's URL would send the tenant's callers to that owner.
 */
function shownService(
  { owner, region }: Desired,
  observed: Observed,
  inventory: InventoryEntry[],
): ObservedService | undefined {
  const rules = { owner, policy: 'labelled' as const, inventory };
  const own = observed.services.flatMap(({ service }) =>
    service.state === 'present' && claimService(service.value, rules) === 'ours' ? service.value : [],
  );
  // The wanted region's service is the first.
  return own.find(({ latestReadyRevision }) => latestReadyRevision !== '') ?? own.find(one => one.region === region);
}

function wantedService(desired: Desired, observed: Observed): ObservedService | undefined {
  const name = serviceName(desired.project, desired.region, desired.serviceId);
  const read = observed.services.find(other => other.name === name);
  return read?.service.state === 'present' ? read.service.value : undefined;
}

function keyStatus(
  key: KeyStatus,
  desired: Desired,
  plan: TenantPlan,
  outcomes: Outcome[] | undefined,
  serving: boolean,
): KeyStatus {
  const spec = desired.keys.find(({ name }) => name === key.name);
  const last = (outcomes ?? []).findLast(
    ({ step, result }) => result === 'done' && changesGrantOf(step, plan, key.name),
  );
  const granted = last ? last.step.verb === 'Grant' : key.granted;
  const now = plan.versions.get(key.name);
  if (!serving || now === undefined) return { ...key, granted };
  const secret = plan.secrets.get(key.name);
  const explicit = spec !== undefined && spec.version !== 'latest';
  const another = key.secret !== undefined && key.secret !== secret;
  if (!explicit && !another && Number(now) < Number(key.version ?? 0)) return { ...key, granted };
  return { ...key, version: now, secret, granted };
}

function changesGrantOf(step: Outcome['step'], plan: TenantPlan, key: string): boolean {
  return step.call.kind === 'setSecretPolicy' && plan.secrets.get(key) === step.call.secret;
}

function failures(tenant: Tenant, outcomes: Outcome[], now: number): Blocker[] {
  if (outcomes.length === 0) return [];
  const accountAges = tenant.status.inventory
    .filter(({ type }) => type === 'ServiceAccount')
    .map(entry => age(entry, now));
  const accountAge = accountAges.length > 0 ? Math.min(...accountAges) : 0;
  return outcomes.flatMap(outcome => {
    if (outcome.result !== 'failed') return [];
    const { step, failure } = outcome;
    if (failure.kind === 'Conflict') return [];
    return [failureBlocker(step.aspect, `${doing(step)} failed`, failure, accountAge)];
  });
}

/**
 * Adds the time of the next retry to quota blockers. It is rounded up to the minute, because each new message is a status
 * write.
 */
function withTimes(blockers: Blocker[], now: number): Blocker[] {
  return blockers.map(blocker => {
    if (blocker.reason !== 'QuotaExceeded' || blocker.retryAfterMs === undefined) return blocker;
    const at = iso(Math.ceil((now + blocker.retryAfterMs) / 60_000) * 60_000).slice(0, 16);
    return { ...blocker, message: `${blocker.message} Google Cloud asks to wait: the operator tries again by ${at}Z.` };
  });
}

function again(blockers: Blocker[], plan: Plan, outcomes: Outcome[] | undefined): Again {
  if (outcomes?.some(outcome => outcome.result === 'failed' && outcome.failure.kind === 'Conflict')) {
    return { kind: 'backoff', capMs: 5_000 };
  }
  const asked = [...blockers, ...plan.waiting].flatMap(({ retryAfterMs }) => retryAfterMs ?? []);
  const soonest = asked.length > 0 ? Math.min(...asked) : undefined;
  const open = blockers.filter(({ reason }) => !STALLED.includes(reason));
  const throttled = blockers.some(
    ({ reason, retryAfterMs }) => reason === 'QuotaExceeded' && retryAfterMs !== undefined,
  );
  if (!throttled && outcomes?.some(({ result }) => result === 'done')) return { kind: 'changed' };
  if (open.some(({ retryAfterMs }) => retryAfterMs === undefined)) {
    return {
      kind: 'backoff',
      capMs: 60_000,
      ...(soonest !== undefined && plan.waiting.length === 0 ? { atLeastMs: soonest } : {}),
    };
  }
  if (soonest !== undefined) return { kind: 'after', ms: soonest };
  if (plan.recheckAfterMs !== undefined) return { kind: 'after', ms: plan.recheckAfterMs };
  return { kind: 'interval' };
}

// ---------------------------------------------------------------------------------- reports without observed state

/** The report of a tenant whose spec cannot be followed, for instance because it names no usable project. */
export function refused(tenant: Tenant, message: string, now: number): Report {
  return {
    status: withReady(tenant, condition(tenant, 'Ready', 'False', 'InvalidSpec', message, now), now),
    again: { kind: 'interval' },
  };
}

/** The report of a suspended tenant. Ready keeps its status. */
export function suspended(tenant: Tenant, now: number): Report {
  const before = readyOf(tenant)?.status ?? 'False';
  const resume = `kubectl patch aitenant ${tenant.name} -n ${tenant.namespace} --type=merge -p '{"spec":{"suspend":false}}'`;
  const message =
    tenant.deletionTimestamp === undefined
      ? `Suspended: the spec is not followed; only grants whose secret has lost its consent are removed. Resume: ${resume}`
      : `The deletion waits: this tenant is suspended. Resume, and it is deleted: ${resume}`;
  return {
    status: withReady(tenant, condition(tenant, 'Ready', before, 'Suspended', message, now), now),
    again: { kind: 'interval' },
  };
}

/** The report of a tenant that is being deleted. `message`: why the deletion cannot go on (the reason is then DeleteFailed). */
export function deleting(tenant: Tenant, plan: Plan, outcomes: Outcome[], now: number, message?: string): Report {
  const blockers = withTimes([...plan.blockers, ...failures(tenant, outcomes, now)], now);
  const failing = blockers.filter(({ reason }) => reason !== 'Updating');
  const reason: Reason = message !== undefined || failing.length > 0 ? 'DeleteFailed' : 'Deleting';
  const steps = plan.steps.map(step => `${doing(step)}.`);
  const waits = plan.waiting.map(wait => wait.message);
  const shown = message ?? (blockers.length > 0 ? messageOf(blockers) : [...steps, ...waits].join(' ') || 'Deleting.');
  const ready = condition(tenant, 'Ready', 'False', reason, shown, now);
  const status = withReady(tenant, ready, now);
  return {
    status: {
      ...status,
      inventory: settleInventory(tenant.status.inventory, plan.inventory, outcomes, now),
    },
    again: message !== undefined ? { kind: 'interval' } : again(blockers, plan, outcomes),
  };
}

/** The last status of a tenant whose object still has finalizers of other controllers. */
export function released(tenant: Tenant, others: string[], abandoned: boolean, now: number): TenantStatus {
  const done = abandoned
    ? 'The operator has let go of this tenant; what it has in Google Cloud stays.'
    : 'Everything in Google Cloud that carried this tenant’s owner marks is deleted.';
  const message = `${done} The object itself waits for finalizers that are not the operator’s: ${others.join(', ')}.`;
  const ended = { ...tenant, status: { ...tenant.status, inventory: [] } };
  return withReady(ended, condition(tenant, 'Ready', 'False', 'Deleting', message, now), now);
}

/** The status with another Ready condition. Everything else stays. */
function withReady(tenant: Tenant, ready: Condition, now: number): TenantStatus {
  // Suspending does not resolve a reason to be stalled.
  const replaced = ready.reason === 'Suspended' ? ['Ready'] : ['Ready', 'Stalled'];
  const others = tenant.status.conditions.filter(({ type }) => !replaced.includes(type));
  return {
    ...tenant.status,
    observedGeneration: tenant.generation,
    conditions: withStalled([ready, ...others], tenant, now),
  };
}
