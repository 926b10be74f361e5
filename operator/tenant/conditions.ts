import { iso } from './inventory.ts';
import { MANAGED } from './managed.ts';
import { printable } from './printable.ts';
import type { Aspect, Blocker, Condition, ConditionType, Plan, Reason, Step, Tenant } from './types.ts';

/**
 * The conditions of a tenant's status: one for each resource, and Ready, which has the worst reason of all blockers. Stalled is
 * present only while no retry would help.
 */

/** The reasons of blockers, the worst first. Ready has the worst one. */
const SEVERITY = Object.keys({
  ManagementConflict: true,
  Held: true,
  SecretNotAllowed: true,
  InvalidSpec: true,
  PermissionDenied: true,
  QuotaExceeded: true,
  UpdateFailed: true,
  DependencyNotFound: true,
  DependencyNotReady: true,
  Updating: true,
} satisfies Record<Blocker['reason'], true>) as Blocker['reason'][];
/** Reasons that a retry does not resolve. */
export const STALLED: readonly string[] = [
  'SecretNotAllowed',
  'ManagementConflict',
  'InvalidSpec',
  'Held',
] satisfies Reason[];

/** The length at which a message is cut, well below the CRD's bound. */
const MESSAGE_LENGTH = 2_000;

export const readyOf = ({ status }: Pick<Tenant, 'status'>): Condition | undefined =>
  status.conditions.find(({ type }) => type === 'Ready');

/** In a message, `Delete service account X` would read as an order to the reader. */
const DOING: Record<Step['verb'], string> = {
  Create: 'Creating',
  Grant: 'Granting access to',
  Update: 'Updating',
  Adopt: 'Adopting',
  Abandon: 'Taking the owner marks off',
  Revoke: 'Revoking access to',
  Delete: 'Deleting',
};

/** What the operator does in this step, for a message: `Deleting service account X`. */
export const doing = ({ verb, target }: Step): string => `${DOING[verb]} ${target}`;

/** One condition for each resource. `hasService`: the wanted region's service exists. */
export function resourceConditions(
  tenant: Tenant,
  plan: Plan,
  blockers: Blocker[],
  hasService: boolean,
  now: number,
): Condition[] {
  return (Object.keys(MANAGED) as Aspect[]).map(aspect => {
    const type: ConditionType = `${aspect}Ready`;
    const own = blockers.filter(blocker => blocker.aspect === aspect);
    const before = tenant.status.conditions.find(other => other.type === type);
    // A resource that was not read keeps its last condition. Ready says that it was not read.
    if (before && own.length > 0 && own.every(({ unread }) => unread)) return before;
    if (own.length > 0) return condition(tenant, type, 'False', worst(own), messageOf(own), now);
    const steps = plan.steps.filter(step => step.aspect === aspect);
    const waits = plan.waiting.filter(wait => wait.aspect === aspect).map(({ message }) => message);
    const updating = (message: string) => condition(tenant, type, 'False', 'Updating', message, now);
    if (steps.length > 0) return updating(`${steps.map(doing).join('; ')}.`);
    if (waits.length > 0) return updating(waits.join(' '));
    if (aspect === 'Service' && !hasService) return updating('The service waits for the service account and the keys.');
    return condition(tenant, type, 'True', 'UpToDate', MANAGED[aspect].fine, now);
  });
}

export function readyCondition(
  tenant: Tenant,
  plan: Plan,
  blockers: Blocker[],
  ofResources: Condition[],
  now: number,
): Condition {
  const ready = (status: Condition['status'], reason: Reason, message: string) =>
    condition(tenant, 'Ready', status, reason, message, now);
  if (blockers.length > 0) return ready('False', worst(blockers), messageOf(blockers));
  const notReady = ofResources.filter(({ status }) => status !== 'True');
  if (notReady.length > 0) return ready('False', 'Updating', notReady.map(({ message }) => message).join(' '));
  return ready('True', 'UpToDate', ['Google Cloud matches the spec.', ...plan.notes].join(' '));
}

const worst = (blockers: Blocker[]): Blocker['reason'] =>
  SEVERITY.find(reason => blockers.some(blocker => blocker.reason === reason)) ?? 'Updating';

/**
 * All messages without repetition, those of the worst reason first. Advice at the end of several messages stands once: with the last of
 * them, so that a command ends the text, or with the first if the text is so long that its end is cut.
 */
export function messageOf(blockers: Blocker[]): string {
  const ordered = SEVERITY.flatMap(reason => blockers.filter(blocker => blocker.reason === reason));
  const messages = [...new Set(ordered.map(({ message }) => message))];
  const joined = (others: (at: number) => string[]): string =>
    messages.map((message, at) => withoutCommonEnd(message, others(at))).join(' · ');
  const text = joined(at => messages.slice(at + 1));
  return text.length <= MESSAGE_LENGTH ? text : joined(at => messages.slice(0, at));
}

/** The message without the sentences at its end with which one of the others ends too. Its first sentence stays. */
function withoutCommonEnd(message: string, others: string[]): string {
  const sentences = message.split(/(?<=[.!?…]) /);
  const isSaid = (from: number) => others.some(other => other.endsWith(` ${sentences.slice(from).join(' ')}`));
  const end = sentences.findIndex((_, from) => from > 0 && isSaid(from));
  return end < 0 ? message : sentences.slice(0, end).join(' ');
}

/** The condition with its new values. Its transition time changes only with its status. */
export function condition(
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
  // The cut must not split a surrogate pair: the API server would store another string than the operator compares.
  const cut = fit.slice(0, MESSAGE_LENGTH - 1).replace(/[\uD800-\uDBFF]$/, '');
  const short = fit.length > MESSAGE_LENGTH ? `${cut}…` : fit;
  const rest = before ?? {};
  return { ...rest, type, status, reason, message: short, lastTransitionTime, observedGeneration: tenant.generation };
}

/** A metav1.Time has whole seconds. */
const seconds = (ms: number): string => `${iso(ms).slice(0, 19)}Z`;

/** Adds Stalled where Ready has a reason that a retry does not resolve. */
export function withStalled(conditions: Condition[], tenant: Tenant, now: number): Condition[] {
  const ready = conditions.find(({ type }) => type === 'Ready');
  if (!ready || !STALLED.includes(ready.reason)) return conditions;
  return [...conditions, condition(tenant, 'Stalled', 'True', ready.reason, ready.message, now)];
}
