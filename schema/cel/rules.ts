import { type CelInput, type CelResult, celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import { at, child, duplicate, forbidden, invalid, OMITTED, required } from '../causes.ts';
import { equal, fieldSchema, isObject, type Rule, readSchema, type Schema } from '../model.ts';
import { compilePattern } from '../patterns.ts';
import type { FieldCause } from '../types.ts';
import { type Old, oldField, oldItem } from '../validate.ts';
import { inspect } from './check.ts';
import { library, optionalOldSelf, registry } from './library.ts';
import { toCel, withMeta } from './values.ts';

/**
 * x-kubernetes-validations. Source: k8s.io/apiextensions-apiserver v0.37.2, pkg/apiserver/schema/cel/validation.go.
 * The cost budget is not estimated: a rule too expensive for kube-apiserver is accepted here.
 */

const environment = celEnv({
  registry,
  funcs: library,
  re2: { compile: pattern => ({ test: compilePattern(pattern) }) },
});
const hasFunction = (name: string): boolean => environment.funcs.find(name) !== undefined;

type Program = (variables: Record<string, CelInput>) => CelResult;
interface CompiledRule {
  rule: Rule;
  evaluate: Program;
  message?: Program;
  usesOldSelf: boolean;
}

/** The rules of a schema and of everything below it. */
export interface RuleTree {
  schema: Schema;
  isResource: boolean;
  rules: CompiledRule[];
  properties: Record<string, RuleTree>;
  items?: RuleTree;
  values?: RuleTree;
  /** Some rule here or below compares with what was. */
  asksForOld: boolean;
  /** For which all rules, here and below, have held. What is stored is never changed, so they hold for good. */
  held: WeakSet<object>;
}

type Parsed = ReturnType<typeof parse>;

/** The latest expressions. Each one is compiled at least twice, to be checked and to be run, and most of that time goes to the parser. */
const alreadyParsed = new Map<string, Parsed>();
const MOST_PARSED = 500;

/** Throws what `parse` throws. Nobody changes what it returns. */
function parsed(text: string): Parsed {
  const known = alreadyParsed.get(text);
  if (known) return known;
  const ast = parse(text);
  if (alreadyParsed.size >= MOST_PARSED) alreadyParsed.clear();
  alreadyParsed.set(text, ast);
  return ast;
}

export type CompiledExpression = { ok: true; run: Program; usesOldSelf: boolean } | { ok: false; message: string };

/** Compiles one expression over `self` and `oldSelf`; `result` is the type that it must have. */
export function compileExpression(
  text: string,
  schema: Schema,
  isResource: boolean,
  result: 'bool' | 'string',
  optional: boolean,
): CompiledExpression {
  const self = { schema: isResource ? withMeta(schema, readSchema) : schema };
  const failed = (message: string, position: number): CompiledExpression => {
    const before = text.slice(0, position).split('\n');
    const column = before.at(-1)?.length ?? 0;
    const line = text.split('\n')[before.length - 1] ?? '';
    const pointer = `\n | ${line}\n | ${'.'.repeat(column)}^`;
    return {
      ok: false,
      message: `compilation failed: ERROR: <input>:${before.length}:${column + 1}: ${message}${pointer}`,
    };
  };
  let ast: Parsed;
  try {
    ast = parsed(text);
  } catch (error) {
    const { message, location } = error as { message: string; location?: { start?: { offset?: number } } };
    return failed(`Syntax error: ${message.replace(/^<input>:\d+:\d+: /, '')}`, location?.start?.offset ?? 0);
  }
  const seen = inspect(ast.expr, { self, oldSelf: optional ? undefined : self }, hasFunction);
  const [finding] = seen.findings;
  if (finding) {
    const start = ast.sourceInfo?.positions[String(finding.id)] ?? 0;
    // cel-go points at a call's parenthesis.
    return failed(finding.message, finding.isCall ? text.indexOf('(', start) : start);
  }
  if (seen.result !== undefined && seen.result !== result)
    return {
      ok: false,
      message:
        result === 'bool' ? 'cel expression must evaluate to a bool' : 'messageExpression must evaluate to a string',
    };
  try {
    return { ok: true, run: plan(environment, ast) as Program, usesOldSelf: seen.usesOldSelf };
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error), 0);
  }
}

/** Undefined where there is no rule at all. Rules that do not compile are left out: the CRD was refused for them. */
export function compileRules(schema: Schema, isResource: boolean): RuleTree | undefined {
  const rules = schema.rules.flatMap((rule): CompiledRule[] => {
    const compiled = compileExpression(rule.rule, schema, isResource, 'bool', rule.optionalOldSelf === true);
    if (!compiled.ok) return [];
    const words = rule.messageExpression
      ? compileExpression(rule.messageExpression, schema, isResource, 'string', rule.optionalOldSelf === true)
      : undefined;
    return [
      { rule, evaluate: compiled.run, usesOldSelf: compiled.usesOldSelf, message: words?.ok ? words.run : undefined },
    ];
  });
  const properties = Object.fromEntries(
    Object.entries(schema.properties).flatMap(([name, property]) => {
      const tree = compileRules(property, property.embedded);
      return tree ? [[name, tree]] : [];
    }),
  );
  const below = (item: Schema | undefined): RuleTree | undefined => item && compileRules(item, item.embedded);
  const items = below(schema.items);
  const values = below(fieldSchema({ ...schema, properties: {} }, ''));
  if (rules.length + Object.keys(properties).length === 0 && !items && !values) return undefined;
  const parts = [...Object.values(properties), ...(items ? [items] : []), ...(values ? [values] : [])];
  return {
    schema: isResource ? withMeta(schema, readSchema) : schema,
    isResource,
    rules,
    properties,
    items,
    values,
    asksForOld: rules.some(({ usesOldSelf }) => usesOldSelf) || parts.some(({ asksForOld }) => asksForOld),
    held: new WeakSet(),
  };
}

