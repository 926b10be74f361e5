import type { KubeObject } from '../../ports/kube.ts';
import { observe } from '../gcp/observe.ts';
import type { Reads } from '../gcp/reads.ts';
import { readConnectorSecret } from '../reconcile/connectorSecret.ts';
import {
  deletionPolicy,
  deletionProject,
  deletionTargets,
  noProject,
  planAbandon,
  planAccountDeletion,
  planServiceDeletion,
} from '../tenant/deletion.ts';
import { type ConnectorSecret, desiredState, inventoryProject, namedProject } from '../tenant/desired.ts';
import { foresee } from '../tenant/foresee.ts';
import { deletingIdentity } from '../tenant/identity.ts';
import { SETTLE_MS, settleInventory } from '../tenant/inventory.ts';
import { everyRegion, mayBeOwn, statusWasLost } from '../tenant/lostStatus.ts';
import { serviceId } from '../tenant/names.ts';
import { ADOPT, markedCluster } from '../tenant/ownership.ts';
import { plan as planFor } from '../tenant/plan.ts';
import { readTenant } from '../tenant/resource.ts';
import { afterRollout } from '../tenant/service.ts';
import { type Targets, targets } from '../tenant/targets.ts';
import type { Change, Desired, Observed, Plan, Settings, Step, Tenant } from '../tenant/types.ts';
import { abandonedGrants, consentTargets, grantsOf, planConsent } from '../tenant/withdrawnConsent.ts';
import { createdService } from './createdService.ts';
import type { Manifests } from './manifests.ts';
import { forReaders } from './readersWords.ts';

/** `blocked`: also where something is in the way besides the steps; `unread`: something that matters could not be read. */
export type State = 'unchanged' | 'changes' | 'blocked' | 'suspended' | 'deleting' | 'unread';

export interface TenantResult {
  namespace: string;
  name: string;
  state: State;
  project?: string;
  /** Where the project is named: `--project`, `GOOGLE_CLOUD_PROJECT`, `Namespace` … */
  projectFrom?: string;
  steps: { action: Step['verb']; target: string; changes: Change[] }[];
  blocked: { reason: string; message: string }[];
  notes: string[];
}

export interface PlanSettings extends Omit<Settings, 'clusterId'> {
  /** Undefined: whichever cluster's marks stand there, for the same namespace and name, count as its own. */
  clusterId?: string;
  /** Where `project` comes from. */
  projectFrom?: string;
}

/** What the tenants stand in. */
export interface Surroundings extends Pick<Manifests, 'namespaces' | 'connectorSecrets'> {
  /** Read from the cluster: a tenant without an inventory has none there either. */
  live?: boolean;
  /** The UID of Namespace kube-system, by which an operator without --cluster-id marks what is its own. */
  clusterId?: string;
  /** When the deletion of the CRD was asked for: tenants that were not deleted before it are abandoned. */
  crdDeleted?: string;
}

/** As many rounds of "and then?" as any tenant can need. */
const ROUNDS = 12;
/** Shown in place of the cluster's id where nothing says what it is. */
const UNKNOWN_CLUSTER = 'CLUSTER-ID';

/** What the operator would do for one tenant, step after step until nothing is left to do. Reads only. */
export async function planTenant(
  object: KubeObject,
  around: Surroundings,
  given: PlanSettings,
  reads: Reads,
  now: number,
): Promise<TenantResult> {
  const tenant = readTenant(object);
  const scene = createScene(tenant, around, given, reads, now);
  const planned = await (tenant.deletionTimestamp === undefined ? bring(scene) : remove(scene));
  const { namespace, name } = tenant;
  const { project = scene.project?.id, steps, blockers } = planned;
  return {
    namespace,
    name,
    state: stateOf(tenant, planned),
    project,
    projectFrom: scene.project?.from,
    steps: steps.map(step => ({ action: step.verb, target: step.target, changes: changesOf(step) })),
    blocked: blockers.map(({ reason, message }) => ({ reason, message: forReaders(message) })),
    notes: [...new Set([...planned.notes, ...retryNotes(blockers), ...notesOf(tenant, around)])],
  };
}

