import type { JsonObject } from '../../ports/json.ts';
import { newService, type Predecessor, regionalConflict } from './carryOver.ts';
import { serviceConflict } from './consent.ts';
import { type Context, isUnknownRegion, type PartialPlan, readBlocker, step } from './context.ts';
import { absenceCounts, entriesOfType, entryKey, iso, serviceEntry } from './inventory.ts';
import { type InvokersPlan, planInvokers } from './invokers.ts';
import { isRegion, part, serviceId, serviceName, targetOf } from './names.ts';
import { claimService, isFullyMarked, labelledOwner, ownerLabels, withoutOwnerLabels } from './ownership.ts';
import { abandonable, keepUntilSure, notDeleted, type RemovalContext, unreadBlocker } from './removalContext.ts';
import type { AccessPlan } from './secretAccess.ts';
import { isReady, planProgress, updateStep } from './serviceProgress.ts';
import {
  applyScaling,
  applyTemplate,
  applyTraffic,
  imageOf,
  shownTraffic,
  type WantedTemplate,
  wantedTemplate,
  withoutRetry,
} from './template.ts';
import type {
  Call,
  Change,
  Desired,
  InventoryEntry,
  Observed,
  ObservedService,
  Plan,
  PolicyAddition,
  ServiceEntry,
  Step,
  Targets,
  Tenant,
  VariableEntry,
} from './types.ts';

/**
 * One Cloud Run service of a tenant: create it, update it, remove it, abandon it. `regionMove.ts` decides which of a tenant's
 * services is which, `invokers.ts` who may call it, `serviceProgress.ts` whether it serves.
 *
 * An update writes only the fields that differ, with an update mask and the etag of the read. Fields, variables, labels and
 * annotations that the spec never named survive. Closing access is an update of its own: it must not fail because of
 * another field that Cloud Run refuses.
 */

export interface ServicesPlan extends PartialPlan {
  recheckAfterMs?: number;
}

export type ServiceRead = Observed['services'][number];

/** The input of each service's plan. Each plan adds its results to `out`. */
export interface Services {
  ctx: Context;
  access: AccessPlan;
  /** The inventory entries of all services, of their invokers and of their variables. */
  recorded: InventoryEntry[];
  out: ServicesPlan;
}

export function serviceTargets(
  { project, region, serviceId: id, spec }: Desired,
  inventory: InventoryEntry[],
): Partial<Targets> {
  const wanted = serviceName(project, region, id);
  const recorded = entriesOfType('Service', inventory);
  const services = [...new Set([wanted, ...recorded.map(({ name }) => name)])];
  // During a move the bindings that others added are carried over from the former region's service.
  const moving = recorded.some(({ name, retireAt }) => name !== wanted && !retireAt);
  const checked = spec.access === 'Authenticated' || moving;
  return {
    services,
    invokersOf: checked ? services : entriesOfType('Invoker', inventory).map(({ name }) => name),
    isPublic: spec.access === 'Public',
  };
}

/** The recorded services, and the one of the tenant's name in each region known of the tenant. */
export function serviceDeletionTargets({ name, spec, status }: Tenant, project?: string): Pick<Targets, 'services'> {
  const recorded = entriesOfType('Service', status.inventory).map(entry => entry.name);
  const regions = [spec.region, status.region ?? '', ...recorded.map(service => part(service, 'locations'))];
  const byName = project ? regions.filter(isRegion).map(region => serviceName(project, region, serviceId(name))) : [];
  return { services: [...new Set([...recorded, ...byName])] };
}

export const entriesOf = (recorded: InventoryEntry[], service: string): InventoryEntry[] =>
  recorded.filter(({ name }) => name === service);

// ---------------------------------------------------------------------------------------------------------- create

export function planCreate({ ctx, access, recorded, out }: Services, name: string, predecessor: Predecessor): void {
  const { desired } = ctx;
  const known = entriesOf(recorded, name);
  const conflict = predecessor.service && regionalConflict(ctx, predecessor.service);
  if (conflict) {
    out.entries.push(...known);
    out.blockers.push({ aspect: 'Service', reason: 'InvalidSpec', message: conflict });
    return;
  }
  const isAgain = serviceEntry(known, name) !== undefined;
  const inherited = predecessor.service ? entriesOf(recorded, predecessor.service.name) : [];
  const { service, wanted } = newService(ctx, access, predecessor, inherited, isAgain);
  const create = step(`service:${name}`, 'Service', 'Create', targetOf(name), {
    kind: 'createService',
    parent: `projects/${desired.project}/locations/${part(name, 'locations')}`,
    serviceId: desired.serviceId,
    service,
  });
  const entry: ServiceEntry = { type: 'Service', name, time: iso(ctx.now) };
  const created = [entry, ...variableEntries(name, wanted, [], ctx.now)];
  create.needs = access.needs;
  create.drift = ctx.settled;
  create.changes = [{ field: 'image', from: undefined, to: imageOf(service.template as JsonObject) }];
  create.creates = created.map(entryKey);
  // The service may exist although it was not found, so its other entries stay on record.
  out.entries.push(...created, ...known.filter(other => !create.creates.includes(entryKey(other))));
  out.steps.push(create);
}

