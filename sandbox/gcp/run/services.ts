import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../../../ports/json.ts';
import { type Caller, type Cloud, emailOf, type Handlers } from '../contracts.ts';
import { alreadyExists, denied, exhausted, failedPrecondition, GcpError } from '../errors.ts';
import { freshness } from '../freshness.ts';
import { iamMethods } from '../iam/policyMethods.ts';
import { page } from '../paging.ts';
import { defaultAccount, withDefaults } from './defaults.ts';
import { applyMask, settable } from './mask.ts';
import type { Desired } from './messages.ts';
import { parentOf, type ServiceAddress, serviceName, type Urls } from './names.ts';
import { addRevision, revisionFor, uuid } from './revise.ts';
import type { Rollout } from './rollout.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';
import { checkEtag, missing, type ServiceStore } from './serviceStore.ts';
import { checkService, checkServiceId, checkTargets } from './validate.ts';
import { timestamp } from './version.ts';
import { listedService, serviceJson, serviceType } from './view.ts';

const api = 'google.cloud.run.v2.Services';
/** The quota of services in one project and region (https://cloud.google.com/run/quotas). */
const maxServices = 1000;

/** Options of a create or update request. */
interface Asked {
  validateOnly?: boolean;
  forceNewRevision?: boolean;
}

/** The methods of google.cloud.run.v2.Services. They check requests and store what they accept; the rollout carries it out. */
export function serviceHandlers(cloud: Cloud, store: ServiceStore, rollout: Rollout, urls: Urls): Handlers {
  const { runtime } = cloud;
  /** A version later than `before`, so that two versions of a service never have the same etag. */
  const version = (before = 0) => Math.max(Math.floor(runtime.now() * 1000), before + 1);

  /** Checks the permissions that a change needs beside the method's own. */
  function checkCaller(at: ServiceAddress, desired: Desired, before: Desired | undefined, caller: Caller): void {
    if ((desired.invokerIamDisabled ?? false) !== (before?.invokerIamDisabled ?? false)) {
      const permission = 'run.services.setIamPolicy';
      if (!cloud.permitted(permission, serviceName(at), caller)) throw denied(permission, serviceName(at));
    }
    if (cloud.settings.requireInvokerIam && desired.invokerIamDisabled && !before?.invokerIamDisabled) {
      throw failedPrecondition(
        `Operation denied by org policy on resource '${serviceName(at)}': ["constraints/run.managed.requireInvokerIam"].`,
      );
    }
    for (const repository of repositoriesOf(desired)) {
      // "Integrate with Cloud Run" (Artifact Registry): whoever deploys an image must be allowed to read it.
      const permission = 'artifactregistry.repositories.downloadArtifacts';
      if (!repositoriesOf(before).includes(repository) && !cloud.permitted(permission, repository, caller)) {
        throw denied(permission, repository);
      }
    }
    const account = desired.template?.serviceAccount ?? '';
    const exists = account === defaultAccount(at.project) || cloud.account(account) !== undefined;
    if (!exists || !cloud.permitted('iam.serviceAccounts.actAs', account, caller)) {
      throw denied('iam.serviceAccounts.actAs', account);
    }
  }

  function blank(at: ServiceAddress, caller: Caller): ServiceState {
    const now = version();
    return {
      ...at,
      uid: uuid(runtime),
      sequence: store.next(),
      sight: freshness(runtime, () => cloud.settings.serviceVisibleMs),
      desired: {},
      generation: 0,
      observedGeneration: 0,
      version: now,
      createTime: timestamp(now),
      creator: emailOf(caller),
      uri: '',
      urls: [],
      taggedUri: () => '',
      revisions: [],
      templateGeneration: 0,
      serving: [],
      reconciling: false,
      terminalCondition: { type: 'Ready', state: 'CONDITION_PENDING' },
      conditions: [],
      operations: [],
    };
  }

  /** Checks a desired service and, unless the request only validates, stores it and begins its rollout. */
  function accept(service: ServiceState, given: Desired, caller: Caller, asked: Asked): JsonObject {
    const desired = withDefaults(given, service.project, cloud.settings.defaultMaxInstances);
    checkService(service.id, desired);
    checkCaller(service, desired, service.generation > 0 ? service.desired : undefined, caller);
    const template = desired.template ?? {};
    const revision = revisionFor(service, service.desired.template, template, asked.forceNewRevision);
    checkTargets(service, desired, revision.kind === 'new' ? revision.name : undefined);
    if (asked.validateOnly) return answer({ ...service, desired });
    if (service.generation === 0) {
      Object.assign(service, urls.of(service));
      service.taggedUri = tag => urls.tagged?.(service, tag) ?? service.uri.replace('://', `://${tag}---`);
      store.add(service);
    }
    if (asked.forceNewRevision || !isDeepStrictEqual(service.desired, desired)) {
      if (service.generation > 0) service.version = version(service.version);
      service.generation += 1;
      service.lastModifier = emailOf(caller);
    }
    service.desired = desired;
    if (revision.kind !== 'current') {
      const previous = service.latestCreated;
      if (revision.kind === 'existing') reuse(service, revision.revision);
      else {
        addRevision(service, template, revision.name, {
          runtime,
          sequence: store.next(),
          time: timestamp(service.version),
          creator: emailOf(caller),
        });
      }
      if (previous && previous !== service.latestCreated) rollout.supersede(previous);
    }
    return cloud.operations.get(rollout.begin(service).name);
  }

  /** Returns the finished operation of a request that only validates. */
  function answer(service: ServiceState): JsonObject {
    const response = serviceJson(service);
    const { name } = cloud.operations.start(parentOf(service), serviceType, response);
    cloud.operations.finish(name, { responseType: serviceType, response });
    return cloud.operations.get(name);
  }

  function create(at: ServiceAddress, given: JsonObject, caller: Caller, asked: Asked): JsonObject {
    checkServiceId(at.id);
    if (store.find(serviceName(at))) throw alreadyExists(`Resource '${at.id}' already exists.`);
    if (store.in(at).length >= maxServices) {
      throw exhausted(
        `Quota exceeded: project '${at.project.id}' has ${maxServices} services in region '${at.location}', the most there can be.`,
      );
    }
    return accept(blank(at, caller), structuredClone(settable(given)) as Desired, caller, asked);
  }

  return {
    [`${api}.CreateService`]: (request, caller) => {
      const at = { ...store.parseParent(request.parent), id: String(request.serviceId ?? '') };
      return create(at, request.service as JsonObject, caller, request);
    },

    [`${api}.GetService`]: request => {
      const service = store.get(request.name);
      if (service.sight() !== 'visible') throw missing('SERVICE', service.id, service);
      return serviceJson(service);
    },

    [`${api}.ListServices`]: request => {
      const services = store.in(store.parseParent(request.parent)).filter(service => service.sight() === 'visible');
      services.sort((a, b) => b.sequence - a.sequence);
      const { items, nextPageToken } = page(services, request, { default: 100, max: 1000, order: 'newest first' });
      return { services: items.map(listedService), nextPageToken };
    },

    [`${api}.UpdateService`]: (request, caller) => {
      const given = request.service as JsonObject;
      const at = store.parse(given.name);
      const service = store.find(serviceName(at));
      if (!service) {
        if (!request.allowMissing) throw missing('SERVICE', at.id, at);
        const permission = 'run.services.create';
        if (!cloud.permitted(permission, serviceName(at), caller)) throw denied(permission, serviceName(at));
        return create(at, given, caller, request);
      }
      checkNotDeleting(service);
      checkEtag(given.etag, service.id, service.version);
      const mask = request.updateMask as string | undefined;
      const desired = applyMask(service.desired as JsonObject, given, mask) as Desired;
      return accept(service, desired, caller, request);
    },

    [`${api}.DeleteService`]: request => {
      const service = store.get(request.name);
      checkEtag(request.etag, service.id, service.version);
      if (request.validateOnly) return answer(service);
      if (service.deleteTime === undefined) {
        service.deleteTime = timestamp(Math.floor(runtime.now() * 1000));
        rollout.end(service);
        service.cancelTimer = runtime.after(cloud.settings.deployMs, () => {
          service.cancelTimer = undefined;
          service.reconciling = false;
          store.remove(service);
          cloud.policies.remove(serviceName(service));
          urls.release(service);
          const response = serviceJson(service);
          for (const name of service.operations.splice(0)) {
            cloud.operations.finish(name, { responseType: serviceType, response });
          }
        });
      }
      const operation = cloud.operations.start(parentOf(service), serviceType, serviceJson(service));
      service.operations.push(operation.name);
      return cloud.operations.get(operation.name);
    },

    ...Object.fromEntries(
      Object.entries(iamMethods(cloud, name => serviceName(store.get(name)))).map(([method, handler]) => [
        `${api}.${method}`,
        handler,
      ]),
    ),
  };
}

/** Makes an earlier revision the newest one again. A revision that was retired before it was ready is started again. */
function reuse(service: ServiceState, revision: RevisionState): void {
  service.latestCreated = revision;
  if (revision.state !== 'retired') return;
  revision.state = 'pending';
  revision.failure = undefined;
}

/** The Artifact Registry repositories that a service's images are in. */
function repositoriesOf(desired: Desired | undefined): string[] {
  return (desired?.template?.containers ?? []).flatMap(({ image = '' }) => {
    const [, location, project, id] = /^([a-z0-9-]+)-docker\.pkg\.dev\/([^/]+)\/([^/]+)\//.exec(image) ?? [];
    return location ? `projects/${project}/locations/${location}/repositories/${id}` : [];
  });
}

function checkNotDeleting(service: ServiceState): void {
  if (service.deleteTime === undefined) return;
  throw new GcpError({ code: 'ABORTED', message: `Conflict for resource '${service.id}': it is being deleted.` });
}
