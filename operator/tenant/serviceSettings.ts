import type { JsonObject } from '../../ports/json.ts';
import { FIELDS } from './fields/laid.ts';
import { fieldsOf } from './specValues.ts';
import type { ServiceSettings } from './types.ts';

/**
 * The settings of a service that limit access to it or what it may run, as `status.serviceSettings` has them. If somebody deletes the
 * service, the operator creates it again with them.
 */

const RECORDED = FIELDS.flatMap(({ places: [place = ''], recorded }) => (recorded ? [{ place, recorded }] : []));

function bounded(settings: Record<string, unknown>): ServiceSettings {
  const fitting = RECORDED.flatMap(({ place, recorded }) => {
    const value = recorded(settings[place]);
    return value === undefined ? [] : [[place, value] as const];
  });
  return Object.fromEntries(fitting);
}

/** The settings without those that this version knows: a newer version recorded them. */
function newer(settings: Record<string, unknown>): JsonObject {
  const known = RECORDED.map(({ place }) => place);
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !known.includes(name))) as JsonObject;
}

/** The settings in a status. Fields of the wrong type are left out. Fields of a newer version stay. */
export function readSettings(value: unknown): ServiceSettings | undefined {
  return value === undefined ? undefined : { ...newer(fieldsOf(value)), ...bounded(fieldsOf(value)) };
}

/** The settings for the status. Undefined: the service has none. Settings that a newer version recorded stay. */
export function settingsOnRecord(raw: JsonObject, before: ServiceSettings = {}): ServiceSettings | undefined {
  const found = bounded(raw);
  // Every answer has an ingress. One without it is incomplete, so its other settings are not trusted either.
  const isWhole = typeof raw.ingress === 'string' && raw.ingress !== '';
  const settings = isWhole ? { ...newer(before), ...found } : before;
  return Object.keys(settings).length > 0 ? settings : undefined;
}

/** The recorded settings that a service is created with. Fields of a newer version stay in the status only. */
export const settingsFromRecord = (record: ServiceSettings = {}): JsonObject => bounded(record);
