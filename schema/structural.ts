import { at, child, forbidden, invalid, notSupported, required } from './causes.ts';
import { checkUnsupported } from './definition.ts';
import { equal, type Schema } from './model.ts';
import { patternError } from './patterns.ts';
import type { FieldCause } from './types.ts';

/**
 * Whether a schema is structural: every field has one type, and validation says nothing more about types.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apiserver/schema/{validation,complete}.go and
 * pkg/apis/apiextensions/validation/validation.go.
 */

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const INT_OR_STRING = [{ type: 'integer' }, { type: 'string' }];
type Level = 'root' | 'field' | 'item';

export function checkStructural(schema: Schema, path: string, hasStatus: boolean): FieldCause[] {
  const found: FieldCause[] = [];
  if (hasStatus && schema.type !== '' && schema.type !== 'object') {
    const words = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled';
    found.push(invalid(child(path, 'type'), schema.type, words));
  }
  if (schema.nullable) found.push(forbidden(child(path, 'nullable'), 'nullable cannot be true at the root'));
  const line = ({ field, message }: FieldCause): string => `${field}: ${message}`;
  return [...found, ...checkNode(schema, 'root', path).sort((a, b) => (line(a) < line(b) ? -1 : 1))];
}

function checkNode(schema: Schema, level: Level, path: string): FieldCause[] {
  const found = [...checkUnsupported(schema.raw, path), ...checkType(schema, level, path)];
  const { items, additionalProperties: values } = schema;
  if (schema.type === 'array' && !items) found.push(required(child(path, 'items'), 'must be specified'));
  if (items) found.push(...checkNode(items, 'item', child(path, 'items')));
  for (const [name, property] of Object.entries(schema.properties))
    if (level !== 'root' || name !== 'metadata')
      found.push(...checkNode(property, 'field', at(child(path, 'properties'), name)));
  if (values !== undefined) {
    const here = child(path, 'additionalProperties');
    if (level === 'root') found.push(forbidden(here, 'must not be used at the root'));
    if (Object.keys(schema.properties).length > 0 && values !== true)
      found.push(forbidden(here, 'additionalProperties and properties are mutual exclusive'));
    if (typeof values === 'object') found.push(...checkNode(values, 'field', here));
  }
  if (level === 'root' || schema.embedded) found.push(...checkMeta(schema, level, path));
  return [
    ...found,
    ...checkJunctors(schema, path, level === 'root' ? { schema, path } : undefined),
    ...checkPattern(schema, path),
    ...checkLists(schema, path),
  ];
}

function checkType(schema: Schema, level: Level, path: string): FieldCause[] {
  const here = child(path, 'type');
  const found: FieldCause[] = [];
  if (schema.type !== '' && !TYPES.includes(schema.type)) found.push(notSupported(here, schema.type, TYPES));
  if (schema.intOrString && schema.preserveUnknown)
    found.push(
      invalid(
        child(path, 'x-kubernetes-preserve-unknown-fields'),
        true,
        'must be false if x-kubernetes-int-or-string is true',
      ),
    );
  if (schema.intOrString && schema.embedded)
    found.push(
      invalid(
        child(path, 'x-kubernetes-embedded-resource'),
        true,
        'must be false if x-kubernetes-int-or-string is true',
      ),
    );
  if (schema.raw['x-kubernetes-preserve-unknown-fields'] === false)
    found.push(invalid(child(path, 'x-kubernetes-preserve-unknown-fields'), false, 'must be true or undefined'));
  if (schema.embedded && schema.type !== 'object') {
    const words = 'must be object if x-kubernetes-embedded-resource is true';
    found.push(schema.type === '' ? required(here, words) : invalid(here, schema.type, words));
  } else if (schema.type === '' && !schema.intOrString && !schema.preserveUnknown) {
    const where = { root: 'at the root', item: 'for specified array items', field: 'for specified object fields' }[
      level
    ];
    found.push(required(here, `must not be empty ${where}`));
  }
  if (level === 'root' && schema.type !== '' && schema.type !== 'object')
    found.push(invalid(here, schema.type, 'must be object at the root'));
  return found;
}

function checkMeta(schema: Schema, level: Level, path: string): FieldCause[] {
  const found: FieldCause[] = [];
  const here = (name: string): string => at(child(path, 'properties'), name);
  for (const name of ['kind', 'apiVersion']) {
    const type = schema.properties[name]?.type;
    if (type !== undefined && type !== 'string') found.push(invalid(child(here(name), 'type'), type, 'must be string'));
  }
  const { metadata } = schema.properties;
  if (metadata && metadata.type !== 'object')
    found.push(invalid(child(here('metadata'), 'type'), metadata.type, 'must be object'));
  if (metadata && level === 'root') {
    const { type: _type, properties, ...others } = metadata.raw;
    const names = Object.keys(metadata.properties);
    if (names.some(name => name !== 'name' && name !== 'generateName') || Object.keys(others).length > 0)
      found.push(
        forbidden(
          here('metadata'),
          'must not specify anything other than name and generateName, but metadata is implicitly specified',
        ),
      );
  }
  if (schema.embedded && !schema.preserveUnknown && Object.keys(schema.properties).length === 0)
    found.push(
      required(
        child(path, 'properties'),
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields',
      ),
    );
  return found;
}

function checkPattern(schema: Schema, path: string): FieldCause[] {
  const wrong = schema.pattern === undefined ? undefined : patternError(schema.pattern);
  if (wrong === undefined) return [];
  return [invalid(child(path, 'pattern'), schema.pattern, `must be a valid regular expression, but isn't: ${wrong}`)];
}

