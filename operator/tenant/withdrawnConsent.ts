import { accountDeletionTargets } from './account.ts';
import { inventoryProject } from './desired.ts';
import { entriesOfType } from './inventory.ts';
import { part } from './names.ts';
import { type ClaimRules, claimAccount, lostConsent } from './ownership.ts';
import { SECRET_ACCESSOR } from './policy.ts';
import { revokeStep } from './secretAccess.ts';
import { NO_TARGETS } from './targets.ts';
import type { Desired, InventoryEntry, Observed, SecretAccessEntry, Settings, Step, Targets, Tenant } from './types.ts';

/**
 * Grants whose secret's owner has withdrawn consent are removed even while the spec is not followed: the tenant is suspended or
 * refused, its deletion waits, or its interval is 0. As in a deletion, only the inventory and the owner marks decide.
 */

export const grantsOf = ({ status }: Pick<Tenant, 'status'>): SecretAccessEntry[] =>
  entriesOfType('SecretAccess', status.inventory);

/** The rules for resources while the spec is not followed: nothing is adopted. */
export function standingRules(tenant: Tenant, settings: Settings): ClaimRules {
  const owner = { cluster: settings.clusterId, namespace: tenant.namespace, name: tenant.name };
  return { owner, policy: settings.claimPolicy, inventory: tenant.status.inventory, restore: settings.restore };
}

/** The resources to read before these grants are removed. */
export function consentTargets(tenant: Tenant, grants: InventoryEntry[]): Targets {
  const keys = grants.map(({ name }) => ({ name, secret: name, want: 'none' }));
  return { ...NO_TARGETS, ...accountDeletionTargets(tenant), keys };
}

/** The steps that remove the grants without consent. */
export function planConsent(tenant: Tenant, observed: Observed, settings: Settings): Step[] {
  const rules = standingRules(tenant, settings);
  const { account } = observed;
  if (account.state !== 'present') return [];
  const accountIsOurs = claimAccount(account.value, rules) === 'ours';
  const desired = { account: { email: account.value.email } } as Desired;
  return grantsOf(tenant).flatMap(entry => {
    const key = observed.keys.find(({ name }) => name === entry.name);
    if (!key || !lostConsent(key.secret, rules) || key.policy?.state !== 'present') return [];
    return revokeStep({ status: tenant.status, desired }, accountIsOurs, key.policy.value, entry) ?? [];
  });
}

/** The event for each grant that an abandoned tenant leaves, with the command that removes it. */
export function abandonedGrants(tenant: Tenant): string[] {
  const account = tenant.status.inventory.find(({ type }) => type === 'ServiceAccount');
  const email = account ? part(account.name, 'serviceAccounts') : tenant.status.serviceAccountEmail;
  if (!email) return [];
  return grantsOf(tenant).map(({ name }) => {
    const [project, secret] = [part(name, 'projects'), part(name, 'secrets')];
    return (
      `Abandoned: ${email} may still read secret ${secret} of project ${project || inventoryProject(tenant.status.inventory)}. To end that: ` +
      `gcloud secrets remove-iam-policy-binding ${secret} --project=${project} --member=serviceAccount:${email} --role=${SECRET_ACCESSOR}`
    );
  });
}
