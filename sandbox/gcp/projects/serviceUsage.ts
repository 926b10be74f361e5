import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handlers, Project } from '../contracts.ts';
import { failedPrecondition, invalid } from '../errors.ts';
import { filtered } from '../filter.ts';
import { page } from '../paging.ts';

/**
 * Service Usage v1, as `gcloud services list` and `enable` use it: the APIs that are here are enabled in every project, and no
 * other can be. Fields and routes are those of its discovery document (October 2026); no client package here has protos.
 */

const TITLES: Record<string, string> = {
  'cloudresourcemanager.googleapis.com': 'Cloud Resource Manager API',
  'iam.googleapis.com': 'Identity and Access Management (IAM) API',
  'logging.googleapis.com': 'Cloud Logging API',
  'run.googleapis.com': 'Cloud Run Admin API',
  'secretmanager.googleapis.com': 'Secret Manager API',
  'serviceusage.googleapis.com': 'Service Usage API',
};

const API = 'google.api.serviceusage.v1.ServiceUsage';
const operation = 'google.longrunning.Operation';

function method(requestType: string, responseType: string, http: Record<string, string>): object {
  return { requestType, responseType, parsedOptions: [{ '(google.api.http)': http }] };
}
const text = (id: number) => ({ type: 'string', id });

export const serviceUsageProtos = {
  nested: {
    ServiceUsage: {
      methods: {
        GetService: method('GetServiceRequest', 'Service', { get: '/v1/{name=projects/*/services/*}' }),
        ListServices: method('ListServicesRequest', 'ListServicesResponse', {
          get: '/v1/{parent=projects/*}/services',
        }),
        EnableService: method('EnableServiceRequest', operation, {
          post: '/v1/{name=projects/*/services/*}:enable',
          body: '*',
        }),
        BatchEnableServices: method('BatchEnableServicesRequest', operation, {
          post: '/v1/{parent=projects/*}/services:batchEnable',
          body: '*',
        }),
      },
    },
    GetServiceRequest: { fields: { name: text(1) } },
    ListServicesRequest: {
      fields: { parent: text(1), filter: text(2), pageSize: { type: 'int32', id: 3 }, pageToken: text(4) },
    },
    ListServicesResponse: {
      fields: { services: { rule: 'repeated', type: 'Service', id: 1 }, nextPageToken: text(2) },
    },
    EnableServiceRequest: { fields: { name: text(1) } },
    EnableServiceResponse: { fields: { service: { type: 'Service', id: 1 } } },
    BatchEnableServicesRequest: {
      fields: { parent: text(1), serviceIds: { rule: 'repeated', type: 'string', id: 2 } },
    },
    BatchEnableServicesResponse: { fields: { services: { rule: 'repeated', type: 'Service', id: 1 } } },
    ServiceConfig: { fields: { name: text(1), title: text(2) } },
    Service: {
      fields: {
        name: text(1),
        parent: text(2),
        config: { type: 'ServiceConfig', id: 3 },
        state: { type: 'State', id: 4 },
      },
      nested: { State: { values: { STATE_UNSPECIFIED: 0, DISABLED: 1, ENABLED: 2 } } },
    },
  },
};

export function serviceUsageHandlers(cloud: Cloud): Handlers {
  const projectOf = (parent: unknown) => cloud.project(String(parent).replace(/^projects\//, ''));

  const show = ({ number }: Project, name: string): JsonObject => ({
    name: `projects/${number}/services/${name}`,
    parent: `projects/${number}`,
    config: { name, title: TITLES[name] ?? name },
    state: 'ENABLED',
  });

  function service(project: Project, name: string): JsonObject {
    if (TITLES[name]) return show(project, name);
    throw failedPrecondition(
      `The local Google Cloud has no ${name}, so it can't be enabled. It has ${Object.keys(TITLES).join(', ')}.`,
    );
  }

  function serviceNamed(name: unknown): JsonObject {
    const [, project, id] = /^projects\/([^/]+)\/services\/([^/]+)$/.exec(String(name)) ?? [];
    if (!project || !id) throw invalid(`Invalid service name: ${name}`);
    return service(cloud.project(project), id);
  }

  /** Returns a finished operation, because every API here is already enabled. */
  const ended = (responseType: string, response: JsonObject): JsonObject => ({
    name: 'operations/noop.DONE_OPERATION',
    done: true,
    response: { '@type': `type.googleapis.com/google.api.serviceusage.v1.${responseType}`, ...response },
  });

  return {
    [`${API}.GetService`]: ({ name }) => serviceNamed(name),
    [`${API}.ListServices`]: request => {
      const project = projectOf(request.parent);
      const all = Object.keys(TITLES).map((name, sequence) => ({ name, sequence }));
      const wanted = filtered(String(request.filter ?? ''), all, ({ name }) => show(project, name));
      const { items, nextPageToken } = page(wanted, request, { default: 50, max: 200, order: 'oldest first' });
      return { services: items.map(({ name }) => show(project, name)), nextPageToken };
    },
    [`${API}.EnableService`]: ({ name }) => ended('EnableServiceResponse', { service: serviceNamed(name) }),
    [`${API}.BatchEnableServices`]: request => {
      const project = projectOf(request.parent);
      const ids = (request.serviceIds ?? []) as string[];
      return ended('BatchEnableServicesResponse', { services: ids.map(id => service(project, id)) });
    },
  };
}
