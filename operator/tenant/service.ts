import type { JsonObject } from '../../ports/json.ts';
import {
  carriedBindings,
  carriedSettings,
  isPublicByPolicy,
  regionalSettings,
  settingsFromRecord,
  withoutGooglesKeys,
} from './carryOver.ts';
import { serviceConflict } from './consent.ts';
import { advised, type Context, emptyPart, type Part, PROPAGATION_MS, readBlocker, step } from './context.ts';
import { revisionAdvice } from './errorTable.ts';
import { absenceCounts, age, entriesOfType, entryKey, iso, serviceEntry } from './inventory.ts';
import { type InvokersPart, planInvokers } from './invokers.ts';
import { part, serviceName } from './names.ts';
import { claimService, labelledOwner, ownerLabels } from './ownership.ts';
import type { PolicyAddition } from './policy.ts';
import type { AccessPart } from './secretAccess.ts';
import {
  applyScaling,
  applyTemplate,
  applyTraffic,
  imageOf,
  inheritedTemplate,
  onlyLatestServes,
  readsSecret,
  retryCount,
  shownTraffic,
  type WantedTemplate,
  wantedTemplate,
  withoutRetry,
  withRetry,
} from './template.ts';
import type { Blocker, Change, InventoryEntry, Observed, ObservedService, Step, VariableEntry } from './types.ts';

export interface ServicesPart extends Part {
  recheckAfterMs?: number;
}

type Seen = Observed['services'][number];

/** The accepted state is the serving state. Source: Cloud Run Admin API v2, Service.terminal_condition. */
export function isReady(service: ObservedService): boolean {
  return (
    !service.reconciling &&
    service.terminal.state === 'SUCCEEDED' &&
    // Cloud Run counts generations from 1; `0` stands for one that was not answered.
    service.generation !== '0' &&
    service.observedGeneration === service.generation &&
    service.deleteTime === undefined
  );
}

/**
 * Whether a revision that serves may still read the secret: unless a settled template without it has all the traffic, or
 * nothing has ever served (a newly created service that failed has no latest ready revision: service.proto). An answer that
 * lacks the revision and does not say either that the service failed proves nothing.
 */
export function mayRead(service: ObservedService, secretId: string): boolean {
  const settled = isReady(service) && onlyLatestServes(service.trafficStatuses, service.latestCreatedRevision);
  const failed = !service.reconciling && service.terminal.state === 'FAILED';
  const neverServed = failed && service.latestReadyRevision === '';
  return !(settled || neverServed) || readsSecret(service.template, secretId);
}

/** How soon it is looked whether Cloud Run has done with deleting a service. */
const DELETING_MS = 2_000;
/** With so many former services, each with all its invokers and variables, the inventory still fits into the status. */
const MOST_FORMER = 6;

/** The service of the wanted region, and those of regions that the tenant is leaving. */
export function planServices(
  ctx: Context,
  access: AccessPart,
  observed: Observed,
  held: InventoryEntry[],
): ServicesPart {
  const wantedName = serviceName(ctx.desired.project, ctx.desired.region, ctx.desired.serviceId);
  const out: ServicesPart = emptyPart();
  const mine = (seen: Seen): ObservedService | undefined =>
    seen.service.state === 'present' && claimOf(ctx, seen.service.value) === 'ours' ? seen.service.value : undefined;

  const wanted = observed.services.find(({ name }) => name === wantedName);
  const others = observed.services.filter(({ name }) => name !== wantedName);
  const predecessor = predecessorOf(others.map(seen => ({ seen, service: mine(seen), retires: retires(held, seen) })));
  let arrived = false;
  // One of them is where the tenant is now.
  const former = others.filter(mine).length - 1;
  const full = wanted?.service.state === 'absent' && former >= MOST_FORMER;
  if (full) {
    out.entries.push(...entriesOf(held, wantedName));
    const message = `The move to ${ctx.desired.region} waits until one of the ${former} former regions' services has gone.`;
    const goes = others.some(({ service }) => service.state === 'present' && service.value.deleteTime !== undefined);
    out.waiting.push({ aspect: 'Service', message, retryAfterMs: goes ? DELETING_MS : 60_000 });
  } else if (wanted) {
    arrived = planWanted(ctx, access, wanted, predecessor, held, out);
  }
  for (const other of others) planLeaving(ctx, access, other, held, { arrived, full }, out);
  return out;
}

