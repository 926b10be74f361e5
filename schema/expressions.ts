import { at, child, forbidden, invalid, notSupported, printed, required } from './causes.ts';
import { compileExpression, compileRules, validateRules } from './cel/rules.ts';
import { equal, type Rule, type Schema } from './model.ts';
import { prune } from './shape.ts';
import { json } from './text.ts';
import type { FieldCause } from './types.ts';
import { validateValue } from './validate.ts';

/**
 * Checks the values and expressions that a schema holds: its defaults and its x-kubernetes-validations.
 * Source: k8s.io/apiextensions-apiserver v0.37.2, schema/defaulting/validation.go and apis/apiextensions/validation.
 */

const REASONS = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

/** A default has to be valid by itself, before nested defaults are filled in. */
export function checkDefaults(schema: Schema, path: string, isRoot = true): FieldCause[] {
  const found: FieldCause[] = [];
  const here = child(path, 'default');
  const { default: value } = schema;
  if (value !== undefined) {
    if (!equal(prune(value, { ...schema, nullable: true }, schema.embedded), value))
      found.push(invalid(here, value, 'must not have unknown fields'));
    const wrong = validateValue(schema, value, '').map(cause => ({
      ...cause,
      field: cause.field === '<nil>' ? here : child(here, cause.field),
    }));
    const rules = wrong.length === 0 ? compileRules(schema, schema.embedded) : undefined;
    found.push(...wrong, ...(rules ? validateRules(rules, value, here, undefined) : []));
  }
  if (schema.items) found.push(...checkDefaults(schema.items, child(path, 'items'), false));
  for (const [name, property] of Object.entries(schema.properties)) {
    const below = at(child(path, 'properties'), name);
    const isMeta = isRoot && ['metadata', 'apiVersion', 'kind'].includes(name);
    found.push(...(isMeta ? forbidDefaults(property, below, name) : checkDefaults(property, below, false)));
  }
  return found;
}

function forbidDefaults(schema: Schema, path: string, name: string): FieldCause[] {
  const below = Object.entries(schema.properties).flatMap(([field, property]) =>
    forbidDefaults(property, at(child(path, 'properties'), field), name),
  );
  if (schema.default === undefined) return below;
  return [forbidden(child(path, 'default'), `must not be set in top-level ${name}`), ...below];
}

/** `unrelated`: the outermost ancestor whose parts cannot be found again after a change, so that there is no oldSelf. */
export function checkRules(schema: Schema, path: string, isResource = true, unrelated?: string): FieldCause[] {
  const found = schema.rules.flatMap((rule, i) =>
    checkRule(rule, schema, at(child(path, 'x-kubernetes-validations'), i), isResource, unrelated),
  );
  const { items, properties, additionalProperties } = schema;
  const below = (item: Schema, where: string, lost: boolean): unknown =>
    found.push(...checkRules(item, child(path, where), item.embedded, unrelated ?? (lost ? path : undefined)));
  if (items) below(items, 'items', schema.listType !== 'map');
  if (typeof additionalProperties === 'object') below(additionalProperties, 'additionalProperties', false);
  for (const [name, property] of Object.entries(properties)) below(property, at('properties', name), false);
  return found;
}

function checkRule(
  rule: Rule,
  schema: Schema,
  path: string,
  isResource: boolean,
  unrelated: string | undefined,
): FieldCause[] {
  const here = (name: string): string => child(path, name);
  const found = checkWords(rule, here);
  if (rule.reason !== undefined && !REASONS.includes(rule.reason))
    found.push(notSupported(here('reason'), rule.reason, REASONS));
  if (rule.fieldPath !== '' && !hasPath(schema, rule.fieldPath))
    found.push(invalid(here('fieldPath'), rule.fieldPath, 'must be a valid path'));
  if (found.length > 0) return found;
  const compiled = compileExpression(rule.rule, schema, isResource, 'bool', rule.optionalOldSelf === true);
  if (!compiled.ok) found.push(invalid(here('rule'), shown(rule), compiled.message));
  else if (compiled.usesOldSelf && unrelated !== undefined)
    found.push(
      invalid(
        here('rule'),
        rule.rule,
        `oldSelf cannot be used on the uncorrelatable portion of the schema within ${unrelated}`,
      ),
    );
  else if (!compiled.usesOldSelf && rule.optionalOldSelf !== undefined)
    found.push(invalid(here('optionalOldSelf'), rule.optionalOldSelf, 'may not be set if oldSelf is not used in rule'));
  if (rule.messageExpression !== '') {
    const words = compileExpression(
      rule.messageExpression,
      schema,
      isResource,
      'string',
      rule.optionalOldSelf === true,
    );
    if (!words.ok)
      found.push(
        invalid(
          here('messageExpression'),
          shown(rule),
          words.message.replace(/^compilation/, 'messageExpression compilation'),
        ),
      );
  }
  return found;
}

function checkWords(rule: Rule, here: (name: string) => string): FieldCause[] {
  const found: FieldCause[] = [];
  const [text, message] = [rule.rule.trim(), rule.message.trim()];
  if (text === '') found.push(required(here('rule'), 'rule is not specified'));
  else if (rule.message !== '' && message === '')
    found.push(invalid(here('message'), rule.message, 'must be non-empty if specified'));
  else if (/[\n\r]/.test(message)) found.push(invalid(here('message'), rule.message, 'must not contain line breaks'));
  else if (/[\n\r]/.test(text) && message === '')
    found.push(required(here('message'), 'message must be specified if rule contains line breaks'));
  if (rule.messageExpression !== '' && rule.messageExpression.trim() === '')
    found.push(required(here('messageExpression'), 'messageExpression must be non-empty if specified'));
  return found;
}

/** The rule as the server prints it: a Go struct, its fields in the order of their declaration. */
const shown = (rule: Rule): ReturnType<typeof printed> => {
  const fields = {
    Rule: rule.rule,
    Message: rule.message,
    MessageExpression: rule.messageExpression,
    Reason: rule.reason ?? null,
    FieldPath: rule.fieldPath,
    OptionalOldSelf: rule.optionalOldSelf ?? null,
  };
  return printed(`{${Object.entries(fields).map(([name, value]) => `"${name}":${json(value)}`)}}`);
};

function stepInto({ properties, additionalProperties }: Schema, name: string): Schema | undefined {
  if (Object.keys(properties).length > 0) return Object.hasOwn(properties, name) ? properties[name] : undefined;
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

/** Whether `.a.b['c']` names a field of the schema. */
function hasPath(schema: Schema, fieldPath: string): boolean {
  const steps = [...fieldPath.matchAll(/\.([^.[\]]+)|\['((?:\\.|[^'\\])*)'\]/g)];
  if (steps.map(step => step[0]).join('') !== fieldPath) return false;
  let current: Schema | undefined = schema;
  for (const [, name, quoted] of steps) {
    current = stepInto(current, name ?? quoted ?? '');
    if (!current) return false;
  }
  return true;
}
