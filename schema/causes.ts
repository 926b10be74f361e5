import { json, number, quote } from './text.ts';
import type { FieldCause } from './types.ts';

/**
 * kube-apiserver's field errors. A path is written as in `spec.keys[0].name`; the empty one is the object itself.
 * Source: k8s.io/apimachinery v0.37.2, pkg/util/validation/field.
 */

export const child = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
export const at = (path: string, key: string | number): string => `${path}[${key}]`;

/** Stands for a value that is too big to print. */
export const OMITTED = Symbol('omitted');

const PRINTED = Symbol('printed');
/** Stands for a value that only the caller knows how to print. */
export const printed = (text: string): { [PRINTED]: string } => ({ [PRINTED]: text });

const cause = (reason: string, path: string, message: string): FieldCause => ({
  reason,
  message,
  field: path === '' ? '<nil>' : path,
});

function about(label: string, value: unknown, detail: string): string {
  const words = [label];
  if (typeof value === 'number') words.push(number(value));
  else if (typeof value === 'string') words.push(quote(value));
  else if (typeof value === 'object' && value !== null && PRINTED in value) words.push(String(value[PRINTED]));
  else if (value !== OMITTED) words.push(json(value));
  if (detail !== '') words.push(detail);
  return words.join(': ');
}

export const invalid = (path: string, value: unknown, detail: string): FieldCause =>
  cause('FieldValueInvalid', path, about('Invalid value', value, detail));

export const typeInvalid = (path: string, value: unknown, detail: string): FieldCause =>
  cause('FieldValueTypeInvalid', path, about('Invalid value', value, detail));

export const required = (path: string, detail = ''): FieldCause =>
  cause('FieldValueRequired', path, about('Required value', OMITTED, detail));

export const forbidden = (path: string, detail: string): FieldCause =>
  cause('FieldValueForbidden', path, about('Forbidden', OMITTED, detail));

export const duplicate = (path: string, value: unknown): FieldCause =>
  cause('FieldValueDuplicate', path, about('Duplicate value', value, ''));

export const notSupported = (path: string, value: unknown, supported: unknown[]): FieldCause => {
  const values = supported.map(item => quote(typeof item === 'string' ? item : json(item)));
  return cause(
    'FieldValueNotSupported',
    path,
    about('Unsupported value', value, `supported values: ${values.join(', ')}`),
  );
};

export const tooLong = (path: string, max: number): FieldCause =>
  cause('FieldValueTooLong', path, `Too long: may not be more than ${max} ${max === 1 ? 'byte' : 'bytes'}`);

export const tooMany = (path: string, actual: number, max: number): FieldCause =>
  cause('FieldValueTooMany', path, `Too many: ${actual}: must have at most ${max} ${max === 1 ? 'item' : 'items'}`);
