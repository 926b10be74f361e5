import type { KubeObject } from '../../ports/kube.ts';
import { isRequested } from '../reconcile/pacing.ts';
import { readyOf, STALLED } from '../tenant/conditions.ts';
import { deletionPolicy } from '../tenant/deletion.ts';
import { usesOf } from '../tenant/fields/sidecarSpec.ts';
import { entriesOfType } from '../tenant/inventory.ts';
import { part, serviceAccountId, serviceId } from '../tenant/names.ts';
import { readTenant } from '../tenant/resource.ts';
import type { Condition, ConditionType, KeySpec, KeyStatus, Tenant, TenantSpec } from '../tenant/types.ts';

/**
 * What an AiTenant's object says about the tenant: the parts from the service account to the URL, what is done, and what is
 * waited for. Nothing but the object is read, so all of it is as the operator last wrote it.
 */

/** `blocked`: a person has to act. `waits`: the operator is working on it, or retries. `unknown`: nothing is reported of it yet. */
export type PartState = 'done' | 'waits' | 'blocked' | 'unknown';

export interface Part {
  kind: 'ServiceAccount' | 'Keys' | 'Key' | 'Service' | 'FormerService' | 'FormerGrant' | 'Url';
  state: PartState;
  /** The resource: an e-mail address, a secret, a service, a URL. */
  name: string;
  /** More about it in words. */
  detail?: string;
  /** The reason of the condition, if the part is not done. */
  reason?: string;
  message?: string;
}

/**
 * `outdated`: the operator has not handled the last change of the object. `deleting`, `suspended`: as the object says.
 * `blocked` and `waiting` are tenants that are not Ready; for a blocked one a person has to act.
 */
export type TenantState = 'ready' | 'waiting' | 'blocked' | 'suspended' | 'deleting' | 'outdated';

export interface TenantStatusView {
  namespace: string;
  name: string;
  state: TenantState;
  /** The reason of the condition Ready. */
  reason?: string;
  /** Since when Ready has its status, RFC 3339. */
  since?: string;
  /** What is waited for, and why. Absent: nothing. */
  waitsFor?: string;
  project?: string;
  /** The region in the spec. */
  region: string;
  url?: string;
  /** The generation of the object, and the one that the operator handled last. */
  generation: number;
  observedGeneration?: number;
  parts: Part[];
  notes: string[];
}

/** Reasons that usually stay until a person acts. Argo CD shows tenants with these reasons as Degraded. */
const NEEDS_A_PERSON: readonly string[] = [...STALLED, 'PermissionDenied', 'UpdateFailed', 'DeleteFailed'];

const OPERATOR =
  'If this lasts for more than a minute, see whether the operator runs: kubectl get deployment -n aitenant-system aitenant-operator';

export function tenantStatus(object: KubeObject): TenantStatusView {
  const tenant = readTenant(object);
  const { namespace, name, spec, status, generation } = tenant;
  const ready = readyOf(tenant);
  const state = stateOf(tenant, ready);
  const parts = state === 'deleting' ? partsLeft(tenant) : partsOf(tenant);
  return {
    namespace,
    name,
    state,
    reason: ready?.reason,
    since: ready?.lastTransitionTime || undefined,
    waitsFor: waitsFor(tenant, state, ready),
    project: status.projectId,
    region: spec.region,
    url: status.url,
    generation,
    observedGeneration: status.observedGeneration,
    parts,
    notes: notesOf(tenant, ready),
  };
}

function stateOf(tenant: Tenant, ready: Condition | undefined): TenantState {
  if (tenant.deletionTimestamp !== undefined) return 'deleting';
  if (isOutdated(tenant) || ready === undefined) return 'outdated';
  if (tenant.spec.suspend) return 'suspended';
  if (ready.status === 'True') return 'ready';
  return NEEDS_A_PERSON.includes(ready.reason) ? 'blocked' : 'waiting';
}

/** A deletion raises the generation, too. */
const isOutdated = ({ status, generation }: Tenant): boolean => (status.observedGeneration ?? 0) < generation;

