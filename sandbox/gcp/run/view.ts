import { copyOf, type JsonObject } from '../../../ports/json.ts';
import { unchanging } from '../wire/protoJson.ts';
import { revisionName, serviceName } from './names.ts';
import type { RevisionState, ServiceState } from './serviceState.ts';
import { statuses } from './traffic.ts';
import { etagOf, timestamp } from './version.ts';

export const serviceType = 'google.cloud.run.v2.Service';
export const revisionType = 'google.cloud.run.v2.Revision';

/** Thirty days after a deletion the real service forgets for good. */
const expireAfter = 30 * 24 * 3600 * 1e6;

const named = (service: ServiceState, revision: RevisionState | undefined) =>
  revision && revisionName(service, revision.id);

/** A google.cloud.run.v2.Service as proto3 JSON; a copy. */
export function serviceJson(service: ServiceState): JsonObject {
  const name = serviceName(service);
  return copyOf({
    ...service.desired,
    name,
    uid: service.uid,
    generation: String(service.generation),
    createTime: service.createTime,
    updateTime: timestamp(service.version),
    ...(service.deleteTime && {
      deleteTime: service.deleteTime,
      expireTime: timestamp(Date.parse(service.deleteTime) * 1000 + expireAfter),
    }),
    creator: service.creator,
    lastModifier: service.lastModifier,
    urls: service.urls,
    uri: service.uri,
    observedGeneration: service.observedGeneration > 0 ? String(service.observedGeneration) : undefined,
    terminalCondition: service.terminalCondition,
    conditions: service.conditions,
    latestReadyRevision: named(service, service.latestReady),
    latestCreatedRevision: named(service, service.latestCreated),
    trafficStatuses: statuses(service),
    reconciling: service.reconciling,
    etag: etagOf(service.version, name),
  }) as JsonObject;
}

const views = new WeakMap<ServiceState, { of: unknown[]; json: JsonObject }>();

/** The same for lists of many: one object for as long as the service is as it is, to be read only. */
export function listedService(service: ServiceState): JsonObject {
  const { version, generation, observedGeneration, reconciling, deleteTime } = service;
  const { desired, conditions, terminalCondition, serving, latestReady, latestCreated, urls } = service;
  const of = [
    ...[version, generation, observedGeneration, reconciling, deleteTime],
    ...[desired, conditions, terminalCondition, serving, latestReady, latestCreated, urls],
  ];
  const known = views.get(service);
  if (known?.of.every((part, index) => part === of[index])) return known.json;
  const json = unchanging(serviceJson(service));
  views.set(service, { of, json });
  return json;
}

/** A google.cloud.run.v2.Revision as proto3 JSON; a copy. */
export function revisionJson(service: ServiceState, revision: RevisionState, logUri: string): JsonObject {
  const { revision: _, ...template } = revision.template;
  const name = revisionName(service, revision.id);
  const isSettled = revision.state !== 'pending' && revision.state !== 'starting';
  return copyOf({
    ...template,
    name,
    uid: revision.uid,
    generation: '1',
    observedGeneration: isSettled ? '1' : undefined,
    createTime: revision.createTime,
    updateTime: revision.updateTime,
    launchStage: revision.launchStage,
    service: service.id,
    reconciling: !isSettled,
    conditions: revision.conditions,
    logUri,
    creator: revision.creator,
    etag: etagOf(Date.parse(revision.updateTime) * 1000, name),
  }) as JsonObject;
}