function variableEntries(
  name: string,
  { variables }: WantedTemplate,
  recorded: InventoryEntry[],
  now: number,
): VariableEntry[] {
  const known = entriesOfType('Variable', recorded);
  return variables.map(({ name: variable }) => {
    const entry = known.find(other => other.variable === variable);
    return entry ?? { type: 'Variable', name, variable, time: iso(now) };
  });
}

// ---------------------------------------------------------------------------------------------------------- update

/**
 * Plans the update of a service that exists. `carried`: the members that it takes over from its predecessor's policy. Returns
 * false if the service's own policy could not be read.
 */
export function planPresent(
  { ctx, access, out }: Services,
  read: ServiceRead,
  found: ObservedService,
  recorded: InventoryEntry[],
  carried: PolicyAddition[],
): boolean {
  const { spec, account } = ctx.desired;
  const ourVariables = entriesOfType('Variable', recorded).map(({ variable }) => variable);
  const wanted = wantedTemplate(spec, account.email, access.variables, ourVariables);
  const callers = planInvokers(ctx, read, found, recorded, carried);
  const marks = markChanges(ctx, found);
  const { changes, fields, templateDiffers } = serviceChanges(ctx, access, found, wanted, marks, callers);

  // A variable that has left the spec stays on record until a revision without it serves.
  const isDropped = !templateDiffers && !access.freezesTemplate && isReady(found);
  const leaving = entriesOfType('Variable', recorded).filter(({ variable }) => wanted.dropVariables.includes(variable));
  const entry: ServiceEntry = { type: 'Service', name: found.name, time: iso(ctx.now) };
  out.entries.push(
    serviceEntry(recorded, found.name) ?? entry,
    ...callers.entries,
    ...variableEntries(found.name, wanted, recorded, ctx.now),
    ...(isDropped ? [] : leaving.filter(one => staysOnRecord(ctx, found, one))),
  );
  out.blockers.push(...callers.blockers);
  out.notes.push(...callers.notes);

  const isMarked = marks.length === 0;
  let update: Step | undefined;
  if (changes.length > 0) {
    const isAdoption = labelledOwner(found.labels) === undefined;
    const closing = callers.invokerIamDisabled === false;
    const id = closing && isMarked ? `close:${found.name}` : undefined;
    update = updateStep(found, fields, isAdoption ? 'Adopt' : 'Update', id);
    update.closes = id !== undefined;
    update.changes = changes;
    update.drift = ctx.settled && !isAdoption && changes.some(change => !isRotation(ctx, change));
    if (fields.template) update.needs = access.needs;
  }
  pushInOrder(update, callers, isMarked && spec.access !== 'Public', out);
  if (!update) planProgress(ctx, access, found, out);
  return !callers.unread;
}

/** The owner labels that are missing or differ. */
const markChanges = (ctx: Context, found: ObservedService): Change[] =>
  Object.entries(ownerLabels(ctx.desired.owner)).flatMap(([label, value]) =>
    found.labels[label] === value ? [] : [{ field: `labels.${label}`, from: found.labels[label], to: value }],
  );

/** The fields to write. `templateDiffers`: the template differs from the wanted one, even if this step does not write it. */
function serviceChanges(
  ctx: Context,
  access: AccessPlan,
  found: ObservedService,
  wanted: WantedTemplate,
  marks: Change[],
  callers: InvokersPlan,
): { changes: Change[]; fields: JsonObject; templateDiffers: boolean } {
  const { spec, owner } = ctx.desired;
  const changes: Change[] = [...marks];
  const fields: JsonObject = {};
  if (marks.length > 0) fields.labels = { ...found.labels, ...ownerLabels(owner) };
  // An update that closes access contains nothing else, because Cloud Run could refuse the whole update for another field. The next
  // reconcile writes the rest with the new etag.
  const closing = callers.invokerIamDisabled === false;
  const traffic = closing ? undefined : applyTraffic(found.traffic);
  if (traffic) {
    changes.push({ field: 'traffic', from: shownTraffic(found.traffic), to: 'latest=100%' });
    fields.traffic = traffic;
  }
  if (callers.invokerIamDisabled !== undefined) {
    changes.push({ field: 'access', from: callers.from, to: spec.access });
    fields.invokerIamDisabled = callers.invokerIamDisabled;
  }
  const { freezesTemplate } = access;
  const laid = freezesTemplate ? { template: found.template, changes: [] } : applyTemplate(found.template, wanted);
  const scaled = applyScaling(found.scaling, laid.template, spec.scaling.minInstances, spec.scaling.maxInstances);
  if (scaled.scaling && !closing && !(scaled.template && freezesTemplate)) {
    changes.push(...scaled.changes);
    fields.scaling = scaled.scaling;
  }
  const templateDiffers = laid.changes.length > 0 || (scaled.template !== undefined && !freezesTemplate);
  if (templateDiffers && !closing) {
    changes.push(...laid.changes);
    fields.template = withoutRetry(scaled.template ?? laid.template);
  }
  return { changes, fields, templateDiffers };
}

