import { invalid } from './causes.ts';
import { compileRules, type RuleTree, validateRules } from './cel/rules.ts';
import { checkDefinition } from './definition.ts';
import { checkDefaults, checkRules } from './expressions.ts';
import { validateLists } from './lists.ts';
import { equal, listOf, objectOf, readSchema, type Schema, textOf } from './model.ts';
import { checkSelectable } from './selectable.ts';
import { applyDefaults, prune } from './shape.ts';
import { checkStructural } from './structural.ts';
import type { CompileCrd, CompiledVersion, FieldCause, PlainObject, PrinterColumn } from './types.ts';
import { validateValue } from './validate.ts';

export type * from './types.ts';

/** Compiles a CustomResourceDefinition (apiextensions.k8s.io/v1), or tells why kube-apiserver 1.37 refuses it. Never throws. */
export const compileCrd: CompileCrd = crd => {
  const spec = objectOf(crd.spec);
  const versions = listOf(spec.versions).map(objectOf);
  const schemas = versions.map(version => readSchema(objectOf(version.schema).openAPIV3Schema));
  const causes = checkDefinition(crd);
  for (const [i, schema] of schemas.entries()) {
    // The server keeps a schema that all versions share in one place, and names that place.
    const isShared = versions.every(version => equal(version.schema, versions[0]?.schema));
    const base = isShared ? 'spec.validation' : `spec.versions[${i}].schema`;
    causes.push(...checkSchema(schema, `${base}.openAPIV3Schema`, hasStatus(versions[i])));
    const selectable = versions.length === 1 ? 'spec.selectableFields' : `spec.versions[${i}].selectableFields`;
    causes.push(...checkSelectable(versions[i] ?? {}, schema, selectable));
  }
  if (causes.length > 0) return { ok: false, causes };
  const names = objectOf(spec.names);
  const kind = textOf(names.kind);
  return {
    ok: true,
    crd: {
      group: textOf(spec.group),
      kind,
      listKind: textOf(names.listKind) || `${kind}List`,
      plural: textOf(names.plural),
      singular: textOf(names.singular) || kind.toLowerCase(),
      shortNames: listOf(names.shortNames).map(textOf),
      categories: listOf(names.categories).map(textOf),
      namespaced: spec.scope === 'Namespaced',
      versions: versions.map((version, i) => compileVersion(version, schemas[i] ?? readSchema({}))),
    },
  };
};

const hasStatus = (version: PlainObject | undefined): boolean =>
  typeof objectOf(version?.subresources).status === 'object';

function checkSchema(schema: Schema, path: string, status: boolean): FieldCause[] {
  const causes = checkStructural(schema, path, status);
  if (causes.length > 0) return causes;
  const defaults = checkDefaults(schema, path);
  return defaults.length > 0 ? defaults : checkRules(schema, path);
}

function compileVersion(version: PlainObject, schema: Schema): CompiledVersion {
  const rules = compileRules(schema, true);
  return {
    name: textOf(version.name),
    served: version.served === true,
    storage: version.storage === true,
    hasStatus: hasStatus(version),
    printerColumns: listOf(version.additionalPrinterColumns).map(objectOf).map(readColumn),
    openAPIV3Schema: objectOf(objectOf(version.schema).openAPIV3Schema),
    unknownFields: object => {
      const paths: string[] = [];
      prune(object, schema, true, path => paths.push(path));
      return paths.sort();
    },
    prune: object => objectOf(prune(object, schema, true)),
    applyDefaults: object => objectOf(applyDefaults(object, schema)),
    validate: (object, old, wrong) => validate(schema, rules, object, old, wrong),
  };
}

const readColumn = (column: PlainObject): PrinterColumn => ({
  name: textOf(column.name),
  type: textOf(column.type),
  jsonPath: textOf(column.jsonPath),
  ...(textOf(column.format) === '' ? {} : { format: textOf(column.format) }),
  ...(textOf(column.description) === '' ? {} : { description: textOf(column.description) }),
  ...(typeof column.priority === 'number' ? { priority: column.priority } : {}),
});

/** Rules may rely on what the schema says, so they do not run on an object that breaks it in one of these ways. */
const BLOCKING = new Set([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

function validate(
  schema: Schema,
  rules: RuleTree | undefined,
  object: PlainObject,
  old?: PlainObject,
  wrong: FieldCause[] = [],
): FieldCause[] {
  const before = old && { value: old };
  const causes = validateValue(schema, object, '', before);
  if (!old || validateLists(schema, old, '').length === 0) causes.push(...validateLists(schema, object, ''));
  if (!rules) return causes;
  if ([...wrong, ...causes].some(cause => BLOCKING.has(cause.reason))) {
    const words =
      'some validation rules were not checked because the object was invalid; correct the existing errors to complete validation';
    return [...causes, invalid('', null, words)];
  }
  return [...causes, ...validateRules(rules, object, '', before)];
}
