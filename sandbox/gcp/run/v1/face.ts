import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../../../ports/json.ts';
import type { Cloud, Faces, V2Call } from '../../contracts.ts';
import { denied, invalid } from '../../errors.ts';
import type { Template } from '../messages.ts';
import { LOCATIONS, parentOf, serviceName } from '../names.ts';
import type { ServiceState } from '../serviceState.ts';
import { serviceJson } from '../view.ts';
import { revisionToV1, type V2Revision } from './knativeRevision.ts';
import { configurationOf, routeOf, serviceToV1, serviceToV2, shortName, type V2Service } from './knativeService.ts';
import { checkKind, templateToV1, templateToV2 } from './knativeTemplate.ts';
import { API_VERSION, type Place, textMap } from './metadata.ts';
import { isObject } from './rows.ts';
import { matchesSelector } from './selector.ts';
import { serviceRows } from './serviceRows.ts';
import { templateRows } from './templateRows.ts';

/**
 * Cloud Run Admin API v1 (Knative) as a second face of v2: each method makes calls of v2, so that both have one state, and the same
 * permissions, quotas and faults. Errors are v2's, in the format of every Google API.
 */

const V2 = 'google.cloud.run.v2';

/** What the face knows beside v2's answers. */
interface Known {
  cloud: Cloud;
  /** Every service, to find the service of a revision and the regions that have services. */
  services(): Iterable<Readonly<ServiceState>>;
}

/** One call of v1. */
interface Ask {
  known: Known;
  request: JsonObject;
  call: V2Call;
  place: Place;
}

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
  const faces: Faces = { 'run.projects.locations.list': listLocations(known.cloud) };
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

const bodyOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});

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

const nameIn = ({ request, place }: Ask, id = shortName(String(request.name))): string =>
  `${parentOf(place)}/services/${id}`;

async function getService(ask: Ask): Promise<V2Service> {
  return (await ask.call(`${V2}.Services.GetService`, { name: nameIn(ask) })) as unknown as V2Service;
}

/** `dryRun=all` only checks the request. */
function isDryRun({ request }: Ask): boolean {
  if (request.dryRun === undefined || request.dryRun === 'all') return request.dryRun === 'all';
  throw invalid(`dryRun: invalid value '${request.dryRun}': must be 'all'.`);
}

/** The service that an operation of v2 carries. */
function serviceOf(operation: JsonObject): V2Service {
  const { '@type': _, ...service } = bodyOf(operation.response ?? operation.metadata);
  return service as unknown as V2Service;
}

async function createService(ask: Ask): Promise<JsonObject> {
  const given = bodyOf(ask.request.service);
  checkKind(given, 'Service');
  checkNamespace(given, ask.place);
  const { name, etag: _, ...service } = serviceToV2(given, ask.place);
  const operation = await ask.call(`${V2}.Services.CreateService`, {
    parent: parentOf(ask.place),
    serviceId: shortName(name),
    service,
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return serviceToV1(serviceOf(operation), ask.place);
}

/**
 * Replaces everything that v1 can say. What only v2 can say stays: a field that no row names, and the whole template if v1 says
 * nothing new about it.
 */
async function replaceService(ask: Ask): Promise<JsonObject> {
  const given = bodyOf(ask.request.service);
  checkKind(given, 'Service');
  checkNamespace(given, ask.place);
  const id = shortName(String(ask.request.name));
  const named = bodyOf(given.metadata).name;
  if (named !== id) throw invalid(`metadata.name: '${named ?? ''}' must be the name in the path, '${id}'.`);
  const service = serviceToV2(given, ask.place);
  const stored = [...ask.known.services()].find(state => serviceName(state) === service.name);
  const operation = await ask.call(`${V2}.Services.UpdateService`, {
    service,
    updateMask: updateMask(bodyOf(given.spec).template, stored?.desired.template),
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return serviceToV1(serviceOf(operation), ask.place);
}

/** The v2 fields that a replacement changes: all that v1 can say. */
function updateMask(template: Json | undefined, stored: Template | undefined): string {
  const paths = ['labels', 'annotations', ...serviceRows.map(({ v2 }) => v2[0])];
  const given = isObject(template) ? template : {};
  if (!stored || !isDeepStrictEqual(templateToV2(given), templateToV2(templateToV1(stored)))) {
    const fields = templateRows.map(({ v2 }) => (v2[0] === 'scaling' ? v2.join('.') : v2[0]));
    paths.push(...['labels', 'annotations', ...fields].map(field => `template.${field}`));
  }
  return [...new Set(paths)].join(',');
}

function checkNamespace(given: JsonObject, { project }: Place): void {
  const { namespace } = bodyOf(given.metadata);
  if (namespace === undefined || namespace === project.id || namespace === project.number) return;
  throw invalid(`metadata.namespace: '${namespace}' must be the project, '${project.id}' or '${project.number}'.`);
}

async function deleteService(ask: Ask): Promise<JsonObject> {
  const operation = await ask.call(`${V2}.Services.DeleteService`, {
    name: nameIn(ask),
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return success('Service', shortName(String(ask.request.name)), serviceOf(operation).uid);
}

const success = (kind: string, name: string, uid: string): JsonObject => ({
  status: 'Success',
  details: { name, group: 'serving.knative.dev', kind, uid },
});

/** Every item of a list of v2. */
async function pages(call: V2Call, method: string, field: string, parent: string): Promise<JsonObject[]> {
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
function listed(kind: string, items: JsonObject[], request: JsonObject): JsonObject {
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

async function listOf(ask: Ask, kind: string, view: (service: V2Service, place: Place) => JsonObject) {
  const services = await servicesIn(ask.call, ask.place);
  return listed(
    kind,
    services.map(service => view(service, ask.place)),
    ask.request,
  );
}

/** The services of every region that has some; `locations/-` is a name of v1 only. */
async function listEverywhere(known: Known, request: JsonObject, call: V2Call): Promise<JsonObject> {
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

async function getRevision(ask: Ask): Promise<JsonObject> {
  const { name, service } = revisionName(ask);
  const revision = (await ask.call(`${V2}.Revisions.GetRevision`, { name })) as unknown as V2Revision;
  return revisionToV1(revision, service as V2Service, ask.place);
}

async function listRevisions(ask: Ask): Promise<JsonObject> {
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

async function deleteRevision(ask: Ask): Promise<JsonObject> {
  const operation = await ask.call(`${V2}.Revisions.DeleteRevision`, {
    name: revisionName(ask).name,
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return success('Revision', shortName(String(ask.request.name)), serviceOf(operation).uid);
}

/** Every region that Cloud Run has. */
function listLocations(cloud: Cloud): Faces[string] {
  return async ({ request, caller }) => {
    const project = cloud.project(String(request.name).split('/')[1] ?? '');
    const permission = 'run.locations.list';
    const name = `projects/${project.id}`;
    if (!cloud.permitted(permission, name, caller)) throw denied(permission, name);
    const locations = LOCATIONS.map(locationId => ({
      name: `${name}/locations/${locationId}`,
      locationId,
      labels: { 'cloud.googleapis.com/region': locationId },
    }));
    return { locations };
  };
}
