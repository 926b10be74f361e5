import { AI_TENANT_CRD, CUSTOM_RESOURCE_DEFINITIONS } from '../../ports/kubeResources.ts';
import { numberOf, restDeletionNeeds, serviceDeletionNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Need } from '../gcp/quota.ts';
import type { Verdict } from '../kube/queue.ts';
import {
  deletionPolicy,
  deletionProject,
  leftBehind,
  noProject,
  planAbandon,
  planAccountDeletion,
  planServiceDeletion,
} from '../tenant/deletion.ts';
import { inventoryProject } from '../tenant/desired.ts';
import { deletingIdentity } from '../tenant/identity.ts';
import { entriesOfType } from '../tenant/inventory.ts';
import { isUnrecorded, statusWasLost } from '../tenant/lostStatus.ts';
import { serviceId } from '../tenant/names.ts';
import { abandonable } from '../tenant/removalContext.ts';
import { deleting, suspended } from '../tenant/report.ts';
import { deletionTargets, NO_TARGETS } from '../tenant/targets.ts';
import type { Outcome, Plan, Tenant } from '../tenant/types.ts';
import { keepConsent } from './closing.ts';
import { withLostServices } from './lostServices.ts';
import type { Intent, Parts, Reconciliation } from './reconciliation.ts';
import { connectorSecretsOf, namespaceOf } from './surroundings.ts';

/** Plans the reconcile of a tenant that is being deleted: the operator deletes its resources, or removes only its owner marks (`abandon`). */

/** Answers with an intent, or with the verdict of a reconcile that ends without one. */
export async function intendRemoval(parts: Parts, reconciliation: Reconciliation): Promise<Intent | Verdict> {
  const { tenant, budget } = reconciliation;
  const { suspend } = tenant.spec;
  const policy = deletionPolicy(tenant);
  if (!suspend && policy.ok) {
    const later = budget.take(needsOf(parts, tenant), 'edit', 'edit');
    if (later) return later;
  }
  const withCrd = await isDeletedWithCrd(parts, reconciliation);
  if (withCrd === undefined) return { kind: 'retry' };
  if (suspend) {
    if (withCrd) return intentOf(parts, reconciliation, NOTHING, undefined, true);
    return keepConsent(parts, reconciliation, suspended);
  }
  if (!policy.ok && !withCrd) {
    return keepConsent(parts, reconciliation, (current, now) =>
      deleting(current, { ...NOTHING, inventory: current.status.inventory }, [], now, policy.message),
    );
  }
  const namespaceObject = await namespaceOf(parts, tenant);
  if (!namespaceObject) return { kind: 'retry' };
  const abandon = withCrd || (policy.ok && policy.policy === 'abandon');
  const annotations = namespaceObject.metadata.annotations ?? {};
  const actAs = deletingIdentity(tenant, annotations, parts.settings);
  const plan = await planRemoval(parts, reconciliation, abandon, annotations, actAs);
  return 'kind' in plan ? plan : intentOf(parts, reconciliation, plan, actAs, abandon);
}

const NOTHING: Plan = { steps: [], blockers: [], waiting: [], inventory: [], notes: [] };

function intentOf(
  { events, runtime }: Parts,
  { tenant, writer }: Reconciliation,
  plan: Plan,
  actAs: string | undefined,
  abandon: boolean,
): Intent {
  for (const message of plan.notes) events.record(writer.object, 'Warning', 'LeftBehind', message);
  return {
    plan,
    actAs,
    reportBefore: () => deleting(tenant, plan, [], runtime.now()),
    reportAfter: outcomes => deleting(tenant, plan, outcomes, runtime.now()),
    ending(outcomes, inventory) {
      if (plan.blockers.length > 0) return undefined;
      if (abandon && outcomes.length > 0) return outcomes.every(isAbandoned) ? 'abandoned' : undefined;
      if (inventory.length > 0) return undefined;
      return abandon ? 'abandoned' : 'deleted';
    },
  };
}

const isAbandoned = (outcome: Outcome): boolean =>
  outcome.result === 'done' || (outcome.result === 'failed' && abandonable(outcome.failure));

/**
 * True if the tenant is being deleted because the CRD is; all tenants are then abandoned. Undefined if the CRD could not be read, so
 * that the reason is unknown.
 */
async function isDeletedWithCrd({ kube, log }: Parts, { key, tenant }: Reconciliation): Promise<boolean | undefined> {
  const crd = await kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
  if (!crd.ok) {
    log('warn', 'cannot read the CRD', { tenant: key, error: crd.status.message });
    return undefined;
  }
  const crdDeleted = Date.parse(crd.value.metadata.deletionTimestamp ?? '');
  return !Number.isNaN(crdDeleted) && Date.parse(tenant.deletionTimestamp ?? '') >= crdDeleted;
}

function needsOf(parts: Parts, tenant: Tenant): Need[] {
  const { inventory } = tenant.status;
  const number = numberOf(tenant);
  const project = inventoryProject(inventory);
  if (number !== undefined && project !== undefined) parts.quota.alias(number, project);
  const annotations = parts.namespaces.get(tenant.namespace)?.metadata.annotations ?? {};
  const writes = entriesOfType('Service', inventory).flatMap(({ name, deletedAt }) => (deletedAt ? [] : name));
  return serviceDeletionNeeds(targetsOf(parts, tenant, annotations), writes);
}

function targetsOf(parts: Parts, tenant: Tenant, annotations: Record<string, string>) {
  const project = deletionProject(tenant, annotations, parts.settings);
  return { project, ...deletionTargets(tenant, project, connectorSecretsOf(parts, tenant, annotations)) };
}

/**
 * The services are deleted first. The grants and the account are read only once the services are gone, because the operator does not
 * touch them before. The account is read first in two cases: if the tenant is abandoned, and if the inventory is empty, because the
 * account's owner mark then shows whether the status was lost.
 */
async function planRemoval(
  parts: Parts,
  { tenant, budget }: Reconciliation,
  abandon: boolean,
  annotations: Record<string, string>,
  actAs: string | undefined,
): Promise<Plan | Verdict> {
  const { reads, settings, runtime } = parts;
  const { namespace, name, status } = tenant;
  const { project, ...all } = targetsOf(parts, tenant, annotations);
  const account = isUnrecorded(status.inventory) ? all.account : undefined;
  const wanted = abandon ? { ...all, keys: [], formerGrants: [] } : { ...NO_TARGETS, account, services: all.services };
  const read = await observe(reads, wanted, { actAs });
  const rules = { owner: { cluster: settings.clusterId, namespace, name }, inventory: status.inventory };
  const isLost = project !== undefined && statusWasLost(read.account, rules);
  const where = { project: project ?? '', serviceId: serviceId(name) };
  const take = (needs: Need[]) => budget.take(needs, 'edit', 'edit');
  const observed = isLost ? await withLostServices(reads, read, where, rules, { actAs }, take) : read;
  if ('kind' in observed) return observed;
  if (abandon) return planAbandon(tenant, observed, settings);
  if (read.account.state === 'failed') return planAccountDeletion(tenant, observed, settings, runtime.now());
  const first = planServiceDeletion(tenant, observed, settings, runtime.now());
  if (first) return first;
  if (project === undefined) return noProject(tenant);
  const later = take(restDeletionNeeds(all));
  if (later) return later;
  const rest = { ...(await observe(reads, { ...all, services: [] }, { actAs })), services: observed.services };
  const plan = planAccountDeletion(tenant, rest, settings, runtime.now());
  return { ...plan, notes: [...leftBehind(tenant, rest, settings), ...plan.notes] };
}
