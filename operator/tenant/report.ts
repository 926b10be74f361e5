import { settingsOnRecord } from './carryOver.ts';
import { failureBlocker } from './context.ts';
import { age, iso, settleInventory } from './inventory.ts';
import { serviceName } from './names.ts';
import { claimService } from './ownership.ts';
import type { TenantPlan } from './plan.ts';
import { printable } from './printable.ts';
import { isReady } from './service.ts';
import { fingerprint } from './slot.ts';
import { imageOf } from './template.ts';
import type {
  Aspect,
  Blocker,
  Condition,
  ConditionType,
  Desired,
  InventoryEntry,
  KeyStatus,
  Observed,
  ObservedService,
  Outcome,
  Plan,
  Reason,
  Tenant,
  TenantStatus,
} from './types.ts';

/** What a reconcile comes to: the status, and when to look again. Pure. */

/** When the tenant is looked at again. `backoff`: longer each time, up to `capMs`. */
export type Again =
  /** Something was changed: look whether it took. */
  | { kind: 'changed' }
  | { kind: 'after'; ms: number }
  | { kind: 'backoff'; capMs: number; atLeastMs?: number }
  | { kind: 'interval' };

export interface Report {
  status: TenantStatus;
  again: Again;
  /** Google Cloud could not be read: what the status says is what was known before. */
  unread?: true;
  /** With `unread`: the words of the first failure. */
  failure?: string;
}

/** The worse comes first: it is what Ready tells. */
const SEVERITY: readonly Reason[] = [
  'ManagementConflict',
  'Held',
  'SecretNotAllowed',
  'InvalidSpec',
  'PermissionDenied',
  'QuotaExceeded',
  'UpdateFailed',
  'DependencyNotFound',
  'DependencyNotReady',
  'Updating',
];
const STALLED: readonly string[] = ['SecretNotAllowed', 'ManagementConflict', 'InvalidSpec', 'Held'] satisfies Reason[];

const ASPECTS: { aspect: Aspect; type: ConditionType; fine: string }[] = [
  { aspect: 'ServiceAccount', type: 'ServiceAccountReady', fine: 'The service account exists and is ours.' },
  { aspect: 'SecretAccess', type: 'SecretAccessReady', fine: 'Every key is granted.' },
  { aspect: 'Service', type: 'ServiceReady', fine: 'The Cloud Run service serves what the spec asks for.' },
];

/** How long a message may be; kept well below the CRD's bound. */
const MESSAGE_LENGTH = 2_000;

