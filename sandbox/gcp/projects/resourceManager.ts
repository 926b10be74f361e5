import type { Json, JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handlers, Project } from '../contracts.ts';
import { filtered } from '../filter.ts';
import { page } from '../paging.ts';

/**
 * Resource Manager, as far as it reads projects: v3, which client libraries use, and v1, which `gcloud projects` uses. No client
 * package here ships its protos: fields and routes are those of google/cloud/resourcemanager/v3/projects.proto and of the
 * discovery document of v1 (revision of October 2026).
 */

const rule = (get: string) => ({ parsedOptions: [{ '(google.api.http)': { get } }] });
const strings = (...names: string[]) => ({
  fields: Object.fromEntries(names.map((name, index) => [name, { type: 'string', id: index + 1 }])),
});
const PAGED = { pageSize: { type: 'int32', id: 10 }, pageToken: { type: 'string', id: 11 } };
const projectsOf = { nextPageToken: { type: 'string', id: 1 }, projects: { rule: 'repeated', type: 'Project', id: 2 } };

export const resourceManagerProtos = {
  nested: {
    Projects: {
      methods: {
        GetProject: { requestType: 'GetProjectRequest', responseType: 'Project', ...rule('/v3/{name=projects/*}') },
        SearchProjects: {
          requestType: 'SearchProjectsRequest',
          responseType: 'SearchProjectsResponse',
          ...rule('/v3/projects:search'),
        },
      },
    },
    GetProjectRequest: strings('name'),
    SearchProjectsRequest: { fields: { query: { type: 'string', id: 1 }, ...PAGED } },
    SearchProjectsResponse: { fields: projectsOf },
    Project: {
      fields: { ...strings('name', 'parent', 'projectId', 'displayName').fields, state: { type: 'State', id: 9 } },
      nested: { State: { values: { STATE_UNSPECIFIED: 0, ACTIVE: 1, DELETE_REQUESTED: 2 } } },
    },
  },
};

export const resourceManagerV1Protos = {
  nested: {
    Projects: {
      methods: {
        GetProject: {
          requestType: 'GetProjectRequest',
          responseType: 'Project',
          ...rule('/v1/projects/{project_id=*}'),
        },
        ListProjects: {
          requestType: 'ListProjectsRequest',
          responseType: 'ListProjectsResponse',
          ...rule('/v1/projects'),
        },
      },
    },
    GetProjectRequest: strings('projectId'),
    ListProjectsRequest: { fields: { filter: { type: 'string', id: 1 }, ...PAGED } },
    ListProjectsResponse: { fields: projectsOf },
    Project: {
      fields: {
        ...strings('projectId', 'name').fields,
        projectNumber: { type: 'int64', id: 8 },
        lifecycleState: { type: 'LifecycleState', id: 9 },
      },
      nested: { LifecycleState: { values: { LIFECYCLE_STATE_UNSPECIFIED: 0, ACTIVE: 1, DELETE_REQUESTED: 2 } } },
    },
  },
};

const v1 = ({ id, number }: Project): JsonObject => ({
  projectId: id,
  projectNumber: number,
  name: id,
  lifecycleState: 'ACTIVE',
});
const v3 = ({ id, number }: Project): JsonObject => ({
  name: `projects/${number}`,
  projectId: id,
  displayName: id,
  state: 'ACTIVE',
});

export function resourceManagerHandlers(cloud: Cloud): Handlers {
  const list = (filter: Json | undefined, request: JsonObject, show: (project: Project) => JsonObject): JsonObject => {
    const numbered = cloud.projects.map((project, sequence) => ({ ...project, sequence }));
    const wanted = filtered(String(filter ?? ''), numbered, show);
    const { items, nextPageToken } = page(wanted, request, { default: 100, max: 500, order: 'oldest first' });
    return { projects: items.map(show), nextPageToken };
  };
  return {
    'google.cloud.resourcemanager.v3.Projects.GetProject': ({ name }) =>
      v3(cloud.project(String(name).replace(/^projects\//, ''))),
    'google.cloud.resourcemanager.v3.Projects.SearchProjects': request => list(request.query, request, v3),
    'google.cloudresourcemanager.v1.Projects.GetProject': ({ projectId }) => v1(cloud.project(String(projectId))),
    'google.cloudresourcemanager.v1.Projects.ListProjects': request => list(request.filter, request, v1),
  };
}
