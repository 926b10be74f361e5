import { carriedBindings, type Predecessor } from './carryOver.ts';
import { emptyPartialPlan, readBlocker } from './context.ts';
import { absenceCounts, age, entriesOfType, iso, MOST_ENTRIES, SETTLE_MS, serviceEntry } from './inventory.ts';
import { serviceName, targetOf } from './names.ts';
import { claimService } from './ownership.ts';
import {
  conflictOf,
  deleteStep,
  entriesOf,
  planCreate,
  planPresent,
  type ServiceRead,
  type Services,
  type ServicesPlan,
} from './service.ts';
import { isReady } from './serving.ts';
import type { Failure, InventoryEntry, ObservedService, PolicyAddition } from './types.ts';

/**
 * All services of a tenant: the one of the wanted region, and those of regions that the tenant is leaving.
 *
 * 1. The wanted region's service is created with the settings of its predecessor, the newest service that has served.
 * 2. Until the new service is ready, the former ones are kept up to date and go on serving.
 * 3. Once it is ready each former service gets a time at which it is deleted (`retireAt`), after a grace in which callers
 *    can change to the new URL.
 * 4. A region that does not answer never keeps the tenant from being up to date elsewhere.
 */

/** The interval at which the operator checks whether Cloud Run has finished deleting a service. */
const DELETING_MS = 2_000;
/** At most this many former services. Fewer, if the status has no room for the entries of one more service. */
const MOST_FORMER = 6;

export function planServices(given: Omit<Services, 'out'>, services: ServiceRead[]): ServicesPlan {
  const out: ServicesPlan = emptyPartialPlan();
  const all: Services = { ...given, out };
  const { ctx, recorded } = all;
  const { project, region, serviceId } = ctx.desired;
  const wantedName = serviceName(project, region, serviceId);
  const wanted = services.find(({ name }) => name === wantedName);
  const others = services.filter(({ name }) => name !== wantedName);
  const predecessor = predecessorOf(
    others.map(read => ({
      read,
      service: ownService(all, read),
      retires: serviceEntry(recorded, read.name)?.retireAt !== undefined,
    })),
  );
  let arrived = false;
  // One of the others is the service that the tenant is moving from now.
  const former = others.filter(read => ownService(all, read)).length - 1;
  const entriesOfOne = predecessor.read ? entriesOf(recorded, predecessor.read.name).length : 0;
  const isCrowded = former > 0 && ctx.status.inventory.length + entriesOfOne > MOST_ENTRIES;
  const full = wanted?.service.state === 'absent' && (former >= MOST_FORMER || isCrowded);
  if (full) {
    out.entries.push(...entriesOf(recorded, wantedName));
    const message = `The move to ${region} waits until one of the ${former} former regions' services has gone.`;
    const deleting = others.some(
      ({ service }) => service.state === 'present' && service.value.deleteTime !== undefined,
    );
    out.waiting.push({ aspect: 'Service', message, retryAfterMs: deleting ? DELETING_MS : 60_000 });
  } else if (wanted) {
    arrived = planWanted(all, wanted, predecessor);
  }
  for (const other of others) planLeaving(all, other, { arrived, full });
  return out;
}

const ownService = ({ ctx }: Services, { service }: ServiceRead): ObservedService | undefined =>
  service.state === 'present' && claimService(service.value, ctx.rules) === 'ours' ? service.value : undefined;

/**
 * The newest service that has served. The inventory names the newest first, and every service with a `retireAt` is older than
 * every one without. If none has served, the newest one is the predecessor.
 */
function predecessorOf(others: { read: ServiceRead; service?: ObservedService; retires: boolean }[]): Predecessor {
  const newestFirst = [...others.filter(other => !other.retires), ...others.filter(other => other.retires)];
  for (const other of newestFirst) {
    if (other.read.service.state === 'failed') return { unread: other.read, retires: other.retires };
    if (other.service !== undefined && other.service.latestReadyRevision !== '') return other;
  }
  return newestFirst.find(({ service }) => service !== undefined) ?? {};
}

// ---------------------------------------------------------------------------------------------- the wanted region

/** True if the wanted region's service serves what the spec asks for. */
function planWanted(services: Services, read: ServiceRead, predecessor: Predecessor): boolean {
  const { ctx, access, recorded, out } = services;
  const entries = entriesOf(recorded, read.name);
  if (read.service.state === 'failed') {
    out.entries.push(...entries);
    out.blockers.push(readBlocker('Service', targetOf(read.name), read.service.failure));
    return false;
  }
  if (read.service.state === 'absent') {
    planMissing(services, read.name, predecessor);
    return false;
  }
  const found = read.service.value;
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
  // Members that others added are carried over until the new service has replaced the former one, and not again after that.
  const carried = carriedFrom(services, predecessor);
  const isKnown = planPresent(services, read, found, entries.map(staying), carried ?? []);
  const settled = isKnown && carried !== undefined && out.steps.length === before;
  return settled && !access.freezesTemplate && isReady(found);
}

