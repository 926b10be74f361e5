import { noSuchRevision, ofRevision } from './conditions.ts';
import type { Scale } from './containers.ts';
import { byRevision } from './defaults.ts';
import type { TrafficStatus, TrafficTarget } from './messages.ts';
import type { Failure, RevisionState, ServiceState } from './serviceState.ts';

/** The revision that a target means now; undefined: none that can serve. */
export function targetOf(service: ServiceState, target: TrafficTarget): RevisionState | undefined {
  if (target.type !== byRevision) return service.latestReady;
  return service.revisions.find(({ id, state }) => id === target.revision && state === 'ready');
}

/**
 * The reason why the desired traffic cannot be applied. Undefined if it can. A latest revision that is not ready yet is not a
 * reason.
 */
export function trafficFailure(service: ServiceState, targets: TrafficTarget[]): Failure | undefined {
  for (const target of targets) {
    if (target.type !== byRevision || targetOf(service, target)) continue;
    const revision = service.revisions.find(({ id }) => id === target.revision);
    return revision?.failure ? ofRevision(revision.id, revision.failure) : noSuchRevision(target.revision ?? '');
  }
  return undefined;
}

/** A revision's percentage of the service's requests. */
export function percentOf(service: ServiceState, revision: RevisionState): number {
  const targets = service.serving.filter(target => targetOf(service, target) === revision);
  return targets.reduce((sum, { percent = 0 }) => sum + percent, 0);
}

/** Picks the revision of the next request: by its tag, or by percentages with `chance` in [0, 1). */
export function pick(service: ServiceState, chance: number, tag?: string): RevisionState | undefined {
  if (tag !== undefined) {
    const target = service.serving.find(candidate => candidate.tag === tag);
    return target && targetOf(service, target);
  }
  let rest = chance * 100;
  for (const target of service.serving) {
    rest -= target.percent ?? 0;
    if (rest < 0) return targetOf(service, target);
  }
  return undefined;
}

/** Traffic in force as the API tells it. */
export function statuses(service: ServiceState): TrafficStatus[] {
  return service.serving.map(target => ({
    ...target,
    ...(target.tag && { uri: service.taggedUri(target.tag) }),
  }));
}

/**
 * The scaling in force for a revision that gets `percent` of the requests: its own template's, and its share of the
 * service's (vendor's protos: divided by percentage), rounded up.
 */
export function scaleOf(service: ServiceState, revision: RevisionState, percent: number): Scale {
  const own = revision.template.scaling ?? {};
  const shared = service.desired.scaling ?? {};
  const share = (count: number) => Math.ceil((count * percent) / 100);
  const tagged = service.serving.some(target => target.tag && targetOf(service, target) === revision);
  const serving = (percent > 0 || tagged) && service.deleteTime === undefined;
  if (shared.scalingMode === 'MANUAL') {
    const exactly = share(shared.manualInstanceCount ?? 0);
    return { min: exactly, max: exactly, serving };
  }
  const ownMax = own.maxInstanceCount ?? 100;
  const max = shared.maxInstanceCount ? Math.max(1, Math.min(ownMax, share(shared.maxInstanceCount))) : ownMax;
  const min = serving && percent > 0 ? Math.max(own.minInstanceCount ?? 0, share(shared.minInstanceCount ?? 0)) : 0;
  return { min: Math.min(min, max), max, serving };
}
