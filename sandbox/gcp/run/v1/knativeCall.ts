import type { Json, JsonObject } from '../../../../ports/json.ts';
import type { Cloud, V2Call } from '../../contracts.ts';
import { invalid } from '../../errors.ts';
import { parentOf } from '../names.ts';
import type { ServiceState } from '../serviceState.ts';
import { shortName, type V2Service } from './knativeService.ts';
import type { Place } from './metadata.ts';
import { isObject } from './rows.ts';

/** What the methods of v1 have in common. */

export const V2 = 'google.cloud.run.v2';

/** What the face knows beside v2's answers. */
export interface Known {
  cloud: Cloud;
  /** Every service, to find the service of a revision and the regions that have services. */
  services(): Iterable<Readonly<ServiceState>>;
}

/** One request to v1, and what answers it. */
export interface Ask {
  known: Known;
  request: JsonObject;
  call: V2Call;
  place: Place;
}

/** A message below a field, empty if there is none. */
export const bodyOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});

/** v2's name of the service that a request names. */
export const nameIn = ({ request, place }: Ask): string =>
  `${parentOf(place)}/services/${shortName(String(request.name))}`;

/** True if the request is only checked (`dryRun=all`). Throws INVALID_ARGUMENT. */
export function isDryRun({ request }: Ask): boolean {
  if (request.dryRun === undefined || request.dryRun === 'all') return request.dryRun === 'all';
  throw invalid(`dryRun: invalid value '${request.dryRun}': must be 'all'.`);
}

/** The service that an operation of v2 carries. */
export function serviceOf(operation: JsonObject): V2Service {
  const { '@type': _, ...service } = bodyOf(operation.response ?? operation.metadata);
  return service as unknown as V2Service;
}

/** v1's answer to a deletion. */
export const success = (kind: string, name: string, uid: string): JsonObject => ({
  status: 'Success',
  details: { name, group: 'serving.knative.dev', kind, uid },
});
