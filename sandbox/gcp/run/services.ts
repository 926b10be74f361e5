import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handlers } from '../contracts.ts';
import { denied, GcpError } from '../errors.ts';
import { iamMethods } from '../iam/policyMethods.ts';
import { page } from '../paging.ts';
import { accept, create, type Parts, validated } from './acceptService.ts';
import { applyMask } from './mask.ts';
import type { Desired } from './messages.ts';
import { parentOf, serviceName, type Urls } from './names.ts';
import type { Rollout } from './rollout.ts';
import type { ServiceState } from './serviceState.ts';
import { checkEtag, missing, type ServiceStore } from './serviceStore.ts';
import { timestamp } from './version.ts';
import { listedService, serviceJson, serviceType } from './view.ts';

const api = 'google.cloud.run.v2.Services';

/** The methods of google.cloud.run.v2.Services. They check requests and store what they accept; the rollout carries it out. */
export function serviceHandlers(cloud: Cloud, store: ServiceStore, rollout: Rollout, urls: Urls): Handlers {
  const parts = { cloud, store, rollout, urls };
  return {
    [`${api}.CreateService`]: (request, caller) => {
      const at = { ...store.parseParent(request.parent), id: String(request.serviceId ?? '') };
      return create(parts, at, request.service as JsonObject, caller, request);
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
        return create(parts, at, given, caller, request);
      }
      checkNotDeleting(service);
      checkEtag(given.etag, service.id, service.version);
      const mask = request.updateMask as string | undefined;
      const desired = applyMask(service.desired as JsonObject, given, mask) as Desired;
      return accept(parts, service, desired, caller, request);
    },

    [`${api}.DeleteService`]: request => {
      const service = store.get(request.name);
      return remove(parts, service, request);
    },

    ...Object.fromEntries(
      Object.entries(iamMethods(cloud, name => serviceName(store.get(name)))).map(([method, handler]) => [
        `${api}.${method}`,
        handler,
      ]),
    ),

    // A service that does not exist yet is answered for too: gcloud asks before it creates one (serverless_operations.py,
    // CanSetIamPolicyBinding).
    [`${api}.TestIamPermissions`]: ({ resource, permissions = [] }, caller) => {
      const name = serviceName(store.parse(resource));
      return { permissions: (permissions as string[]).filter(each => cloud.permitted(each, name, caller)) };
    },
  };
}

/** Begins the deletion of a service. Repeated requests get operations of their own, which end together. */
function remove({ cloud, store, rollout, urls }: Parts, service: ServiceState, request: JsonObject): JsonObject {
  checkEtag(request.etag, service.id, service.version);
  if (request.validateOnly) return validated(cloud, service);
  if (service.deleteTime === undefined) {
    service.deleteTime = timestamp(Math.floor(cloud.runtime.now() * 1000));
    rollout.end(service);
    service.cancelTimer = cloud.runtime.after(cloud.settings.deployMs, () => {
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
}

function checkNotDeleting(service: ServiceState): void {
  if (service.deleteTime === undefined) return;
  throw new GcpError({ code: 'ABORTED', message: `Conflict for resource '${service.id}': it is being deleted.` });
}