/** Runs the rules of a value that has passed the rest. `unchanged`: the nearest ancestor known before is as it was. */
export function validateRules(
  tree: RuleTree,
  value: unknown,
  path: string,
  old: Old | undefined,
  unchanged = false,
): FieldCause[] {
  if (value === null || value === undefined) return [];
  if (typeof value === 'object' && tree.held.has(value)) return [];
  const same = old ? equal(value, old.value) : unchanged;
  if (same && typeof value === 'object' && isObject(old?.value) && tree.held.has(old.value)) {
    tree.held.add(value);
    return [];
  }
  const found = tree.rules.length > 0 ? runRules(tree, value, path, old, same) : [];
  if (Array.isArray(value) && tree.items) {
    const { items } = tree;
    for (const [i, item] of value.entries())
      found.push(...validateRules(items, item, at(path, i), oldItem(tree.schema, item, old), same));
  }
  if (isObject(value))
    for (const [name, item] of Object.entries(value)) {
      const before = tree.schema.mapType === 'atomic' ? undefined : oldField(name, old);
      const property = Object.hasOwn(tree.properties, name) ? tree.properties[name] : undefined;
      if (property) found.push(...validateRules(property, item, child(path, name), before, same));
      else if (tree.values && !Object.hasOwn(tree.schema.properties, name))
        found.push(...validateRules(tree.values, item, at(path, name), before, same));
    }
  if (found.length === 0 && !tree.asksForOld && !same && typeof value === 'object') tree.held.add(value);
  return found;
}

function runRules(tree: RuleTree, value: unknown, path: string, old: Old | undefined, same: boolean): FieldCause[] {
  const { schema } = tree;
  const self = toCel(value, schema);
  const oldSelf = old && old.value !== null ? toCel(old.value, schema) : undefined;
  const found: FieldCause[] = [];
  for (const { rule, evaluate, message, usesOldSelf } of tree.rules) {
    const optional = rule.optionalOldSelf === true;
    if (usesOldSelf && oldSelf === undefined && !optional) continue;
    const variables: Record<string, CelInput> = { self };
    if (optional) variables.oldSelf = optionalOldSelf(oldSelf);
    else if (oldSelf !== undefined) variables.oldSelf = oldSelf;
    const outcome = evaluate(variables);
    if (outcome === true) continue;
    const label = (rule.message || rule.rule).trim();
    if (isCelError(outcome)) {
      found.push(invalid(path, schema.type, failure(outcome.message, label)));
      continue;
    }
    // What was wrong before and has not been touched is let pass, so that a stricter CRD holds up nobody.
    if (same && !usesOldSelf) continue;
    const words = (message && spoken(message(variables))) ?? (rule.message === '' ? `failed rule: ${label}` : label);
    found.push(refusal(rule, pathOf(path, rule.fieldPath), schema, value, words));
  }
  return found;
}

function failure(reason: string, label: string): string {
  const words = wording(reason);
  if (words.startsWith('no such overload'))
    return `'${words}': call arguments did not match a supported operator, function or macro signature for rule: ${label}`;
  return `${words} evaluating rule: ${label}`;
}

/** The evaluator's words for an error, in those of cel-go. */
const wording = (reason: string): string =>
  reason
    .replace(/^field not found: /, 'no such key: ')
    .replace(/^index (-?\d+) out of bounds.*$/, 'index out of bounds: $1')
    .replace(/^int divide by zero$/, 'division by zero')
    .replace(/^Cannot convert .* to a BigInt$/, "type conversion error from 'string' to 'int'")
    .replace(/^found no matching overload.*$/, 'no such overload');

function spoken(outcome: CelResult): string | undefined {
  if (typeof outcome !== 'string') return undefined;
  const text = outcome.trim();
  return text === '' || text.includes('\n') || Buffer.byteLength(text) > 5 * 1024 ? undefined : text;
}

/** `.a['b']` as `a.b`. */
const pathOf = (path: string, fieldPath: string): string =>
  fieldPath === '' ? path : child(path, fieldPath.replace(/\['((?:\\.|[^'\\])*)'\]/g, '.$1').replace(/^\./, ''));

function refusal(rule: Rule, path: string, schema: Schema, value: unknown, words: string): FieldCause {
  const shown = schema.type === 'object' || schema.type === 'array' ? OMITTED : value;
  if (rule.reason === 'FieldValueForbidden') return forbidden(path, words);
  if (rule.reason === 'FieldValueRequired') return required(path, words);
  if (rule.reason === 'FieldValueDuplicate') return duplicate(path, shown);
  return invalid(path, shown, words);
}
