import { createHash } from 'node:crypto';
import type { Json, JsonObject } from '../../../../ports/json.ts';
import type { Project } from '../../contracts.ts';
import { invalid } from '../../errors.ts';
import { etagOf, versionIn } from '../version.ts';

/** What v1 objects have in common: Kubernetes' metadata. */

export const API_VERSION = 'serving.knative.dev/v1';
export const LOCATION = 'cloud.googleapis.com/location';

/** A project and region, as a name of v2 says them and the project's number beside. */
export interface Place {
  project: Project;
  location: string;
}

export const selfLink = ({ project }: Place, collection: string, name: string): string =>
  `/apis/${API_VERSION}/namespaces/${project.number}/${collection}/${name}`;

/** A uid of the form of a UUID, always the same for one text. */
export function uidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
}

/** The uid of a service's Configuration or Route: v2 knows only the service's. */
export const partUid = (uid: string, collection: string): string => uidOf(`${uid}/${collection}`);

/** Annotations that only the server writes, on objects that clients send back as they have read them. */
const OUTPUT_ONLY =
  /^(serving\.knative\.dev\/.*|run\.googleapis\.com\/(ingress-status|urls|operation-id|build-id|satisfiesPzs|gc-traffic-tags))$/;
const RESERVED =
  /^([^/]*\.)?(run\.googleapis\.com|cloud\.googleapis\.com|serving\.knative\.dev|autoscaling\.knative\.dev)\//;

/**
 * The annotations that are the user's own. Throws INVALID_ARGUMENT for one of Cloud Run's that is not known at this place, in the words
 * of a capture of the real service.
 */
export function freeAnnotations(
  annotations: Record<string, string>,
  known: ReadonlySet<string>,
  at: string,
): Record<string, string> {
  const others = Object.entries(annotations).filter(([key]) => !known.has(key) && !OUTPUT_ONLY.test(key));
  const wrong = others.find(([key]) => RESERVED.test(key));
  if (wrong) {
    const description = `'${wrong[0]}' is not a supported annotation.`;
    throw invalid(`${at}: ${description}`, { field: at, description });
  }
  return Object.fromEntries(others);
}

/** The labels without those that only the server writes. */
export const freeLabels = (labels: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(labels).filter(([key]) => !RESERVED.test(key)));

export function textMap(value: Json | undefined): Record<string, string> {
  const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return Object.fromEntries(entries.map(([key, text]) => [key, String(text ?? '')]));
}

export const isEmpty = (map: object): boolean => Object.keys(map).length === 0;

/**
 * A resourceVersion is, as in captures of the real service, the time of the last change by a client: microseconds since the epoch
 * as eight bytes in base64. The etag of v2 has the same time.
 */
export function resourceVersion(etag: string): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(versionIn(etag)));
  return bytes.toString('base64').replace(/=+$/, '');
}

/** The etag of the v2 resource `name` that a resourceVersion means. Throws INVALID_ARGUMENT. */
export function etagFor(version: string, name: string): string {
  const bytes = Buffer.from(version, 'base64');
  const micros = bytes.length === 8 ? Number(bytes.readBigUInt64BE()) : 0;
  if (!Number.isSafeInteger(micros) || micros <= 0) {
    throw invalid(`metadata.resourceVersion: '${version}' is invalid.`);
  }
  return etagOf(micros, name);
}

/** The object's labels and annotations without empty maps. */
export function withMaps(metadata: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(metadata).filter(
      ([, value]) => value !== undefined && !(typeof value === 'object' && value !== null && isEmpty(value)),
    ),
  );
}
