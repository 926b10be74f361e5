import type { KubeObject } from '../../ports/kube.ts';
import { observe } from '../gcp/observe.ts';
import type { Reads } from '../gcp/reads.ts';
import { readConnectorSecret } from '../reconcile/connectorSecret.ts';
import {
  deletionPolicy,
  deletionProject,
  noProject,
  planAbandon,
  planAccountDeletion,
  planServiceDeletion,
} from '../tenant/deletion.ts';
import { type ConnectorSecret, desiredState, inventoryProject, namedProject } from '../tenant/desired.ts';
import { deletingIdentity } from '../tenant/identity.ts';
import { SETTLE_MS, settleInventory } from '../tenant/inventory.ts';
import { everyRegion, mayBeOwn, statusWasLost } from '../tenant/lostStatus.ts';
import { foresee } from '../tenant/managed.ts';
import { serviceId } from '../tenant/names.ts';
import { ADOPT, markedCluster } from '../tenant/ownership.ts';
import { plan as planFor } from '../tenant/plan.ts';
import { readTenant } from '../tenant/resource.ts';
import { afterRollout } from '../tenant/service.ts';
import { deletionTargets, targets } from '../tenant/targets.ts';
import type { Change, Desired, Observed, Plan, Settings, Step, Targets, Tenant } from '../tenant/types.ts';
import { abandonedGrants, consentTargets, grantsOf, planConsent } from '../tenant/withdrawnConsent.ts';
import { createdService } from './createdService.ts';
import type { Manifests } from './manifests.ts';
import { forReaders } from './readersWords.ts';

/** `blocked`: there is a blocker, with or without steps. `unread`: something that the plan depends on could not be read. */
export type State = 'unchanged' | 'changes' | 'blocked' | 'suspended' | 'deleting' | 'unread';

export interface TenantResult {
  namespace: string;
  name: string;
  state: State;
  project?: string;
  /** The source of the project: `--project`, `GOOGLE_CLOUD_PROJECT`, `Namespace` … */
  projectFrom?: string;
  steps: { action: Step['verb']; target: string; changes: Change[] }[];
  blocked: { reason: string; message: string }[];
  notes: string[];
}

export interface PlanSettings extends Omit<Settings, 'clusterId'> {
  /** Undefined: owner marks of any cluster with the tenant's namespace and name count as the tenant's. */
  clusterId?: string;
  /** The source of `project`. */
  projectFrom?: string;
}

/** The facts besides the tenants themselves, from the files or from the cluster. */
export interface Surroundings extends Pick<Manifests, 'namespaces' | 'connectorSecrets'> {
  /** Everything was read from the cluster, so a tenant without an inventory really has none. */
  live?: boolean;
  /** The UID of Namespace kube-system, which an operator without --cluster-id writes into owner marks. */
  clusterId?: string;
  /** The deletion time of the CRD. Tenants that were not deleted before it are abandoned. */
  crdDeleted?: string;
}

/** The limit of plans that follow one another for one tenant. No tenant needs as many. */
const ROUNDS = 12;
/** Stands for the cluster's ID if it is not known. */
const UNKNOWN_CLUSTER = 'CLUSTER-ID';

/** Everything that the operator would do for one tenant, in several reconciles if needed. It only reads. */
export async function planTenant(
  object: KubeObject,
  around: Surroundings,
  given: PlanSettings,
  reads: Reads,
  now: number,
): Promise<TenantResult> {
  const tenant = readTenant(object);
  const input = createPlanInput(tenant, around, given, reads, now);
  const planned = await (tenant.deletionTimestamp === undefined ? planUpkeep(input) : planRemoval(input));
  const { namespace, name } = tenant;
  const { project = input.project?.id, steps, blockers } = planned;
  return {
    namespace,
    name,
    state: stateOf(tenant, planned),
    project,
    projectFrom: input.project?.from,
    steps: steps.map(step => ({ action: step.verb, target: step.target, changes: changesOf(step) })),
    blocked: blockers.map(({ reason, message }) => ({ reason, message: forReaders(message) })),
    notes: [...new Set([...planned.notes, ...retryNotes(blockers), ...notesOf(tenant, around)])],
  };
}

interface Planned extends Pick<Plan, 'steps' | 'notes'> {
  blockers: { reason: string; message: string }[];
  project?: string;
}

/** The observed resources that carry owner marks. */
type Marked = Pick<Observed, 'account' | 'services'>;