/** A newer version of a key is a rotation, not drift. */
function isRotation(ctx: Context, change: Change): boolean {
  const key = ctx.desired.keys.find(({ env }) => env !== undefined && `env.${env}` === change.field);
  const live = key && ctx.status.keys.find(({ name }) => name === key.name)?.version;
  return live !== undefined && change.from?.endsWith(`:${live}`) === true;
}

/**
 * Adds the steps in their order. `removesFirst`: callers are removed before the update, which needs nothing else to succeed. Otherwise
 * the update comes first: it marks the service as ours, or it opens the service to everybody, so that nobody loses access in between.
 * Callers are added last.
 */
function pushInOrder(
  update: Step | undefined,
  { remove, add }: InvokersPlan,
  removesFirst: boolean,
  out: ServicesPlan,
): void {
  if (remove) remove.closes = removesFirst;
  if (remove && !removesFirst && update) remove.needs = [update.id];
  if (add && !removesFirst && update) add.needs = [update.id];
  const ordered = removesFirst ? [remove, update, add] : [update, remove, add];
  out.steps.push(...ordered.filter(one => one !== undefined));
}

/** With more entries than this, variables that the service's template does not contain leave the inventory. */
const CROWDED = 1_000;

/**
 * Whether a variable that has left the spec stays on record. In a crowded inventory only those in the service's template do;
 * otherwise repeated edits that rename variables while no revision becomes ready would fill the inventory.
 */
function staysOnRecord(ctx: Context, found: ObservedService, entry: VariableEntry): boolean {
  if (ctx.status.inventory.length <= CROWDED || !absenceCounts(entry, ctx.now)) return true;
  return JSON.stringify(found.template).includes(JSON.stringify(entry.variable));
}

// ------------------------------------------------------------------------------------------------------- ownership

export function conflictOf(ctx: Context, found: ObservedService): string | undefined {
  const claim = claimService(found, ctx.rules);
  if (claim !== 'theirs' && found.labels['managed-by-cnrm'] === 'true') {
    return (
      `${targetOf(found.name)} is managed by Config Connector (label managed-by-cnrm=true). Abandon it there first ` +
      '(cnrm.cloud.google.com/deletion-policy=abandon, delete the RunService), then take the label off.'
    );
  }
  return serviceConflict(found, claim, ctx.rules);
}

/**
 * Whether the service is this tenant's. A recorded service may have lost some of its marks; one that is not on record needs all
 * of them.
 */
const isOwn = (found: ObservedService, entry: ServiceEntry | undefined, { rules }: RemovalContext): boolean =>
  entry ? claimService(found, rules) === 'ours' : isFullyMarked(found.labels, rules.owner);

// ------------------------------------------------------------------------------------------------ remove, abandon

/** Removes every service of the tenant. Cloud Run deletes its invokers and variables with it. */
export function removeServices(ctx: RemovalContext, { services }: Pick<Observed, 'services'>, out: Plan): void {
  const { inventory } = ctx.tenant.status;
  const unread: ServiceEntry[] = [];
  for (const { name, service } of services) {
    const entries = entriesOf(inventory, name);
    const entry = serviceEntry(entries, name);
    const found: ServiceEntry = { type: 'Service', name, time: iso(ctx.now) };
    if (service.state === 'failed') {
      if (!entry && isUnknownRegion(service.failure)) continue;
      if (!entry) unread.push(found);
      out.inventory.push(...entries);
      out.blockers.push(unreadBlocker(ctx, 'Service', targetOf(name), service.failure, entry !== undefined));
    } else if (service.state === 'absent') {
      if (entry) keepUntilSure(entry, targetOf(name), ctx, out);
    } else if (isOwn(service.value, entry, ctx)) {
      out.inventory.push(...entries, ...(entry ? [] : [found]));
      const { deleteTime, reconciling, etag } = service.value;
      if (deleteTime !== undefined || (entry?.deletedAt !== undefined && reconciling)) {
        const message = `Cloud Run is deleting ${targetOf(name)}.`;
        out.waiting.push({ aspect: 'Service', message, retryAfterMs: 1_000 });
      } else {
        out.steps.push(deleteStep(name, etag));
      }
    }
  }
  // Other regions are not searched again once a service is on record, so the services that could not be read are recorded too.
  if (out.inventory.length > 0) out.inventory.push(...unread);
}

