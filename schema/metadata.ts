import { labelValueErrors, qualifiedNameErrors } from './names.ts';
import type { FieldCause } from './types.ts';

/** What kube-apiserver says about the metadata of any object. Source: apimachinery, api/validation/objectmeta.go. */

interface MetaMaps {
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export const invalidValue = (field: string, value: unknown, why: string): FieldCause => ({
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
  field,
});

/** What kube-apiserver refuses about labels and annotations. */
export function mapErrors(meta: MetaMaps): FieldCause[] {
  const causes: FieldCause[] = [];
  const add = (field: string, value: unknown, errors: string[]) =>
    causes.push(...errors.map(error => invalidValue(field, value, error)));
  for (const [key, value] of Object.entries(meta.labels ?? {})) {
    add('metadata.labels', key, qualifiedNameErrors(key));
    add('metadata.labels', value, labelValueErrors(value));
  }
  let size = 0;
  for (const [key, value] of Object.entries(meta.annotations ?? {})) {
    add('metadata.annotations', key, qualifiedNameErrors(key.toLowerCase()));
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > 262144) {
    causes.push({
      reason: 'FieldValueTooLong',
      message: 'Too long: may not be more than 262144 bytes',
      field: 'metadata.annotations',
    });
  }
  return causes;
}

/** What encoding/json would say about metadata of a wrong type; undefined if all is well. `prefix`: the path to it. */
export function metaTypeError(meta: Record<string, unknown>, prefix: string): string | undefined {
  const jsonType = (value: unknown) =>
    Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
  const wrong = (path: string, value: unknown, goType: string) =>
    `json: cannot unmarshal ${jsonType(value)} into Go struct field ObjectMeta.${path} of type ${goType}`;
  for (const key of ['labels', 'annotations']) {
    const map = meta[key];
    if (map === undefined || map === null) continue;
    if (typeof map !== 'object' || Array.isArray(map)) return wrong(prefix + key, map, 'map[string]string');
    for (const value of Object.values(map)) {
      if (typeof value !== 'string') return wrong(prefix + key, value, 'string');
    }
  }
  for (const key of ['name', 'generateName', 'namespace', 'uid', 'resourceVersion']) {
    const value = meta[key];
    if (value !== undefined && value !== null && typeof value !== 'string') {
      return wrong(prefix + key, value, key === 'uid' ? 'types.UID' : 'string');
    }
  }
  const finalizers = meta.finalizers;
  if (finalizers !== undefined && finalizers !== null) {
    if (!Array.isArray(finalizers)) return wrong(`${prefix}finalizers`, finalizers, '[]string');
    for (const value of finalizers) if (typeof value !== 'string') return wrong(`${prefix}finalizers`, value, 'string');
  }
  return undefined;
}
