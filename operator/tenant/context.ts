import { KINDS } from './errorTable.ts';
import type { ClaimRules } from './ownership.ts';
import type {
  Aspect,
  Blocker,
  Call,
  Desired,
  Failure,
  FailureKind,
  InventoryEntry,
  Plan,
  Refusals,
  Settings,
  Step,
  TenantStatus,
} from './types.ts';

/** The input of every resource's plan, besides the observed state. */
export interface Context {
  desired: Desired;
  status: TenantStatus;
  settings: Settings;
  rules: ClaimRules;
  /** Milliseconds since the epoch. */
  now: number;
  /** The tenant was up to date with this generation of the spec, so any difference is drift. */
  settled: boolean;
  generation: number;
  /** Members that Google Cloud refused in earlier reconciles. */
  refused: Refusals;
}

/** The plan of one resource. `plan.ts` joins them. */
export interface PartialPlan extends Pick<Plan, 'steps' | 'blockers' | 'waiting' | 'notes'> {
  /** The inventory entries of this resource as they must be recorded before the first call. */
  entries: InventoryEntry[];
}

export const emptyPartialPlan = (): PartialPlan => ({ steps: [], blockers: [], waiting: [], entries: [], notes: [] });

export function step(id: string, aspect: Aspect, verb: Step['verb'], target: string, call: Call): Step {
  const empty = { needs: [], closes: false, changes: [], creates: [], removes: [], drift: false };
  return { id, aspect, verb, target, call, ...empty };
}

/** New identities and grants are visible everywhere within a minute. The operator waits 3 minutes, in case it takes longer. */
export const PROPAGATION_MS = 180_000;

/** The blocker of a failed read. `sinceMs`: milliseconds since the resource was created, for one that may be too new. */
export function readBlocker(
  aspect: Aspect,
  what: string,
  failure: Failure,
  sinceMs = Number.POSITIVE_INFINITY,
): Blocker {
  const blocker = failureBlocker(aspect, `Cannot read ${what}`, failure, sinceMs);
  return UNANSWERED.includes(failure.kind) ? { ...blocker, unread: true } : blocker;
}

/** Failures of Google Cloud itself or of a quota: they say nothing about the resource that was read. */
const UNANSWERED: readonly FailureKind[] = ['Transient', 'Conflict', 'QuotaExceeded'];

/** The blocker of a failed call. `sinceMs`: milliseconds since the identity or grant that the call depends on was made. */
export function failureBlocker(aspect: Aspect, doing: string, failure: Failure, sinceMs: number): Blocker {
  const message = `${doing}: ${failure.message}`;
  if (failure.kind === 'Propagating' && sinceMs < PROPAGATION_MS) {
    return {
      aspect,
      reason: 'Updating',
      message: advised(
        message,
        'A new identity takes up to a minute to be known everywhere. The operator tries again.',
      ),
    };
  }
  const retry =
    failure.retryAfterMs === undefined || !WAITS[failure.kind] ? {} : { retryAfterMs: failure.retryAfterMs };
  const { reason, advice } = KINDS[failure.kind];
  return {
    aspect,
    reason: failure.reason ?? reason,
    message: advised(message, failure.advice ?? advice),
    ...retry,
  };
}

/** Whether the operator waits for the delay that Google Cloud asks for. It does so only if the same call may succeed later. */
const WAITS: Record<Failure['kind'], boolean> = {
  Transient: true,
  Conflict: true,
  PermissionDenied: true,
  QuotaExceeded: true,
  NotFound: false,
  Invalid: false,
  Propagating: false,
};

/** Google Cloud's message, followed by the advice. */
export function explained({ kind, message, advice }: Failure): string {
  return advised(message, advice ?? KINDS[kind].advice);
}

/** Joins two sentences. Messages of Google Cloud do not always end with a full stop. */
export function advised(words: string, advice: string): string {
  if (advice === '') return words;
  return `${words.trimEnd()}${/[.!?…]$/.test(words.trimEnd()) ? '' : '.'} ${advice}`;
}

/**
 * Whether the failure is Cloud Run's answer for a region that does not exist. A missing permission on a service has another
 * message.
 */
export const isUnknownRegion = ({ message }: Failure): boolean =>
  message.startsWith("Permission denied on 'locations/");
