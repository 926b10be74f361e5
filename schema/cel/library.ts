import { isIP } from 'node:net';
import {
  type CelFunc,
  type CelInput,
  CelScalar,
  type CelValue,
  celFunc,
  celMethod,
  listType,
  objectType,
} from '@bufbuild/cel';
import { strings } from '@bufbuild/cel/ext';
import { create, createFileRegistry, type DescMessage, type Message } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import { approximately, fromUnits, parseQuantity, wholeUnits } from './quantity.ts';

/**
 * What Kubernetes adds to CEL, as far as rules of CRDs use it: quantities, lists, regular expressions, URLs, sets, IP
 * addresses, string functions, and the optional `oldSelf`. A rule that calls anything else is refused with its CRD.
 * Source: k8s.io/apiserver v0.37.2, pkg/cel/library and environment/base.go.
 */

const { BOOL, INT, STRING, DOUBLE, DYN } = CelScalar;
const LIST = listType(DYN);

/** Values that CEL cannot look into travel as messages with one text field. */
const file = create(FileDescriptorProtoSchema, {
  name: 'schema/cel.proto',
  package: 'kubernetes',
  syntax: 'proto3',
  messageType: ['Quantity', 'URL', 'Optional'].map(name => ({
    name,
    field: [
      { name: 'text', number: 1, type: FieldDescriptorProto_Type.STRING, label: FieldDescriptorProto_Label.OPTIONAL },
    ],
  })),
});
export const registry = createFileRegistry(file, () => undefined);

function opaque(name: string): { type: ReturnType<typeof objectType<DescMessage>>; make: (text: string) => Message } {
  const desc = registry.getMessage(`kubernetes.${name}`);
  if (!desc) throw new Error(`no descriptor of ${name}`);
  return { type: objectType(desc), make: text => create(desc, { text } as never) };
}
const textOf = (value: unknown): string => (value as { message: { text: string } }).message.text;

const quantity = opaque('Quantity');
const nanos = (value: unknown): bigint => BigInt(textOf(value));
const makeQuantity = (value: bigint): Message => quantity.make(String(value));
const compare = (a: bigint, b: bigint): bigint => (a < b ? -1n : a > b ? 1n : 0n);

const quantities: CelFunc[] = [
  celFunc('isQuantity', [STRING], BOOL, text => parseQuantity(text) !== undefined),
  celFunc('quantity', [STRING], quantity.type, text => {
    const value = parseQuantity(text);
    if (value === undefined)
      throw new Error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    return makeQuantity(value);
  }),
  celMethod('sign', quantity.type, [], INT, function () {
    return compare(nanos(this), 0n);
  }),
  celMethod('isInteger', quantity.type, [], BOOL, function () {
    return wholeUnits(nanos(this)) !== undefined;
  }),
  celMethod('asInteger', quantity.type, [], INT, function () {
    const units = wholeUnits(nanos(this));
    if (units === undefined) throw new Error('cannot convert value to integer');
    return units;
  }),
  celMethod('asApproximateFloat', quantity.type, [], DOUBLE, function () {
    return approximately(nanos(this));
  }),
  celMethod('isGreaterThan', quantity.type, [quantity.type], BOOL, function (other) {
    return nanos(this) > nanos(other);
  }),
  celMethod('isLessThan', quantity.type, [quantity.type], BOOL, function (other) {
    return nanos(this) < nanos(other);
  }),
  celMethod('compareTo', quantity.type, [quantity.type], INT, function (other) {
    return compare(nanos(this), nanos(other));
  }),
  ...(['add', 'sub'] as const).flatMap(name => {
    const direction = name === 'add' ? 1n : -1n;
    return [
      celMethod(name, quantity.type, [quantity.type], quantity.type, function (other) {
        return makeQuantity(nanos(this) + direction * nanos(other));
      }),
      celMethod(name, quantity.type, [INT], quantity.type, function (other) {
        return makeQuantity(nanos(this) + direction * fromUnits(other));
      }),
    ];
  }),
];

type Scalar = bigint | number | string | boolean;
const scalars = (list: Iterable<CelValue>): Scalar[] => [...list] as Scalar[];
const same = (a: unknown, b: unknown): boolean => (isNumeric(a) && isNumeric(b) ? Number(a) === Number(b) : a === b);
const isNumeric = (value: unknown): boolean => typeof value === 'bigint' || typeof value === 'number';