function waitsFor(tenant: Tenant, state: TenantState, ready: Condition | undefined): string | undefined {
  const { status, generation } = tenant;
  const before = status.observedGeneration;
  switch (state) {
    case 'ready':
      return undefined;
    case 'outdated':
      return before === undefined
        ? `The operator has not handled this tenant yet. ${OPERATOR}`
        : `The operator has not handled the last change of the spec yet (generation ${generation}; the status is of ${before}). ${OPERATOR}`;
    case 'suspended':
      return ready?.reason === 'Suspended' ? ready.message : 'Suspended: the spec is not followed.';
    case 'deleting':
      return waitsForDeletion(tenant, ready);
    default:
      return ready?.message;
  }
}

function waitsForDeletion(tenant: Tenant, ready: Condition | undefined): string {
  if (ready && ['Deleting', 'DeleteFailed', 'Suspended'].includes(ready.reason)) return ready.message;
  return tenant.hasFinalizer
    ? `The operator has not begun to delete it. ${OPERATOR}`
    : 'The operator has nothing to do for it any more. The object waits for finalizers of other controllers: ' +
        `kubectl get aitenant ${tenant.name} -n ${tenant.namespace} -o jsonpath='{.metadata.finalizers}'`;
}

// ----------------------------------------------------------------------------------------------------------- the parts

function partsOf(tenant: Tenant): Part[] {
  const { name, spec, status } = tenant;
  const account = status.serviceAccountEmail ?? `${serviceAccountId(name)}@…`;
  const granted = spec.keys.filter(key => statusOf(key, status.keys)?.granted).length;
  const left = regionLeft(tenant);
  return [
    partOf(tenant, 'ServiceAccountReady', { kind: 'ServiceAccount', name: account }),
    partOf(tenant, 'SecretAccessReady', { kind: 'Keys', name: `${granted} of ${spec.keys.length} granted` }),
    ...spec.keys.map(key => keyPart(key, statusOf(key, status.keys), spec)),
    ...formerGrants(tenant),
    partOf(tenant, 'ServiceReady', {
      kind: 'Service',
      name: `${serviceId(name)} in ${spec.region}`,
      ...(status.latestReadyRevision !== undefined && {
        detail: `${left !== undefined ? `${left} still serves` : 'serves'} revision ${status.latestReadyRevision}`,
      }),
    }),
    ...formerServices(tenant),
    urlPart(tenant),
  ];
}

/** The region that the tenant moves from, while its service there is the one that is called. */
const regionLeft = ({ spec, status }: Tenant): string | undefined =>
  status.region !== spec.region && status.url !== undefined ? status.region : undefined;

function partOf(
  tenant: Tenant,
  type: ConditionType,
  { kind, name, detail }: Pick<Part, 'kind' | 'name' | 'detail'>,
): Part {
  const condition = tenant.status.conditions.find(other => other.type === type);
  const common = { kind, name, ...(detail !== undefined && { detail }) };
  if (condition === undefined || condition.status === 'Unknown') return { ...common, state: 'unknown' };
  if (condition.status === 'True') return { ...common, state: 'done' };
  const { reason, message } = condition;
  return { ...common, state: NEEDS_A_PERSON.includes(reason) ? 'blocked' : 'waits', reason, message };
}

const statusOf = ({ name }: KeySpec, all: KeyStatus[]): KeyStatus | undefined => all.find(key => key.name === name);

function keyPart(key: KeySpec, status: KeyStatus | undefined, spec: TenantSpec): Part {
  const uses = usesOf(spec, key.name).map(({ sidecar, at }) => `${at} of sidecar ${sidecar}`);
  const { external, name } = key.secretRef;
  const secret = external ?? `SecretManagerSecret ${name}`;
  const details = [
    secret,
    status?.granted ? 'granted' : 'not granted',
    ...(status?.version === undefined ? [] : [`version ${status.version}`]),
    [key.env, key.file, ...uses].filter(one => one !== undefined).join(' and ') || 'not used as a variable',
  ];
  return { kind: 'Key', state: status?.granted ? 'done' : 'waits', name: key.name, detail: details.join(', ') };
}