function planMissing(services: Services, name: string, predecessor: Predecessor): void {
  const { ctx, access, recorded, out } = services;
  const entries = entriesOf(recorded, name);
  const entry = serviceEntry(entries, name);
  if (access.freezesTemplate) {
    if (entry && !absenceCounts(entry, ctx.now)) out.entries.push(...entries);
    return;
  }
  // A service that had replaced its predecessor is created again with the settings in the status.
  const isAgain = predecessor.retires && entry !== undefined;
  if (predecessor.unread?.service.state === 'failed' && !isAgain) {
    // The predecessor may exist although it could not be read. A service that is created now would lack its settings.
    const { name: unread, service } = predecessor.unread;
    const what = `${targetOf(unread)}, whose settings the new service takes along (the move waits)`;
    out.entries.push(...entries);
    out.blockers.push(readBlocker('Service', what, service.failure));
    return;
  }
  planCreate(services, name, predecessor);
}

/** The members that others added to the predecessor's policy. Undefined: the policy could not be read. */
function carriedFrom(
  { ctx, recorded, out }: Services,
  { service, read, retires }: Predecessor,
): PolicyAddition[] | undefined {
  if (!service || !read || retires || service.latestReadyRevision === '') return [];
  const policy = read.invokers;
  if (policy?.state === 'absent') return [];
  if (policy?.state !== 'present') {
    const failure: Failure = policy?.failure ?? { kind: 'Transient', message: 'not read yet' };
    const what = `the IAM policy of ${targetOf(read.name)}, which the new service takes along (the move waits, and the former service stays)`;
    out.blockers.push(readBlocker('Service', what, failure));
    return undefined;
  }
  const invokers = entriesOfType('Invoker', entriesOf(recorded, read.name));
  return carriedBindings(policy.value, invokers, ctx.desired.spec.access === 'Public');
}

/** The entry without the times of an earlier move away from the region. */
function staying(entry: InventoryEntry): InventoryEntry {
  if (entry.type !== 'Service' || (entry.retireAt === undefined && entry.deletedAt === undefined)) return entry;
  const { retireAt: _retireAt, deletedAt: _deletedAt, ...rest } = entry;
  return rest;
}

// ------------------------------------------------------------------------------------------------- former regions

/**
 * Plans the service of a region that the tenant is leaving. `arrived`: the wanted region's service serves. `full`: the move waits
 * until a former service is gone.
 */
function planLeaving(services: Services, read: ServiceRead, move: { arrived: boolean; full: boolean }): void {
  const { ctx, recorded, out } = services;
  const entries = entriesOf(recorded, read.name);
  const entry = serviceEntry(entries, read.name);
  if (read.service.state === 'failed') {
    out.entries.push(...entries);
    checkAgain(out, ctx.settings.syncIntervalMs);
    out.notes.push(`The former ${targetOf(read.name)} cannot be read; it is deleted once its region answers again.`);
    return;
  }
  if (read.service.state === 'absent') {
    if (!entry || absenceCounts(entry, ctx.now)) return;
    out.entries.push(...entries);
    checkAgain(out, SETTLE_MS - age(entry, ctx.now));
    return;
  }
  const found = read.service.value;
  const claim = claimService(found, ctx.rules);
  if (claim !== 'ours') {
    // Marks that somebody removed may be put back, so the entries stay. A service of another owner is forgotten.
    if (claim !== 'theirs' && entry) {
      out.entries.push(...entries);
      out.notes.push(`The former ${targetOf(found.name)} has lost this tenant's owner marks, so it goes on running.`);
    }
    return;
  }
  if (found.deleteTime !== undefined) {
    out.entries.push(...entries);
    checkAgain(out, DELETING_MS);
    return;
  }
  // While the move waits for room, former services that an earlier move has replaced are still deleted at their time.
  const replaced = move.arrived || (move.full && entry?.retireAt !== undefined);
  if (!replaced || !entry) {
    planPresent(services, read, found, entries, []);
    return;
  }
  const retireAt = entry.retireAt ?? iso(ctx.now + ctx.settings.regionMoveGraceMs);
  const left = Date.parse(retireAt) - ctx.now;
  if (!(left > 0)) {
    planRetirement(services, read, found, entries);
    return;
  }
  checkAgain(out, left);
  out.notes.push(`The former ${targetOf(found.name)} and its URL ${found.uri} stay until ${retireAt}.`);
  const retiring = entries.map(other => (other === entry ? { ...entry, retireAt } : other));
  planPresent(services, read, found, retiring, []);
}

const checkAgain = (out: ServicesPlan, ms: number): void => {
  out.recheckAfterMs = Math.min(out.recheckAfterMs ?? Number.POSITIVE_INFINITY, ms);
};

/**
 * Deletes a service whose grace is over. The status write before a deletion may be refused, so access is closed first, which
 * needs no record. If closing changes the etag, the deletion of this plan fails and the next one succeeds.
 */
function planRetirement(
  services: Services,
  read: ServiceRead,
  found: ObservedService,
  entries: InventoryEntry[],
): void {
  const { out } = services;
  out.entries.push(...entries);
  const present = emptyPartialPlan();
  planPresent({ ...services, out: present }, read, found, entries, []);
  out.steps.push(...present.steps.filter(({ closes }) => closes), deleteStep(found.name, found.etag));
}