/** Whose settings a new service takes along; `unread`: it may be this one, which could not be read. */
interface Predecessor {
  service?: ObservedService;
  seen?: Seen;
  unread?: Seen;
  /** It was replaced before, and is only waiting for its deletion. */
  retires?: boolean;
}

const retires = (held: InventoryEntry[], { name }: Seen): boolean => serviceEntry(held, name)?.retireAt !== undefined;

/**
 * The newest service that has served. The inventory names the newest first, and one that is to be deleted was replaced by
 * all others. Where none has served, the newest one is all there is.
 */
function predecessorOf(others: { seen: Seen; service?: ObservedService; retires: boolean }[]): Predecessor {
  const newestFirst = [...others.filter(other => !other.retires), ...others.filter(other => other.retires)];
  for (const other of newestFirst) {
    if (other.seen.service.state === 'failed') return { unread: other.seen, retires: other.retires };
    if (other.service !== undefined && other.service.latestReadyRevision !== '') return other;
  }
  return newestFirst.find(({ service }) => service !== undefined) ?? {};
}

/** Answers whether the wanted region's service serves what the spec asks for. */
function planWanted(
  ctx: Context,
  access: AccessPart,
  seen: Seen,
  predecessor: Predecessor,
  held: InventoryEntry[],
  out: ServicesPart,
): boolean {
  const { service } = seen;
  const entries = entriesOf(held, seen.name);
  if (service.state === 'failed') {
    out.entries.push(...entries);
    out.blockers.push(readBlocker('Service', targetOf(seen.name), service.failure));
    return false;
  }
  if (service.state === 'absent') {
    if (access.holdTemplate) {
      const entry = serviceEntry(entries, seen.name);
      if (entry && !absenceCounts(entry, ctx.now)) out.entries.push(...entries);
      return false;
    }
    // One that had replaced its predecessor is made again with what is on record of it.
    const isAgain = predecessor.retires && entries.some(({ type }) => type === 'Service');
    if (predecessor.unread?.service.state === 'failed' && !isAgain) {
      // What could not be read is not absent: a service made now would lack what its predecessor has.
      const { name, service: read } = predecessor.unread;
      const what = `${targetOf(name)}, whose settings the new service takes along (the move waits)`;
      out.entries.push(...entries);
      out.blockers.push(readBlocker('Service', what, read.failure));
      return false;
    }
    planCreate(ctx, access, seen.name, predecessor, held, out);
    return false;
  }
  const found = service.value;
  if (found.deleteTime !== undefined) {
    out.entries.push(...entries);
    const message = `Cloud Run is still deleting the former ${targetOf(found.name)}.`;
    out.waiting.push({ aspect: 'Service', message, retryAfterMs: DELETING_MS });
    return false;
  }
  const conflict = conflictOf(ctx, found);
  if (conflict) {
    out.entries.push(...entries);
    out.blockers.push({ aspect: 'Service', reason: 'ManagementConflict', message: conflict });
    return false;
  }
  const before = out.steps.length;
  // Others' bindings go along before the new service replaces the former one, and not again after that.
  const carried = carriedFrom(ctx, predecessor, held, out);
  const known = planPresent(ctx, access, seen, found, entries.map(staying), carried ?? [], out);
  const settled = known && carried !== undefined && out.steps.length === before;
  return settled && !access.holdTemplate && isReady(found);
}

/** What others have in the predecessor's policy. Undefined: it could not be read. */
function carriedFrom(
  ctx: Context,
  { service, seen, retires }: Predecessor,
  held: InventoryEntry[],
  out: ServicesPart,
): PolicyAddition[] | undefined {
  if (!service || !seen || retires || service.latestReadyRevision === '') return [];
  const policy = seen.invokers;
  if (policy?.state === 'absent') return [];
  if (policy?.state !== 'present') {
    const failure = policy?.failure ?? { kind: 'Transient' as const, message: 'not read yet' };
    const what = `the IAM policy of ${targetOf(seen.name)}, which the new service takes along (the move waits, and the former service stays)`;
    out.blockers.push(readBlocker('Service', what, failure));
    return undefined;
  }
  const ours = entriesOfType('Invoker', entriesOf(held, seen.name));
  return carriedBindings(policy.value, ours, ctx.desired.spec.access === 'Public');
}

/** The wanted service stays: nothing of an earlier leave-taking holds any more. */
function staying(entry: InventoryEntry): InventoryEntry {
  if (entry.type !== 'Service' || (entry.retireAt === undefined && entry.deletedAt === undefined)) return entry;
  const { retireAt: _retireAt, deletedAt: _deletedAt, ...rest } = entry;
  return rest;
}