/** One tenant and the input of its plan. */
interface PlanInput {
  tenant: Tenant;
  around: Surroundings;
  annotations: Record<string, string>;
  project?: { id: string; from?: string };
  /** The settings. The cluster's ID may be known only from the owner marks in Google Cloud, so they depend on what was read. */
  settings(observed: Marked): Settings;
  anyCluster: boolean;
  observe(wanted: Targets, actAs: string | undefined): Promise<Observed>;
  connectorSecret(name: string, project: string): ConnectorSecret;
  now: number;
}

function createPlanInput(
  tenant: Tenant,
  around: Surroundings,
  given: PlanSettings,
  reads: Reads,
  now: number,
): PlanInput {
  const annotations = around.namespaces.get(tenant.namespace)?.metadata.annotations ?? {};
  const project = chosenProject(tenant, annotations, given);
  // A manifest without a status says nothing about the real inventory, so resources with full owner marks count as the tenant's.
  const restore = given.restore === true || (!around.live && tenant.status.inventory.length === 0);
  // With an inventory the marks were written by this cluster's operator, whose --cluster-id may differ from the cluster's UID.
  const marked = (observed: Marked) =>
    around.clusterId === undefined || tenant.status.inventory.length > 0 ? clusterIn(observed, tenant) : undefined;
  return {
    tenant,
    around,
    annotations,
    project,
    anyCluster: given.clusterId === undefined && around.clusterId === undefined,
    settings: observed => ({
      ...given,
      project: project?.id,
      restore,
      clusterId: given.clusterId ?? marked(observed) ?? around.clusterId ?? UNKNOWN_CLUSTER,
    }),
    observe: (wanted, actAs) => observe(reads, wanted, { actAs }),
    connectorSecret(name, ofProject) {
      const found = around.connectorSecrets.get(`${tenant.namespace}/${name}`);
      return readConnectorSecret(found && (around.live ? found : asApplied(found)), annotations, ofProject);
    },
    now,
  };
}

const NOT_IN_FILES =
  'is in none of the files, and the cluster was not read. Add its file with -f, or read the cluster with --live.';

const NOTHING_OBSERVED: Marked = { account: { state: 'absent' }, services: [] };

/** The plan of a tenant that is not being deleted: `intendUpkeep` of the reconciler without its writes. */
async function planUpkeep(input: PlanInput): Promise<Planned> {
  const { tenant, around, annotations, anyCluster, connectorSecret } = input;
  if (tenant.spec.suspend) return keepConsent(input);
  const wanted = desiredState(tenant, input.settings(NOTHING_OBSERVED), {
    namespaceAnnotations: annotations,
    namespaceUid: around.namespaces.get(tenant.namespace)?.metadata.uid,
    connectorSecret(name, project) {
      const found = connectorSecret(name, project);
      return found.state === 'absent' && !around.live ? { state: 'unread', why: NOT_IN_FILES } : found;
    },
  });
  if (!wanted.ok) {
    const unnamed = input.project === undefined && tenant.unknownValues.length === 0;
    return keepConsent(input, 'InvalidSpec', unnamed ? projectUnknown(tenant.namespace) : wanted.message);
  }
  const { desired } = wanted;
  const read = await input.observe(targets(desired, tenant.status.inventory), desired.actAs);
  const settings = input.settings(read);
  const takesMarkedResources = settings.restore === true || tenant.annotations[ADOPT] === 'true';
  const observed = takesMarkedResources ? await withEveryRegion(input, read, desired.project, desired.actAs) : read;
  const owned: Desired = { ...desired, owner: { ...desired.owner, cluster: settings.clusterId } };
  return lookAhead(tenant, observed, input.now, (current, then, at) =>
    planFor(current, owned, then, settings, at, { anyCluster }),
  );
}

