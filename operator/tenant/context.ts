import type { ClaimRules } from './ownership.ts';
import type { Refusals } from './planInvokers.ts';
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
  const retry = failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs };
  switch (failure.kind) {
    case 'Transient':
    case 'Conflict':
      return { aspect, reason: 'Updating', message: `${message} (trying again)`, ...retry };
    case 'Propagating':
      return sinceMs < PROPAGATION_MS
        ? {
            aspect,
            reason: 'Updating',
            message: `${message} (a new identity takes up to a minute to be known everywhere)`,
          }
        : { aspect, reason: 'PermissionDenied', message: `${message} ${permissionHint(message)}` };
    case 'PermissionDenied':
      return { aspect, reason: 'PermissionDenied', message: `${message} ${permissionHint(message)}`, ...retry };
    case 'QuotaExceeded':
      return {
        aspect,
        reason: 'QuotaExceeded',
        message: `${message} (tried again by itself; raise the quota if it stays: https://console.cloud.google.com/iam-admin/quotas)`,
        ...retry,
      };
    case 'NotFound':
      return { aspect, reason: 'DependencyNotFound', message };
    case 'Invalid':
      return { aspect, reason: 'InvalidSpec', message: `${message} Edit the spec: kubectl edit aitenant.` };
  }
}

/** Cloud Run answers so for a region that does not exist, and for none of the rights on a service. */
export const isUnknownRegion = ({ kind, message }: Failure): boolean =>
  kind === 'PermissionDenied' && message.startsWith("Permission denied on 'locations/");

const PERMISSION_HINT =
  '(give the operator’s identity the missing permission in that project; see manifests/gcp; it is tried again by itself)';

/** Cloud Run answers for a region that does not exist as for one that the caller may not see. */
const permissionHint = (message: string): string =>
  message.includes("'locations/")
    ? `(check that spec.region is a Cloud Run region: gcloud run regions list) ${PERMISSION_HINT}`
    : PERMISSION_HINT;