const lists: CelFunc[] = [
  celMethod('isSorted', LIST, [], BOOL, function () {
    const items = scalars(this);
    return items.every((item, i) => i === 0 || (items[i - 1] as Scalar) <= item);
  }),
  celMethod('sum', LIST, [], DYN, function () {
    const items = scalars(this);
    if (items.every(item => typeof item === 'bigint')) return items.reduce((sum, item) => sum + item, 0n);
    return items.reduce<number>((sum, item) => sum + Number(item), 0);
  }),
  ...(['min', 'max'] as const).map(name =>
    celMethod(name, LIST, [], DYN, function () {
      const items = scalars(this);
      if (items.length === 0) throw new Error(`${name} called on empty list`);
      return items.reduce((best, item) => ((name === 'min' ? item < best : item > best) ? item : best));
    }),
  ),
  celMethod('indexOf', LIST, [DYN], INT, function (wanted) {
    return BigInt([...this].findIndex(item => same(item, wanted)));
  }),
  celMethod('lastIndexOf', LIST, [DYN], INT, function (wanted) {
    return BigInt([...this].findLastIndex(item => same(item, wanted)));
  }),
];

/** RE2's library here only tests, so JavaScript's engine finds; for what both can read they find the same. */
function matches(text: string, pattern: string, most: number): string[] {
  const found = [...text.matchAll(new RegExp(pattern, 'gu'))];
  return found.slice(0, Math.min(most, found.length)).map(match => match[0]);
}

const regex: CelFunc[] = [
  celMethod('find', STRING, [STRING], STRING, function (pattern) {
    return matches(this, pattern, 1)[0] ?? '';
  }),
  celMethod('findAll', STRING, [STRING], LIST, function (pattern) {
    return matches(this, pattern, Number.POSITIVE_INFINITY);
  }),
  celMethod('findAll', STRING, [STRING, INT], LIST, function (pattern, most) {
    return matches(this, pattern, most < 0n ? Number.POSITIVE_INFINITY : Number(most));
  }),
];

const url = opaque('URL');
const parsed = (value: unknown): URL => new URL(textOf(value), 'none:');
const isUrl = (text: string): boolean =>
  URL.canParse(text) || (text.startsWith('/') && URL.canParse(text, 'http://none'));
const part = (name: string, read: (url: URL) => string): CelFunc =>
  celMethod(name, url.type, [], STRING, function () {
    return read(parsed(this));
  });
const urls: CelFunc[] = [
  celFunc('isURL', [STRING], BOOL, isUrl),
  celFunc('url', [STRING], url.type, text => {
    if (!isUrl(text))
      throw new Error(`URL parse error during conversion from string: parse "${text}": invalid URI for request`);
    return url.make(text);
  }),
  part('getScheme', it => it.protocol.slice(0, -1)),
  part('getHost', it => it.host),
  part('getHostname', it => it.hostname.replace(/^\[|\]$/g, '')),
  part('getPort', it => it.port),
  part('getEscapedPath', it => it.pathname),
];

const contains = (list: Iterable<CelValue>, other: Iterable<CelValue>): boolean => {
  const items = [...list];
  return [...other].every(wanted => items.some(item => same(item, wanted)));
};
const sets: CelFunc[] = [
  celFunc('sets.contains', [LIST, LIST], BOOL, contains),
  celFunc('sets.equivalent', [LIST, LIST], BOOL, (a, b) => contains(a, b) && contains(b, a)),
  celFunc('sets.intersects', [LIST, LIST], BOOL, (a, b) => {
    const items = [...b];
    return [...a].some(wanted => items.some(item => same(item, wanted)));
  }),
];

/** An optional `oldSelf` travels as a list of none or one; a rule can only ask it for its value. */
export const optionalOldSelf = (value: CelInput | undefined): CelInput => (value === undefined ? [] : [value]);
const optionals: CelFunc[] = [
  celMethod('hasValue', LIST, [], BOOL, function () {
    return this.size > 0;
  }),
  celMethod('value', LIST, [], DYN, function () {
    if (this.size === 0) throw new Error('optional.none() dereference');
    return this.get(0) as CelInput;
  }),
  celMethod('orValue', LIST, [DYN], DYN, function (otherwise) {
    return (this.size > 0 ? this.get(0) : otherwise) as CelInput;
  }),
];

export const library: CelFunc[] = [
  ...strings,
  ...quantities,
  ...lists,
  ...regex,
  ...urls,
  ...sets,
  celFunc('isIP', [STRING], BOOL, text => isIP(text) !== 0),
  ...optionals,
];
