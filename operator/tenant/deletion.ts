import { failureBlocker, readBlocker, step } from './context.ts';
import { absenceCounts, age, entryKey, SETTLE_MS } from './inventory.ts';
import { part } from './names.ts';
import {
  type ClaimRules,
  claimByDescription,
  claimByLabels,
  unmarkDescription,
  withoutOwnerLabels,
} from './ownership.ts';
import type { Targets } from './plan.ts';
import { revokeStep } from './planAccess.ts';
import { targetOf } from './planService.ts';
import { quoted } from './printable.ts';
import type {
  Blocker,
  Desired,
  Failure,
  InventoryEntry,
  Observed,
  Plan,
  Settings,
  Tenant,
  TenantStatus,
} from './types.ts';

/**
 * The way out: the same road with an empty desired state. Only the inventory and the marks in Google Cloud decide what
 * goes; the spec, annotations of the Namespace and consent have no say any more.
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

export function deletionTargets(status: TenantStatus): Targets {
  const named = (type: InventoryEntry['type']) => [
    ...new Set(status.inventory.filter(entry => entry.type === type).map(({ name }) => name)),
  ];
  const account = status.inventory.find(({ type }) => type === 'ServiceAccount');
  return {
    account: account && { project: part(account.name, 'projects'), email: part(account.name, 'serviceAccounts') },
    keys: [],
    formerGrants: named('SecretAccess'),
    services: named('Service'),
    invokersOf: [],
    isPublic: false,
  };
}

const empty = (): Plan => ({ steps: [], blockers: [], waiting: [], inventory: [], notes: [] });

function rulesOf(tenant: Tenant, settings: Settings): ClaimRules {
  const owner = { cluster: settings.clusterId, namespace: tenant.namespace, name: tenant.name };
  return { owner, policy: settings.claimPolicy };
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

/** Service, then grants, then account; each only once what needs it is gone. An empty inventory: all is gone. */
export function planDeletion(tenant: Tenant, observed: Observed, settings: Settings, now: number): Plan {
  const { status } = tenant;
  const out = empty();
  const unknown = notUnderstood(tenant);
  if (unknown) return { ...out, blockers: [unknown], inventory: status.inventory };
  const rules = rulesOf(tenant, settings);
  const held = (type: InventoryEntry['type']) => status.inventory.filter(entry => entry.type === type);

  for (const { name, service } of observed.services) {
    const entries = status.inventory.filter(entry => entry.name === name);
    const entry = entries.find(({ type }) => type === 'Service');
    if (!entry) continue;
    if (service.state === 'failed') {
      out.inventory.push(...entries);
      out.blockers.push(readBlocker('Service', targetOf(name), service.failure));
    } else if (service.state === 'absent') {
      keepUntilSure(entry, out, now, targetOf(name));
    } else if (claimByLabels(service.value.labels, rules) === 'ours') {
      out.inventory.push(...entries);
      if (service.value.deleteTime !== undefined || (entry.deletedAt !== undefined && service.value.reconciling)) {
        out.waiting.push({
          aspect: 'Service',
          message: `Cloud Run is deleting ${targetOf(name)}.`,
          retryAfterMs: 1_000,
        });
      } else {
        const { etag } = service.value;
        out.steps.push(
          step(`delete:${name}`, 'Service', 'Delete', targetOf(name), { kind: 'deleteService', name, etag }),
        );
      }
    }
  }

  const grants = held('SecretAccess');
  const accounts = held('ServiceAccount');
  if (out.inventory.length > 0) {
    out.inventory.push(...grants, ...accounts);
    return out;
  }

  const { account } = observed;
  const email = accounts[0] ? part(accounts[0].name, 'serviceAccounts') : '';
  if (account.state === 'failed') {
    // A fresh account answers 403 for a while; an old one does for want of rights, and is still there.
    const since = Math.min(...accounts.map(entry => age(entry, now)));
    out.inventory.push(...grants, ...accounts);
    out.blockers.push(readBlocker('ServiceAccount', `service account ${email}`, account.failure, since));
    return out;
  }
  const fresh = accounts.find(entry => !absenceCounts(entry, now));
  if (account.state !== 'present' && fresh) {
    // A fresh account may be out of sight: its grants are taken away as soon as it can be seen to be ours.
    out.inventory.push(...grants, ...accounts.filter(entry => entry !== fresh));
    keepUntilSure(fresh, out, now, `service account ${email}`);
    return out;
  }
  const ours = account.state === 'present' && claimByDescription(account.value.description, rules) === 'ours';
  for (const entry of grants) {
    const policy = observed.formerGrants.find(({ secret }) => secret === entry.name)?.policy;
    if (policy === undefined || policy.state === 'failed') {
      const failure = policy?.failure ?? { kind: 'Transient' as const, message: 'not read' };
      out.inventory.push(entry);
      out.blockers.push(readBlocker('SecretAccess', `the IAM policy of ${entry.name}`, failure));
      continue;
    }
    const revoke =
      policy.state === 'present'
        ? revokeStep({ status, desired: { account: { email } } as Desired }, ours, policy.value, entry)
        : undefined;
    if (revoke) {
      out.inventory.push(entry);
      out.steps.push(revoke);
    } else if (policy.state === 'absent') {
      keepUntilSure(entry, out, now, `secret ${part(entry.name, 'secrets')}`);
    } else if (ours) {
      keepUntilSure(entry, out, now, `the grant on ${part(entry.name, 'secrets')}`);
    }
  }

  if (account.state === 'present' && ours) {
    out.inventory.push(...accounts);
    if (out.blockers.length > 0 || out.waiting.length > 0) return out;
    const name = `${account.value.name.split('/serviceAccounts/')[0]}/serviceAccounts/${account.value.uniqueId}`;
    const remove = step('account', 'ServiceAccount', 'Delete', `service account ${email}`, {
      kind: 'deleteAccount',
      name,
    });
    remove.needs = out.steps.map(({ id }) => id);
    remove.removes = accounts.map(entryKey);
    out.steps.push(remove);
  } else if (out.inventory.length > 0) {
    // What is left of the grants is found by the account's name and identities.
    out.inventory.push(...accounts);
  }
  return out;
}

function keepUntilSure(entry: InventoryEntry, out: Plan, now: number, what: string): void {
  if (absenceCounts(entry, now)) return;
  out.inventory.push(entry);
  const left = SETTLE_MS - age(entry, now);
  const message = `Making sure that the last call that makes ${what} does not take effect after all (${Math.ceil(left / 1000)} s left).`;
  out.waiting.push({ aspect: 'Service', message, retryAfterMs: Math.min(left, 5_000) });
}

/** 403 and 404 don't hold what is only to be abandoned; 403 is also what looks like an account that is still fresh. */
export const abandonable = ({ kind }: Failure): boolean =>
  kind === 'PermissionDenied' || kind === 'Propagating' || kind === 'NotFound';

/** Takes the marks off and leaves everything else as it is. Who may not write, or finds nothing, lets go all the same. */
export function planAbandon(tenant: Tenant, observed: Observed, settings: Settings): Plan {
  const out = empty();
  const rules = rulesOf(tenant, settings);
  for (const { name, service } of observed.services) {
    if (service.state === 'failed' && !abandonable(service.failure)) {
      out.blockers.push(readBlocker('Service', targetOf(name), service.failure));
    } else if (service.state === 'present' && claimByLabels(service.value.labels, rules) === 'ours') {
      const { etag, labels } = service.value;
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
  } else if (account.state === 'present' && claimByDescription(account.value.description, rules) === 'ours') {
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
