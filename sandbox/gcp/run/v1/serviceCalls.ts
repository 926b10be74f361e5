import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '../../../../ports/json.ts';
import { invalid } from '../../errors.ts';
import type { Template } from '../messages.ts';
import { parentOf, serviceName } from '../names.ts';
import { type Ask, bodyOf, isDryRun, nameIn, serviceOf, success, V2 } from './knativeCall.ts';
import { serviceToV1, serviceToV2, shortName, type V2Service } from './knativeService.ts';
import { checkKind, templateToV1, templateToV2 } from './knativeTemplate.ts';
import type { Place } from './metadata.ts';
import { isObject } from './rows.ts';
import { serviceRows } from './serviceRows.ts';
import { templateRows } from './templateRows.ts';

/** The methods of v1 for one service. */

/** The v2 service that a request names. Throws `GcpError`. */
export async function getService(ask: Ask): Promise<V2Service> {
  return (await ask.call(`${V2}.Services.GetService`, { name: nameIn(ask) })) as unknown as V2Service;
}

/** Creates a service and answers it as it begins. Throws `GcpError`. */
export async function createService(ask: Ask): Promise<JsonObject> {
  const given = bodyOf(ask.request.service);
  checkKind(given, 'Service');
  checkNamespace(given, ask.place);
  const serviceId = idOf(bodyOf(given.metadata).name);
  const { name: _name, etag: _etag, ...service } = serviceToV2(given, ask.place);
  const operation = await ask.call(`${V2}.Services.CreateService`, {
    parent: parentOf(ask.place),
    serviceId,
    service,
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return serviceToV1(serviceOf(operation), ask.place);
}

/** The id of a new service. A slash in it would name another service in v2. Throws INVALID_ARGUMENT. */
function idOf(name: Json | undefined): string {
  if (typeof name !== 'string' || name === '') throw invalid('metadata.name: a name is required.');
  if (name.includes('/')) throw invalid(`metadata.name: invalid value '${name}': must not contain '/'.`);
  return name;
}

/**
 * Replaces everything that v1 can say. What only v2 can say stays: a field that no row names, and the whole template if v1 says
 * nothing new about it. Throws `GcpError`.
 */
export async function replaceService(ask: Ask): Promise<JsonObject> {
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

/** Begins the deletion of a service. Throws `GcpError`. */
export async function deleteService(ask: Ask): Promise<JsonObject> {
  const operation = await ask.call(`${V2}.Services.DeleteService`, {
    name: nameIn(ask),
    ...(isDryRun(ask) && { validateOnly: true }),
  });
  return success('Service', shortName(String(ask.request.name)), serviceOf(operation).uid);
}
