import { isDeepStrictEqual } from 'node:util';
import type { JsonObject } from '../../../ports/json.ts';
import { type Caller, type Cloud, emailOf } from '../contracts.ts';
import { alreadyExists, denied, exhausted, failedPrecondition } from '../errors.ts';
import { freshness } from '../freshness.ts';
import { defaultAccount, withDefaults } from './defaults.ts';
import { settable } from './mask.ts';
import type { Desired } from './messages.ts';
import { parentOf, type ServiceAddress, serviceName, type Urls } from './names.ts';
import { addRevision, revisionFor, uuid } from './revise.ts';
import type { Rollout } from './rollout.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';
import type { ServiceStore } from './serviceStore.ts';
import { checkService, checkServiceId, checkTargets } from './validate.ts';
import { timestamp } from './version.ts';
import { serviceJson, serviceType } from './view.ts';

/** The quota of services in one project and region (https://cloud.google.com/run/quotas). */
const maxServices = 1000;

/** What the methods of a service work with. */
export interface Parts {
  cloud: Cloud;
  store: ServiceStore;
  rollout: Rollout;
  urls: Urls;
}

/** Options of a create or update request. */
interface Asked {
  validateOnly?: boolean;
  forceNewRevision?: boolean;
}

/** Begins a service that does not exist yet. */
export function create(parts: Parts, at: ServiceAddress, given: JsonObject, caller: Caller, asked: Asked): JsonObject {
  const { store } = parts;
  checkServiceId(at.id);
  if (store.find(serviceName(at))) throw alreadyExists(`Resource '${at.id}' already exists.`);
  if (store.in(at).length >= maxServices) {
    throw exhausted(
      `Quota exceeded: project '${at.project.id}' has ${maxServices} services in region '${at.location}', the most there can be.`,
    );
  }
  return accept(parts, blank(parts, at, caller), structuredClone(settable(given)) as Desired, caller, asked);
}

/** A service that has been neither checked nor stored. */
function blank(parts: Parts, at: ServiceAddress, caller: Caller): ServiceState {
  const { cloud, store } = parts;
  const now = versionAfter(parts);
  return {
    ...at,
    uid: uuid(cloud.runtime),
    sequence: store.next(),
    sight: freshness(cloud.runtime, () => cloud.settings.serviceVisibleMs),
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

/** A version later than `before`, so that two versions of a service never have the same etag. */
const versionAfter = ({ cloud }: Parts, before = 0) => Math.max(Math.floor(cloud.runtime.now() * 1000), before + 1);

/** Checks a desired service and, unless the request only validates, stores it and begins its rollout. */
export function accept(parts: Parts, service: ServiceState, given: Desired, caller: Caller, asked: Asked): JsonObject {
  const { cloud, store, rollout, urls } = parts;
  const desired = withDefaults(given, service.project, cloud.settings.defaultMaxInstances);
  checkService(service.id, desired);
  checkCaller(cloud, service, desired, service.generation > 0 ? service.desired : undefined, caller);
  const template = desired.template ?? {};
  const revision = revisionFor(service, service.desired.template, template, asked.forceNewRevision);
  checkTargets(service, desired, revision.kind === 'new' ? revision.name : undefined);
  if (asked.validateOnly) return validated(cloud, { ...service, desired });
  if (service.generation === 0) {
    Object.assign(service, urls.of(service));
    service.taggedUri = tag => urls.tagged?.(service, tag) ?? service.uri.replace('://', `://${tag}---`);
    store.add(service);
  }
  if (asked.forceNewRevision || !isDeepStrictEqual(service.desired, desired)) {
    if (service.generation > 0) service.version = versionAfter(parts, service.version);
    service.generation += 1;
    service.lastModifier = emailOf(caller);
  }
  service.desired = desired;
  if (revision.kind !== 'current') {
    const previous = service.latestCreated;
    if (revision.kind === 'existing') reuse(service, revision.revision);
    else {
      addRevision(service, template, revision.name, {
        runtime: cloud.runtime,
        sequence: store.next(),
        time: timestamp(service.version),
        creator: emailOf(caller),
      });
    }
    if (previous && previous !== service.latestCreated) rollout.supersede(previous);
  }
  return cloud.operations.get(rollout.begin(service).name);
}

/** Makes an earlier revision the newest one again. A revision that was retired before it was ready is started again. */
function reuse(service: ServiceState, revision: RevisionState): void {
  service.latestCreated = revision;
  if (revision.state !== 'retired') return;
  revision.state = 'pending';
  revision.failure = undefined;
}

/** Returns the finished operation of a request that only validates. */
export function validated(cloud: Cloud, service: ServiceState): JsonObject {
  const response = serviceJson(service);
  const { name } = cloud.operations.start(parentOf(service), serviceType, response);
  cloud.operations.finish(name, { responseType: serviceType, response });
  return cloud.operations.get(name);
}

/** Checks the permissions that a change needs beside the method's own. */
function checkCaller(cloud: Cloud, at: ServiceAddress, desired: Desired, before: Desired | undefined, caller: Caller) {
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

/** The Artifact Registry repositories that a service's images are in. */
function repositoriesOf(desired: Desired | undefined): string[] {
  return (desired?.template?.containers ?? []).flatMap(({ image = '' }) => {
    const [, location, project, id] = /^([a-z0-9-]+)-docker\.pkg\.dev\/([^/]+)\/([^/]+)\//.exec(image) ?? [];
    return location ? `projects/${project}/locations/${location}/repositories/${id}` : [];
  });
}
