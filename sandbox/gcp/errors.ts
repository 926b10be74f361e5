import type { GcpCode, GcpStatus } from '../../ports/gcp.ts';
import type { Json } from '../../ports/json.ts';

/** An error as a Google API returns it. Handlers throw only this; any other exception is a bug. */
export class GcpError extends Error {
  readonly status: GcpStatus;
  constructor(status: GcpStatus) {
    super(`${status.code}: ${status.message}`);
    this.status = status;
  }
}

/** google.rpc.Code by name: its number and the HTTP status it is mapped to (google/rpc/code.proto). */
export const CODES: Record<GcpCode, { number: number; http: number }> = {
  CANCELLED: { number: 1, http: 499 },
  UNKNOWN: { number: 2, http: 500 },
  INVALID_ARGUMENT: { number: 3, http: 400 },
  DEADLINE_EXCEEDED: { number: 4, http: 504 },
  NOT_FOUND: { number: 5, http: 404 },
  ALREADY_EXISTS: { number: 6, http: 409 },
  PERMISSION_DENIED: { number: 7, http: 403 },
  RESOURCE_EXHAUSTED: { number: 8, http: 429 },
  FAILED_PRECONDITION: { number: 9, http: 400 },
  ABORTED: { number: 10, http: 409 },
  OUT_OF_RANGE: { number: 11, http: 400 },
  UNIMPLEMENTED: { number: 12, http: 501 },
  INTERNAL: { number: 13, http: 500 },
  UNAVAILABLE: { number: 14, http: 503 },
  DATA_LOSS: { number: 15, http: 500 },
  UNAUTHENTICATED: { number: 16, http: 401 },
};

export const notFound = (message: string) => new GcpError({ code: 'NOT_FOUND', message });
export const alreadyExists = (message: string) => new GcpError({ code: 'ALREADY_EXISTS', message });
export const failedPrecondition = (message: string) => new GcpError({ code: 'FAILED_PRECONDITION', message });
export const aborted = (message: string) => new GcpError({ code: 'ABORTED', message });
export const exhausted = (message: string) => new GcpError({ code: 'RESOURCE_EXHAUSTED', message });

/** 400; `field` (proto path, snake case) goes into a BadRequest detail, as the validating front end does. */
export function invalid(message: string, ...fields: { field?: string; description: string }[]): GcpError {
  const details: Json[] = [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: fields }];
  return new GcpError({ code: 'INVALID_ARGUMENT', message, ...(fields.length > 0 && { details }) });
}

/** 403 as each API words it. `resource` is the name in the call. */
export function denied(permission: string, resource: string): GcpError {
  const service = permission.split('.')[0] ?? '';
  const message =
    permission === 'iam.serviceAccounts.actAs'
      ? `Permission 'iam.serviceaccounts.actAs' denied on service account ${resource} (or it may not exist).`
      : service === 'iam'
        ? `Permission '${permission}' denied on resource (or it may not exist).`
        : service === 'artifactregistry'
          ? `Permission '${permission}' denied on resource '//artifactregistry.googleapis.com/${resource}' (or it may not exist).`
          : service === 'run'
            ? `Permission '${permission}' denied on resource '${resource}' (or resource may not exist).`
            : `Permission '${permission}' denied for resource '${resource}' (or it may not exist).`;
  return new GcpError({
    code: 'PERMISSION_DENIED',
    message,
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
        reason: 'IAM_PERMISSION_DENIED',
        domain: `${service}.googleapis.com`,
        metadata: { permission, resource },
      },
    ],
  });
}
