import type { GcpStatus } from '../../../ports/gcp.ts';
import type { Cloud } from '../contracts.ts';
import {
  failed,
  imageMissing,
  notListening,
  ofRevision,
  reconciling,
  secretsFailed,
  succeeded,
  transition,
  transitions,
} from './conditions.ts';
import { containerSpec } from './containerSpec.ts';
import type { ContainerSpec, Containers, StartOutcome } from './containers.ts';
import { readEnv } from './instanceEnv.ts';
import type { Condition } from './messages.ts';
import { parentOf } from './names.ts';
import type { Failure, RevisionState, ServiceState } from './serviceState.ts';
import { percentOf, scaleOf, targetOf, trafficFailure } from './traffic.ts';
import { timestamp } from './version.ts';
import { serviceJson, serviceType } from './view.ts';

export interface Rollout {
  /**
   * Reconciles `service` after a change and returns the change's operation. It ends, with all earlier ones, when the service
   * settles.
   */
  begin(service: ServiceState): { name: string };
  /** Retires a revision that is not ready yet, because a newer revision takes its place. */
  supersede(revision: RevisionState): void;
  /** Stops serving at once. Requests in flight may end; earlier operations end with ABORTED. */
  end(service: ServiceState): void;
}

interface Parts {
  cloud: Cloud;
  containers: Containers;
  /** The address of a revision's log. */
  logUri: (service: ServiceState, revision: RevisionState) => string;
}

/**
 * Carries out accepted changes asynchronously, as the real service does: after `CloudSettings.deployMs`, plus the time that
 * instances need to start.
 */
export function createRollout(cloud: Cloud, containers: Containers, logUri: Parts['logUri']): Rollout {
  const parts = { cloud, containers, logUri };
  return {
    begin(service) {
      service.cancelTimer?.();
      service.reconciling = true;
      setConditions(
        service,
        reconciling('Ready'),
        [
          reconciling('RoutesReady'),
          service.latestCreated?.state === 'ready'
            ? succeeded('ConfigurationsReady')
            : reconciling('ConfigurationsReady'),
        ],
        now(cloud),
      );
      const operation = cloud.operations.start(parentOf(service), serviceType, serviceJson(service));
      service.operations.push(operation.name);
      service.cancelTimer = cloud.runtime.after(cloud.settings.deployMs, () => deploy(parts, service));
      return operation;
    },
    supersede(revision) {
      if (revision.state !== 'pending' && revision.state !== 'starting') return;
      revision.state = 'retired';
      stop(revision);
      const retired: Failure = {
        message: 'A newer revision took its place before it was ready.',
        reason: { revisionReason: 'RETIRED' },
      };
      revision.failure = retired;
      revision.conditions = transitions(revision.conditions, [failed('Ready', retired)], now(cloud));
    },
    end(service) {
      service.cancelTimer?.();
      service.cancelTimer = undefined;
      service.reconciling = true;
      service.serving = [];
      for (const revision of service.revisions) {
        if (revision.state === 'starting' || revision.state === 'pending') revision.state = 'retired';
        stop(revision);
      }
      finish(cloud, service, { code: 'ABORTED', message: `Resource '${service.id}' was deleted.` });
    },
  };
}

const now = ({ runtime }: Cloud) => timestamp(Math.floor(runtime.now() * 1000));

function deploy(parts: Parts, service: ServiceState): void {
  service.cancelTimer = undefined;
  const revision = service.latestCreated;
  if (revision?.state === 'pending') bringUp(parts, service, revision);
  else if (revision?.state !== 'starting') settle(parts.cloud, service);
}

/** Starts the containers of a revision. Its first instances decide whether it becomes ready. */
function bringUp(parts: Parts, service: ServiceState, revision: RevisionState): void {
  const { cloud, containers, logUri } = parts;
  const env = readEnv(cloud, service, revision.template, 'deployment');
  if (!env.ok) {
    judge(revision, secretsFailed(env.message), now(cloud));
    settle(cloud, service);
    return;
  }
  revision.state = 'starting';
  const spec = containerSpec(cloud, service, revision);
  // The first instances are scaled as if all traffic went to this revision.
  const scale = { ...scaleOf(service, revision, 100), serving: true };
  revision.container = containers.start(spec, scale, outcome => {
    if (revision.state !== 'starting') return;
    judge(revision, failureOf(spec, outcome, logUri(service, revision)), now(cloud));
    if (service.latestCreated === revision && !service.cancelTimer) settle(cloud, service);
  });
}

function failureOf(spec: ContainerSpec, outcome: StartOutcome, log: string): Failure | undefined {
  if (outcome.ok) return undefined;
  if (outcome.why === 'imageMissing') return imageMissing(outcome.message ?? spec.image);
  if (outcome.why === 'env') return secretsFailed(outcome.message);
  return notListening(spec.containerPort, log);
}

/**
 * Ends a change once the newest revision is ready or has failed. Moves the traffic if it can be moved, and ends the
 * operations.
 */
function settle(cloud: Cloud, service: ServiceState): void {
  const newest = service.latestCreated;
  if (newest?.state === 'ready') service.latestReady = newest;
  const revisionFailure = newest?.failure && ofRevision(newest.id, newest.failure);
  const wanted = service.desired.traffic ?? [];
  const routeFailure = trafficFailure(service, wanted);
  if (!routeFailure && wanted.every(target => targetOf(service, target))) service.serving = wanted;
  const failure = revisionFailure ?? routeFailure;
  service.reconciling = false;
  if (!failure) service.observedGeneration = service.generation;
  const unrouted = routeFailure ?? (service.serving.length === 0 ? failure : undefined);
  setConditions(
    service,
    failure ? failed('Ready', failure) : succeeded('Ready'),
    [
      unrouted ? failed('RoutesReady', unrouted) : succeeded('RoutesReady'),
      revisionFailure ? failed('ConfigurationsReady', revisionFailure) : succeeded('ConfigurationsReady'),
    ],
    now(cloud),
  );
  for (const revision of service.revisions) {
    revision.container?.scale(scaleOf(service, revision, percentOf(service, revision)));
  }
  finish(cloud, service, failure && { code: 'FAILED_PRECONDITION', message: failure.message });
}

function stop(revision: RevisionState): void {
  revision.container?.stop();
  revision.container = undefined;
}

/** Records that a revision is ready, or has failed. `now` is the time of its conditions. */
function judge(revision: RevisionState, failure: Failure | undefined, now: string): void {
  revision.state = failure ? 'failed' : 'ready';
  revision.failure = failure;
  const result = (type: string) => (failure ? failed(type, failure) : succeeded(type));
  const isHealth = failure && 'revisionReason' in failure.reason;
  const resources = isHealth ? succeeded('ResourcesAvailable') : result('ResourcesAvailable');
  const next = [result('Ready'), resources, result('ContainerHealthy'), result('ContainerReady')];
  revision.conditions = transitions(revision.conditions, next, now);
  revision.updateTime = now;
  if (failure) stop(revision);
}

function setConditions(service: ServiceState, terminal: Condition, others: Condition[], now: string): void {
  service.terminalCondition = transition(service.terminalCondition, terminal, now);
  service.conditions = transitions(service.conditions, others, now);
}

/** Ends all operations of a service. */
function finish(cloud: Cloud, service: ServiceState, error: GcpStatus | undefined): void {
  const result = error ? { error } : { responseType: serviceType, response: serviceJson(service) };
  for (const operation of service.operations.splice(0)) cloud.operations.finish(operation, result);
}