/** The plan of a tenant that is being deleted: `intendRemoval` of the reconciler without its writes. */
async function planRemoval(input: PlanInput): Promise<Planned> {
  const { tenant, around, annotations } = input;
  if (!tenant.hasFinalizer) return { steps: [], blockers: [], notes: [] };
  // The tenant is deleted together with its CRD, which abandons it.
  const withCrd = Date.parse(tenant.deletionTimestamp ?? '') >= Date.parse(around.crdDeleted ?? '');
  if (tenant.spec.suspend) return withCrd ? onlyAbandonNotes(tenant) : keepConsent(input);
  const policy = deletionPolicy(tenant);
  if (!policy.ok && !withCrd) return keepConsent(input, 'DeleteFailed', policy.message);
  const settings = input.settings(NOTHING_OBSERVED);
  const project = deletionProject(tenant, annotations, settings);
  const all = deletionTargets(tenant, project, input.connectorSecret);
  const actAs = deletingIdentity(tenant, annotations, settings);
  if (withCrd || (policy.ok && policy.policy === 'abandon')) {
    const read = await input.observe({ ...all, keys: [], formerGrants: [] }, actAs);
    const observed = await withEveryRegion(input, read, project, actAs);
    const known = input.settings(observed);
    const planned = lookAhead(tenant, observed, input.now, (current, then) => planAbandon(current, then, known));
    return { ...planned, project, notes: [...planned.notes, ...onlyAbandonNotes(tenant).notes] };
  }
  const observed = await withEveryRegion(input, await input.observe(all, actAs), project, actAs);
  const known = input.settings(observed);
  const planned = lookAhead(
    tenant,
    observed,
    input.now,
    (current, then, at) =>
      planServiceDeletion(current, then, known, at) ??
      (project === undefined ? noProject(current) : planAccountDeletion(current, then, known, at)),
  );
  return { ...planned, project };
}

/** For a tenant whose status was lost, also reads its service in every other region, as the operator does. */
async function withEveryRegion(input: PlanInput, read: Observed, project = '', actAs?: string): Promise<Observed> {
  const { namespace, name, status } = input.tenant;
  const owner = { cluster: input.settings(read).clusterId, namespace, name };
  const rules = { owner, inventory: status.inventory };
  if (!input.around.live || project === '' || !statusWasLost(read.account, rules)) return read;
  const { services } = await input.observe(everyRegion(project, serviceId(name), read.services), actAs);
  return { ...read, services: [...read.services, ...mayBeOwn(services, rules)] };
}

const onlyAbandonNotes = (tenant: Tenant): Planned => ({ steps: [], blockers: [], notes: abandonedGrants(tenant) });

/** `keepConsent` of the reconciler: the spec is not followed, but grants whose secret has lost its consent are removed. */
async function keepConsent(input: PlanInput, reason?: string, message = ''): Promise<Planned> {
  const { tenant, annotations } = input;
  const actAs = deletingIdentity(tenant, annotations, input.settings(NOTHING_OBSERVED));
  const observed = await input.observe(consentTargets(tenant, grantsOf(tenant)), actAs);
  const steps = planConsent(tenant, observed, input.settings(observed));
  return { steps, blockers: reason === undefined ? [] : [{ reason, message }], notes: [] };
}

/** A SecretManagerSecret from a file has no status and counts as Ready. Whether the secret exists is read from Google Cloud. */
const asApplied = (object: KubeObject): KubeObject =>
  object.status === undefined ? { ...object, status: { conditions: [{ type: 'Ready', status: 'True' }] } } : object;

// ------------------------------------------------------------------------------------------------------- look ahead

/**
 * Makes one plan after another until there is nothing left to do. Each plan is made for the state that Google Cloud will have
 * after the steps of the plan before it. If the operator would wait, the result is assumed to be what it waits for.
 */
function lookAhead(
  start: Tenant,
  observedNow: Observed,
  from: number,
  next: (tenant: Tenant, observed: Observed, now: number) => Plan & { adopted?: string[] },
): Pick<Planned, 'steps' | 'blockers' | 'notes'> {
  let [tenant, observed, now] = [start, observedNow, from];
  const steps: Step[] = [];
  const waits: string[] = [];
  let adopted: string[] | undefined;
  for (let round = 1; ; round++) {
    const plan = next(tenant, observed, now);
    adopted ??= plan.adopted ?? [];
    const { blockers } = plan;
    const isOver = plan.steps.length === 0 && plan.waiting.length === 0;
    if (isOver || round === ROUNDS) {
      return { steps, blockers, notes: [...adopted, ...waits, ...plan.notes] };
    }
    steps.push(...plan.steps);
    if (plan.steps.length === 0) {
      waits.push(...plan.waiting.map(({ message }) => message));
      observed = afterRollout(observed);
      now += SETTLE_MS;
    } else observed = foresee(observed, plan.steps);
    const outcomes = plan.steps.map(step => ({ step, result: 'done' as const, response: {} }));
    const inventory = settleInventory(tenant.status.inventory, plan.inventory, outcomes, now);
    tenant = { ...tenant, status: { ...tenant.status, inventory } };
  }
}

