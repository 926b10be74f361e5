import { part } from '../tenant/names.ts';
import type { Targets } from '../tenant/plan.ts';
import type { Desired, Step, Tenant } from '../tenant/types.ts';
import { requestOf } from './execute.ts';
import { type Need, needOf } from './quota.ts';

/** What a reconcile needs of each budget: before its reads by an estimate, before its writes exactly. */

const secretNeed = (kind: Need['kind'], secret: string, calls: number): Need => {
  return { api: 'secretmanager', kind, project: part(secret, 'projects'), region: '', calls };
};
const accountNeed = (kind: Need['kind'], project: string): Need => {
  return { api: 'iam', kind, project, region: '', calls: 1 };
};
const serviceNeed = (kind: Need['kind'], name: string, calls = 1): Need => {
  return { api: 'run', kind, project: part(name, 'projects'), region: part(name, 'locations'), calls };
};

/** One read of everything. What turns out to be in a list that is shared costs less. */
export function readNeeds({ account, keys, formerGrants, formerConsent, services, invokersOf }: Targets): Need[] {
  return [
    ...(account ? [accountNeed('read', account.project)] : []),
    // The secret itself, its policy, and the version if one is wanted.
    ...keys.map(({ secret, want }) => secretNeed('read', secret, want === 'none' ? 2 : 3)),
    ...formerGrants.map(secret => secretNeed('read', secret, formerConsent ? 2 : 1)),
    ...services.map(name => serviceNeed('read', name, invokersOf.includes(name) ? 2 : 1)),
  ];
}

/** Who waits for an operation reads little but the services. */
export const waitNeeds = ({ services }: Targets): Need[] => services.map(name => serviceNeed('read', name));

/**
 * The writes that are known to come before anything is read: all of a new tenant's, and one of a service whose spec was
 * edited. Without them a tenant that has to wait for its writes would have to read everything twice.
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
  // A key's secret is written with the project's id in the spec and with its number in the inventory.
  const named = new Set(keys.map(({ secret }) => part(secret, 'secrets')));
  const former = formerGrants.filter(secret => !named.has(part(secret, 'secrets')));
  return [
    ...(account ? [accountNeed('read', account.project), accountNeed('write', account.project)] : []),
    ...keys.flatMap(({ secret }) => [secretNeed('read', secret, 2), secretNeed('write', secret, 1)]),
    ...former.flatMap(secret => [secretNeed('read', secret, 1), secretNeed('write', secret, 1)]),
  ];
}

/** The number of the tenant's project, if its grants show no other and its spec names no other. */
export function numberOf({ spec, status }: Tenant): string | undefined {
  const isOwn = spec.keys.every(({ secretRef }) => !secretRef.external?.includes('/'));
  const grants = status.inventory.filter(({ type }) => type === 'SecretAccess');
  const projects = new Set(grants.map(({ name }) => part(name, 'projects')));
  const [number = ''] = projects;
  return isOwn && projects.size === 1 && /^\d+$/.test(number) ? number : undefined;
}
