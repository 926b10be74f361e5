import type { JsonObject } from '../../ports/json.ts';
import { layScaling, layTemplate, newService, type Predecessor, regionalConflict } from './carryOver.ts';
import { serviceConflict } from './consent.ts';
import { type Context, isUnknownRegion, type PartialPlan, readBlocker, step } from './context.ts';
import {
  fieldEntries,
  layFields,
  missingAnswer,
  narrowing,
  type ServiceJson,
  type WantedField,
  wantedFields,
} from './fields/laid.ts';
import { fieldNotes } from './fields/notes.ts';
import { sidecarKeyPath } from './fields/sidecarFields.ts';
import { SIDECARS, usesOf } from './fields/sidecarSpec.ts';
import { takenName } from './fields/takenName.ts';
import { FILES } from './fields/volumeFields.ts';
import { absenceCounts, entriesOfType, entryKey, iso, serviceEntry } from './inventory.ts';
import { type InvokersPlan, planInvokers } from './invokers.ts';
import { isRegion, part, serviceId, serviceName, targetOf } from './names.ts';
import { claimService, isFullyMarked, labelledOwner, ownerLabels, withoutOwnerLabels } from './ownership.ts';
import { abandonable, keepUntilSure, notDeleted, type RemovalContext, unreadBlocker } from './removalContext.ts';
import type { AccessPlan } from './secretAccess.ts';
import { planProgress, updateStep } from './serviceProgress.ts';
import { isReady } from './serving.ts';
import {
  type applyScaling,
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
 * annotations that the spec never named survive. Closing access is an update of its own for each field that closes it: it must not
 * fail because of another field that Cloud Run refuses. All other fields follow in a later reconcile, so nothing opens before it.
 */

export interface ServicesPlan extends PartialPlan {
  recheckAfterMs?: number;
}

export type ServiceRead = Observed['services'][number];

/** The input of each service's plan. Each plan adds its results to `out`. */
export interface Services {
  ctx: Context;
  access: AccessPlan;
  /** The inventory entries of all services, of their invokers, variables and fields. */
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
  const missing =
    missingAnswer(wantedFields(desired.spec, [], desired, access.fieldKeys), desired) ??
    (predecessor.service && takenName(desired.spec, predecessor.service.template));
  const stays = missing && predecessor.service && `The service in ${predecessor.service.region} goes on.`;
  const conflict = missing
    ? [missing, stays].filter(Boolean).join(' ')
    : predecessor.service && regionalConflict(ctx, predecessor.service);
  if (conflict) {
    out.entries.push(...known);
    out.blockers.push({ aspect: 'Service', reason: 'InvalidSpec', message: conflict });
    return;
  }
  const isAgain = serviceEntry(known, name) !== undefined;
  // Without a predecessor the settings come from the status, which may have fields that have left the spec since.
  const inherited = predecessor.service
    ? entriesOf(recorded, predecessor.service.name)
    : entriesOfType('Field', recorded);
  const { service, wanted, fields } = newService(ctx, access, predecessor, [...known, ...inherited], isAgain);
  const create = step(`service:${name}`, 'Service', 'Create', targetOf(name), {
    kind: 'createService',
    parent: `projects/${desired.project}/locations/${part(name, 'locations')}`,
    serviceId: desired.serviceId,
    service,
  });
  const entry: ServiceEntry = { type: 'Service', name, time: iso(ctx.now) };
  const json: ServiceJson = { service, template: service.template as JsonObject };
  const ofFields = fieldEntries(name, json, fields, [...known, ...inherited], fields, ctx.now);
  const created = [entry, ...variableEntries(name, wanted, [], ctx.now), ...ofFields];
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
  { ctx, access: given, out }: Services,
  read: ServiceRead,
  found: ObservedService,
  recorded: InventoryEntry[],
  carried: PolicyAddition[],
): boolean {
  const { spec, account } = ctx.desired;
  const taken = takenName(spec, found.template);
  const access = taken === undefined ? given : { ...given, freezesTemplate: true };
  const ourVariables = entriesOfType('Variable', recorded).map(({ variable }) => variable);
  const wanted = wantedTemplate(spec, account.email, access.variables, ourVariables);
  const place = { project: ctx.desired.project, region: found.region };
  const fields = wantedFields(spec, recorded, place, access.fieldKeys);
  const callers = planInvokers(ctx, read, found, recorded, carried);
  const marks = markChanges(ctx, found);
  const { updates, written, templateDiffers } = planUpdates(ctx, access, found, { wanted, fields, marks, callers });

  // A variable that has left the spec stays on record until a revision without it serves.
  const isDropped = !templateDiffers && !access.freezesTemplate && isReady(found);
  const leaving = entriesOfType('Variable', recorded).filter(({ variable }) => wanted.dropVariables.includes(variable));
  const entry: ServiceEntry = { type: 'Service', name: found.name, time: iso(ctx.now) };
  const json: ServiceJson = { service: found.raw, template: isDropped ? found.template : undefined };
  out.entries.push(
    serviceEntry(recorded, found.name) ?? entry,
    ...callers.entries,
    ...variableEntries(found.name, wanted, recorded, ctx.now),
    ...(isDropped ? [] : leaving.filter(one => staysOnRecord(ctx, found, one))),
    ...fieldEntries(found.name, json, fields, recorded, written, ctx.now),
  );
  out.blockers.push(...callers.blockers);
  out.notes.push(...callers.notes);
  if (found.region === ctx.desired.region) {
    out.notes.push(...fieldNotes(spec, found, recorded));
    for (const message of [missingAnswer(fields, place), taken]) {
      if (message) out.blockers.push({ aspect: 'Service', reason: 'InvalidSpec', message });
    }
  }
  pushInOrder(updates, callers, marks.length === 0 && spec.access !== 'Public', out);
  if (updates.length === 0) planProgress(ctx, access, found, out);
  return !callers.unread;
}

/** The owner labels that are missing or differ. */
const markChanges = (ctx: Context, found: ObservedService): Change[] =>
  Object.entries(ownerLabels(ctx.desired.owner)).flatMap(([label, value]) =>
    found.labels[label] === value ? [] : [{ field: `labels.${label}`, from: found.labels[label], to: value }],
  );

/** What a service must become. */
interface Wanted {
  wanted: WantedTemplate;
  fields: WantedField[];
  marks: Change[];
  callers: InvokersPlan;
}

/** One update: its fields by their names in Cloud Run's JSON, and the optional fields of the spec among them. */
interface Edit {
  changes: Change[];
  fields: JsonObject;
  written: WantedField[];
}

/**
 * The updates of the service: one for each field that closes access, or one for everything else. `written`: the optional fields that
 * the latter writes. `templateDiffers`: the template differs from the wanted one, even if no update writes it.
 */
function planUpdates(
  ctx: Context,
  access: AccessPlan,
  found: ObservedService,
  given: Wanted,
): { updates: Step[]; written: WantedField[]; templateDiffers: boolean } {
  const template = templateEdit(ctx, access, found, given);
  const closing = closingEdits(ctx, found, given);
  if (closing.length > 0 && given.marks.length === 0) {
    const updates = closing.map(({ name, changes, fields }) => {
      const update = updateStep(found, fields, 'Update', `close:${found.name}${name}`);
      return { ...update, closes: true, changes, drift: ctx.settled };
    });
    return { updates, written: [], templateDiffers: template.differs };
  }
  // A service without all marks gets them first. The same update may only enable the invoker check besides.
  const edit = closing.length > 0 ? marksEdit(ctx, found, given) : wholeEdit(ctx, access, found, given, template);
  const { changes, fields, written } = edit;
  if (changes.length === 0) return { updates: [], written, templateDiffers: template.differs };
  const isAdoption = labelledOwner(found.labels) === undefined;
  const update = updateStep(found, fields, isAdoption ? 'Adopt' : 'Update');
  update.changes = changes;
  update.drift = ctx.settled && !isAdoption && changes.some(change => !isRotation(ctx, change));
  if (fields.template) update.needs = access.needs;
  const entryKeys = (named: boolean) =>
    written
      .filter(({ field, isNamed }) => isNamed === named && (named || field.level === 'service'))
      .map(({ path }) => entryKey({ type: 'Field', name: found.name, field: path, time: '' }));
  update.creates = entryKeys(true);
  update.removes = entryKeys(false);
  return { updates: [update], written, templateDiffers: template.differs };
}

/** One edit for each field that only closes access. `name`: the end of its step's ID. */
function closingEdits(
  ctx: Context,
  found: ObservedService,
  { fields, callers }: Wanted,
): { name: string; changes: Change[]; fields: JsonObject }[] {
  const json = jsonOf(found);
  const access =
    callers.invokerIamDisabled === false
      ? [{ name: '', changes: [accessChange(ctx, callers)], fields: { invokerIamDisabled: false } }]
      : [];
  return [
    ...access,
    ...narrowing(json, fields).map(laid => ({
      name: `:${laid.fields[0]?.path}`,
      changes: laid.changes,
      fields: changedFields(json, laid.json),
    })),
  ];
}

/** The service as JSON, in which the optional fields are read and written. */
const jsonOf = ({ raw, labels, scaling }: ObservedService): JsonObject => ({ ...raw, labels, scaling });

/** The fields for an update that turns one JSON object into the other. */
const changedFields = (before: JsonObject, after: JsonObject): JsonObject =>
  Object.fromEntries(
    Object.keys({ ...before, ...after })
      .filter(name => before[name] !== after[name])
      .map(name => [name, after[name]]),
  ) as JsonObject;

const accessChange = ({ desired }: Context, { from }: InvokersPlan): Change => ({
  field: 'access',
  from,
  to: desired.spec.access,
});

/** The owner labels and, if it only closes, the invoker check. */
function marksEdit(ctx: Context, found: ObservedService, { marks, callers }: Wanted): Edit {
  const closes = callers.invokerIamDisabled === false;
  return {
    changes: [...marks, ...(closes ? [accessChange(ctx, callers)] : [])],
    fields: {
      labels: { ...found.labels, ...ownerLabels(ctx.desired.owner) },
      ...(closes && { invokerIamDisabled: false }),
    },
    written: [],
  };
}

/** Everything in one update. */
function wholeEdit(
  ctx: Context,
  access: AccessPlan,
  found: ObservedService,
  { fields: all, marks, callers }: Wanted,
  template: TemplateEdit,
): Edit {
  const changes: Change[] = [...marks];
  const before = jsonOf(found);
  const service = { ...before };
  if (marks.length > 0) service.labels = { ...found.labels, ...ownerLabels(ctx.desired.owner) };
  const traffic = applyTraffic(found.traffic);
  if (traffic) {
    changes.push({ field: 'traffic', from: shownTraffic(found.traffic), to: 'latest=100%' });
    service.traffic = traffic;
  }
  if (callers.invokerIamDisabled !== undefined) {
    changes.push(accessChange(ctx, callers));
    service.invokerIamDisabled = callers.invokerIamDisabled;
  }
  const { scaled, laid } = template;
  if (scaled.scaling && !(scaled.template && access.freezesTemplate)) {
    changes.push(...scaled.changes);
    service.scaling = scaled.scaling;
  }
  const ofService = layFields('service', service, all);
  changes.push(...ofService.changes);
  if (template.differs) {
    changes.push(...laid.changes);
    ofService.json = { ...ofService.json, template: withoutRetry(scaled.template ?? laid.template) };
  }
  const written = [...ofService.fields, ...(template.differs ? laid.fields : [])];
  return { changes, fields: changedFields(before, ofService.json), written };
}

interface TemplateEdit {
  /** The template with the spec laid over it. `fields`: the optional fields that differ. */
  laid: { template: JsonObject; changes: Change[]; fields: WantedField[] };
  scaled: ReturnType<typeof applyScaling>;
  /** The template differs from the wanted one. False while it must not change. */
  differs: boolean;
}

function templateEdit(
  { desired: { spec } }: Context,
  { freezesTemplate }: AccessPlan,
  found: ObservedService,
  { wanted, fields }: Wanted,
): TemplateEdit {
  const laid = freezesTemplate
    ? { template: found.template, changes: [], fields: [] }
    : layTemplate(found.template, wanted, fields);
  const scaled = layScaling(found.scaling, laid.template, spec);
  return { laid, scaled, differs: laid.changes.length > 0 || (scaled.template !== undefined && !freezesTemplate) };
}

/** A newer version of a key is a rotation, not drift. */
function isRotation(ctx: Context, change: Change): boolean {
  const key = ctx.desired.keys.find(({ name, env, file }) =>
    [
      env !== undefined && `env.${env}`,
      file !== undefined && `${FILES}.${file}`,
      ...usesOf(ctx.desired.spec, name).map(({ sidecar, at }) => sidecarKeyPath(`${SIDECARS}.${sidecar}`, at)),
    ].includes(change.field),
  );
  const live = key && ctx.status.keys.find(({ name }) => name === key.name)?.version;
  return live !== undefined && change.from?.endsWith(`:${live}`) === true;
}

/**
 * Adds the steps in their order. `removesFirst`: callers are removed before the update, which needs nothing else to succeed. Otherwise
 * the update comes first: it marks the service as ours, or it opens the service to everybody, so that nobody loses access in between.
 * Callers are added last.
 */
function pushInOrder(updates: Step[], { remove, add }: InvokersPlan, removesFirst: boolean, out: ServicesPlan): void {
  const first = updates.filter(({ closes }) => !closes).map(({ id }) => id);
  if (remove) remove.closes = removesFirst;
  if (remove && !removesFirst) remove.needs = first;
  if (add && !removesFirst) add.needs = first;
  const ordered = removesFirst ? [remove, ...updates, add] : [...updates, remove, add];
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
      const { value } = read.service;
      const raw = { ...value.raw, ...call.service };
      return withService(observed, rolledOut({ ...value, ...(call.service as Partial<ObservedService>), raw }));
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
