import type { Cloud, Faces, Handlers } from '../contracts.ts';
import type { Containers } from './containers.ts';
import { googleUrls, serviceName, type Urls } from './names.ts';
import { revisionHandlers } from './revisions.ts';
import { createRollout } from './rollout.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';
import { createStore } from './serviceStore.ts';
import { serviceHandlers } from './services.ts';
import { pick } from './traffic.ts';
import { locationHandlers, runV1Faces } from './v1/face.ts';

/** Cloud Run Admin API v2, and the questions that an ingress asks before it forwards a request. */
export interface Run {
  handlers: Handlers;
  /** Cloud Run Admin API v1 over those handlers. */
  faces: Faces;
  /**
   * Returns the short name of the revision for the next request to a service (`projects/P/locations/R/services/S`), by its traffic
   * percentages or a traffic tag. Undefined if no revision serves or the service is not open to the internet.
   */
  route(service: string, tag?: string): string | undefined;
  /** True if a caller may call a service, by its invoker check and IAM policy. Without `email` the caller is unauthenticated. */
  mayInvoke(service: string, email?: string): boolean;
  /** The state of every service, read-only, for checks that bypass the API. */
  services(): Iterable<Readonly<ServiceState>>;
  /** Stops every container and timer. The stored state does not change. */
  close(): void;
}

const invoker = 'roles/run.invoker';

/** Makes a Cloud Run that runs its containers through `containers`. `urls` and `logUri` default to addresses of the real form. */
export function createRun(
  cloud: Cloud,
  containers: Containers,
  options: { urls?: Urls; logUri?: (service: string, revision: string) => string } = {},
): Run {
  const store = createStore(cloud);
  const urls = options.urls ?? { of: googleUrls, release() {} };
  const logUri = (service: ServiceState, revision: RevisionState) =>
    options.logUri?.(serviceName(service), revision.id) ?? consoleLogUri(service, revision);
  const rollout = createRollout(cloud, containers, logUri);

  return {
    handlers: {
      ...serviceHandlers(cloud, store, rollout, urls),
      ...revisionHandlers(cloud, store, logUri),
      ...locationHandlers(cloud),
    },
    faces: runV1Faces({ cloud, services: () => store.all() }),
    route(name, tag) {
      const service = store.find(name);
      if (service?.desired.ingress !== 'INGRESS_TRAFFIC_ALL') return undefined;
      if (service.desired.defaultUriDisabled) return undefined;
      return pick(service, cloud.runtime.random(), tag)?.id;
    },
    mayInvoke(name, email) {
      const service = store.find(name);
      if (!service) return false;
      if (service.desired.invokerIamDisabled) return true;
      const members = email ? ['allAuthenticatedUsers', `serviceAccount:${email}`, `user:${email}`] : [];
      return ['allUsers', ...members].some(member => cloud.policies.has(name, invoker, member));
    },
    services: () => store.all(),
    close() {
      for (const service of store.all()) {
        service.cancelTimer?.();
        service.cancelTimer = undefined;
        for (const revision of service.revisions) {
          revision.container?.stop();
          revision.container = undefined;
        }
      }
    },
  };
}

function consoleLogUri(service: ServiceState, revision: RevisionState): string {
  const filter = `resource.type="cloud_run_revision"\nresource.labels.service_name="${service.id}"\nresource.labels.revision_name="${revision.id}"`;
  return `https://console.cloud.google.com/logs/viewer?project=${service.project.id}&resource=cloud_run_revision/service_name/${service.id}/revision_name/${revision.id}&advancedFilter=${encodeURIComponent(filter)}`;
}