function planLeaving(
  ctx: Context,
  access: AccessPart,
  seen: Seen,
  held: InventoryEntry[],
  move: { arrived: boolean; full: boolean },
  out: ServicesPart,
): void {
  const entries = entriesOf(held, seen.name);
  const entry = serviceEntry(entries, seen.name);
  const { service } = seen;
  if (service.state === 'failed') {
    // Leaving a region that does not answer is what moves are for: it keeps nobody from being up to date.
    out.entries.push(...entries);
    out.recheckAfterMs = Math.min(out.recheckAfterMs ?? Number.POSITIVE_INFINITY, ctx.settings.syncIntervalMs);
    out.notes.push(`The former ${targetOf(seen.name)} cannot be read; it is deleted once its region answers again.`);
    return;
  }
  if (service.state === 'absent') {
    if (entry && !absenceCounts(entry, ctx.now)) out.entries.push(...entries);
    return;
  }
  const found = service.value;
  const claim = claimOf(ctx, found);
  // Marks that were taken off may be put back. What another owner has is let go of.
  if (claim !== 'ours') {
    if (claim !== 'theirs' && entry) {
      out.entries.push(...entries);
      out.notes.push(`The former ${targetOf(found.name)} has lost this tenant's owner marks, so it goes on running.`);
    }
    return;
  }
  if (found.deleteTime !== undefined) {
    out.entries.push(...entries);
    out.recheckAfterMs = Math.min(out.recheckAfterMs ?? DELETING_MS, DELETING_MS);
    return;
  }
  // What an earlier move has replaced already makes room for the next one.
  const replaced = move.arrived || (move.full && entry?.retireAt !== undefined);
  if (!replaced || !entry) {
    planPresent(ctx, access, seen, found, entries, [], out);
    return;
  }
  const retireAt = entry.retireAt ?? iso(ctx.now + ctx.settings.regionMoveGraceMs);
  const left = Date.parse(retireAt) - ctx.now;
  if (!(left > 0)) {
    out.entries.push(...entries);
    // A deletion needs a record, which may be refused; closing does not. Where that changes the etag, the next one deletes.
    const present = emptyPart();
    planPresent(ctx, access, seen, found, entries, [], present);
    out.steps.push(...present.steps.filter(({ closes }) => closes));
    const remove = step(`delete:${found.name}`, 'Service', 'Delete', targetOf(found.name), {
      kind: 'deleteService',
      name: found.name,
      etag: found.etag,
    });
    out.steps.push(remove);
    return;
  }
  out.recheckAfterMs = Math.min(out.recheckAfterMs ?? left, left);
  out.notes.push(`The former ${targetOf(found.name)} and its URL ${found.uri} stay until ${retireAt}.`);
  planPresent(
    ctx,
    access,
    seen,
    found,
    entries.map(other => (other === entry ? { ...entry, retireAt } : other)),
    [],
    out,
  );
}

// ---------------------------------------------------------------------------------------------------------- create

function planCreate(
  ctx: Context,
  access: AccessPart,
  name: string,
  predecessor: Predecessor,
  held: InventoryEntry[],
  out: ServicesPart,
): void {
  const { desired } = ctx;
  const onRecord = entriesOf(held, name);
  const stopped = predecessor.service && regionalConflict(ctx, predecessor.service);
  if (stopped) {
    out.entries.push(...onRecord);
    out.blockers.push({ aspect: 'Service', reason: 'InvalidSpec', message: stopped });
    return;
  }
  const isAgain = onRecord.some(({ type }) => type === 'Service');
  const { service, wanted } = newService(ctx, access, predecessor, held, isAgain);
  const create = step(`service:${name}`, 'Service', 'Create', targetOf(name), {
    kind: 'createService',
    parent: `projects/${desired.project}/locations/${part(name, 'locations')}`,
    serviceId: desired.serviceId,
    service,
  });
  const entry: InventoryEntry = { type: 'Service', name, time: iso(ctx.now) };
  const variables = variableEntries(name, wanted, [], ctx.now);
  create.needs = access.needs;
  create.drift = ctx.settled;
  create.changes = [{ field: 'image', from: undefined, to: imageOf(service.template as JsonObject) }];
  create.creates = [entry, ...variables].map(entryKey);
  // It may only be out of sight for a moment: what is on record of its invokers and variables stays there.
  const made = create.creates;
  out.entries.push(entry, ...variables, ...onRecord.filter(other => !made.includes(entryKey(other))));
  out.steps.push(create);
}

