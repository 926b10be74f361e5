import { KINDS } from './errorTable.ts';
import type { Refusals } from './invokers.ts';
import type { ClaimRules } from './ownership.ts';
import type {
  Aspect,
  Blocker,
  Call,
  Desired,
  Failure,
  FailureKind,
  InventoryEntry,
  Settings,
  Step,
  TenantStatus,
} from './types.ts';

/** What every part of a plan is computed from, beside what was observed. */
export interface Context {
  desired: Desired;
  status: TenantStatus;
  settings: Settings;
  rules: ClaimRules;
  /** Milliseconds since the epoch. */
  now: number;
  /** The tenant was up to date with this very spec: what differs now, somebody else changed. */
  settled: boolean;
  generation: number;
  /** Members that Google Cloud has refused of late. */
  refused: Refusals;
}

/** What one part of a plan comes to. */
export interface Part {
  steps: Step[];
  blockers: Blocker[];
  waiting: { aspect: Aspect; message: string; retryAfterMs: number }[];
  entries: InventoryEntry[];
  /** What people should know of although nothing is wrong. */
  notes: string[];
}

export const emptyPart = (): Part => ({ steps: [], blockers: [], waiting: [], entries: [], notes: [] });

export function step(id: string, aspect: Aspect, verb: Step['verb'], target: string, call: Call): Step {
  return {
    id,
    aspect,
    verb,
    target,
    call,
    needs: [],
    closes: false,
    changes: [],
    creates: [],
    removes: [],
    drift: false,
  };
}

/** Fresh identities and grants take up to a minute to be seen everywhere; three leave room for a slow day. */
export const PROPAGATION_MS = 180_000;

/** What a failed read means for the tenant; `sinceMs`: how long ago what is read was made, as far as that is of interest. */
export function readBlocker(
  aspect: Aspect,
  what: string,
  failure: Failure,
  sinceMs = Number.POSITIVE_INFINITY,
): Blocker {
  const blocker = failureBlocker(aspect, `Cannot read ${what}`, failure, sinceMs);
  return UNANSWERED.includes(failure.kind) ? { ...blocker, unread: true } : blocker;
}

/** Google Cloud's own trouble or a shortage: the answer says nothing about what was asked for. */
const UNANSWERED: readonly FailureKind[] = ['Transient', 'Conflict', 'QuotaExceeded'];

/**
 * What a failed call means for the tenant. `sinceMs`: how long ago the identity or grant that it depends on was made.
 */
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

/** A delay that Google Cloud asks for counts where the same call may succeed later. */
const WAITS: Record<Failure['kind'], boolean> = {
  Transient: true,
  Conflict: true,
  PermissionDenied: true,
  QuotaExceeded: true,
  NotFound: false,
  Invalid: false,
  Propagating: false,
};

/** Google Cloud's words, and after them what to do. */
export function explained({ kind, message, advice }: Failure): string {
  return advised(message, advice ?? KINDS[kind].advice);
}

/** Two sentences in a row: the words of others do not always end with a full stop. */
export function advised(words: string, advice: string): string {
  if (advice === '') return words;
  return `${words.trimEnd()}${/[.!?…]$/.test(words.trimEnd()) ? '' : '.'} ${advice}`;
}

/** Cloud Run answers so for a region that does not exist, and for none of the rights on a service. */
export const isUnknownRegion = ({ message }: Failure): boolean =>
  message.startsWith("Permission denied on 'locations/");