interface Planned extends Pick<Plan, 'steps' | 'notes'> {
  blockers: { reason: string; message: string }[];
  project?: string;
}

/** One tenant and all that its plan is made from. */
interface Scene {
  tenant: Tenant;
  around: Surroundings;
  annotations: Record<string, string>;
  project?: { id: string; from?: string };
  /** The settings once it is known which cluster's marks count as its own. */
  settings(observed: Observed): Settings;
  anyCluster: boolean;
  observe(wanted: Targets, actAs: string | undefined): Promise<Observed>;
  connectorSecret(name: string, project: string): ConnectorSecret;
  now: number;
}

function createScene(tenant: Tenant, around: Surroundings, given: PlanSettings, reads: Reads, now: number): Scene {
  const annotations = around.namespaces.get(tenant.namespace)?.metadata.annotations ?? {};
  const project = chosenProject(tenant, annotations, given);
  // Without an inventory full marks of this namespace and name are taken for its own: the status may only be missing.
  const restore = given.restore === true || (!around.live && tenant.status.inventory.length === 0);
  // An inventory says that the tenant's marks are of this cluster's operator, which may have another id than the cluster.
  const marked = (observed: Observed) =>
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

const NOTHING_SEEN: Observed = { account: { state: 'absent' }, keys: [], formerGrants: [], services: [] };

/** `bring` of the reconciler, without the writes. */
async function bring(scene: Scene): Promise<Planned> {
  const { tenant, around, annotations, anyCluster, connectorSecret } = scene;
  if (tenant.spec.suspend) return keepConsent(scene);
  const wanted = desiredState(tenant, scene.settings(NOTHING_SEEN), {
    namespaceAnnotations: annotations,
    namespaceUid: around.namespaces.get(tenant.namespace)?.metadata.uid,
    connectorSecret,
  });
  if (!wanted.ok) {
    const unnamed = scene.project === undefined && tenant.unknownValues.length === 0;
    return keepConsent(scene, 'InvalidSpec', unnamed ? projectUnknown(tenant.namespace) : wanted.message);
  }
  const { desired } = wanted;
  const read = await scene.observe(targets(desired, tenant.status.inventory), desired.actAs);
  const settings = scene.settings(read);
  const takesBack = settings.restore === true || tenant.annotations[ADOPT] === 'true';
  const observed = takesBack ? await everywhere(scene, read, desired.project, desired.actAs) : read;
  const owned: Desired = { ...desired, owner: { ...desired.owner, cluster: settings.clusterId } };
  return lookAhead(tenant, observed, scene.now, (current, seen, at) =>
    planFor(current, owned, seen, settings, at, { anyCluster }),
  );
}

/** `remove` of the reconciler, without the writes. */
async function remove(scene: Scene): Promise<Planned> {
  const { tenant, around, annotations } = scene;
  if (!tenant.hasFinalizer) return { steps: [], blockers: [], notes: [] };
  const withCrd = Date.parse(tenant.deletionTimestamp ?? '') >= Date.parse(around.crdDeleted ?? '');
  if (tenant.spec.suspend) return withCrd ? letGo(tenant) : keepConsent(scene);
  const policy = deletionPolicy(tenant);
  if (!policy.ok && !withCrd) return keepConsent(scene, 'DeleteFailed', policy.message);
  const settings = scene.settings(NOTHING_SEEN);
  const project = deletionProject(tenant, annotations, settings);
  const all = deletionTargets(tenant, project, scene.connectorSecret);
  const actAs = deletingIdentity(tenant, annotations, settings);
  if (withCrd || (policy.ok && policy.policy === 'abandon')) {
    const read = await scene.observe({ ...all, keys: [], formerGrants: [] }, actAs);
    const observed = await everywhere(scene, read, project, actAs);
    const known = scene.settings(observed);
    const planned = lookAhead(tenant, observed, scene.now, (current, seen) => planAbandon(current, seen, known));
    return { ...planned, project, notes: [...planned.notes, ...letGo(tenant).notes] };
  }
  const observed = await everywhere(scene, await scene.observe(all, actAs), project, actAs);
  const known = scene.settings(observed);
  const planned = lookAhead(
    tenant,
    observed,
    scene.now,
    (current, seen, at) =>
      planServiceDeletion(current, seen, known, at) ??
      (project === undefined ? noProject(current) : planAccountDeletion(current, seen, known, at)),
  );
  return { ...planned, project };
}

/** A tenant whose status was lost may have a service in any region: as the operator does, all are searched. */
async function everywhere(scene: Scene, read: Observed, project = '', actAs?: string): Promise<Observed> {
  const { namespace, name, status } = scene.tenant;
  const owner = { cluster: scene.settings(read).clusterId, namespace, name };
  const rules = { owner, inventory: status.inventory };
  if (!scene.around.live || project === '' || !statusWasLost(read.account, rules)) return read;
  const { services } = await scene.observe(everyRegion(project, serviceId(name), read.services), actAs);
  return { ...read, services: [...read.services, ...mayBeOwn(services, rules)] };
}

const letGo = (tenant: Tenant): Planned => ({ steps: [], blockers: [], notes: abandonedGrants(tenant) });

/** `keepConsent` of the reconciler: the spec is not followed, but grants whose secret has lost its consent are removed. */
async function keepConsent(scene: Scene, reason?: string, message = ''): Promise<Planned> {
  const { tenant, annotations } = scene;
  const actAs = deletingIdentity(tenant, annotations, scene.settings(NOTHING_SEEN));
  const observed = await scene.observe(consentTargets(tenant, grantsOf(tenant)), actAs);
  const steps = planConsent(tenant, observed, scene.settings(observed));
  return { steps, blockers: reason === undefined ? [] : [{ reason, message }], notes: [] };
}

/** A manifest says nothing of whether Config Connector has done its work: whether the secret is there, Google Cloud says. */
const asApplied = (object: KubeObject): KubeObject =>
  object.status === undefined ? { ...object, status: { conditions: [{ type: 'Ready', status: 'True' }] } } : object;

// ------------------------------------------------------------------------------------------------------- and then?

/**
 * Plan after plan, each on what Google Cloud will be once the one before it is done, until there is nothing left to do. Where
 * the operator would wait, what it waits for is taken to come about.
 */
function lookAhead(
  start: Tenant,
  seen: Observed,
  from: number,
  next: (tenant: Tenant, observed: Observed, now: number) => Plan & { adopted?: string[] },
): Pick<Planned, 'steps' | 'blockers' | 'notes'> {
  let [tenant, observed, now] = [start, seen, from];
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
function clusterIn({ account, services }: Observed, { namespace, name }: Tenant): string | undefined {
  const description = account.state === 'present' ? account.value.description : '';
  const labels = services.map(({ service }) => (service.state === 'present' ? service.value.labels : {}));
  const found = [{}, ...labels].map(each => markedCluster(each, description, { namespace, name }));
  return found.find(value => value !== undefined);
}

// --------------------------------------------------------------------------------------------------------- project

/** The Namespace's project, else the one that was named, else the one that the status records. */
function chosenProject(
  { status }: Tenant,
  annotations: Record<string, string>,
  given: PlanSettings,
): { id: string; from?: string } | undefined {
  const ofNamespace = namedProject(annotations, { ...given, project: undefined, clusterId: '' });
  if (ofNamespace !== undefined) return { id: ofNamespace, from: 'Namespace' };
  const recorded = inventoryProject(status.inventory) ?? status.projectId;
  // What only the shell names, for whatever else, does not move a tenant that is somewhere already.
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

/** How often it is tried again depends on what the operator has seen, which a plan has not. */
const retryNotes = (blockers: Planned['blockers']): string[] =>
  blockers.some(({ reason }) => reason === 'UpdateFailed')
    ? [
        'The operator tries the revision again by itself, after 30 s and then ever more rarely: each time it makes a new one.',
      ]
    : [];

/** What people should know of the manifest itself. */
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
