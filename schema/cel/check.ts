import type { parse } from '@bufbuild/cel';
import type { Schema } from '../model.ts';
import { escapeName } from './values.ts';

/**
 * A look at a rule before it ever runs: names that do not exist, fields that the schema does not have, functions that
 * nobody defines. Not a full type checker: what it can't tell it lets pass, and a rule that then fails reports so when
 * it runs.
 */

export type Expr = ReturnType<typeof parse>['expr'];

/** What is known of a value: its schema, a plain CEL type, or nothing. */
type Known = { schema: Schema } | { scalar: string } | undefined;
type Scope = Record<string, Known>;

interface Finding {
  /** Of the expression at fault. */
  id: bigint;
  message: string;
  isCall?: true;
}

export interface Inspection {
  findings: Finding[];
  usesOldSelf: boolean;
  /** The CEL type of the whole, where it is clear. */
  result: string | undefined;
}

const TYPE_NAMES = new Set([
  'int',
  'uint',
  'double',
  'bool',
  'string',
  'bytes',
  'list',
  'map',
  'null_type',
  'type',
  'dyn',
]);
const BOOLEAN = new Set(
  '_&&_ _||_ !_ _==_ _!=_ _<_ _<=_ _>_ _>=_ @in matches startsWith endsWith contains isQuantity isLessThan isGreaterThan hasValue'.split(
    ' ',
  ),
);
const TEXT = new Set(['format', 'string', 'join', 'lowerAscii', 'upperAscii', 'trim', 'substring', 'replace']);

const celTypes: Record<string, string> = {
  string: 'string',
  integer: 'int',
  number: 'double',
  boolean: 'bool',
  array: 'list',
  object: 'map',
};

function nameOf(known: Known): string | undefined {
  if (!known) return undefined;
  return 'scalar' in known
    ? known.scalar
    : known.schema.intOrString || known.schema.format
      ? undefined
      : celTypes[known.schema.type];
}

const elementOf = (known: Known): Known => {
  if (!known || !('schema' in known)) return undefined;
  const { items, additionalProperties } = known.schema;
  if (items) return { schema: items };
  return typeof additionalProperties === 'object' ? { scalar: 'string' } : undefined;
};

export function inspect(expr: Expr, variables: Scope, hasFunction: (name: string) => boolean): Inspection {
  const findings: Finding[] = [];
  let usesOldSelf = false;

  const visitAll = (list: (Expr | undefined)[], scope: Scope): Known[] => list.map(item => visit(item, scope));

  function select(operand: Known, field: string, id: bigint): Known {
    if (!operand || !('schema' in operand) || operand.schema.type !== 'object') return undefined;
    const { properties, additionalProperties } = operand.schema;
    if (typeof additionalProperties === 'object') return { schema: additionalProperties };
    const found = Object.entries(properties).find(([name]) => escapeName(name) === field);
    if (!found) findings.push({ id, message: `undefined field '${field}'` });
    return found && { schema: found[1] };
  }

  function visit(node: Expr | undefined, scope: Scope): Known {
    if (!node) return undefined;
    const { case: kind, value } = node.exprKind;
    if (kind === 'constExpr') {
      const constant = value.constantKind.case ?? '';
      return {
        scalar:
          { int64Value: 'int', stringValue: 'string', boolValue: 'bool', doubleValue: 'double' }[constant as string] ??
          'dyn',
      };
    }
    if (kind === 'identExpr') {
      if (value.name === 'oldSelf') usesOldSelf = true;
      if (Object.hasOwn(scope, value.name)) return scope[value.name];
      if (!TYPE_NAMES.has(value.name))
        findings.push({ id: node.id, message: `undeclared reference to '${value.name}' (in container '')` });
      return undefined;
    }
    if (kind === 'selectExpr') {
      const known = select(visit(value.operand, scope), value.field, node.id);
      return value.testOnly ? { scalar: 'bool' } : known;
    }
    if (kind === 'listExpr') {
      visitAll(value.elements, scope);
      return { scalar: 'list' };
    }
    if (kind === 'structExpr') {
      for (const entry of value.entries) {
        if (entry.keyKind.case === 'mapKey') visit(entry.keyKind.value, scope);
        visit(entry.value, scope);
      }
      return { scalar: 'map' };
    }
    if (kind === 'comprehensionExpr') {
      const element = elementOf(visit(value.iterRange, scope));
      const accumulator = visit(value.accuInit, scope);
      const inner = { ...scope, [value.iterVar]: element, [value.accuVar]: undefined };
      visitAll([value.loopCondition, value.loopStep], inner);
      const outcome = visit(value.result, { ...scope, [value.accuVar]: accumulator });
      // A filter's result holds the same items; whether this is one is not worth telling apart.
      return nameOf(outcome) === 'list' ? undefined : outcome;
    }
    if (kind !== 'callExpr') return undefined;
    const { target, args, function: name } = value;
    const qualified = target?.exprKind.case === 'identExpr' ? `${target.exprKind.value.name}.${name}` : undefined;
    if (qualified !== undefined && hasFunction(qualified)) {
      visitAll(args, scope);
      return undefined;
    }
    if (!/^[_!@-]/.test(name) && !hasFunction(name))
      findings.push({ id: node.id, message: `undeclared reference to '${name}' (in container '')`, isCall: true });
    const [first, second, third] = visitAll(target ? [target, ...args] : args, scope);
    if (BOOLEAN.has(name)) return { scalar: 'bool' };
    if (TEXT.has(name)) return { scalar: 'string' };
    if (name === '_[_]')
      return first && 'schema' in first && first.schema.items ? { schema: first.schema.items } : undefined;
    if (name === '_?_:_') return nameOf(second) === nameOf(third) ? second : undefined;
    return name === '_+_' && nameOf(first) === 'string' ? { scalar: 'string' } : undefined;
  }

  const result = nameOf(visit(expr, variables));
  return { findings, usesOldSelf, result };
}
