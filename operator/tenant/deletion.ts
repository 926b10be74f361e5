import { failureBlocker, isUnknownRegion, readBlocker, step } from './context.ts';
import { type ConnectorSecret, inventoryProject, namedProject } from './desired.ts';
import {
  absenceCounts,
  age,
  entriesKeptBy,
  entriesOfType,
  entryKey,
  iso,
  SETTLE_MS,
  serviceEntry,
} from './inventory.ts';
import {
  isProjectId,
  isRegion,
  part,
  secretName,
  serviceAccountEmail,
  serviceAccountId,
  serviceId,
  serviceName,
} from './names.ts';
import {
  type ClaimRules,
  claimAccount,
  claimService,
  describedOwner,
  isFullyMarked,
  labelledOwner,
  unmarkDescription,
  withoutOwnerLabels,
} from './ownership.ts';
import type { Targets } from './plan.ts';
import { quoted } from './printable.ts';
import { revokeStep } from './secretAccess.ts';
import { targetOf } from './service.ts';
import type {
  Aspect,
  Blocker,
  Desired,
  Failure,
  InventoryEntry,
  Observed,
  ObservedService,
  Plan,
  SecretAccessEntry,
  SecretRef,
  Settings,
  Tenant,
} from './types.ts';

/**
 * Deletion. Only the inventory and the marks in Google Cloud decide what is deleted. The spec and the Namespace only say
 * where to read besides the inventory; consent plays no part.
 */

export type DeletionPolicy = 'delete' | 'abandon';

const ANNOTATIONS = ['ai-platform.dev/deletion-policy', 'cnrm.cloud.google.com/deletion-policy'];

/** Ours wins; undefined with a message for a word that is neither. */
export function deletionPolicy(tenant: Tenant): { ok: true; policy: DeletionPolicy } | { ok: false; message: string } {
  const key = ANNOTATIONS.find(annotation => tenant.annotations[annotation] !== undefined);
  const value = key === undefined ? 'delete' : tenant.annotations[key];
  if (value === 'delete' || value === 'abandon') return { ok: true, policy: value };
  return {
    ok: false,
    message:
      `The annotation ${key} is ${quoted(value ?? '')}: nothing is deleted until it is delete or abandon. ` +
      `kubectl annotate aitenant ${tenant.name} -n ${tenant.namespace} ${key}=abandon --overwrite`,
  };
}

/** The project to take a tenant down in: the one on record; where nothing is on record, the one that its Namespace names. */
export function deletionProject(
  { status }: Tenant,
  namespaceAnnotations: Record<string, string>,
  settings: Settings,
): string | undefined {
  const recorded = inventoryProject(status.inventory) ?? status.projectId;
  const named = recorded ?? namedProject(namespaceAnnotations, settings);
  return named !== undefined && isProjectId(named) ? named : undefined;
}

/**
 * What a deletion reads: everything on record, and besides, since a status that was restored or lost may have no or not all
 * entries, everything that the contract's names can stand for: the account, the service in each region that is known of
 * the tenant, and the secrets of its keys.
 */
export function deletionTargets(
  { name, spec, status }: Tenant,
  project: string | undefined,
  connectorSecret: (name: string, project: string) => ConnectorSecret = () => ({ state: 'absent' }),
): Targets {
  const named = (type: InventoryEntry['type']) => [
    ...new Set(status.inventory.filter(entry => entry.type === type).map(entry => entry.name)),
  ];
  const recorded = status.inventory.find(({ type }) => type === 'ServiceAccount');
  const email = project && serviceAccountEmail(serviceAccountId(name), project);
  const services = named('Service');
  const regions = [spec.region, status.region ?? '', ...services.map(service => part(service, 'locations'))];
  const byName = project ? regions.filter(isRegion).map(region => serviceName(project, region, serviceId(name))) : [];
  return {
    account: recorded
      ? { project: part(recorded.name, 'projects'), email: part(recorded.name, 'serviceAccounts') }
      : project && email
        ? { project, email }
        : undefined,
    keys: project
      ? spec.keys.flatMap(({ name: key, secretRef }) => {
          const secret = namedSecret(secretRef, project, connectorSecret);
          return secret === undefined ? [] : [{ name: key, secret, want: 'none' }];
        })
      : [],
    formerGrants: named('SecretAccess'),
    services: [...new Set([...services, ...byName])],
    invokersOf: [],
    isPublic: false,
  };
}

