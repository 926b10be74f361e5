import type { Binding, Policy } from '../../sandbox/gcp/contracts.ts';
import type { GcpCore } from '../../sandbox/gcp/core.ts';
import type { Account } from '../../sandbox/gcp/iam/accounts.ts';
import type { ContainerTemplate, Template } from '../../sandbox/gcp/run/messages.ts';
import type { RevisionState, ServiceState } from '../../sandbox/gcp/run/serviceState.ts';
import type { Secret } from '../../sandbox/gcp/secretManager/secrets.ts';

/**
 * The cloud as it is, read from its state and not through its API: nothing is hidden by propagation, and looking changes
 * nothing. The names and marks are those of the contract, written here anew: what checks the operator must not share its
 * code.
 */

export const PROJECTS = [
  { id: 'demo-project', number: '123456789012' },
  { id: 'other-project', number: '210987654321' },
];
export const ACCESSOR = 'roles/secretmanager.secretAccessor';
export const INVOKER = 'roles/run.invoker';

export interface OwnerMark {
  cluster: string;
  namespace: string;
  name: string;
}

export const sameOwner = (a: OwnerMark | undefined, b: OwnerMark): boolean =>
  a !== undefined && a.cluster === b.cluster && a.namespace === b.namespace && a.name === b.name;

export const emailOf = (tenant: string, project: string): string => `sa-${tenant}@${project}.iam.gserviceaccount.com`;
export const numberOf = (project: string): string | undefined => PROJECTS.find(({ id }) => id === project)?.number;
export const memberOf = (email: string): string => `serviceAccount:${email}`;
export const serviceNameOf = (service: Pick<ServiceState, 'project' | 'location' | 'id'>): string =>
  `projects/${service.project.id}/locations/${service.location}/services/${service.id}`;

export function describedOwner(description: string): OwnerMark | undefined {
  const [cluster, namespace, name] = /(?:^|\s)ai-tenant-owner=(\S+)/.exec(description)?.[1]?.split('/') ?? [];
  return cluster && namespace && name ? { cluster, namespace, name } : undefined;
}

export function labelledOwner(labels: Record<string, string> = {}): OwnerMark | undefined {
  const cluster = labels['ai-tenant-owner-cluster'];
  const namespace = labels['ai-tenant-owner-namespace'];
  const name = labels['ai-tenant-owner-name'];
  return cluster === undefined && namespace === undefined && name === undefined
    ? undefined
    : { cluster: cluster ?? '', namespace: namespace ?? '', name: name ?? '' };
}

/** Consent by labels, or by the words of a description turned into labels. */
export function consents(labels: Record<string, string>, owner: Pick<OwnerMark, 'cluster' | 'namespace'>): boolean {
  const cluster = labels['ai-tenant-cluster'];
  return labels['ai-tenant-namespace'] === owner.namespace && (cluster === undefined || cluster === owner.cluster);
}

export const labelsOf = (secret: Secret): Record<string, string> =>
  (secret.fields.labels ?? {}) as Record<string, string>;

export interface Variable {
  name: string;
  value?: string;
  /** Canonical `projects/NUMBER/secrets/S`. */
  secret?: string;
  version?: string;
}

/**
 * The variables of the containers, and the keys that are mounted in them: their name is the path of the file. Those of a sidecar begin
 * with its name and a colon.
 */
export const variablesOf = (service: ServiceState, template: Template | undefined): Variable[] =>
  (template?.containers ?? []).flatMap((container, at) =>
    variablesIn(service, template, container).map(variable =>
      at === 0 ? variable : { ...variable, name: `${container.name}:${variable.name}` },
    ),
  );

function variablesIn(
  service: ServiceState,
  template: Template | undefined,
  { env = [], volumeMounts = [] }: ContainerTemplate,
): Variable[] {
  const variables = env.map(({ name = '', value, valueSource }) => {
    const ref = valueSource?.secretKeyRef;
    if (!ref) return { name, value: value ?? '' };
    return { name, secret: canonicalSecret(ref.secret ?? '', service.project.id), version: ref.version };
  });
  const files = volumeMounts.flatMap(({ name, mountPath }) => {
    const { secret } = template?.volumes?.find(volume => volume.name === name) ?? {};
    return (secret?.items ?? []).map(({ path, version }) => ({
      name: `${mountPath}/${path}`,
      secret: canonicalSecret(secret?.secret ?? '', service.project.id),
      version,
    }));
  });
  return [...variables, ...files];
}

/** `projects/NUMBER/secrets/S` for a bare id or a full name. */
export function canonicalSecret(reference: string, project: string): string {
  const [, named, id] = /^projects\/([^/]+)\/secrets\/(.+)$/.exec(reference) ?? [undefined, project, reference];
  const found = PROJECTS.find(({ id, number }) => id === named || number === named);
  return `projects/${found?.number ?? named}/secrets/${id}`;
}

export type Facts = ReturnType<typeof cloudFacts>;

export function cloudFacts(core: GcpCore) {
  const { cloud, run } = core;
  const services = (): ServiceState[] => [...run.services()] as ServiceState[];
  const policy = (resource: string): Policy => cloud.policies.get(resource, 3);
  const secrets = (): Secret[] => PROJECTS.flatMap(project => cloud.secrets.list(project));
  return {
    services,
    policy,
    secrets,
    service: (name: string) => services().find(service => serviceNameOf(service) === name),
    secret: (name: string) => cloud.secrets.find(name),
    account: (emailOrId: string): Account | undefined => cloud.accounts.find(emailOrId),
    accounts: (): Account[] => PROJECTS.flatMap(({ id }) => cloud.accounts.list(id)),
    /** Members that hold a role without a condition. */
    members: (resource: string, role: string) => unconditional(policy(resource).bindings ?? [], role),
  };
}

const unconditional = (bindings: Binding[], role: string): string[] =>
  bindings.filter(binding => binding.role === role && !binding.condition).flatMap(({ members }) => members);

/** The revisions that take requests now. */
export function servingRevisions(service: ServiceState): RevisionState[] {
  if (service.deleteTime !== undefined) return [];
  return service.serving
    .filter(({ percent = 0 }) => percent > 0)
    .flatMap(({ type, revision }) =>
      type === 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION'
        ? service.revisions.filter(({ id }) => id === revision)
        : (service.latestReady ?? []),
    );
}
