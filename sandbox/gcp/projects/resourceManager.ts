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
/** A google.protobuf.Timestamp, which is text in JSON. */
const TIME = { type: 'string', id: 12 };
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
      fields: {
        ...strings('name', 'parent', 'projectId', 'displayName').fields,
        state: { type: 'State', id: 9 },
        createTime: TIME,
      },
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
        createTime: TIME,
      },
      nested: { LifecycleState: { values: { LIFECYCLE_STATE_UNSPECIFIED: 0, ACTIVE: 1, DELETE_REQUESTED: 2 } } },
    },
  },
};

const v1 = ({ id, number }: Project, createTime: string): JsonObject => ({
  projectId: id,
  projectNumber: number,
  name: id,
  lifecycleState: 'ACTIVE',
  createTime,
});
const v3 = ({ id, number }: Project, createTime: string): JsonObject => ({
  name: `projects/${number}`,
  projectId: id,
  displayName: id,
  state: 'ACTIVE',
  createTime,
});

/**
 * The names under which filters know a project's fields: those of v1 and v3 alike, which are not all those of the answer. gcloud
 * sends `id` for `projectId`. Source: the methods projects.list (v1) and projects.search (v3) of the reference.
 */
const filterable = ({ id }: Project): JsonObject => ({
  ...{ id, project: id, projectId: id, name: id, displayName: id },
  ...{ state: 'ACTIVE', lifecycleState: 'ACTIVE' },
});

export function resourceManagerHandlers(cloud: Cloud): Handlers {
  // The projects are as old as the local cloud.
  const createTime = new Date(cloud.runtime.now()).toISOString();
  const list = (filter: Json | undefined, request: JsonObject, show: typeof v1): JsonObject => {
    const numbered = cloud.projects.map((project, sequence) => ({ ...project, sequence }));
    const wanted = filtered(String(filter ?? ''), numbered, filterable);
    const { items, nextPageToken } = page(wanted, request, { default: 100, max: 500, order: 'oldest first' });
    return { projects: items.map(item => show(item, createTime)), nextPageToken };
  };
  return {
    'google.cloud.resourcemanager.v3.Projects.GetProject': ({ name }) =>
      v3(cloud.project(String(name).replace(/^projects\//, '')), createTime),
    'google.cloud.resourcemanager.v3.Projects.SearchProjects': request => list(request.query, request, v3),
    'google.cloudresourcemanager.v1.Projects.GetProject': ({ projectId }) =>
      v1(cloud.project(String(projectId)), createTime),
    'google.cloudresourcemanager.v1.Projects.ListProjects': request => list(request.filter, request, v1),
  };
}
