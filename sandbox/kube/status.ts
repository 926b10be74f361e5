import { STATUS_CODES } from 'node:http';
import type { FieldCause } from '../../schema/types.ts';

/** A `Status` of the Kubernetes API, as it goes over the wire. */
export interface Status {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: { continue?: string };
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: {
    name?: string;
    group?: string;
    kind?: string;
    uid?: string;
    causes?: { reason?: string; message?: string; field?: string }[];
    retryAfterSeconds?: number;
  };
  code: number;
}

/** An answer other than success, on its way out of the depth of a request to `handle`. */
export interface StatusError extends Error {
  status: Status;
}

export function isStatusError(error: unknown): error is StatusError {
  return error instanceof Error && 'status' in error;
}

function statusError(status: Status): StatusError {
  return Object.assign(new Error(status.message), { status });
}

export function failure(code: number, reason: string, message: string, details?: Status['details']): StatusError {
  return statusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: reason || undefined,
    details,
    code,
  });
}

interface Named {
  group: string;
  plural: string;
}
interface Kinded {
  group: string;
  kind: string;
}
const qualified = (group: string, word: string) => (group ? `${word}.${group}` : word);
const about = (resource: Named, name: string) => ({
  name: name || undefined,
  group: resource.group || undefined,
  kind: resource.plural,
});

export const notFound = (resource: Named, name: string) =>
  failure(404, 'NotFound', `${qualified(resource.group, resource.plural)} "${name}" not found`, about(resource, name));

export const alreadyExists = (resource: Named, name: string, going = false) =>
  failure(
    409,
    'AlreadyExists',
    `${going ? 'object is being deleted: ' : ''}${qualified(resource.group, resource.plural)} "${name}" already exists`,
    about(resource, name),
  );

export const conflict = (resource: Named, name: string, why: string) =>
  failure(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(resource.group, resource.plural)} "${name}": ${why}`,
    about(resource, name),
  );

export const staleObject =
  'the object has been modified; please apply your changes to the latest version and try again';

export const forbidden = (resource: Named, name: string, why: string, causes?: FieldCause[]) =>
  failure(
    403,
    'Forbidden',
    `${qualified(resource.group, resource.plural)}${name ? ` "${name}"` : ''} is forbidden: ${why}`,
    { ...about(resource, name), causes },
  );

export const badRequest = (message: string) => failure(400, 'BadRequest', message);

export const methodNotAllowed = () =>
  failure(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const unsupportedMediaType = (types: string[], hint = '') =>
  failure(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${types.join(', ')}${hint}`,
  );

export const notAcceptable = (types: string[]) =>
  failure(406, 'NotAcceptable', `only the following media types are accepted: ${types.join(', ')}`);

/** A JSON patch that cannot be applied; kube-apiserver does not say which operation it was. */
export const unprocessable = () =>
  failure(422, 'Invalid', 'the server rejected our request due to an error in our request', {});

/** `causes` as kube-apiserver's field errors read when they are strung together. */
export function invalid(kind: Kinded, name: string, causes: FieldCause[]): StatusError {
  const lines = causes.map(cause => (cause.field ? `${cause.field}: ${cause.message}` : cause.message));
  const unique = [...new Set(lines)];
  const list = unique.length === 1 ? unique[0] : `[${unique.join(', ')}]`;
  return failure(422, 'Invalid', `${qualified(kind.group, kind.kind)} "${name}" is invalid: ${list}`, {
    name: name || undefined,
    group: kind.group || undefined,
    kind: kind.kind || undefined,
    causes,
  });
}

/** The answer of `net/http` and the delegation chain for a path that no API serves. */
export const pageNotFound = () => failure(404, 'NotFound', 'the server could not find the requested resource', {});

export const expired = (message: string, token?: string) => {
  const error = failure(410, 'Expired', message);
  if (token) error.status.metadata.continue = token;
  return error;
};

export const success = (details: Status['details']): Status => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  details,
  code: 200,
});

/** The reason that goes with a bare HTTP code, for injected faults. */
export function reasonOf(code: number): string {
  const special: Record<number, string> = {
    409: 'Conflict',
    410: 'Expired',
    429: 'TooManyRequests',
    500: 'InternalError',
    503: 'ServiceUnavailable',
    504: 'Timeout',
  };
  return special[code] ?? (STATUS_CODES[code] ?? 'Unknown').replaceAll(' ', '');
}
