import type { JsonObject } from '../../../../ports/json.ts';
import type { V2Call } from '../../contracts.ts';
import { invalid } from '../../errors.ts';
import { LOCATIONS, parentOf } from '../names.ts';
import { type Ask, bodyOf, type Known, V2 } from './knativeCall.ts';
import { serviceToV1, type V2Service } from './knativeService.ts';
import { API_VERSION, type Place, textMap } from './metadata.ts';
import { matchesSelector } from './selector.ts';

/** Lists of v1: whole lists of v2, of which a label selector takes some and `limit` a part. */

/** Every item of a list of v2. */
export async function pages(call: V2Call, method: string, field: string, parent: string): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  let pageToken: string | undefined;
  do {
    const answer = await call(method, { parent, pageSize: 1000, ...(pageToken && { pageToken }) });
    items.push(...((answer[field] ?? []) as JsonObject[]));
    pageToken = answer.nextPageToken as string | undefined;
  } while (pageToken);
  return items;
}

const servicesIn = (call: V2Call, place: Place): Promise<V2Service[]> =>
  pages(call, `${V2}.Services.ListServices`, 'services', parentOf(place)) as Promise<unknown> as Promise<V2Service[]>;

/** A list of v1: of the items that the label selector matches, those after `continue`, at most `limit`. */
export function listed(kind: string, items: JsonObject[], request: JsonObject): JsonObject {
  if (request.watch) throw invalid('watch is not supported.');
  const labels = (item: JsonObject) => textMap(bodyOf(item.metadata).labels);
  const matching = items.filter(item => matchesSelector(String(request.labelSelector ?? ''), labels(item)));
  const start = Number(request.continue ?? 0);
  if (!Number.isSafeInteger(start) || start < 0) throw invalid(`continue: '${request.continue}' is invalid.`);
  const end = Number(request.limit) > 0 ? start + Number(request.limit) : matching.length;
  return {
    apiVersion: API_VERSION,
    kind: `${kind}List`,
    metadata: end < matching.length ? { continue: String(end) } : {},
    items: matching.slice(start, end),
  };
}

/** The services of one region, as `view` shows them. Throws `GcpError`. */
export async function listOf(ask: Ask, kind: string, view: (service: V2Service, place: Place) => JsonObject) {
  const services = await servicesIn(ask.call, ask.place);
  return listed(
    kind,
    services.map(service => view(service, ask.place)),
    ask.request,
  );
}

/** The services of every region that has some; `locations/-` is a name of v1 only. */
export async function listEverywhere(known: Known, request: JsonObject, call: V2Call): Promise<JsonObject> {
  const project = known.cloud.project(String(request.parent).split('/')[1] ?? '');
  const own = [...known.services()].filter(service => service.project.id === project.id);
  // A project without services is asked about too, so that a caller without permission is refused.
  const regions = own.length > 0 ? new Set(own.map(({ location }) => location)) : LOCATIONS.slice(0, 1);
  const items: JsonObject[] = [];
  for (const location of regions) {
    const place = { project, location };
    for (const service of await servicesIn(call, place)) items.push(serviceToV1(service, place));
  }
  return listed('Service', items, request);
}