function namedSecret(
  { external, name }: SecretRef,
  project: string,
  connectorSecret: (name: string, project: string) => ConnectorSecret,
): string | undefined {
  if (external !== undefined) return secretName(external, project);
  const found = name === undefined ? undefined : connectorSecret(name, project);
  return found?.state === 'ready' ? found.secret : undefined;
}

const empty = (): Plan => ({ steps: [], blockers: [], waiting: [], inventory: [], notes: [] });

function rulesOf(tenant: Tenant, settings: Settings): ClaimRules {
  const owner = { cluster: settings.clusterId, namespace: tenant.namespace, name: tenant.name };
  // What carries the tenant's full marks goes with it, whatever its status knows.
  return { owner, policy: settings.claimPolicy, inventory: tenant.status.inventory, restore: true };
}

/** An inventory entry of a newer version may need what would be deleted first, so nothing is deleted before it has gone. */
function notUnderstood({ namespace, name, status }: Tenant): Blocker | undefined {
  const [first, ...more] = status.notUnderstood.inventory;
  if (!first) return undefined;
  const others = more.length > 0 ? ` and ${more.length} more` : '';
  const message =
    `The inventory has an entry that this version of the operator does not know: ${first.type} ${first.name}${others}. ` +
    'Install the newer operator that wrote it. Or remove what it names by hand, and let go of everything else too: ' +
    `kubectl annotate aitenant ${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  return { aspect: 'Service', reason: 'ManagementConflict', message };
}

/** Nothing is on record, and where to read instead is not known. */
export function noProject({ namespace, name, status }: Tenant): Plan {
  const message =
    `Nothing is on record of this tenant, and no project is known to search for what is its own. Name it: kubectl annotate ` +
    `namespace ${namespace} ai-platform.dev/project-id=PROJECT --overwrite. If nothing is there: kubectl annotate aitenant ` +
    `${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  const blocker: Blocker = { aspect: 'ServiceAccount', reason: 'InvalidSpec', message };
  return { ...empty(), blockers: [blocker], inventory: status.inventory };
}

/**
 * Service, then grants, then account; each only once what needs it is gone. No step, blocker or entry left: all is gone.
 * What is found by name without being on record is put on record before it is deleted.
 */
export function planDeletion(tenant: Tenant, observed: Observed, settings: Settings, now: number): Plan {
  return planServiceDeletion(tenant, observed, settings, now) ?? planAccountDeletion(tenant, observed, settings, now);
}

/** The first part of a deletion; undefined: no service is left. Until then the inventory holds everything. */
export function planServiceDeletion(
  tenant: Tenant,
  observed: Pick<Observed, 'services'>,
  settings: Settings,
  now: number,
): Plan | undefined {
  const { status } = tenant;
  const out = empty();
  const unknown = notUnderstood(tenant);
  if (unknown) return { ...out, blockers: [unknown], inventory: status.inventory };
  const rules = rulesOf(tenant, settings);
  const unread: InventoryEntry[] = [];
  for (const { name, service } of observed.services) {
    const entries = status.inventory.filter(entry => entry.name === name);
    const entry = serviceEntry(entries, name);
    if (service.state === 'failed') {
      if (!entry && isUnknownRegion(service.failure)) continue;
      if (!entry) unread.push({ type: 'Service', name, time: iso(now) });
      out.inventory.push(...entries);
      out.blockers.push(unreadBlocker(tenant, 'Service', targetOf(name), service.failure, entry !== undefined));
    } else if (service.state === 'absent') {
      if (entry) keepUntilSure(entry, out, now, targetOf(name));
    } else if (ownsService(service.value, entry, rules)) {
      out.inventory.push(...entries, ...(entry ? [] : [{ type: 'Service' as const, name, time: iso(now) }]));
      if (service.value.deleteTime !== undefined || (entry?.deletedAt !== undefined && service.value.reconciling)) {
        const message = `Cloud Run is deleting ${targetOf(name)}.`;
        out.waiting.push({ aspect: 'Service', message, retryAfterMs: 1_000 });
      } else {
        const { etag } = service.value;
        const call = { kind: 'deleteService', name, etag } as const;
        out.steps.push(step(`delete:${name}`, 'Service', 'Delete', targetOf(name), call));
      }
    }
  }
  if (out.inventory.length + out.blockers.length === 0) return undefined;
  // With a service on record the other regions are not searched again, so those that could not be read are recorded too.
  if (out.inventory.length > 0) out.inventory.push(...unread);
  const others = status.inventory.filter(entry => !entriesKeptBy('Service', [entry]).length);
  return { ...out, inventory: [...out.inventory, ...others] };
}

/** What is on record may have lost some of its marks; what is not must carry them all. */
const ownsService = (found: ObservedService, entry: InventoryEntry | undefined, rules: ClaimRules): boolean =>
  entry ? claimService(found, rules) === 'ours' : isFullyMarked(found.labels, rules.owner);

/**
 * What a deletion leaves although the inventory names it, because it no longer carries this tenant's marks: for a Warning
 * event, with the command where the marks are merely missing.
 */
export function leftBehind(
  tenant: Tenant,
  observed: Pick<Observed, 'services' | 'account'>,
  settings: Settings,
): string[] {
  const rules = rulesOf(tenant, settings);
  const isRecorded = (name: string) => tenant.status.inventory.some(entry => entry.name === name);
  const left = observed.services.flatMap(({ name, service }) => {
    if (service.state !== 'present' || !isRecorded(name) || claimService(service.value, rules) === 'ours') return [];
    const command = `gcloud run services delete ${part(name, 'services')} --region=${part(name, 'locations')} --project=${part(name, 'projects')}`;
    return notDeleted(targetOf(name), 'goes on running', labelledOwner(service.value.labels), command);
  });
  const { account } = observed;
  if (account.state !== 'present' || claimAccount(account.value, rules) === 'ours') return left;
  const { name, email, description } = account.value;
  const recorded = tenant.status.inventory.some(({ type }) => type === 'ServiceAccount');
  if (!recorded) return left;
  const command = `gcloud iam service-accounts delete ${email} --project=${part(name, 'projects')}`;
  return [...left, notDeleted(`service account ${email}`, 'keeps its grants', describedOwner(description), command)];
}

function notDeleted(what: string, consequence: string, owner: string | undefined, command: string): string {
  const whole = owner !== undefined && !owner.includes('?');
  return whole
    ? `The ${what} carries the marks of another owner (${owner}, cluster/namespace/name), so it is not deleted and ${consequence}.`
    : `The ${what} has lost this tenant's owner marks, so it is not deleted and ${consequence}. If nobody else uses it: ${command}`;
}

/** Something that a deletion must know about and that cannot be read: the finalizer stays. */
function unreadBlocker(
  { namespace, name }: Tenant,
  aspect: Aspect,
  what: string,
  failure: Failure,
  onRecord: boolean,
  sinceMs?: number,
): Blocker {
  const blocker = readBlocker(aspect, what, failure, sinceMs);
  if (onRecord || !abandonable(failure)) return blocker;
  const letGo = `kubectl annotate aitenant ${name} -n ${namespace} ai-platform.dev/deletion-policy=abandon --overwrite`;
  return { ...blocker, message: `${blocker.message} Nothing is on record of it. If nothing is there: ${letGo}` };
}

/** The second part of a deletion, once no service is left. */
export function planAccountDeletion(
  tenant: Tenant,
  observed: Omit<Observed, 'services'>,
  settings: Settings,
  now: number,
): Plan {
  const { status } = tenant;
  const out = empty();
  const grants = entriesOfType('SecretAccess', status.inventory);
  const accounts = entriesOfType('ServiceAccount', status.inventory);
  const { account } = observed;
  const email =
    account.state === 'present'
      ? account.value.email
      : accounts[0]
        ? part(accounts[0].name, 'serviceAccounts')
        : serviceAccountId(tenant.name);
  const target = `service account ${email}`;
  if (account.state === 'failed') {
    // A fresh account answers 403 for a while; an old one does for want of rights, and is still there.
    const since = Math.min(...accounts.map(entry => age(entry, now)));
    out.inventory.push(...grants, ...accounts);
    const onRecord = accounts.length > 0;
    out.blockers.push(unreadBlocker(tenant, 'ServiceAccount', target, account.failure, onRecord, since));
    return out;
  }
  const fresh = accounts.find(entry => !absenceCounts(entry, now));
  if (account.state !== 'present' && fresh) {
    // A fresh account may be out of sight: its grants are taken away as soon as it can be seen to be ours.
    out.inventory.push(...grants, ...accounts.filter(entry => entry !== fresh));
    keepUntilSure(fresh, out, now, target);
    return out;
  }
  const ours =
    account.state === 'present' && claimAccount(account.value, rulesOf(tenant, settings)) === 'ours' && account.value;
  const revoked = { status, desired: { account: { email } } as Desired };
  for (const entry of grants) planRevocation(entry, observed, revoked, ours !== false, now, out);
  if (ours) planUnrecordedGrants(grants, observed, revoked, now, out);

  if (ours) {
    const { uniqueId } = ours;
    const record = { type: 'ServiceAccount' as const, name: ours.name, uniqueId, time: iso(now) };
    const recorded = accounts.length > 0 ? accounts : [record];
    out.inventory.push(...recorded);
    if (out.blockers.length > 0 || out.waiting.length > 0) return out;
    const name = `${ours.name.split('/serviceAccounts/')[0]}/serviceAccounts/${uniqueId}`;
    const remove = step('account', 'ServiceAccount', 'Delete', target, { kind: 'deleteAccount', name });
    remove.needs = out.steps.map(({ id }) => id);
    remove.removes = recorded.map(entryKey);
    out.steps.push(remove);
  } else if (out.inventory.length > 0) {
    // What is left of the grants is found by the account's name and identities.
    out.inventory.push(...accounts);
  }
  return out;
}

type Revoked = Parameters<typeof revokeStep>[0];

function planRevocation(
  entry: SecretAccessEntry,
  observed: Pick<Observed, 'keys' | 'formerGrants'>,
  revoked: Revoked,
  ours: boolean,
  now: number,
  out: Plan,
): void {
  const asKey = observed.keys.find(({ secret }) => secret.state === 'present' && secret.value.name === entry.name);
  const policy = asKey?.policy ?? observed.formerGrants.find(({ secret }) => secret === entry.name)?.policy;
  if (policy === undefined || policy.state === 'failed') {
    const failure = policy?.failure ?? { kind: 'Transient' as const, message: 'not read' };
    out.inventory.push(entry);
    out.blockers.push(readBlocker('SecretAccess', `the IAM policy of ${entry.name}`, failure));
    return;
  }
  const revoke = policy.state === 'present' ? revokeStep(revoked, ours, policy.value, entry) : undefined;
  if (revoke) {
    out.inventory.push(entry);
    out.steps.push(revoke);
  } else if (policy.state === 'absent') {
    keepUntilSure(entry, out, now, `secret ${part(entry.name, 'secrets')}`);
  } else if (ours) {
    keepUntilSure(entry, out, now, `grant on secret ${part(entry.name, 'secrets')}`);
  }
}

/**
 * Grants of the spec's keys that are not on record. A secret that this operator may not read is passed over: it can hardly
 * have granted anything on it, and a grant of an account that is deleted lets nobody in.
 */
function planUnrecordedGrants(
  grants: InventoryEntry[],
  observed: Pick<Observed, 'keys'>,
  revoked: Revoked,
  now: number,
  out: Plan,
): void {
  const known = new Set(grants.map(({ name }) => name));
  for (const { name: key, secret, policy } of observed.keys) {
    const name = secret.state === 'present' ? secret.value.name : undefined;
    if (name !== undefined && known.has(name)) continue;
    const read = secret.state === 'failed' ? secret : policy;
    if (read?.state === 'failed' && !abandonable(read.failure) && read.failure.kind !== 'Invalid') {
      out.blockers.push(readBlocker('SecretAccess', `the secret of key ${key}`, read.failure));
    }
    if (name === undefined || policy?.state !== 'present') continue;
    known.add(name);
    const entry: SecretAccessEntry = { type: 'SecretAccess', name, time: iso(now) };
    const revoke = revokeStep(revoked, true, policy.value, entry);
    if (!revoke) continue;
    out.inventory.push(entry);
    out.steps.push(revoke);
  }
}

function keepUntilSure(entry: InventoryEntry, out: Plan, now: number, what: string): void {
  if (absenceCounts(entry, now)) return;
  out.inventory.push(entry);
  const left = SETTLE_MS - age(entry, now);
  const until = `${iso(now + left).slice(0, 19)}Z`;
  const message = `Google Cloud shows no ${what}, but a call that creates it may still be under way: the operator checks again until ${until}.`;
  out.waiting.push({ aspect: 'Service', message, retryAfterMs: Math.min(left, 5_000) });
}

/** 403 and 404 don't hold what is only to be abandoned; 403 is also what looks like an account that is still fresh. */
export const abandonable = (failure: Failure): boolean =>
  ['PermissionDenied', 'Propagating', 'NotFound'].includes(failure.kind) || isUnknownRegion(failure);

/** Takes the marks off and leaves everything else as it is. Who may not write, or finds nothing, lets go all the same. */
export function planAbandon(tenant: Tenant, observed: Observed, settings: Settings): Plan {
  const out = empty();
  const rules = rulesOf(tenant, settings);
  for (const { name, service } of observed.services) {
    const entry = serviceEntry(tenant.status.inventory, name);
    if (service.state === 'failed' && !abandonable(service.failure)) {
      out.blockers.push(readBlocker('Service', targetOf(name), service.failure));
    } else if (service.state === 'present' && ownsService(service.value, entry, rules)) {
      const { etag, labels, deleteTime } = service.value;
      if (deleteTime !== undefined) continue;
      const abandon = step(`service:${name}`, 'Service', 'Abandon', targetOf(name), {
        kind: 'updateService',
        service: { name, etag, labels: withoutOwnerLabels(labels) },
        updateMask: ['labels'],
      });
      abandon.changes = [{ field: 'labels', from: 'owner marks', to: undefined }];
      out.steps.push(abandon);
    }
  }
  const { account } = observed;
  if (account.state === 'failed' && !abandonable(account.failure)) {
    out.blockers.push(failureBlocker('ServiceAccount', 'Cannot read the service account', account.failure, 0));
  } else if (account.state === 'present' && claimAccount(account.value, rules) === 'ours') {
    const { name, email, description } = account.value;
    const abandon = step('account', 'ServiceAccount', 'Abandon', `service account ${email}`, {
      kind: 'updateAccount',
      name,
      description: unmarkDescription(description),
    });
    abandon.changes = [{ field: 'description', from: 'owner mark', to: undefined }];
    out.steps.push(abandon);
  }
  // Whatever is left undone stays on record: the finalizer goes when nothing is left to do.
  out.inventory = out.steps.length + out.blockers.length > 0 ? tenant.status.inventory : [];
  return out;
}
