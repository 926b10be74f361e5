import type { protos } from '@google-cloud/run';
import type { JsonObject } from '../../ports/json.ts';
import { part } from '../tenant/names.ts';
import type { Failure, ObservedService } from '../tenant/types.ts';
import type { Resource } from './getOne.ts';
import { rpc } from './methods.ts';
import { filled, flag, int64, isObject, type Message, object, objects, stringMap, text, texts } from './parse.ts';
import { badId, badName, partsOf } from './resourceNames.ts';
import { etagMissing, type Writes } from './write.ts';

/** Cloud Run services. */

type Service = Message<protos.google.cloud.run.v2.IService>;
type Condition = Message<protos.google.cloud.run.v2.ICondition>;
type ConditionState = keyof typeof protos.google.cloud.run.v2.Condition.State;

/**
 * Parses a google.cloud.run.v2.Service; undefined if the answer lacks the name, the etag or a template with a container. Every service has
 * a template (service.proto: `template` is required); if one were parsed without it, the next update would write an empty template.
 */
export function parseService(raw: JsonObject): ObservedService | undefined {
  const answer: Service = raw;
  const name = filled(answer.name);
  const region = name && partsOf('service', name)?.[1];
  const etag = filled(answer.etag);
  if (!name || !region || !etag || !hasContainers(answer.template)) return undefined;
  return {
    name,
    region,
    etag,
    labels: stringMap(answer.labels),
    generation: int64(answer.generation),
    observedGeneration: int64(answer.observedGeneration),
    reconciling: flag(answer.reconciling),
    ...(filled(answer.deleteTime) && { deleteTime: text(answer.deleteTime) }),
    terminal: parseTerminal(object(answer.terminalCondition)),
    latestReadyRevision: text(answer.latestReadyRevision),
    latestCreatedRevision: text(answer.latestCreatedRevision),
    uri: text(answer.uri),
    urls: texts(answer.urls),
    traffic: objects(answer.traffic),
    trafficStatuses: objects(answer.trafficStatuses),
    invokerIamDisabled: flag(answer.invokerIamDisabled),
    scaling: object(answer.scaling),
    template: object(answer.template),
    raw: withoutHistory(raw),
  };
}

/** Without fields that only the server writes and that nobody reads here (service.proto: OUTPUT_ONLY): a list keeps a thousand services. */
function withoutHistory({
  conditions: _conditions,
  uid: _uid,
  createTime: _created,
  updateTime: _updated,
  creator: _creator,
  lastModifier: _modifier,
  ...rest
}: JsonObject): JsonObject {
  return rest;
}

function hasContainers(template: unknown): boolean {
  const { containers } = object(template);
  return Array.isArray(containers) && containers.length > 0 && containers.every(isObject);
}

/** Parses `terminalCondition`, the summary of a service's state. Which field holds the reason depends on what failed (condition.proto). */
function parseTerminal(condition: Condition): ObservedService['terminal'] {
  const reason =
    filled(condition.reason) ?? filled(condition.revisionReason) ?? filled(condition.executionReason) ?? '';
  return {
    state: TERMINAL.get(text(condition.state)) ?? 'PENDING',
    reason,
    message: text(condition.message),
  };
}

/** Any other state counts as pending, including states that a later version of Cloud Run may add. */
const TERMINAL: ReadonlyMap<string, 'SUCCEEDED' | 'FAILED'> = new Map<ConditionState, 'SUCCEEDED' | 'FAILED'>([
  ['CONDITION_SUCCEEDED', 'SUCCEEDED'],
  ['CONDITION_FAILED', 'FAILED'],
]);

export const services: Resource<ObservedService> = {
  shape: 'service',
  get: { method: rpc.getService, request: name => ({ name }) },
  list: {
    method: rpc.listServices,
    request: parent => ({ parent, pageSize: 1_000 }),
    field: 'services',
    parse: parseService,
    key: ({ name }) => part(name, 'services'),
  },
  isOurs: true,
};

/** Cloud Run answers each of these calls at once with an operation. The operator does not wait for the operation; it reads the service again. */
export const serviceWrites: Writes<'createService' | 'updateService' | 'deleteService'> = {
  createService: {
    method: rpc.createService,
    guard: ({ parent, serviceId }) => badName('location', parent) ?? badId('service', serviceId),
    request: ({ parent, serviceId, service }) => ({ parent, serviceId, service }),
    changes: ({ parent, serviceId }) => `${parent}/services/${serviceId}`,
    needsGet: true,
  },
  updateService: {
    method: rpc.updateService,
    guard: ({ service, updateMask }) => badName('service', String(service.name)) ?? maskMissing(updateMask),
    request: ({ service, updateMask }) => ({ service, updateMask: updateMask.join(',') }),
    changes: ({ service }) => String(service.name),
  },
  deleteService: {
    method: rpc.deleteService,
    guard: ({ name, etag }) => badName('service', name) ?? etagMissing(etag),
    request: ({ name, etag }) => ({ name, etag }),
    changes: ({ name }) => name,
    needsGet: true,
  },
};

/** An update without a mask would replace the whole service. */
const maskMissing = (mask: string[]): Failure | undefined =>
  mask.length > 0 ? undefined : { kind: 'Invalid', message: 'Refused to update a service without naming the fields.' };