const JUNCTORS = ['allOf', 'anyOf', 'oneOf'] as const;

/** The fields that branches may speak of. The server only looks at branches of the root for it. */
interface Spine {
  schema: Schema | undefined;
  path: string;
}

/** Branches of a schema: they may restrict values, and nothing else. */
function checkJunctors(schema: Schema, path: string, spine?: Spine): FieldCause[] {
  const found: FieldCause[] = [];
  for (const junctor of JUNCTORS) {
    if (junctor === 'anyOf' && schema.intOrString && equal(schema.raw.anyOf, INT_OR_STRING)) continue;
    for (const [i, branch] of schema[junctor].entries()) {
      const isPattern = junctor === 'allOf' && i === 0 && equal(branch.raw.anyOf, INT_OR_STRING);
      const checked = isPattern && schema.intOrString ? { ...branch, anyOf: [] } : branch;
      found.push(...checkBranch(checked, at(child(path, junctor), i), spine));
    }
  }
  if (schema.not) found.push(...checkBranch(schema.not, child(path, 'not'), spine));
  return found;
}

function checkBranch(branch: Schema, path: string, spine: Spine | undefined): FieldCause[] {
  if (spine && !spine.schema) return [required(spine.path, `because it is defined in ${path}`)];
  const found: FieldCause[] = [];
  const refuse = (wrong: boolean, name: string, words: string): unknown =>
    wrong && found.push(forbidden(child(path, name), `must be ${words} to be structural`));
  refuse(branch.type !== '', 'type', 'empty');
  refuse(branch.additionalProperties !== undefined, 'additionalProperties', 'undefined');
  refuse(branch.default !== undefined, 'default', 'undefined');
  refuse(branch.title, 'title', 'empty');
  refuse(branch.description, 'description', 'empty');
  refuse(branch.nullable, 'nullable', 'false');
  refuse(branch.preserveUnknown, 'x-kubernetes-preserve-unknown-fields', 'false');
  refuse(branch.embedded, 'x-kubernetes-embedded-resource', 'false');
  refuse(branch.intOrString, 'x-kubernetes-int-or-string', 'false');
  refuse(branch.listMapKeys.length > 0, 'x-kubernetes-list-map-keys', 'empty');
  refuse(branch.listType !== undefined, 'x-kubernetes-list-type', 'undefined');
  refuse(branch.mapType !== undefined, 'x-kubernetes-map-type', 'undefined');
  refuse(branch.rules.length > 0, 'x-kubernetes-validations', 'empty');
  found.push(...checkPattern(branch, path), ...checkJunctors(branch, path, spine));
  const below = (step: string, schema: Schema | undefined): Spine | undefined =>
    spine && { schema, path: child(spine.path, step) };
  const { items } = branch;
  if (items) found.push(...checkBranch(items, child(path, 'items'), below('items', spine?.schema?.items)));
  for (const [name, property] of Object.entries(branch.properties)) {
    const step = at('properties', name);
    if (name === 'metadata') found.push(forbidden(child(path, step), 'must not be specified in a nested context'));
    found.push(...checkBranch(property, child(path, step), below(step, spine?.schema?.properties[name])));
  }
  return found;
}

function checkLists(schema: Schema, path: string): FieldCause[] {
  const found: FieldCause[] = [];
  const here = (name: string): string => child(path, name);
  const { listType, mapType, listMapKeys, items, type } = schema;
  const mustBe = (wanted: string, name: string): void => {
    const words = `must be ${wanted} if ${name} is specified`;
    if (type !== wanted) found.push(type === '' ? required(here('type'), words) : invalid(here('type'), type, words));
  };
  if (mapType !== undefined) {
    mustBe('object', 'x-kubernetes-map-type');
    if (!['atomic', 'granular'].includes(mapType))
      found.push(notSupported(here('x-kubernetes-map-type'), mapType, ['atomic', 'granular']));
  }
  if (listType !== undefined) {
    mustBe('array', 'x-kubernetes-list-type');
    const known = ['atomic', 'set', 'map'];
    if (!known.includes(listType)) found.push(notSupported(here('x-kubernetes-list-type'), listType, known));
  }
  const words = 'must be map if x-kubernetes-list-map-keys is non-empty';
  if (listMapKeys.length > 0 && listType === undefined) found.push(required(here('x-kubernetes-list-type'), words));
  else if (listMapKeys.length > 0 && listType !== 'map')
    found.push(invalid(here('x-kubernetes-list-type'), listType, words));
  if ((listType === 'set' || listType === 'map') && items?.nullable)
    found.push(forbidden(here('items.nullable'), `cannot be nullable when x-kubernetes-list-type is ${listType}`));
  if (listType !== 'map') return found;
  if (listMapKeys.length === 0)
    found.push(required(here('x-kubernetes-list-map-keys'), 'must not be empty if x-kubernetes-list-type is map'));
  if (items && items.type !== 'object')
    found.push(
      invalid(here('items.type'), items.type, "must be object if parent array's x-kubernetes-list-type is map"),
    );
  if (items?.type !== 'object') return found;
  for (const key of listMapKeys) {
    const property = items.properties[key];
    const path = at(here('items.properties'), key);
    if (!property)
      found.push(
        invalid(here('x-kubernetes-list-map-keys'), listMapKeys, 'entries must all be names of item properties'),
      );
    else if (!items.required.includes(key) && property.default === undefined)
      found.push(
        required(
          child(path, 'default'),
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      );
    else if (property.nullable)
      found.push(
        forbidden(child(path, 'nullable'), 'this property is in x-kubernetes-list-map-keys, so it cannot be nullable'),
      );
  }
  return found;
}