/** The status of a tenant after its plan's steps were applied (no outcomes: before the first call). */
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
  const touched = plan.steps.length > 0;
  const serving =
    wanted !== undefined && isReady(wanted) && !touched && !blockers.some(({ aspect }) => aspect === 'Service');

  const aspects = ASPECTS.map(({ aspect, type, fine }) => {
    const mine = blockers.filter(blocker => blocker.aspect === aspect);
    const before = tenant.status.conditions.find(other => other.type === type);
    // What was not read keeps its last value; Ready tells that it was not.
    if (before && mine.length > 0 && mine.every(({ unread }) => unread)) return before;
    if (mine.length > 0) return condition(tenant, type, 'False', worst(mine), messageOf(mine), now);
    const steps = plan.steps.filter(step => step.aspect === aspect);
    const waits = plan.waiting.filter(wait => wait.aspect === aspect).map(({ message }) => message);
    if (steps.length > 0) {
      const doing = steps.map(step => `${step.verb} ${step.target}`).join('; ');
      return condition(tenant, type, 'False', 'Updating', doing, now);
    }
    if (waits.length > 0) return condition(tenant, type, 'False', 'Updating', waits.join(' '), now);
    if (aspect === 'Service' && wanted === undefined) {
      return condition(tenant, type, 'False', 'Updating', 'Waits for the service account and the keys.', now);
    }
    return condition(tenant, type, 'True', 'UpToDate', fine, now);
  });

  const notReady = aspects.filter(({ status }) => status !== 'True');
  const reasons = blockers.length > 0 ? worst(blockers) : notReady.length > 0 ? 'Updating' : 'UpToDate';
  const message =
    blockers.length > 0
      ? messageOf(blockers)
      : notReady.length > 0
        ? notReady.map(({ message }) => message).join(' ')
        : ['Google Cloud matches the spec.', ...plan.notes].join(' ');
  const ready = condition(tenant, 'Ready', reasons === 'UpToDate' ? 'True' : 'False', reasons, message, now);

  const inventory =
    outcomes === undefined ? plan.inventory : settleInventory(tenant.status.inventory, plan.inventory, outcomes, now);
  const next = again(blockers, plan, outcomes);
  const status: TenantStatus = {
    ...tenant.status,
    observedGeneration: tenant.generation,
    conditions: withStalled([ready, ...aspects], tenant, now),
    reconciledHash: ready.status === 'True' && next.kind === 'interval' ? fingerprint(desired) : undefined,
    url: service?.latestReadyRevision ? service.uri || service.urls[0] : tenant.status.url,
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

/** What no tenant is the reason of: no answer, 5xx, 429. */
const OUTAGE: readonly Reason[] = ['Updating', 'QuotaExceeded'];
/** 401 and 403 are the project's or the operator's own affair where none of a tenant's resources can be read. */
const LOCKED_OUT: readonly Reason[] = [...OUTAGE, 'PermissionDenied'];

/** A tenant that was up to date stays so while Google Cloud merely fails to answer: its service goes on serving. */
function isUnread(tenant: Tenant, observed: Observed, plan: Plan, blockers: Blocker[], isOwnRefusal: boolean): boolean {
  const ready = tenant.status.conditions.find(({ type }) => type === 'Ready');
  const isDark = nothingWasRead(observed);
  const reasons = isDark && !isOwnRefusal ? LOCKED_OUT : OUTAGE;
  const isEdited = ready?.observedGeneration !== tenant.generation;
  return (
    ((ready?.status === 'True' && (!isEdited || isDark)) || (isDark && ready !== undefined && tellsOutage(ready))) &&
    plan.steps.length + plan.waiting.length === 0 &&
    blockers.length > 0 &&
    blockers.every(({ reason }) => reasons.includes(reason))
  );
}

/** Every resource was asked for, and Google Cloud answered about none of them. */
export function nothingWasRead({ account, keys, formerGrants, services }: Observed): boolean {
  const reads = [account, ...keys.map(({ secret }) => secret), ...services.map(({ service }) => service)];
  return [...reads, ...formerGrants.map(({ policy }) => policy)].every(({ state }) => state === 'failed');
}

const OUTAGE_WORDS = 'Google Cloud could not be read since ';

/** True for an edit that came during an outage: it is Updating with the words of the outage. */
const tellsOutage = ({ reason, message }: Condition): boolean =>
  reason === 'Updating' && message.startsWith(OUTAGE_WORDS);

/**
 * The status during an outage. A tenant that was up to date is NotVerified once the outage is long, and Ready stays True. A
 * spec that was edited meanwhile is Updating at once. The words do not change until the outage is over, and the conditions
 * of the account, the grants and the service keep their last values, because they were not read.
 */
export function notVerified(
  tenant: Tenant,
  before: Report,
  outage: { since: string; failure: string; isLong: boolean },
  now: number,
): Report {
  const at = tenant.status.conditions.findIndex(({ type }) => type === 'Ready');
  const ready = tenant.status.conditions[at];
  if (!ready) return before;
  const isEdited = ready.observedGeneration !== tenant.generation;
  if (!isEdited && (ready.reason === 'NotVerified' || tellsOutage(ready) || !outage.isLong)) return before;
  const last = isEdited ? 'The spec was edited and is not applied yet.' : 'What was read last matched the spec.';
  const message = `${OUTAGE_WORDS}${outage.since}. ${last} It is tried again by itself. First failure: ${outage.failure}`;
  const [status, reason] = isEdited ? (['False', 'Updating'] as const) : (['True', 'NotVerified'] as const);
  const conditions = tenant.status.conditions.with(at, condition(tenant, 'Ready', status, reason, message, now));
  return { ...before, status: { ...tenant.status, observedGeneration: tenant.generation, conditions } };
}

/**
 * What a service that has to be made again starts with. While the wanted region's service is gone another region's says
 * nothing of it, and somebody else's service of that name never does.
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
 * The service that answers: the wanted region's once it has a ready revision, else the one that the tenant is leaving. Only
 * one that is the tenant's own: another owner's URL would send the tenant's callers to that owner.
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
  // The wanted region's comes first.
  return own.find(({ latestReadyRevision }) => latestReadyRevision !== '') ?? own.find(one => one.region === region);
}

function wantedService(desired: Desired, observed: Observed): ObservedService | undefined {
  const name = serviceName(desired.project, desired.region, desired.serviceId);
  const seen = observed.services.find(other => other.name === name);
  return seen?.service.state === 'present' ? seen.service.value : undefined;
}

function keyStatus(
  key: KeyStatus,
  desired: Desired,
  plan: TenantPlan,
  outcomes: Outcome[] | undefined,
  serving: boolean,
): KeyStatus {
  const spec = desired.keys.find(({ name }) => name === key.name);
  const last = (outcomes ?? []).findLast(({ step, result }) => result === 'done' && grants(step, plan, key.name));
  const granted = last ? last.step.verb === 'Grant' : key.granted;
  const now = plan.versions.get(key.name);
  if (!serving || now === undefined) return { ...key, granted };
  const secret = plan.secrets.get(key.name);
  const explicit = spec !== undefined && spec.version !== 'latest';
  const another = key.secret !== undefined && key.secret !== secret;
  if (!explicit && !another && Number(now) < Number(key.version ?? 0)) return { ...key, granted };
  return { ...key, version: now, secret, granted };
}

function grants(step: Outcome['step'], plan: TenantPlan, key: string): boolean {
  return step.call.kind === 'setSecretPolicy' && plan.secrets.get(key) === step.call.secret;
}

function failures(tenant: Tenant, outcomes: Outcome[], now: number): Blocker[] {
  if (outcomes.length === 0) return [];
  const made = tenant.status.inventory.filter(({ type }) => type === 'ServiceAccount').map(entry => age(entry, now));
  const since = made.length > 0 ? Math.min(...made) : 0;
  return outcomes.flatMap(outcome => {
    if (outcome.result !== 'failed') return [];
    const { step, failure } = outcome;
    if (failure.kind === 'Conflict') return [];
    return [failureBlocker(step.aspect, `${step.verb} ${step.target}`, failure, since)];
  });
}

/** A delay that Google Cloud asks for is told, to the minute: a status that changes each second would be written each time. */
function withTimes(blockers: Blocker[], now: number): Blocker[] {
  return blockers.map(blocker => {
    if (blocker.reason !== 'QuotaExceeded' || blocker.retryAfterMs === undefined) return blocker;
    const at = iso(Math.ceil((now + blocker.retryAfterMs) / 60_000) * 60_000).slice(0, 16);
    return { ...blocker, message: `${blocker.message} Google Cloud asks to wait: tried again by ${at}Z.` };
  });
}

const worst = (blockers: Blocker[]): Reason =>
  SEVERITY.find(reason => blockers.some(blocker => blocker.reason === reason)) ?? 'Updating';

/** The worst first, each once. */
function messageOf(blockers: Blocker[]): string {
  const ordered = SEVERITY.flatMap(reason => blockers.filter(blocker => blocker.reason === reason));
  return [...new Set(ordered.map(({ message }) => message))].join(' · ');
}

/** A condition whose time changes only when its status does. */
function condition(
  tenant: Tenant,
  type: ConditionType,
  status: Condition['status'],
  reason: string,
  message: string,
  now: number,
): Condition {
  const before = tenant.status.conditions.find(other => other.type === type);
  const lastTransitionTime =
    before?.status === status && before.lastTransitionTime ? before.lastTransitionTime : seconds(now);
  const fit = printable(message).toWellFormed();
  // A cut never goes through a surrogate pair: the API server would store something else than what is compared.
  const cut = fit.slice(0, MESSAGE_LENGTH - 1).replace(/[\uD800-\uDBFF]$/, '');
  const short = fit.length > MESSAGE_LENGTH ? `${cut}…` : fit;
  const rest = before ?? {};
  return { ...rest, type, status, reason, message: short, lastTransitionTime, observedGeneration: tenant.generation };
}

/** metav1.Time has whole seconds. */
const seconds = (ms: number): string => `${iso(ms).slice(0, 19)}Z`;

function withStalled(conditions: Condition[], tenant: Tenant, now: number): Condition[] {
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (!ready || !STALLED.includes(ready.reason)) return conditions;
  return [...conditions, condition(tenant, 'Stalled', 'True', ready.reason, ready.message, now)];
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

// ------------------------------------------------------------------------------------- without a look at Google Cloud

/** A spec that names no usable project, and the like: nothing can be looked at. */
export function refused(tenant: Tenant, message: string, now: number): Report {
  return {
    status: whole(tenant, condition(tenant, 'Ready', 'False', 'InvalidSpec', message, now), now),
    again: { kind: 'interval' },
  };
}

/** Paused: Ready stays what it was. */
export function suspended(tenant: Tenant, now: number): Report {
  const before = tenant.status.conditions.find(({ type }) => type === 'Ready')?.status ?? 'False';
  const resume = `kubectl patch aitenant ${tenant.name} -n ${tenant.namespace} --type=merge -p '{"spec":{"suspend":false}}'`;
  const message =
    tenant.deletionTimestamp === undefined
      ? `Suspended: the spec is not followed; only grants whose secret has lost its consent are removed. Resume: ${resume}`
      : `The deletion waits: this tenant is suspended. Resume, and it is deleted: ${resume}`;
  return {
    status: whole(tenant, condition(tenant, 'Ready', before, 'Suspended', message, now), now),
    again: { kind: 'interval' },
  };
}

/** On the way out. `message`: why it does not go on (the reason is then DeleteFailed). */
export function deleting(tenant: Tenant, plan: Plan, outcomes: Outcome[], now: number, message?: string): Report {
  const blockers = withTimes([...plan.blockers, ...failures(tenant, outcomes, now)], now);
  const failing = blockers.filter(({ reason }) => reason !== 'Updating');
  const reason: Reason = message !== undefined || failing.length > 0 ? 'DeleteFailed' : 'Deleting';
  const doing = plan.steps.map(step => `${step.verb} ${step.target}.`);
  const waits = plan.waiting.map(wait => wait.message);
  const text = message ?? (blockers.length > 0 ? messageOf(blockers) : [...doing, ...waits].join(' ') || 'Deleting.');
  const ready = condition(tenant, 'Ready', 'False', reason, text, now);
  const status = whole(tenant, ready, now);
  return {
    status: {
      ...status,
      inventory: settleInventory(tenant.status.inventory, plan.inventory, outcomes, now),
    },
    again: message !== undefined ? { kind: 'interval' } : again(blockers, plan, outcomes),
  };
}

/** The last status: the operator has done its part, and finalizers of others keep the object. */
export function released(tenant: Tenant, others: string[], abandoned: boolean, now: number): TenantStatus {
  const done = abandoned
    ? 'The operator has let go of this tenant; what it has in Google Cloud stays.'
    : 'Everything of this tenant in Google Cloud is deleted.';
  const message = `${done} The object itself waits for finalizers that are not the operator’s: ${others.join(', ')}.`;
  const ended = { ...tenant, status: { ...tenant.status, inventory: [] } };
  return whole(ended, condition(tenant, 'Ready', 'False', 'Deleting', message, now), now);
}

function whole(tenant: Tenant, ready: Condition, now: number): TenantStatus {
  // A pause changes nothing about whether a retry would help.
  const replaced = ready.reason === 'Suspended' ? ['Ready'] : ['Ready', 'Stalled'];
  const others = tenant.status.conditions.filter(({ type }) => !replaced.includes(type));
  return {
    ...tenant.status,
    observedGeneration: tenant.generation,
    conditions: withStalled([ready, ...others], tenant, now),
  };
}
