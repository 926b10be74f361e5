import { at, child, forbidden, invalid, notSupported, required } from './causes.ts';
import { listOf, objectOf, textOf } from './model.ts';
import type { FieldCause, PlainObject } from './types.ts';

/**
 * What a CustomResourceDefinition must be apart from its schemas: names, versions, columns.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apis/apiextensions/validation/validation.go.
 */

const LABEL_1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_1123 =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const isLabel = (text: string): boolean => text.length <= 63 && /^[a-z]([-a-z0-9]*[a-z0-9])?$/.test(text);
const isSubdomain = (text: string): boolean =>
  text.length <= 253 && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/.test(text);

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];
const COLUMN_FORMATS = ['byte', 'date', 'date-time', 'double', 'float', 'int32', 'int64', 'password'];

/** `listKind` and `singular` are filled in by the server where they are missing. */
export function checkDefinition(crd: PlainObject): FieldCause[] {
  const spec = objectOf(crd.spec);
  const name = textOf(objectOf(crd.metadata).name);
  const group = textOf(spec.group);
  const found: FieldCause[] = [];
  if (name !== `${textOf(objectOf(spec.names).plural)}.${group}`)
    found.push(invalid('metadata.name', name, 'must be spec.names.plural+"."+spec.group'));
  if (group === '') found.push(required('spec.group'));
  else if (!isSubdomain(group)) found.push(invalid('spec.group', group, SUBDOMAIN_1123));
  else if (!group.includes('.')) found.push(invalid('spec.group', group, 'should be a domain with at least one dot'));
  if (spec.scope === undefined || spec.scope === '') found.push(required('spec.scope'));
  else if (spec.scope !== 'Cluster' && spec.scope !== 'Namespaced')
    found.push(notSupported('spec.scope', spec.scope, ['Cluster', 'Namespaced']));
  return [...found, ...checkVersions(listOf(spec.versions).map(objectOf)), ...checkNames(objectOf(spec.names))];
}

function checkNames(names: PlainObject): FieldCause[] {
  const found: FieldCause[] = [];
  for (const field of ['plural', 'kind'] as const)
    if (textOf(names[field]) === '') found.push(required(`spec.names.${field}`));
  const mixed = `may have mixed case, but should otherwise match: ${LABEL_1035}`;
  for (const [field, words] of Object.entries({
    plural: LABEL_1035,
    singular: LABEL_1035,
    kind: mixed,
    listKind: mixed,
  })) {
    const name = textOf(names[field]);
    const compared = words === mixed ? name.toLowerCase() : name;
    if (name !== '' && !isLabel(compared)) found.push(invalid(`spec.names.${field}`, name, words));
  }
  if (names.kind !== undefined && names.kind === names.listKind)
    found.push(invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'));
  for (const field of ['shortNames', 'categories'] as const)
    for (const [i, name] of listOf(names[field]).entries())
      if (!isLabel(textOf(name))) found.push(invalid(at(`spec.names.${field}`, i), name, LABEL_1035));
  return found;
}

function checkVersions(versions: PlainObject[]): FieldCause[] {
  const found: FieldCause[] = [];
  for (const [i, version] of versions.entries()) {
    const path = at('spec.versions', i);
    if (!isLabel(textOf(version.name))) found.push(invalid(child(path, 'name'), textOf(version.name), LABEL_1035));
    if (typeof objectOf(version.schema).openAPIV3Schema !== 'object')
      found.push(required(child(path, 'schema.openAPIV3Schema')));
    const columns = versions.length === 1 ? 'spec.additionalPrinterColumns' : child(path, 'additionalPrinterColumns');
    for (const [j, column] of listOf(version.additionalPrinterColumns).map(objectOf).entries())
      found.push(...checkColumn(column, at(columns, j)));
  }
  if (new Set(versions.map(version => version.name)).size < versions.length)
    found.push(invalid('spec.versions', versions, 'must contain unique version names'));
  if (versions.filter(version => version.storage === true).length !== 1)
    found.push(invalid('spec.versions', versions, 'must have exactly one version marked as storage version'));
  return found;
}

function checkColumn(column: PlainObject, path: string): FieldCause[] {
  const found: FieldCause[] = [];
  const { name, type, format, jsonPath } = column;
  if (textOf(name) === '') found.push(required(child(path, 'name')));
  if (textOf(type) === '') found.push(required(child(path, 'type'), `must be one of ${COLUMN_TYPES.join(',')}`));
  else if (!COLUMN_TYPES.includes(textOf(type)))
    found.push(invalid(child(path, 'type'), type, `must be one of ${COLUMN_TYPES.join(',')}`));
  if (textOf(format) !== '' && !COLUMN_FORMATS.includes(textOf(format)))
    found.push(invalid(child(path, 'format'), format, `must be one of ${COLUMN_FORMATS.join(',')}`));
  if (textOf(jsonPath) === '') found.push(required(child(path, 'JSONPath')));
  return found;
}

/** Things that a schema of a CRD may not use at all. */
export function checkUnsupported(raw: PlainObject, path: string): FieldCause[] {
  const words = (name: string): FieldCause => forbidden(child(path, name), `${name} is not supported`);
  const found = ['id', 'additionalItems', 'patternProperties', 'definitions', 'dependencies']
    .filter(name => raw[name] !== undefined)
    .map(words);
  if (raw.$ref !== undefined) found.push(forbidden(child(path, '$ref'), '$ref is not supported'));
  if (raw.uniqueItems === true)
    found.push(
      forbidden(
        child(path, 'uniqueItems'),
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  return found;
}
