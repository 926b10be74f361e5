import { parse } from 'yaml';
import type { PlainObject } from '../../../schema/types.ts';
import { badRequest, isStatusError, notAcceptable, unsupportedMediaType } from '../status.ts';
import { fromProtobuf } from './protobuf.ts';

/** An HTTP request, without the socket. */
export interface KubeRequest {
  method: string;
  /** Path and query. */
  url: string;
  /** Names in lower case. */
  headers?: Record<string, string | undefined>;
  /** Bytes where the client sends protobuf. */
  body?: string | Uint8Array;
}

export interface KubeAnswer {
  code: number;
  headers: Record<string, string>;
  body: string | Uint8Array;
}

/** A watch on its way: `start` sends lines until `end`; what it returns stops it. */
interface KubeStream {
  code: 200;
  headers: Record<string, string>;
  start(sink: { write(chunk: string): void; end(): void }): () => void;
}

export type KubeResponse = KubeAnswer | KubeStream | { lost: true };

/** The answer's format, as the client requests it. */
export interface Wanted {
  yaml: boolean;
  as?: 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  groupVersion: string;
}

const MEDIA_TYPES = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

/** The media types of an Accept header, most wanted first, with their parameters. */
export function accepted(header: string | undefined): { type: string; params: Record<string, string> }[] {
  return (header || 'application/json')
    .split(',')
    .map(part => {
      const [type = '', ...params] = part.split(';').map(word => word.trim());
      return { type, params: Object.fromEntries(params.map(param => param.split('=') as [string, string])) };
    })
    .map((each, index) => ({ ...each, index, q: Number(each.params.q ?? 1) }))
    .sort((a, b) => b.q - a.q || a.index - b.index);
}

/** Chooses among what the client accepts. Protobuf and CBOR are not served; clients that ask for them take JSON too. */
export function negotiate(header: string | undefined): Wanted {
  for (const { type, params } of accepted(header)) {
    const yaml = type === 'application/yaml';
    if (!yaml && !['application/json', 'application/*', '*/*'].includes(type)) continue;
    const groupVersion = params.g ? `${params.g}/${params.v}` : 'meta.k8s.io/v1';
    if (!params.as) return { yaml, groupVersion };
    if (!/^meta\.k8s\.io\/v1(beta1)?$/.test(groupVersion)) continue;
    if (params.as === 'Table' || params.as === 'PartialObjectMetadata' || params.as === 'PartialObjectMetadataList') {
      return { yaml, as: params.as, groupVersion };
    }
  }
  throw notAcceptable(MEDIA_TYPES);
}

/**
 * The body as an object of `kind`; JSON where the client names no type. What is built in is taken for what belongs there
 * where it does not say itself what it is: then `apiVersion` is given. Throws a 400 or 415 Status.
 */
export function decodeBody(request: KubeRequest, kind: string, apiVersion?: string): PlainObject {
  const type = (request.headers?.['content-type'] ?? 'application/json').split(';')[0]?.trim() ?? '';
  const body = request.body ?? '';
  if (type === 'application/vnd.kubernetes.protobuf' && typeof body !== 'string') {
    const object = fromProtobuf(body);
    if (object) return object;
  }
  const text = body.toString();
  const unrecognized = (why: string) =>
    badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${summary(text)})`);
  let value: unknown;
  try {
    if (type === 'application/yaml') value = parse(text);
    else if (type === 'application/json' || type === '*/*' || type === '') value = JSON.parse(text);
    else throw unsupportedMediaType(MEDIA_TYPES);
  } catch (error) {
    if (isStatusError(error)) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw unrecognized(`couldn't get version/kind; json parse error: ${why.replace('Unexpected', 'unexpected')}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const goType =
      'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }';
    const found = Array.isArray(value) ? 'array' : typeof value;
    throw unrecognized(
      `couldn't get version/kind; json parse error: json: cannot unmarshal ${found} into Go value of type ${goType}`,
    );
  }
  const object = value as PlainObject;
  if (apiVersion) return { ...object, apiVersion: object.apiVersion || apiVersion, kind: object.kind || kind };
  const missing = object.kind ? (object.apiVersion ? undefined : 'apiVersion') : 'Kind';
  if (missing && kind !== 'DeleteOptions') throw unrecognized(`Object '${missing}' is missing in '${text}'`);
  return object;
}

/** As kube-apiserver quotes a body: the start of an object, anything else in hexadecimal. */
function summary(text: string): string {
  if (!text) return '<empty>';
  const shown = text.startsWith('{') ? text.slice(0, 30) : Buffer.from(text).subarray(0, 30).toString('hex');
  return text.length > 30 ? `${shown} ...` : shown;
}
