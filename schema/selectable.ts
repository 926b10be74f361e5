import { at, child, duplicate, invalid, required, tooMany } from './causes.ts';
import { listOf, objectOf, type Schema, textOf } from './model.ts';
import type { FieldCause, PlainObject } from './types.ts';

/**
 * The fields by which a field selector may select objects of a CRD.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apis/apiextensions/validation/validation.go
 * (ValidateCustomResourceSelectableFields) and pkg/apiserver/schema/cel/validation.go (ValidFieldPath).
 */

const MOST = 8;

/** What is wrong with `version.selectableFields`. `path`: where the server says that the list stands. */
export function checkSelectable(version: PlainObject, schema: Schema, path: string): FieldCause[] {
  const found: FieldCause[] = [];
  const unique = new Set<string>();
  for (const [i, field] of listOf(version.selectableFields).map(objectOf).entries()) {
    const jsonPath = textOf(field.jsonPath);
    const where = child(at(path, i), 'jsonPath');
    if (jsonPath === '') {
      found.push(required(where));
      continue;
    }
    const target = fieldAt(jsonPath, schema);
    if (typeof target === 'string') {
      found.push(invalid(where, jsonPath, `is an invalid path: ${target}`));
      continue;
    }
    if (/^\.metadata(\.|$)/.test(jsonPath))
      found.push(invalid(where, jsonPath, 'must not point to fields in metadata'));
    if (!['string', 'boolean', 'integer'].includes(target.type)) {
      const words =
        'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.';
      found.push(invalid(where, jsonPath, words));
    }
    if (unique.has(jsonPath)) found.push(duplicate(where, jsonPath));
    unique.add(jsonPath);
  }
  if (unique.size > MOST) found.push(tooMany(path, unique.size, MOST));
  return found;
}

/** The schema of the field, or what is wrong with the path. */
function fieldAt(jsonPath: string, root: Schema): Schema | string {
  let schema = root;
  const tokens = jsonPath.match(/[.[\]]|[^.[\]]+/g) ?? [];
  for (let i = 0; i < tokens.length; i += 2) {
    if (tokens[i] === '[') return 'array notation is not allowed';
    if (tokens[i] !== '.') return `expected [ or . but got: ${tokens[i]}`;
    const name = tokens[i + 1];
    if (name === undefined) return 'unexpected end of JSON path';
    const hasProperties = Object.keys(schema.properties).length > 0;
    const inner = hasProperties ? schema.properties[name] : schema.additionalProperties;
    if (typeof inner !== 'object') return 'does not refer to a valid field';
    schema = inner;
  }
  return schema;
}
