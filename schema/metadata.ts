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
  // A custom resource's metadata is written anew, with its keys in order, before it is read.
  const keys = prefix === '' ? Object.keys(meta).sort() : Object.keys(meta);
  // A wrong time ends the reading at once; other faults are kept until the end, and the first one is told.
  const isTime = (key: string) => key.endsWith('Timestamp');
  keys.sort((a, b) => Number(isTime(b)) - Number(isTime(a)));
  for (const key of keys) {
    const check = META_TYPES[key];
    const value = meta[key];
    if (!check || value === undefined || value === null) continue;
    const wrong = check(value, prefix + key);
    if (wrong) return wrong;
  }
  return undefined;
}

/** What encoding/json says of a value that does not fit the Go type; undefined for one that does. */
type TypeCheck = (value: unknown, path: string) => string | undefined;

const cannot = (found: string, path: string, goType: string) =>
  `json: cannot unmarshal ${found} into Go struct field ObjectMeta.${path} of type ${goType}`;
const jsonType = (value: unknown) =>
  Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;

const text =
  (goType = 'string'): TypeCheck =>
  (value, path) =>
    typeof value === 'string' ? undefined : cannot(jsonType(value), path, goType);

const integer: TypeCheck = (value, path) => {
  if (typeof value !== 'number') return cannot(jsonType(value), path, 'int64');
  return Number.isSafeInteger(value) ? undefined : cannot(`number ${value}`, path, 'int64');
};

const time: TypeCheck = (value, path) => {
  if (typeof value !== 'string') return cannot(jsonType(value), path, 'string');
  let rest = value;
  for (const [pattern, element] of TIME_ELEMENTS) {
    const found = pattern.exec(rest);
    if (!found) {
      return `parsing time ${goQuoted(value)} as "2006-01-02T15:04:05Z07:00": cannot parse ${goQuoted(rest)} as "${element}"`;
    }
    rest = rest.slice(found[0].length);
  }
  return rest === '' ? undefined : `parsing time ${goQuoted(value)}: extra text: ${goQuoted(rest)}`;
};
/** As package time quotes: what is not printable ASCII byte by byte. */
function goQuoted(text: string): string {
  const bytes = [...Buffer.from(text)].map(byte =>
    byte < 0x20 || byte > 0x7f ? `\\x${byte.toString(16).padStart(2, '0')}` : String.fromCharCode(byte),
  );
  return `"${bytes.map(byte => (byte === '"' || byte === '\\' ? `\\${byte}` : byte)).join('')}"`;
}

const TIME_ELEMENTS: [RegExp, string][] = [
  [/^\d{4}/, '2006'],
  [/^-/, '-'],
  [/^\d\d/, '01'],
  [/^-/, '-'],
  [/^\d\d/, '02'],
  [/^T/, 'T'],
  [/^\d\d/, '15'],
  [/^:/, ':'],
  [/^\d\d/, '04'],
  [/^:/, ':'],
  [/^\d\d(?:[.,]\d+)?/, '05'],
  [/^(?:Z|[-+]\d\d:\d\d)/, 'Z07:00'],
];

const map: TypeCheck = (value, path) => {
  if (typeof value !== 'object' || Array.isArray(value)) return cannot(jsonType(value), path, 'map[string]string');
  const odd = Object.values(value as object).find(one => typeof one !== 'string' && one !== null);
  return odd === undefined ? undefined : cannot(jsonType(odd), path, 'string');
};

const list =
  (goType: string, fields?: Record<string, TypeCheck>): TypeCheck =>
  (value, path) => {
    if (!Array.isArray(value)) return cannot(jsonType(value), path, `[]${goType}`);
    for (const item of value) {
      if (item === null) continue;
      if (!fields) {
        if (typeof item !== 'string') return cannot(jsonType(item), path, goType);
      } else if (typeof item !== 'object' || Array.isArray(item)) return cannot(jsonType(item), path, goType);
      else {
        for (const key of Object.keys(item).sort()) {
          const wrong = item[key] === null ? undefined : fields[key]?.(item[key], `${path}.${key}`);
          if (wrong) return wrong;
        }
      }
    }
    return undefined;
  };

const META_TYPES: Record<string, TypeCheck> = {
  name: text(),
  generateName: text(),
  namespace: text(),
  selfLink: text(),
  uid: text('types.UID'),
  resourceVersion: text(),
  generation: integer,
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: integer,
  labels: map,
  annotations: map,
  ownerReferences: list('v1.OwnerReference', {
    apiVersion: text(),
    kind: text(),
    name: text(),
    uid: text('types.UID'),
  }),
  finalizers: list('string'),
  managedFields: list('v1.ManagedFieldsEntry', {
    manager: text(),
    operation: text('v1.ManagedFieldsOperationType'),
    apiVersion: text(),
    time,
    fieldsType: text(),
    subresource: text(),
  }),
};