/** Grants that no key of the spec needs any more. Only IDs of secrets are compared, because the projects may be numbers. */
function formerGrants({ spec, status }: Tenant): Part[] {
  const secretId = (text: string) => text.split('/').at(-1) ?? text;
  // The secret of a SecretManagerSecret is known only from the status.
  if (spec.keys.some(key => key.secretRef.external === undefined && statusOf(key, status.keys)?.secret === undefined))
    return [];
  const used = spec.keys.map(key => secretId(key.secretRef.external ?? statusOf(key, status.keys)?.secret ?? ''));
  return entriesOfType('SecretAccess', status.inventory)
    .filter(({ name }) => !used.includes(secretId(name)))
    .map(({ name }) => ({
      kind: 'FormerGrant',
      state: 'waits',
      name,
      detail: 'no key of the spec names this secret; the grant is removed when no revision that serves reads it',
    }));
}

/** Services of regions that the tenant has left. */
function formerServices({ spec, status }: Tenant): Part[] {
  return entriesOfType('Service', status.inventory)
    .filter(({ name }) => part(name, 'locations') !== spec.region)
    .map(({ name, retireAt, deletedAt }) => ({
      kind: 'FormerService',
      state: 'waits',
      name: `${part(name, 'services')} in ${part(name, 'locations')}`,
      detail:
        deletedAt !== undefined
          ? 'of the former region; is being deleted'
          : `of the former region; serves ${retireAt === undefined ? 'until the new one does' : `until ${retireAt}`}`,
    }));
}

function urlPart({ status }: Tenant): Part {
  if (status.url !== undefined) return { kind: 'Url', state: 'done', name: status.url };
  if (status.serviceSettings?.defaultUriDisabled)
    return { kind: 'Url', state: 'done', name: 'none', detail: 'the run.app URL is disabled' };
  return { kind: 'Url', state: 'waits', name: 'none yet', detail: 'the service has not served yet' };
}

/** What the operator still has to delete or to let go of, in its order. */
function partsLeft(tenant: Tenant): Part[] {
  const { inventory } = tenant.status;
  const policy = deletionPolicy(tenant);
  const isKept = policy.ok && policy.policy === 'abandon';
  const waits = {
    state: 'waits' as const,
    detail: isKept ? 'stays; its owner marks are taken off' : 'not deleted yet',
  };
  return [
    ...entriesOfType('Service', inventory).map(({ name, deletedAt }) => ({
      ...waits,
      kind: 'Service' as const,
      name: `${part(name, 'services')} in ${part(name, 'locations')}`,
      ...(deletedAt !== undefined && { detail: 'is being deleted' }),
    })),
    ...entriesOfType('SecretAccess', inventory).map(({ name }) => ({
      ...waits,
      kind: 'FormerGrant' as const,
      name,
      detail: isKept ? 'stays' : 'not removed yet',
    })),
    ...entriesOfType('ServiceAccount', inventory).map(({ name }) => ({
      ...waits,
      kind: 'ServiceAccount' as const,
      name: name.split('/').at(-1) ?? name,
    })),
  ];
}

// ----------------------------------------------------------------------------------------------------------- the notes

function notesOf(tenant: Tenant, ready: Condition | undefined): string[] {
  const { deletionTimestamp, spec, unknownValues } = tenant;
  const notes: string[] = [];
  if (deletionTimestamp !== undefined) notes.push(`It is being deleted, since ${deletionTimestamp}.`);
  if (isRequested(tenant)) notes.push('A full check was requested by annotation and has not been completed yet.');
  if (ready?.reason === 'NotVerified' && ready.status === 'True') notes.push(ready.message);
  const left = regionLeft(tenant);
  if (left !== undefined) notes.push(`It moves from ${left} to ${spec.region}; the URL is still the one of ${left}.`);
  return [...notes, ...unknownValues];
}