/** The spec's service, laid over what its predecessor has or, where it is made again, over what is on record of it. */
function newService(
  ctx: Context,
  access: AccessPart,
  predecessor: Predecessor,
  held: InventoryEntry[],
  isAgain: boolean,
): { service: JsonObject; wanted: WantedTemplate } {
  const { desired, status, settings } = ctx;
  const { spec } = desired;
  const from = predecessor.service;
  // What the predecessor's template holds of ours goes by the spec; what it holds of others' moves along.
  const inherited = from ? entriesOf(held, from.name) : [];
  const ourVariables = variablesOf(inherited);
  const wanted = wantedTemplate(spec, desired.account.email, access.variables, ourVariables);
  const image = spec.image ?? status.image ?? settings.defaultImage;
  const base = from ? withoutGooglesKeys(inheritedTemplate(from.template)) : { containers: [{ image }] };
  const laid = applyTemplate(base, wanted).template;
  const scaling = from?.scaling ?? {};
  const scaled = applyScaling(scaling, laid, spec.scaling.minInstances, spec.scaling.maxInstances);
  const carried = from ? carriedSettings(from.raw) : {};
  const policy = predecessor.seen?.invokers;
  const bindings =
    policy?.state === 'present' ? carriedBindings(policy.value, entriesOfType('Invoker', inherited), true) : [];
  const byPolicy = from !== undefined && isPublicByPolicy(from, bindings);
  return {
    wanted,
    service: {
      ...carried,
      ...((isAgain || !from) && settingsFromRecord(status.serviceSettings)),
      labels: { ...(carried.labels as JsonObject | undefined), ...ownerLabels(desired.owner) },
      template: scaled.template ?? laid,
      scaling: scaled.scaling ?? scaling,
      invokerIamDisabled: spec.access === 'Public' && !byPolicy,
    },
  };
}

/** Why the move must stop: a setting of the former region has no counterpart in the new one. */
function regionalConflict(ctx: Context, from: ObservedService): string | undefined {
  const found = regionalSettings(from.template);
  if (found.length === 0) return undefined;
  const { project, region, serviceId } = ctx.desired;
  const named = found.map(({ field, value }) => `${field} (${value})`).join(', ');
  const clear = [...new Set(found.map(setting => setting.clear))].join(' ');
  return (
    `The move to ${region} stops before anything is made: ${targetOf(from.name)} has ${named} of its own region, and nothing says ` +
    `what takes its place in ${region}. The service in ${from.region} goes on. Take it off there (gcloud run services update ` +
    `${serviceId} --region=${from.region} --project=${project} ${clear}), or put spec.region back to ${from.region}.`
  );
}

// --------------------------------------------------------------------------------------------------------- present

/** Answers whether all that matters of it could be read. */
function planPresent(
  ctx: Context,
  access: AccessPart,
  seen: Seen,
  found: ObservedService,
  held: InventoryEntry[],
  carried: PolicyAddition[],
  out: ServicesPart,
): boolean {
  const { spec } = ctx.desired;
  const ourVariables = variablesOf(held);
  const wanted = wantedTemplate(spec, ctx.desired.account.email, access.variables, ourVariables);
  const callers = planInvokers(ctx, seen, found, held, carried);
  const marks = markChanges(ctx, found);
  const closing = callers.invokerIamDisabled === false;
  const closes = marks.length === 0;

  const changes: Change[] = [...marks];
  const fields: JsonObject = {};
  if (marks.length > 0) fields.labels = { ...found.labels, ...ownerLabels(ctx.desired.owner) };
  // Closing access must not wait for, nor fail with, anything else that Cloud Run may refuse. That follows with the new etag.
  const traffic = closing ? undefined : applyTraffic(found.traffic);
  if (traffic) {
    changes.push({ field: 'traffic', from: shownTraffic(found.traffic), to: 'latest=100%' });
    fields.traffic = traffic;
  }
  if (callers.invokerIamDisabled !== undefined) {
    changes.push({ field: 'access', from: callers.from, to: spec.access });
    fields.invokerIamDisabled = callers.invokerIamDisabled;
  }
  const laid = access.holdTemplate ? { template: found.template, changes: [] } : applyTemplate(found.template, wanted);
  const scaled = applyScaling(found.scaling, laid.template, spec.scaling.minInstances, spec.scaling.maxInstances);
  if (scaled.scaling && !closing && !(scaled.template && access.holdTemplate)) {
    changes.push(...scaled.changes);
    fields.scaling = scaled.scaling;
  }
  const templateChanges = [...laid.changes, ...(scaled.template && !access.holdTemplate ? scaled.changes : [])];
  if (templateChanges.length > 0 && !closing) {
    changes.push(...laid.changes);
    fields.template = withoutRetry(scaled.template ?? laid.template);
  }

  // A variable that has left the spec is on record until a revision without it serves.
  const dropped = templateChanges.length === 0 && !access.holdTemplate && isReady(found);
  const leaving = entriesOfType('Variable', held).filter(({ variable }) => wanted.dropVariables.includes(variable));
  out.entries.push(
    ...heldService(held, found.name, ctx.now),
    ...callers.entries,
    ...variableEntries(found.name, wanted, held, ctx.now),
    ...(dropped ? [] : leaving.filter(entry => isOnRecord(ctx, found, entry))),
  );
  out.blockers.push(...callers.blockers);
  out.notes.push(...callers.notes);

  let update: Step | undefined;
  if (changes.length > 0) {
    const adopting = labelledOwner(found.labels) === undefined;
    const id = closing && closes ? `close:${found.name}` : undefined;
    update = updateStep(found, fields, adopting ? 'Adopt' : 'Update', id);
    update.closes = id !== undefined;
    update.changes = changes;
    update.drift = ctx.settled && !adopting && changes.some(change => !isRoll(ctx, change));
    if (fields.template) update.needs = access.needs;
  }
  pushInOrder(update, callers, { closes, isPublic: spec.access === 'Public' }, out);
  if (!update) reportProgress(ctx, access, found, out);
  return !callers.unread;
}

