import { part } from '../tenant/names.ts';
import type { Targets } from '../tenant/targets.ts';
import type { Desired, Step, Tenant } from '../tenant/types.ts';
import { requestOf } from './execute.ts';
import { type Need, needOf } from './quota.ts';
import { sameButProject } from './resourceNames.ts';

/**
 * Computes how many calls of each budget a reconcile needs. The reconcile claims them before it makes the first call (`quota.ts`). For
 * reads this is an estimate, one call for each resource, which is too high where a shared list answers. For writes it is exact: one
 * call for each step of the plan. A reconcile that needs more than it has claimed claims the rest, or is parked until it can have
 * everything.
 */

const secretNeed = (kind: Need['kind'], secret: string, calls: number): Need => {
  return { api: 'secretmanager', kind, project: part(secret, 'projects'), region: '', calls };
};
const accountNeed = (kind: Need['kind'], project: string): Need => {
  return { api: 'iam', kind, project, region: '', calls: 1 };
};
const serviceNeed = (kind: Need['kind'], name: string, calls = 1): Need => {
  return { api: 'run', kind, project: part(name, 'projects'), region: part(name, 'locations'), calls };
};

/** The calls that read every target once. */
export function readNeeds({ account, keys, formerGrants, formerConsent, services, invokersOf }: Targets): Need[] {
  return [
    ...(account ? [accountNeed('read', account.project)] : []),
    // Two calls read the secret and its policy; a third one reads the version, if one is wanted.
    ...keys.map(({ secret, want }) => secretNeed('read', secret, want === 'none' ? 2 : 3)),
    ...withoutKeys(formerGrants, keys).map(secret => secretNeed('read', secret, formerConsent ? 2 : 1)),
    ...services.map(name => serviceNeed('read', name, invokersOf.includes(name) ? 2 : 1)),
  ];
}

/**
 * Leaves out the recorded grants that belong to a key, because their secrets are already counted with the keys. The inventory names a
 * secret by its project's number and the spec mostly by the project's id, so a number counts as the same project. A key accounts for
 * one grant at most.
 */
function withoutKeys(grants: string[], keys: Targets['keys']): string[] {
  const unmatched = new Set(keys);
  return grants.filter(grant => {
    const key = [...unmatched].find(({ secret }) => mayBeSame(secret, grant));
    return !key || !unmatched.delete(key);
  });
}

const mayBeSame = (secret: string, grant: string): boolean =>
  secret === grant || (/^\d+$/.test(part(grant, 'projects')) && sameButProject('secret', secret, grant));

/** The reads while a tenant waits for an operation: only the services, because almost everything else is cached. */
export const waitNeeds = ({ services }: Targets): Need[] => services.map(name => serviceNeed('read', name));

/**
 * The writes that are expected before anything is read: for a new tenant all of them, and after an edit of the spec one write of the
 * service. They are claimed together with the reads, because a tenant that is parked for its writes later would have to read
 * everything twice.
 */
export function expectedWrites({ status, generation }: Tenant, { project, region, keys }: Desired): Need[] {
  const service = serviceNeed('write', `projects/${project}/locations/${region}`);
  if (status.inventory.length > 0) return status.observedGeneration === generation ? [] : [service];
  const grants = keys.flatMap(({ secret }) => (secret === undefined ? [] : secretNeed('write', secret, 1)));
  return [accountNeed('write', project), ...grants, service];
}

/** The calls of a plan's steps. */
export const writeNeeds = (steps: Step[]): Need[] =>
  steps.flatMap(({ call }) => {
    const { method, request } = requestOf(call);
    return needOf(method, request) ?? [];
  });

/** The calls of a deletion while the tenant has services: one read of each service, and one write of each service in `writes`. */
export const serviceDeletionNeeds = ({ services }: Targets, writes: readonly string[]): Need[] => [
  ...services.map(name => serviceNeed('read', name)),
  ...writes.map(name => serviceNeed('write', name)),
];

/** The calls of a deletion once the services are gone: it reads and writes each grant and the account. */
export function grantDeletionNeeds({ account, keys, formerGrants }: Targets): Need[] {
  const former = withoutKeys(formerGrants, keys);
  return [
    ...(account ? [accountNeed('read', account.project), accountNeed('write', account.project)] : []),
    ...keys.flatMap(({ secret }) => [secretNeed('read', secret, 2), secretNeed('write', secret, 1)]),
    ...former.flatMap(secret => [secretNeed('read', secret, 1), secretNeed('write', secret, 1)]),
  ];
}

/** The number of the tenant's project, taken from its recorded grants. Undefined if those or the spec's keys may be in another project. */
export function numberOf({ spec, status }: Tenant): string | undefined {
  const isOwn = spec.keys.every(({ secretRef }) => !secretRef.external?.includes('/'));
  const grants = status.inventory.filter(({ type }) => type === 'SecretAccess');
  const projects = new Set(grants.map(({ name }) => part(name, 'projects')));
  const [number = ''] = projects;
  return isOwn && projects.size === 1 && /^\d+$/.test(number) ? number : undefined;
}