export const deleteStep = (name: string, etag: string): Step =>
  step(`delete:${name}`, 'Service', 'Delete', targetOf(name), { kind: 'deleteService', name, etag });

/** The events of the services that a deletion leaves. */
export function servicesLeftBehind({ tenant, rules }: RemovalContext, { services }: Observed): string[] {
  return services.flatMap(({ name, service }) => {
    const isRecorded = tenant.status.inventory.some(entry => entry.name === name);
    if (service.state !== 'present' || !isRecorded || claimService(service.value, rules) === 'ours') return [];
    const command = `gcloud run services delete ${part(name, 'services')} --region=${part(name, 'locations')} --project=${part(name, 'projects')}`;
    return notDeleted(targetOf(name), 'goes on running', labelledOwner(service.value.labels), command);
  });
}

/** Removes the owner's labels and leaves everything else as it is. */
export function abandonServices(ctx: RemovalContext, { services }: Observed, out: Plan): void {
  for (const { name, service } of services) {
    const entry = serviceEntry(ctx.tenant.status.inventory, name);
    if (service.state === 'failed' && !abandonable(service.failure)) {
      out.blockers.push(readBlocker('Service', targetOf(name), service.failure));
    } else if (service.state === 'present' && isOwn(service.value, entry, ctx)) {
      const { labels, deleteTime } = service.value;
      if (deleteTime !== undefined) continue;
      const abandon = updateStep(service.value, { labels: withoutOwnerLabels(labels) }, 'Abandon');
      abandon.changes = [{ field: 'labels', from: 'owner marks', to: undefined }];
      out.steps.push(abandon);
    }
  }
}

// -------------------------------------------------------------------------------------------------------- foresee

type ServiceCall = Extract<Call, { kind: 'createService' | 'updateService' | 'deleteService' | 'setServicePolicy' }>;

/** The observed state with the services as they will be once the call has succeeded. */
export function foreseeService(observed: Observed, call: ServiceCall): Observed {
  switch (call.kind) {
    case 'createService': {
      const [, project = '', , region = ''] = call.parent.split('/');
      return withService(observed, created(serviceName(project, region, call.serviceId), region, call.service));
    }
    case 'updateService': {
      const read = observed.services.find(({ name }) => name === call.service.name);
      if (read?.service.state !== 'present') return observed;
      return withService(observed, rolledOut({ ...read.service.value, ...(call.service as Partial<ObservedService>) }));
    }
    case 'deleteService':
      return mapServices(observed, read => (read.name === call.name ? deleted(read) : read));
    case 'setServicePolicy':
      return mapServices(observed, read =>
        read.name === call.service ? { ...read, invokers: { state: 'present', value: call.policy } } : read,
      );
  }
}

/** The observed state once Cloud Run has finished: every rollout has succeeded and every deletion has ended. */
export const afterRollout = (observed: Observed): Observed =>
  mapServices(observed, read => {
    const { service } = read;
    if (service.state !== 'present') return read;
    if (service.value.deleteTime !== undefined) return deleted(read);
    return { ...read, service: { state: 'present', value: rolledOut(service.value) } };
  });

const mapServices = (observed: Observed, map: (read: ServiceRead) => ServiceRead): Observed => ({
  ...observed,
  services: observed.services.map(map),
});

/** The IAM policy of a service is deleted with it. */
const deleted = ({ name, region }: ServiceRead): ServiceRead => ({ name, region, service: { state: 'absent' } });

const rolledOut = (service: ObservedService): ObservedService => ({
  ...service,
  reconciling: false,
  terminal: { state: 'SUCCEEDED', reason: '', message: '' },
  observedGeneration: service.generation,
  latestReadyRevision: service.latestCreatedRevision,
  trafficStatuses: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
});

function created(name: string, region: string, service: JsonObject): ObservedService {
  return rolledOut({
    name,
    region,
    etag: 'new',
    generation: '1',
    observedGeneration: '',
    reconciling: true,
    terminal: { state: 'PENDING', reason: '', message: '' },
    latestReadyRevision: '',
    latestCreatedRevision: 'new',
    uri: '',
    urls: [],
    traffic: [],
    trafficStatuses: [],
    labels: service.labels as Record<string, string>,
    invokerIamDisabled: service.invokerIamDisabled === true,
    scaling: (service.scaling ?? {}) as JsonObject,
    template: (service.template ?? {}) as JsonObject,
    raw: service,
  });
}

const withService = (observed: Observed, value: ObservedService): Observed =>
  mapServices(observed, read => {
    if (read.name !== value.name) return read;
    const invokers = read.invokers ?? { state: 'present', value: { bindings: [], etag: 'new' } };
    return { ...read, service: { state: 'present', value }, invokers };
  });
