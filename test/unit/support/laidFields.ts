import { fieldsToImport, layFields, wantedFields } from '../../../operator/tenant/fields/laid.ts';
import { readTenant } from '../../../operator/tenant/resource.ts';
import type { FieldKeys } from '../../../operator/tenant/template.ts';
import type { Change, InventoryEntry, TenantSpec } from '../../../operator/tenant/types.ts';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { entry, PROJECT, REGION, SERVICE } from './tenantWorld.ts';

/** What the optional fields of a spec make of a service or of its template, without a plan around it. */

const PLACE = { project: PROJECT, region: REGION };
const NO_KEYS: FieldKeys = { files: [], ofSidecars: [] };

export const specOf = (spec: object): TenantSpec =>
  readTenant({ metadata: { name: 'alpha' }, spec: spec as JsonObject }).spec;

/** Entries of the inventory for fields that earlier specs had. */
export const onRecord = (...fields: string[]): InventoryEntry[] =>
  fields.map(field => entry({ type: 'Field', name: SERVICE, field }));

interface LayGiven {
  spec?: object;
  keys?: Partial<FieldKeys>;
  recorded?: InventoryEntry[];
}

/** The JSON that is sent, and the changes that messages show. */
export function lay(
  level: 'service' | 'template',
  before: object,
  { spec = {}, keys, recorded = [] }: LayGiven = {},
): { json: JsonObject; changes: Change[] } {
  const wanted = wantedFields(specOf(spec), recorded, PLACE, { ...NO_KEYS, ...keys });
  const { json, fields, changes } = layFields(level, before as JsonObject, wanted);
  // Whatever is sent is told, and nothing is told that is not sent.
  if (fields.length > 0 !== changes.length > 0)
    throw new Error(`written: ${fields.map(({ path }) => path)}; told: ${changes.map(({ field }) => field)}`);
  return { json, changes };
}

/** A template whose only container receives the requests. */
export const template = (container: object = {}, rest: object = {}): JsonObject =>
  ({
    containers: [{ image: 'app', ports: [{ name: 'http1', containerPort: 8080 }], ...container }],
    ...rest,
  }) as JsonObject;

/** What `import` reads of these fields, by path; the items of a list by themselves. */
export const imported = (json: { service?: object; template?: object }, path: string): Json[] =>
  fieldsToImport({ service: (json.service ?? {}) as JsonObject, template: (json.template ?? {}) as JsonObject })
    .filter(one => one.path === path)
    .map(({ value, item }) => item ?? value);
