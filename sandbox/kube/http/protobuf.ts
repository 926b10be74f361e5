/**
 * Reads the protobuf that kubectl (since 1.32) and other Go clients send when they create a built-in object; answers
 * are JSON, which they take as well. Field numbers are those of Kubernetes' generated.proto files; kinds that no such
 * client creates are not here and are answered 415.
 */
import type { PlainObject } from '../../../schema/types.ts';

type Shape = { [field: number]: readonly [name: string, type: Type] };
type Type =
  | 'string'
  | 'bytes'
  | 'bool'
  | 'number'
  | 'time'
  | 'strings'
  | 'stringMap'
  | 'bytesMap'
  | { one: Shape }
  | { many: Shape };

const OWNER: Shape = {
  1: ['kind', 'string'],
  3: ['name', 'string'],
  4: ['uid', 'string'],
  5: ['apiVersion', 'string'],
  6: ['controller', 'bool'],
  7: ['blockOwnerDeletion', 'bool'],
};
const META: Shape = {
  1: ['name', 'string'],
  2: ['generateName', 'string'],
  3: ['namespace', 'string'],
  5: ['uid', 'string'],
  6: ['resourceVersion', 'string'],
  7: ['generation', 'number'],
  8: ['creationTimestamp', 'time'],
  11: ['labels', 'stringMap'],
  12: ['annotations', 'stringMap'],
  13: ['ownerReferences', { many: OWNER }],
  14: ['finalizers', 'strings'],
};
const NAME_ONLY: Shape = { 1: ['name', 'string'] };
const metadata = ['metadata', { one: META }] as const;

const KINDS: Record<string, Shape> = {
  Namespace: { 1: metadata, 2: ['spec', { one: { 1: ['finalizers', 'strings'] } }] },
  ConfigMap: {
    1: metadata,
    2: ['data', 'stringMap'],
    3: ['binaryData', 'bytesMap'],
    4: ['immutable', 'bool'],
  },
  Secret: {
    1: metadata,
    2: ['data', 'bytesMap'],
    3: ['type', 'string'],
    4: ['stringData', 'stringMap'],
    5: ['immutable', 'bool'],
  },
  ServiceAccount: {
    1: metadata,
    2: ['secrets', { many: { 1: ['kind', 'string'], 2: ['namespace', 'string'], 3: ['name', 'string'] } }],
    3: ['imagePullSecrets', { many: NAME_ONLY }],
    4: ['automountServiceAccountToken', 'bool'],
  },
};

const MAGIC = Buffer.from('k8s\0');
const UNKNOWN: Shape = {
  1: ['type', { one: { 1: ['apiVersion', 'string'], 2: ['kind', 'string'] } }],
  2: ['raw', 'bytes'],
};

/** The object, or undefined if the body is not protobuf of a kind known here. */
export function fromProtobuf(body: Uint8Array): PlainObject | undefined {
  const bytes = Buffer.from(body);
  if (!bytes.subarray(0, 4).equals(MAGIC)) return undefined;
  const envelope = read(bytes.subarray(4), UNKNOWN);
  const { apiVersion, kind } = (envelope.type ?? {}) as { apiVersion?: string; kind?: string };
  const shape = apiVersion === 'v1' && kind ? KINDS[kind] : undefined;
  if (!shape) return undefined;
  return { apiVersion, kind, ...read(Buffer.from(String(envelope.raw ?? ''), 'base64'), shape) };
}

function read(bytes: Buffer, shape: Shape): PlainObject {
  const result: PlainObject = {};
  let at = 0;
  const varint = () => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    const [name, type] = shape[Math.floor(tag / 8)] ?? ['', 'string'];
    if (wire === 0) {
      const value = varint();
      if (name) result[name] = type === 'bool' ? value === 1 : value;
      continue;
    }
    // Kubernetes' own types use varints and length-delimited fields only.
    if (wire !== 2) throw new RangeError(`protobuf wire type ${wire} is not expected here`);
    const length = varint();
    const part = bytes.subarray(at, at + length);
    at += length;
    if (name) add(result, name, type, part);
  }
  return result;
}

function add(result: PlainObject, name: string, type: Type, part: Buffer) {
  const list = (value: unknown) => [...((result[name] ?? []) as unknown[]), value];
  if (typeof type === 'object') {
    result[name] = 'one' in type ? read(part, type.one) : list(read(part, type.many));
  } else if (type === 'strings') result[name] = list(part.toString());
  else if (type === 'stringMap' || type === 'bytesMap') {
    const entry = read(part, { 1: ['key', 'string'], 2: ['value', type === 'bytesMap' ? 'bytes' : 'string'] });
    result[name] = { ...(result[name] as PlainObject), [String(entry.key ?? '')]: entry.value ?? '' };
  } else if (type === 'bytes') result[name] = part.toString('base64');
  else if (type === 'string') result[name] = part.toString();
  // Times are set by the server.
}
