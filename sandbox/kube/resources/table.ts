import { jsonPath } from './jsonPath.ts';
import { fieldDescription } from './models.ts';
import type { StoredObject, TableColumn } from './resource.ts';

export const column = (name: string, type: string, description: string, priority = 0, format = ''): TableColumn => ({
  name,
  type,
  format,
  description,
  priority,
});
export const nameColumn = () => column('Name', 'string', fieldDescription('V1ObjectMeta', 'name'), 0, 'name');
export const creationDescription = () => fieldDescription('V1ObjectMeta', 'creationTimestamp');

/** Formats a duration as kubectl does (apimachinery, util/duration): `5s`, `3m20s`, `2d4h`, `3y12d`. */
function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
    small === 0 ? `${big}${bigUnit}` : `${big}${bigUnit}${small}${smallUnit}`;
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 192) return pair(Math.trunc(hours / 24), 'd', hours % 24, 'h');
  const days = Math.trunc(hours / 24);
  if (hours < 24 * 365 * 2) return `${days}d`;
  if (hours < 24 * 365 * 8) return pair(Math.trunc(days / 365), 'y', days % 365, 'd');
  return `${Math.trunc(days / 365)}y`;
}

export function age(time: unknown, now: number): string {
  const at = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  return Number.isNaN(at) ? '<unknown>' : humanDuration(now - at);
}

/** The cell of a CRD's printer column, by apiextensions' tableconvertor. */
export function printerCell(type: string, path: string, object: StoredObject, now: number): unknown {
  const [value] = jsonPath(path, object);
  if (value === undefined || value === null) return null;
  switch (type) {
    case 'string':
      return typeof value === 'object' ? JSON.stringify(value) : String(value);
    case 'integer':
      return typeof value === 'number' ? Math.trunc(value) : null;
    case 'number':
      return typeof value === 'number' ? value : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date': {
      if (typeof value !== 'string') return null;
      return Number.isNaN(Date.parse(value)) ? '<invalid>' : age(value, now);
    }
    default:
      return null;
  }
}

export interface TableRequest {
  includeObject: 'None' | 'Metadata' | 'Object';
  groupVersion: string;
  headers: boolean;
}

interface Tabular {
  columns(): TableColumn[];
  cells(object: StoredObject, now: number): unknown[];
}

/** A meta.k8s.io Table over `items`. */
export function table(
  version: Tabular,
  items: StoredObject[],
  metadata: object,
  { includeObject, groupVersion, headers }: TableRequest,
  now: number,
) {
  const embedded = (object: StoredObject) => {
    if (includeObject === 'None') return null;
    if (includeObject === 'Object') return object;
    return partialMetadata(object, groupVersion);
  };
  return {
    kind: 'Table',
    apiVersion: groupVersion,
    metadata,
    columnDefinitions: headers ? version.columns() : null,
    rows: items.map(object => ({
      cells: version.cells(object, now).map((cell, index) => cell ?? (index ? null : '')),
      object: embedded(object),
    })),
  };
}

export function partialMetadata(object: StoredObject, groupVersion = 'meta.k8s.io/v1') {
  return { kind: 'PartialObjectMetadata', apiVersion: groupVersion, metadata: object.metadata };
}
