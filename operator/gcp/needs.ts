import { part } from '../tenant/names.ts';
import type { Desired, Step, Targets, Tenant } from '../tenant/types.ts';
import { requestOf } from './execute.ts';
import { APIS } from './methods.ts';
import { type Cost, costs } from './observe.ts';
import { type Need, needOf } from './quota.ts';

/**
 * Computes how many calls of each budget a reconcile needs. The reconcile claims them before it makes the first call (`quota.ts`). For
 * reads this is an estimate, one call for each resource, which is too high where a shared list answers. For writes it is exact: one
 * call for each step of the plan. A reconcile that needs more than it has claimed claims the rest, or is parked until it can have
 * everything.
 */

function need(kind: Need['kind'], { api, name }: Omit<Cost, 'reads'>, calls = 1): Need {
  return {
    api,
    kind,
    project: part(name, 'projects'),
    region: APIS[api].isRegional ? part(name, 'locations') : '',
    calls,
  };
}

/** The calls that read every target once. */
export const readNeeds = (targets: Targets): Need[] => costs(targets).map(cost => need('read', cost, cost.reads));

const serviceNeeds = (kind: Need['kind'], names: readonly string[]): Need[] =>
  names.map(name => need(kind, { api: 'run', name }));

/** The reads while a tenant waits for an operation: only the services, because almost everything else is cached. */
export const waitNeeds = ({ services }: Targets): Need[] => serviceNeeds('read', services);

/**
 * The writes that are expected before anything is read: for a new tenant one of each target, and after an edit of the spec one of the
 * service. They are claimed together with the reads, because a tenant that is parked for its writes later would have to read
 * everything twice.
 */
export function expectedWrites({ status, generation }: Tenant, { project, region }: Desired, targets: Targets): Need[] {
  if (status.inventory.length === 0) return costs(targets).map(cost => need('write', cost));
  const isEdited = status.observedGeneration !== generation;
  return isEdited ? serviceNeeds('write', [`projects/${project}/locations/${region}`]) : [];
}

/** The calls of a plan's steps. */
export const writeNeeds = (steps: Step[]): Need[] =>
  steps.flatMap(({ call }) => {
    const { method, request } = requestOf(call);
    return needOf(method, request) ?? [];
  });

/** The calls of a deletion while the tenant has services: one read of each service, and one write of each service in `writes`. */
export const serviceDeletionNeeds = ({ services }: Targets, writes: readonly string[]): Need[] => [
  ...serviceNeeds('read', services),
  ...serviceNeeds('write', writes),
];

/** The calls of a deletion once the services are gone: it reads and writes everything else. */
export const restDeletionNeeds = (targets: Targets): Need[] =>
  costs({ ...targets, services: [] }).flatMap(cost => [need('read', cost, cost.reads), need('write', cost)]);

/** The number of the tenant's project, taken from its recorded grants. Undefined if those or the spec's keys may be in another project. */
export function numberOf({ spec, status }: Tenant): string | undefined {
  const isOwn = spec.keys.every(({ secretRef }) => !secretRef.external?.includes('/'));
  const grants = status.inventory.filter(({ type }) => type === 'SecretAccess');
  const projects = new Set(grants.map(({ name }) => part(name, 'projects')));
  const [number = ''] = projects;
  return isOwn && projects.size === 1 && /^\d+$/.test(number) ? number : undefined;
}
