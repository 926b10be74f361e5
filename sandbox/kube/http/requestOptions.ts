/** The options of a request, from its query and body, with kube-apiserver's refusals. */

import type { WriteOptions } from '../resources/resource.ts';
import type { TableRequest } from '../resources/table.ts';
import { badRequest, failure, invalid } from '../status.ts';
import type { ListOptions } from '../verbs/list.ts';
import { APPLY_PATCH } from '../verbs/patch.ts';
import type { DeleteOptions } from '../verbs/remove.ts';
import { decodeBody, type KubeRequest } from './request.ts';

export function listOptions(query: URLSearchParams, watching: boolean): ListOptions {
  const text = (name: string) => query.get(name) ?? undefined;
  const options: ListOptions = {
    labelSelector: text('labelSelector'),
    fieldSelector: text('fieldSelector'),
    limit: Math.max(0, integer(query.get('limit')) ?? 0) || undefined,
    continue: text('continue'),
    resourceVersion: text('resourceVersion'),
    resourceVersionMatch: text('resourceVersionMatch'),
  };
  const causes: { field: string; message: string; reason: string }[] = [];
  const forbid = (field: string, why: string) =>
    causes.push({ field, message: `Forbidden: ${why}`, reason: 'FieldValueForbidden' });
  const match = options.resourceVersionMatch;
  const initial = query.has('sendInitialEvents');
  if (!watching && match) {
    if (!options.resourceVersion) {
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided');
    }
    if (options.continue) {
      forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided');
    }
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      const message = `Unsupported value: "${match}": supported values: "Exact", "NotOlderThan", ""`;
      causes.push({ field: 'resourceVersionMatch', message, reason: 'FieldValueNotSupported' });
    }
    if (match === 'Exact' && options.resourceVersion === '0') {
      forbid('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
    }
  }
  if (!watching && initial) forbid('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  if (watching && initial && match !== 'NotOlderThan') {
    forbid('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  }
  if (watching && match && !initial) {
    forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided');
  }
  if (causes.length) throw invalid({ group: 'meta.k8s.io', kind: 'ListOptions' }, '', causes);
  return options;
}

export function writeOptions(
  query: URLSearchParams,
  warnings: string[],
  kind: string,
  headers: KubeRequest['headers'] = {},
): WriteOptions {
  const isApply = headers['content-type']?.split(';')[0]?.trim() === APPLY_PATCH;
  const force = /^(true|1|t|T|TRUE|True)$/.test(query.get('force') ?? '');
  const causes: { reason: string; message: string; field: string }[] = [];
  if (kind === 'PatchOptions' && isApply && !query.get('fieldManager')) {
    const message = 'Required value: is required for apply patch';
    causes.push({ reason: 'FieldValueRequired', message, field: 'fieldManager' });
  }
  if (kind === 'PatchOptions' && !isApply && query.has('force')) {
    const message = 'Forbidden: may not be specified for non-apply patch';
    causes.push({ reason: 'FieldValueForbidden', message, field: 'force' });
  }
  causes.push(...managerFaults(query.get('fieldManager') ?? ''));
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind }, '', causes);
  const fieldValidation = query.get('fieldValidation') || 'Warn';
  if (fieldValidation !== 'Ignore' && fieldValidation !== 'Warn' && fieldValidation !== 'Strict') {
    throw invalid({ group: 'meta.k8s.io', kind }, '', [
      {
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${fieldValidation}": supported values: "", "Ignore", "Strict", "Warn"`,
        field: 'fieldValidation',
      },
    ]);
  }
  // Without a `fieldManager` the first part of the user agent is the manager's name.
  const manager = query.get('fieldManager') || (headers['user-agent'] ?? '').split('/')[0] || 'unknown';
  return { dryRun: dryRun(query.getAll('dryRun'), kind), fieldValidation, warnings, manager, force };
}

/** A manager's name has at most 128 bytes, all printable. */
function managerFaults(manager: string): { reason: string; message: string; field: string }[] {
  const field = 'fieldManager';
  if (Buffer.byteLength(manager) > 128) {
    return [{ reason: 'FieldValueTooLong', message: 'Too long: may not be more than 128 bytes', field }];
  }
  const at = manager.search(/[\p{C}\u2028\u2029]/u);
  if (at < 0) return [];
  const code = manager.codePointAt(at)?.toString(16).toUpperCase().padStart(4, '0');
  const message = `Invalid value: ${JSON.stringify(manager)}: invalid character U+${code} (at position ${at})`;
  return [{ reason: 'FieldValueInvalid', message, field }];
}

export function deleteOptions(request: KubeRequest, query: URLSearchParams): DeleteOptions {
  // With a body, kube-apiserver does not read the query's options (apiserver, handlers/delete.go).
  const body = request.body?.length ? decodeBody(request, 'DeleteOptions') : fromQuery(query);
  const propagationPolicy = (body.propagationPolicy ?? undefined) as string | undefined;
  if (propagationPolicy && !['Orphan', 'Background', 'Foreground'].includes(propagationPolicy)) {
    throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', [
      {
        reason: 'FieldValueNotSupported',
        message: `Unsupported value: "${propagationPolicy}": supported values: "Foreground", "Background", "Orphan", "nil"`,
        field: 'propagationPolicy',
      },
    ]);
  }
  return {
    dryRun: dryRun((body.dryRun ?? []) as string[], 'DeleteOptions'),
    preconditions: body.preconditions as DeleteOptions['preconditions'],
    propagationPolicy,
  };
}

function fromQuery(query: URLSearchParams): Record<string, unknown> {
  return { dryRun: query.getAll('dryRun'), propagationPolicy: query.get('propagationPolicy') };
}

export function integer(text: string | null): number | undefined {
  if (!text) return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  throw badRequest(`strconv.ParseInt: parsing "${text}": invalid syntax`);
}

export function includeObject(query: URLSearchParams): TableRequest['includeObject'] {
  const value = query.get('includeObject') || 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: "${value}": must be 'Metadata', 'Object', 'None', or empty`,
  );
}

/** `dryRun=All`; anything else is refused. */
function dryRun(values: string[], kind: string): boolean {
  const given = values.filter(value => value !== '');
  if (given.some(value => value !== 'All')) {
    throw failure(
      422,
      'Invalid',
      `${kind}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ${JSON.stringify(given)}: supported values: "All"`,
      {
        group: 'meta.k8s.io',
        kind,
        causes: [
          {
            reason: 'FieldValueNotSupported',
            message: `Unsupported value: ${JSON.stringify(given)}: supported values: "All"`,
            field: 'dryRun',
          },
        ],
      },
    );
  }
  return given.length > 0;
}
