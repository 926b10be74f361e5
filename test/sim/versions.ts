import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';

/**
 * Operators of other versions that take over for a moment and leave again. A newer one writes fields, conditions and inventory
 * entries that this version does not know; an older one drops what it does not know itself.
 */

/** What only the newer version knows. */
const NEWER = {
  field: 'budget',
  value: { spent: 3, of: ['EUR'] },
  condition: 'BudgetReady',
  entry: 'Job',
  /** On conditions, keys and inventory entries of every version. */
  note: 'colour',
} as const;

type Status = JsonObject & { conditions?: JsonObject[]; inventory?: JsonObject[]; keys?: JsonObject[] };

/** The CRD of the newer version: what this one does not know is not pruned. */
export function newerCrd(crd: KubeObject): KubeObject {
  const copy = structuredClone(crd) as KubeObject & {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { status: Schema } } } }[] };
  };
  for (const { schema } of copy.spec.versions) {
    const { status } = schema.openAPIV3Schema.properties;
    for (const part of [status, ...['conditions', 'inventory', 'keys'].map(list => status.properties?.[list]?.items)]) {
      if (part) part['x-kubernetes-preserve-unknown-fields'] = true;
    }
  }
  return copy;
}
interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}

/** The status after the newer version has reconciled the tenant; `job`: it has also made something of its own. */
export function asNewerWrites(status: Status, job: boolean): Status {
  const noted = (items: JsonObject[] = []) => items.map(item => ({ ...item, [NEWER.note]: 'red' }));
  const time = '2026-01-01T00:00:00Z';
  const condition = { type: NEWER.condition, status: 'Perhaps', reason: 'Odd', message: 'm', lastTransitionTime: time };
  const others = (status.conditions ?? []).filter(({ type }) => type !== NEWER.condition);
  const entry = { type: NEWER.entry, name: 'projects/demo-project/locations/us-central1/jobs/j', time };
  return {
    ...status,
    [NEWER.field]: NEWER.value as unknown as JsonObject,
    conditions: [...noted(others), condition],
    keys: noted(status.keys),
    inventory: [...(job ? [entry] : []), ...noted((status.inventory ?? []).filter(({ type }) => type !== NEWER.entry))],
  };
}

/** The status after version 0.1 has reconciled the tenant, as it was seen to do (docs/upgrading.md). */
export function asOlderWrites(status: Status): Status {
  const plain = (items: JsonObject[] = [], unknown: string) =>
    items.filter(({ type }) => type !== unknown).map(({ [NEWER.note]: _, ...rest }) => rest as JsonObject);
  const { [NEWER.field]: _, serviceSettings: __, ...rest } = status;
  return {
    ...rest,
    conditions: plain(status.conditions, NEWER.condition),
    keys: plain(status.keys, ''),
    inventory: plain(status.inventory, NEWER.entry),
  };
}

/** Whether a deletion has to wait for the newer version. */
export const holdsNewerEntry = (tenant: KubeObject): boolean =>
  (((tenant.status ?? {}) as Status).inventory ?? []).some(({ type }) => type === NEWER.entry);

/** What a status write of this version has lost of what the newer one wrote. */
export function lostOfNewer(before: KubeObject | undefined, after: KubeObject | undefined): string[] {
  const [was, is] = [(before?.status ?? {}) as Status, (after?.status ?? {}) as Status];
  if (before?.metadata.uid !== after?.metadata.uid) return [];
  const lost: string[] = [];
  if (was[NEWER.field] !== undefined && !isDeepStrictEqual(was[NEWER.field], is[NEWER.field])) lost.push(NEWER.field);
  for (const [list, unknown] of [
    ['conditions', NEWER.condition],
    ['inventory', NEWER.entry],
    ['keys', ''],
  ] as const) {
    for (const item of was[list] ?? []) {
      const same = (is[list] ?? []).find(other => keyOf(other) === keyOf(item));
      if (item.type === unknown && !isDeepStrictEqual(item, same)) lost.push(`${list} ${keyOf(item)}`);
      else if (same && item[NEWER.note] !== undefined && same[NEWER.note] !== item[NEWER.note])
        lost.push(`${NEWER.note} of ${list} ${keyOf(item)}`);
    }
  }
  return lost.map(what => `rule 9: a status write lost ${what} of a newer version`);
}

const keyOf = ({ type, name, member, variable, field, uniqueId }: JsonObject): string =>
  [type, name, member ?? variable ?? field, type === 'ServiceAccount' ? uniqueId : undefined].filter(Boolean).join(' ');
