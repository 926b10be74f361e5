import type { Handlers, LocalCloud } from './cloud.ts';

/**
 * Resource Manager v3, as far as it tells a project's number. No client package here ships its protos: the fields are
 * those of google/cloud/resourcemanager/v3/projects.proto.
 */
export const resourceManagerProtos = {
  nested: {
    Projects: {
      methods: {
        GetProject: {
          requestType: 'GetProjectRequest',
          responseType: 'Project',
          parsedOptions: [{ '(google.api.http)': { get: '/v3/{name=projects/*}' } }],
        },
      },
    },
    GetProjectRequest: { fields: { name: { type: 'string', id: 1 } } },
    Project: {
      fields: {
        name: { type: 'string', id: 1 },
        projectId: { type: 'string', id: 3 },
        state: { type: 'State', id: 4 },
      },
      nested: { State: { values: { STATE_UNSPECIFIED: 0, ACTIVE: 1, DELETE_REQUESTED: 2 } } },
    },
  },
};

export const resourceManagerHandlers = (cloud: LocalCloud): Handlers => ({
  'google.cloud.resourcemanager.v3.Projects.GetProject': ({ name }) => {
    const { id, number } = cloud.project(String(name).replace(/^projects\//, ''));
    return { name: `projects/${number}`, projectId: id, state: 'ACTIVE' };
  },
});
