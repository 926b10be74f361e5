import type { GcpStatus } from '../../../ports/gcp.ts';
import type { JsonObject } from '../../../ports/json.ts';
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
import type { ContainerSpec, Containers, StartOutcome } from './containers.ts';
import { ingressOf, readEnv } from './instanceEnv.ts';
import type { Condition, ContainerTemplate } from './messages.ts';
import { parentOf, serviceName } from './names.ts';
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

/** The port that a probe connects to. All kinds of probe call the field `port`. */
function probedPort(probe: JsonObject | undefined): number | undefined {
  for (const kind of ['tcpSocket', 'httpGet', 'grpc']) {
    const { port } = (probe?.[kind] ?? {}) as { port?: number };
    if (typeof port === 'number') return port;
  }
  return undefined;
}

/**
 * Carries out accepted changes asynchronously, as the real service does: after `CloudSettings.deployMs`, plus the time that
 * instances need to start.
 */
export function createRollout(
  cloud: Cloud,
  containers: Containers,
  logUri: (service: ServiceState, revision: RevisionState) => string,
): Rollout {
  const now = () => timestamp(Math.floor(cloud.runtime.now() * 1000));

  function setConditions(service: ServiceState, terminal: Condition, others: Condition[]): void {
    service.terminalCondition = transition(service.terminalCondition, terminal, now());
    service.conditions = transitions(service.conditions, others, now());
  }

  function judge(revision: RevisionState, failure: Failure | undefined): void {
    revision.state = failure ? 'failed' : 'ready';
    revision.failure = failure;
    const result = (type: string) => (failure ? failed(type, failure) : succeeded(type));
    const isHealth = failure && 'revisionReason' in failure.reason;
    const resources = isHealth ? succeeded('ResourcesAvailable') : result('ResourcesAvailable');
    const next = [result('Ready'), resources, result('ContainerHealthy'), result('ContainerReady')];
    revision.conditions = transitions(revision.conditions, next, now());
    revision.updateTime = now();
    if (failure) stop(revision);
  }

  function stop(revision: RevisionState): void {
    revision.container?.stop();
    revision.container = undefined;
  }

  function specOf(service: ServiceState, revision: RevisionState): ContainerSpec {
    const { template } = revision;
    const containers = template.containers ?? [];
    const container = containers[ingressOf(template)] ?? {};
    const mounts = ({ volumeMounts = [] }: ContainerTemplate) =>
      volumeMounts.flatMap(({ name, mountPath = '' }) => {
        const volume = template.volumes?.find(one => one.name === name);
        return volume ? { path: mountPath, volume } : [];
      });
    return {
      service: serviceName(service),
      revision: revision.id,
      image: container.image ?? '',
      dependsOn: container.dependsOn ?? [],
      mounts: mounts(container),
      sidecars: containers
        .filter(other => other !== container)
        .map(sidecar => ({
          name: sidecar.name ?? '',
          image: sidecar.image ?? '',
          startupPort: probedPort(sidecar.startupProbe),
          dependsOn: sidecar.dependsOn ?? [],
          mounts: mounts(sidecar),
        })),
      isH2c: container.ports?.[0]?.name === 'h2c',
      containerPort: container.ports?.[0]?.containerPort ?? 8080,
      concurrency: template.maxInstanceRequestConcurrency ?? 80,
      timeoutMs: Number((template.timeout ?? '300s').slice(0, -1)) * 1000,
      startupTimeoutMs: cloud.settings.startupTimeoutMs,
      idleMs: () => cloud.settings.idleMs,
      instanceEnv: () => readEnv(cloud, service, template, 'start'),
    };
  }

  function bringUp(service: ServiceState, revision: RevisionState): void {
    const env = readEnv(cloud, service, revision.template, 'deployment');
    if (!env.ok) {
      judge(revision, secretsFailed(env.message));
      settle(service);
      return;
    }
    revision.state = 'starting';
    const spec = specOf(service, revision);
    // The first instances are scaled as if all traffic went to this revision.
    const scale = { ...scaleOf(service, revision, 100), serving: true };
    revision.container = containers.start(spec, scale, outcome => {
      if (revision.state !== 'starting') return;
      judge(revision, failureOf(service, revision, spec, outcome));
      if (service.latestCreated === revision && !service.cancelTimer) settle(service);
    });
  }

  function failureOf(service: ServiceState, revision: RevisionState, spec: ContainerSpec, outcome: StartOutcome) {
    if (outcome.ok) return undefined;
    if (outcome.why === 'imageMissing') return imageMissing(outcome.message ?? spec.image);
    if (outcome.why === 'env') return secretsFailed(outcome.message);
    return notListening(spec.containerPort, logUri(service, revision));
  }

  function deploy(service: ServiceState): void {
    service.cancelTimer = undefined;
    const revision = service.latestCreated;
    if (revision?.state === 'pending') bringUp(service, revision);
    else if (revision?.state !== 'starting') settle(service);
  }

  /**
   * Ends a change once the newest revision is ready or has failed. Moves the traffic if it can be moved, and ends the
   * operations.
   */
  function settle(service: ServiceState): void {
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
    setConditions(service, failure ? failed('Ready', failure) : succeeded('Ready'), [
      unrouted ? failed('RoutesReady', unrouted) : succeeded('RoutesReady'),
      revisionFailure ? failed('ConfigurationsReady', revisionFailure) : succeeded('ConfigurationsReady'),
    ]);
    for (const revision of service.revisions) {
      revision.container?.scale(scaleOf(service, revision, percentOf(service, revision)));
    }
    finish(service, failure && { code: 'FAILED_PRECONDITION', message: failure.message });
  }

  function finish(service: ServiceState, error: GcpStatus | undefined): void {
    const result = error ? { error } : { responseType: serviceType, response: serviceJson(service) };
    for (const operation of service.operations.splice(0)) cloud.operations.finish(operation, result);
  }

  return {
    begin(service) {
      service.cancelTimer?.();
      service.reconciling = true;
      setConditions(service, reconciling('Ready'), [
        reconciling('RoutesReady'),
        service.latestCreated?.state === 'ready'
          ? succeeded('ConfigurationsReady')
          : reconciling('ConfigurationsReady'),
      ]);
      const operation = cloud.operations.start(parentOf(service), serviceType, serviceJson(service));
      service.operations.push(operation.name);
      service.cancelTimer = cloud.runtime.after(cloud.settings.deployMs, () => deploy(service));
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
      revision.conditions = transitions(revision.conditions, [failed('Ready', retired)], now());
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
      finish(service, { code: 'ABORTED', message: `Resource '${service.id}' was deleted.` });
    },
  };
}