/** The owner labels that are missing or differ. */
const markChanges = (ctx: Context, found: ObservedService): Change[] =>
  Object.entries(ownerLabels(ctx.desired.owner)).flatMap(([label, value]) =>
    found.labels[label] === value ? [] : [{ field: `labels.${label}`, from: found.labels[label], to: value }],
  );

/**
 * Taking callers off depends on nothing, unless the service has to be marked as ours first, or opens to everybody by the
 * same plan: then nobody loses access before that. Who is added comes last.
 */
function pushInOrder(
  update: Step | undefined,
  { remove, add }: InvokersPart,
  is: { closes: boolean; isPublic: boolean },
  out: ServicesPart,
): void {
  const first = is.closes && !is.isPublic;
  if (remove) remove.closes = first;
  if (remove && !first && update) remove.needs = [update.id];
  if (add && update && !(is.closes && !is.isPublic)) add.needs = [update.id];
  const ordered = first ? [remove, update, add] : [update, remove, add];
  out.steps.push(...ordered.filter(step => step !== undefined));
}

function updateStep(
  found: ObservedService,
  fields: JsonObject,
  verb: Step['verb'],
  id = `service:${found.name}`,
): Step {
  return step(id, 'Service', verb, targetOf(found.name), {
    kind: 'updateService',
    service: { name: found.name, etag: found.etag, ...fields },
    updateMask: Object.keys(fields),
  });
}

/** A newer version of a key is news, not drift. */
function isRoll(ctx: Context, change: Change): boolean {
  const key = ctx.desired.keys.find(({ env }) => env !== undefined && `env.${env}` === change.field);
  const live = key && ctx.status.keys.find(({ name }) => name === key.name)?.version;
  return live !== undefined && change.from?.endsWith(`:${live}`) === true;
}

/** The template is as wanted: is it serving, on its way, or refused? */
function reportProgress(ctx: Context, access: AccessPart, found: ObservedService, out: ServicesPart): void {
  if (isReady(found)) return;
  const since = found.unreadyForMs ?? 0;
  if (found.reconciling || found.terminal.state !== 'FAILED') {
    const retrying = retryCount(found.template) > 0 && found.latestReadyRevision !== found.latestCreatedRevision;
    const retryAfterMs = Math.min(10_000, Math.max(500, since / 4));
    if (retrying) {
      const message = `Trying again (${retryCount(found.template)}): ${failureText(found)}`;
      out.blockers.push({ aspect: 'Service', reason: 'UpdateFailed', message, retryAfterMs });
    } else {
      const message = `Cloud Run is bringing up a revision of ${targetOf(found.name)}.`;
      out.waiting.push({ aspect: 'Service', message, retryAfterMs });
    }
    return;
  }
  const failure = failedRevision(ctx, found);
  out.blockers.push(failure.blocker);
  if (failure.due && !access.holdTemplate) {
    const retry = updateStep(found, { template: withRetry(found.template, retryCount(found.template) + 1) }, 'Update');
    retry.needs = access.needs;
    retry.changes = [{ field: 'retry', from: undefined, to: String(retryCount(found.template) + 1) }];
    out.steps.push(retry);
  }
}

