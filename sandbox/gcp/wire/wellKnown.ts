import type { Json } from '../../../ports/json.ts';

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const text = (pattern: RegExp, canonical: (value: string) => string | undefined) => (value: Json) =>
  typeof value === 'string' && pattern.test(value) ? canonical(value) : undefined;

/** Canonical forms of the well-known types whose proto3 JSON is not that of a message; undefined: not a value of the type. */
export const WELL_KNOWN: Record<string, (value: Json) => Json | undefined> = {
  '.google.protobuf.Struct': value =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined,
  '.google.protobuf.Duration': text(/^-?\d{1,12}(\.\d{1,9})?s$/, value => value.replace(/\.0+s$/, 's')),
  '.google.protobuf.Timestamp': text(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/, value => {
    const seconds = Date.parse(value.replace(/\.\d+/, ''));
    const fraction = value.match(/\.(\d+)/)?.[1]?.replace(/0+$/, '');
    if (Number.isNaN(seconds)) return undefined;
    return new Date(seconds).toISOString().replace('.000Z', fraction ? `.${fraction}Z` : 'Z');
  }),
  '.google.protobuf.FieldMask': text(/^[A-Za-z0-9_.,* ]*$/, value =>
    value
      .split(',')
      .map(path => camel(path.trim()))
      .filter(Boolean)
      .join(','),
  ),
};