/** The cluster that the marks in Google Cloud name for this namespace and name. */
function clusterIn({ account, services }: Marked, { namespace, name }: Tenant): string | undefined {
  const description = account.state === 'present' ? account.value.description : '';
  const labels = services.map(({ service }) => (service.state === 'present' ? service.value.labels : {}));
  const found = [{}, ...labels].map(each => markedCluster(each, description, { namespace, name }));
  return found.find(value => value !== undefined);
}

// --------------------------------------------------------------------------------------------------------- project

/** The Namespace's project, else the one of --project or of the environment, else the recorded one. */
function chosenProject(
  { status }: Tenant,
  annotations: Record<string, string>,
  given: PlanSettings,
): { id: string; from?: string } | undefined {
  const ofNamespace = namedProject(annotations, { ...given, project: undefined, clusterId: '' });
  if (ofNamespace !== undefined) return { id: ofNamespace, from: 'Namespace' };
  const recorded = inventoryProject(status.inventory) ?? status.projectId;
  // GOOGLE_CLOUD_PROJECT may be set for other tools, so it does not override the project on record.
  if (recorded !== undefined && given.projectFrom === AMBIENT_PROJECT) return { id: recorded, from: 'status' };
  if (given.project !== undefined) return { id: given.project, from: given.projectFrom };
  return recorded === undefined ? undefined : { id: recorded, from: 'status' };
}

export const AMBIENT_PROJECT = 'GOOGLE_CLOUD_PROJECT';

const projectUnknown = (namespace: string): string =>
  `No Google Cloud project is known for namespace ${namespace}. Add --project=PROJECT, set ${AMBIENT_PROJECT}, or add the file with its ` +
  'Namespace, whose annotation ai-platform.dev/project-id names it.';

// ---------------------------------------------------------------------------------------------------------- output

function stateOf({ deletionTimestamp, spec }: Tenant, { steps, blockers }: Planned): State {
  if (blockers.some(({ message }) => message.startsWith('Cannot read'))) return 'unread';
  if (spec.suspend) return 'suspended';
  if (deletionTimestamp !== undefined) return 'deleting';
  if (blockers.length > 0) return 'blocked';
  return steps.length > 0 ? 'changes' : 'unchanged';
}

const changesOf = (step: Step): Change[] => {
  if (step.call.kind === 'createService') return createdService(step.call.service);
  if (step.call.kind !== 'createAccount') return step.changes;
  const { displayName, description } = step.call;
  return [
    { field: 'displayName', to: displayName },
    { field: 'description', to: description },
  ];
};

/** The note about retries of failed revisions. A plan does not know their times, which depend on earlier observations. */
const retryNotes = (blockers: Planned['blockers']): string[] =>
  blockers.some(({ reason }) => reason === 'UpdateFailed')
    ? [
        'The operator retries with a new revision by itself, first after 30 s and then after ever longer delays, up to 30 min.',
      ]
    : [];

/** Notes about the manifest itself. */
function notesOf(tenant: Tenant, { live, crdDeleted }: Surroundings): string[] {
  const { namespace, name, spec, status, deletionTimestamp, hasFinalizer } = tenant;
  const notes: string[] = [];
  if (spec.suspend) {
    notes.push(
      deletionTimestamp === undefined
        ? 'Suspended: the spec is not followed; only grants whose secret has lost its consent are removed.'
        : 'Suspended: the deletion waits until spec.suspend is false.',
    );
  }
  if (deletionTimestamp !== undefined) {
    notes.push(
      hasFinalizer
        ? `It is being deleted, since ${deletionTimestamp}.`
        : `It is being deleted, since ${deletionTimestamp}, and without the operator's finalizer the operator does nothing.`,
    );
    if (crdDeleted !== undefined)
      notes.push('The CRD is being deleted: tenants that were not deleted before it are abandoned.');
  } else {
    const policy = deletionPolicy(tenant);
    if (!policy.ok) notes.push(policy.message);
  }
  if (!live && status.inventory.length === 0) {
    notes.push(
      "The manifest has no status, so what has left the spec is not shown: grants, callers, variables, a former region's service. " +
        `Add --live, or plan what this prints: kubectl get aitenant ${name} -n ${namespace} -o yaml`,
    );
  }
  return notes;
}