const failureText = (found: ObservedService): string =>
  found.terminal.message || found.terminal.reason || 'the revision did not become ready';

/** A revision that was refused: told in Cloud Run's words, and tried again with backoff. */
function failedRevision(ctx: Context, found: ObservedService): { blocker: Blocker; due: boolean } {
  const tries = retryCount(found.template);
  const grantedAt = ctx.status.inventory
    .filter(({ type }) => type === 'SecretAccess')
    .map(entry => age(entry, ctx.now));
  const fresh = Math.min(Number.POSITIVE_INFINITY, ...grantedAt) < PROPAGATION_MS;
  const propagating = fresh && /Permission denied on secret/.test(found.terminal.message);
  const delay = propagating ? Math.min(60_000, 5_000 * 2 ** tries) : Math.min(1_800_000, 30_000 * 2 ** tries);
  const left = delay - (found.unreadyForMs ?? 0);
  const id = part(found.name, 'services');
  const { region } = found;
  const { project } = ctx.desired;
  const logs = `gcloud run services logs read ${id} --region=${region} --project=${project}`;
  const { advice } = revisionAdvice(found.terminal.message, { service: id, region, project, logs });
  const serving = found.latestReadyRevision
    ? `${found.latestReadyRevision.split('/').at(-1)} goes on serving.`
    : 'Nothing serves yet.';
  const blocker: Blocker = propagating
    ? {
        aspect: 'Service',
        reason: 'Updating',
        message: `The grant is not known to Cloud Run yet (it may take some minutes): ${failureText(found)}`,
        retryAfterMs: Math.max(500, left),
      }
    : {
        aspect: 'Service',
        reason: 'UpdateFailed',
        message: advised(advised(failureText(found), serving), advice),
        retryAfterMs: Math.max(500, left),
      };
  return { blocker, due: left <= 0 };
}

// ------------------------------------------------------------------------------------------------------- ownership

const claimOf = (ctx: Context, found: ObservedService) => claimService(found, ctx.rules);

function conflictOf(ctx: Context, found: ObservedService): string | undefined {
  const claim = claimOf(ctx, found);
  if (claim !== 'theirs' && found.labels['managed-by-cnrm'] === 'true') {
    return (
      `${capital(targetOf(found.name))} is managed by Config Connector (label managed-by-cnrm=true). Abandon it there first ` +
      '(cnrm.cloud.google.com/deletion-policy=abandon, delete the RunService), then take the label off.'
    );
  }
  return serviceConflict(found, claim, ctx.rules);
}

// --------------------------------------------------------------------------------------------------------- helpers

const variablesOf = (entries: InventoryEntry[]): string[] =>
  entriesOfType('Variable', entries).map(({ variable }) => variable);

const entriesOf = (held: InventoryEntry[], name: string): InventoryEntry[] => held.filter(entry => entry.name === name);

function heldService(held: InventoryEntry[], name: string, now: number): InventoryEntry[] {
  const entry = held.find(({ type }) => type === 'Service');
  return [entry ?? { type: 'Service', name, time: iso(now) }];
}

/** With more entries than this, variables that the service's template does not hold are no longer kept on record. */
const CROWDED = 1_000;

/** Edits that rename variables while no revision comes up would otherwise fill the inventory. */
function isOnRecord(ctx: Context, found: ObservedService, entry: VariableEntry): boolean {
  if (ctx.status.inventory.length <= CROWDED || !absenceCounts(entry, ctx.now)) return true;
  return JSON.stringify(found.template).includes(JSON.stringify(entry.variable));
}

function variableEntries(name: string, wanted: WantedTemplate, held: InventoryEntry[], now: number): VariableEntry[] {
  const recorded = entriesOfType('Variable', held);
  return wanted.variables.map(({ name: variable }) => {
    const entry = recorded.find(other => other.variable === variable);
    return entry ?? { type: 'Variable', name, variable, time: iso(now) };
  });
}

/** `Cloud Run service ai-platform-tenant-a in asia-northeast1`. */
export const targetOf = (name: string): string =>
  `Cloud Run service ${part(name, 'services')} in ${part(name, 'locations')}`;

const capital = (sentence: string): string => sentence.charAt(0).toUpperCase() + sentence.slice(1);
