import type { JsonObject } from '../../../../ports/json.ts';
import { parentOf } from '../names.ts';
import { serviceJson } from '../view.ts';
import { type Ask, isDryRun, serviceOf, success, V2 } from './knativeCall.ts';
import { listed, pages } from './knativeLists.ts';
import { revisionToV1, type V2Revision } from './knativeRevision.ts';
import { shortName, type V2Service } from './knativeService.ts';

/** The methods of v1 for revisions, whose names do not say their service. */

/** The service of a revision, whose name v1 does not say. A name that no service has is v2's to refuse. */
function revisionName(ask: Ask): { name: string; service?: V2Service } {
  const id = shortName(String(ask.request.name));
  const parent = parentOf(ask.place);
  const state = [...ask.known.services()].find(
    service => parentOf(service) === parent && service.revisions.some(revision => revision.id === id),
  );
  const name = `${parent}/services/${state?.id ?? '-'}/revisions/${id}`;
  return { name, ...(state && { service: serviceJson(state) as unknown as V2Service }) };
}

/** A revision by its name alone. Throws `GcpError`. */
export async function getRevision(ask: Ask): Promise<JsonObject> {
  const { name, service } = revisionName(ask);
  const revision = (await ask.call(`${V2}.Revisions.GetRevision`, { name })) as unknown as V2Revision;
  return revisionToV1(revision, service as V2Service, ask.place);
}

/** The revisions of one region, of all its services. Throws `GcpError`. */
export async function listRevisions(ask: Ask): Promise<JsonObject> {
  const { call, place, known, request } = ask;
  const parent = parentOf(place);
  const revisions = await pages(call, `${V2}.Revisions.ListRevisions`, 'revisions', `${parent}/services/-`);
  const services = new Map(
    [...known.services()]
      .filter(service => parentOf(service) === parent)
      .map(service => [service.id, serviceJson(service)]),
  );
  const items = revisions.flatMap(revision => {
    const service = services.get(String(revision.service)) as unknown as V2Service | undefined;
    return service ? [revisionToV1(revision as unknown as V2Revision, service, place)] : [];
  });
  return listed('Revision', items, request);
}

/** Deletes a revision by its name alone. Throws `GcpError`. */
export async function deleteRevision(ask: Ask): Promise<JsonObject> {
  const operation = await ask.call(`${V2}.Revisions.DeleteRevision`, {
    name: revisionName(ask).name,
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return success('Revision', shortName(String(ask.request.name)), serviceOf(operation).uid);
}
