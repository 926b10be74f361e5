import type { Cloud, Handlers } from '../contracts.ts';
import { failedPrecondition } from '../errors.ts';
import { page } from '../paging.ts';
import { parentOf, parseName, revisionName } from './names.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';
import { checkEtag, missing, type ServiceStore } from './serviceStore.ts';
import { targetOf } from './traffic.ts';
import { revisionJson, revisionType } from './view.ts';

const api = 'google.cloud.run.v2.Revisions';

/** google.cloud.run.v2.Revisions, those of services. */
export function revisionHandlers(
  cloud: Cloud,
  store: ServiceStore,
  logUri: (service: ServiceState, revision: RevisionState) => string,
): Handlers {
  const view = (service: ServiceState, revision: RevisionState) =>
    revisionJson(service, revision, logUri(service, revision));

  function find(name: unknown): { service: ServiceState; revision: RevisionState } {
    const [project = '', location = '', id = '', wanted = ''] = parseName(
      name,
      'projects',
      'locations',
      'services',
      'revisions',
    );
    const at = store.parse(`projects/${project}/locations/${location}/services/${id}`);
    const service = store.find(`${parentOf(at)}/services/${id}`);
    const revision = service?.revisions.find(candidate => candidate.id === wanted);
    if (!service || !revision) throw missing('REVISION', wanted, at);
    return { service, revision };
  }

  function servicesBelow(parent: unknown): ServiceState[] {
    const [project = '', location = '', id] = parseName(parent, 'projects', 'locations', 'services');
    if (id === '-') return store.in(store.parseParent(`projects/${project}/locations/${location}`));
    const at = store.parse(parent);
    const service = store.find(`${parentOf(at)}/services/${at.id}`);
    return service ? [service] : [];
  }

  return {
    [`${api}.GetRevision`]: request => {
      const { service, revision } = find(request.name);
      return view(service, revision);
    },

    [`${api}.ListRevisions`]: request => {
      const below = servicesBelow(request.parent).flatMap(service =>
        service.revisions.map(revision => ({ service, revision, sequence: revision.sequence })),
      );
      below.sort((a, b) => b.sequence - a.sequence);
      const { items, nextPageToken } = page(below, request, { default: 100, max: 1000, order: 'newest first' });
      return { revisions: items.map(({ service, revision }) => view(service, revision)), nextPageToken };
    },

    [`${api}.DeleteRevision`]: request => {
      const { service, revision } = find(request.name);
      checkEtag(request.etag, revision.id, Date.parse(revision.updateTime) * 1000);
      if (service.latestCreated === revision || service.latestReady === revision) {
        throw failedPrecondition(`Revision '${revision.id}' is the latest of its service and cannot be deleted.`);
      }
      if (service.serving.some(target => targetOf(service, target) === revision)) {
        throw failedPrecondition(`Revision '${revision.id}' receives traffic and cannot be deleted.`);
      }
      const { name } = cloud.operations.start(parentOf(service), revisionType, view(service, revision));
      if (!request.validateOnly) {
        revision.container?.stop();
        service.revisions.splice(service.revisions.indexOf(revision), 1);
      }
      const response = { ...view(service, revision), name: revisionName(service, revision.id) };
      cloud.operations.finish(name, { responseType: revisionType, response });
      return cloud.operations.get(name);
    },
  };
}
