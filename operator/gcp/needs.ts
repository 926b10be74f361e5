import { part } from '../tenant/names.ts';
import type { Targets } from '../tenant/targets.ts';
import type { Desired, Step, Tenant } from '../tenant/types.ts';
import { requestOf } from './execute.ts';
import { type Need, needOf } from './quota.ts';
import { sameButProject } from './resourceNames.ts';

/**
 * The calls that a reconcile needs of each budget. It claims them before it makes the first one (`quota.ts`): for the reads an
 * estimate from what has to be read, which is too high where a shared list answers; for the writes exactly the calls of the
 * plan's steps. A reconcile that needs more than it has claimed claims the rest, or is parked for all of it.
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

/** One read of every target. */
export function readNeeds({ account, keys, formerGrants, formerConsent, services, invokersOf }: Targets): Need[] {
  return [
    ...(account ? [accountNeed('read', account.project)] : []),
    // The secret, its policy, and the version if one is wanted.
    ...keys.map(({ secret, want }) => secretNeed('read', secret, want === 'none' ? 2 : 3)),
    ...withoutKeys(formerGrants, keys).map(secret => secretNeed('read', secret, formerConsent ? 2 : 1)),
    ...services.map(name => serviceNeed('read', name, invokersOf.includes(name) ? 2 : 1)),
  ];
}

/**
 * The recorded grants that no key stands for: those of keys are read as keys. The record names a secret by its project's number,
 * the spec mostly by its id, so a number counts as the same project.
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

/** While a tenant waits for an operation it reads little but the services. */
export const waitNeeds = ({ services }: Targets): Need[] => services.map(name => serviceNeed('read', name));

/**
 * The writes that are expected before anything is read: all of a new tenant's, and one of the service after an edit of the
 * spec. If they were claimed later, a tenant that is parked for its writes would read everything twice.
 */
export function expectedWrites({ status, generation }: Tenant, { project, region, keys }: Desired): Need[] {
  const service = serviceNeed('write', `projects/${project}/locations/${region}`);
  if (status.inventory.length > 0) return status.observedGeneration === generation ? [] : [service];
  const grants = keys.flatMap(({ secret }) => (secret === undefined ? [] : secretNeed('write', secret, 1)));
  return [accountNeed('write', project), ...grants, service];
}

/** Exactly what the steps of a plan cost. */
export const writeNeeds = (steps: Step[]): Need[] =>
  steps.flatMap(({ call }) => {
    const { method, request } = requestOf(call);
    return needOf(method, request) ?? [];
  });

/** What a deletion needs while it has services: one read of each, and one write of each service in `writes`. */
export const serviceDeletionNeeds = ({ services }: Targets, writes: readonly string[]): Need[] => [
  ...services.map(name => serviceNeed('read', name)),
  ...writes.map(name => serviceNeed('write', name)),
];

/** What a deletion needs once its services are gone: it reads and writes each grant and the account. */
export function grantDeletionNeeds({ account, keys, formerGrants }: Targets): Need[] {
  const former = withoutKeys(formerGrants, keys);
  return [
    ...(account ? [accountNeed('read', account.project), accountNeed('write', account.project)] : []),
    ...keys.flatMap(({ secret }) => [secretNeed('read', secret, 2), secretNeed('write', secret, 1)]),
    ...former.flatMap(secret => [secretNeed('read', secret, 1), secretNeed('write', secret, 1)]),
  ];
}

/** The number of the tenant's project, if neither its recorded grants nor its spec name another project. */
export function numberOf({ spec, status }: Tenant): string | undefined {
  const isOwn = spec.keys.every(({ secretRef }) => !secretRef.external?.includes('/'));
  const grants = status.inventory.filter(({ type }) => type === 'SecretAccess');
  const projects = new Set(grants.map(({ name }) => part(name, 'projects')));
  const [number = ''] = projects;
  return isOwn && projects.size === 1 && /^\d+$/.test(number) ? number : undefined;
}
