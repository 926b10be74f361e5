import type { protos } from '@google-cloud/run';
import type { JsonObject } from '../../ports/json.ts';
import type { ObservedService } from '../tenant/types.ts';
import { filled, flag, int64, isObject, type Message, object, objects, stringMap, text, texts } from './parse.ts';
import { partsOf } from './resourceNames.ts';

type Service = Message<protos.google.cloud.run.v2.IService>;
type Condition = Message<protos.google.cloud.run.v2.ICondition>;
type ConditionState = keyof typeof protos.google.cloud.run.v2.Condition.State;

/**
 * A google.cloud.run.v2.Service; undefined if it lacks its name, its etag or a template with a container, which every service
 * has (service.proto: `template` is required). A template that did not arrive would be replaced by an empty one.
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
    raw,
  };
}

function hasContainers(template: unknown): boolean {
  const { containers } = object(template);
  return Array.isArray(containers) && containers.length > 0 && containers.every(isObject);
}

/** The condition that sums up a service. Which of the three kinds of reason is set depends on what failed (condition.proto). */
function parseTerminal(condition: Condition): ObservedService['terminal'] {
  const reason =
    filled(condition.reason) ?? filled(condition.revisionReason) ?? filled(condition.executionReason) ?? '';
  return {
    state: TERMINAL.get(text(condition.state)) ?? 'PENDING',
    reason,
    message: text(condition.message),
  };
}

/** Anything else, a state of tomorrow too, is neither good nor bad yet. */
const TERMINAL: ReadonlyMap<string, 'SUCCEEDED' | 'FAILED'> = new Map<ConditionState, 'SUCCEEDED' | 'FAILED'>([
  ['CONDITION_SUCCEEDED', 'SUCCEEDED'],
  ['CONDITION_FAILED', 'FAILED'],
]);
