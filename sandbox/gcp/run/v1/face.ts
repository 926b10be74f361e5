import type { JsonObject } from '../../../../ports/json.ts';
import type { Cloud, Faces, Handlers } from '../../contracts.ts';
import { invalid } from '../../errors.ts';
import { LOCATIONS } from '../names.ts';
import { type Ask, bodyOf, type Known, V2 } from './knativeCall.ts';
import { listEverywhere, listOf } from './knativeLists.ts';
import { configurationOf, routeOf, serviceToV1 } from './knativeService.ts';
import type { Place } from './metadata.ts';
import { deleteRevision, getRevision, listRevisions } from './revisionCalls.ts';
import { createService, deleteService, getService, replaceService } from './serviceCalls.ts';

/**
 * Cloud Run Admin API v1 (Knative) as a second face of v2: each method makes calls of v2, so that both have one state, and the same
 * permissions, quotas and faults. Errors are v2's, in the format of every Google API.
 */

type Method = (ask: Ask) => Promise<JsonObject>;

/** The methods by the end of their ids: `run.namespaces.*` and `run.projects.locations.*` have the same ones. */
const METHODS: Record<string, Method> = {
  'services.create': createService,
  'services.get': async ask => serviceToV1(await getService(ask), ask.place),
  'services.list': ask => listOf(ask, 'Service', serviceToV1),
  'services.replaceService': replaceService,
  'services.delete': deleteService,
  'configurations.get': async ask => configurationOf(await getService(ask), ask.place),
  'configurations.list': ask => listOf(ask, 'Configuration', configurationOf),
  'routes.get': async ask => routeOf(await getService(ask), ask.place),
  'routes.list': ask => listOf(ask, 'Route', routeOf),
  'revisions.get': getRevision,
  'revisions.list': listRevisions,
  'revisions.delete': deleteRevision,
};

const IAM = ['getIamPolicy', 'setIamPolicy', 'testIamPermissions'];

/** The v1 methods by their discovery ids. */
export function runV1Faces(known: Known): Faces {
  const faces: Faces = {};
  for (const [name, method] of Object.entries(METHODS)) {
    faces[`run.namespaces.${name}`] = ({ request, call, region }) =>
      method({ known, request, call, place: placeOfNamespace(known.cloud, request, region) });
    faces[`run.projects.locations.${name}`] = ({ request, call }) =>
      name === 'services.list' && /\/locations\/-$/.test(String(request.parent))
        ? listEverywhere(known, request, call)
        : method({ known, request, call, place: placeOf(known.cloud, request) });
  }
  for (const name of IAM) {
    const method = `${V2}.Services.${name.charAt(0).toUpperCase()}${name.slice(1)}`;
    faces[`run.projects.locations.services.${name}`] = ({ request, call }) => {
      const { setIamPolicyRequest, testIamPermissionsRequest, ...named } = request;
      return call(method, { ...named, ...bodyOf(setIamPolicyRequest), ...bodyOf(testIamPermissionsRequest) });
    };
  }
  return faces;
}

/** The namespace is the project, by id or number. The region stands in the host: REGION-run.googleapis.com. */
function placeOfNamespace(cloud: Cloud, request: JsonObject, region: string | undefined): Place {
  if (!region) {
    throw invalid(
      'The host must begin with a region, as in asia-northeast1-run.googleapis.com; without one, use the paths of projects/P/locations/R.',
    );
  }
  const project = String(request.name ?? request.parent).split('/')[1] ?? '';
  return { project: cloud.project(project), location: region };
}

function placeOf(cloud: Cloud, request: JsonObject): Place {
  const [, project = '', , location = ''] = String(request.name ?? request.parent).split('/');
  return { project: cloud.project(project), location };
}

/** Every region that Cloud Run has, as v1 lists them. */
export const locationHandlers = (cloud: Cloud): Handlers => ({
  'run.projects.locations.list': request => {
    const { id } = cloud.project(String(request.name).split('/')[1] ?? '');
    const locations = LOCATIONS.map(locationId => ({
      name: `projects/${id}/locations/${locationId}`,
      locationId,
      labels: { 'cloud.googleapis.com/region': locationId },
    }));
    return { locations };
  },
});
