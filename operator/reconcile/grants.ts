import type { SharedReads } from '../gcp/lists.ts';
import { observe } from '../gcp/observe.ts';
import type { Reads } from '../gcp/reads.ts';
import { type ClaimRules, lostConsent, secretConsent } from '../tenant/ownership.ts';
import { revokeStep } from '../tenant/secretAccess.ts';
import type { Desired, Settings, Step, Tenant } from '../tenant/types.ts';
import { consentTargets, grantsOf, planConsent, standingRules } from '../tenant/withdrawnConsent.ts';

/** Checks consent where no plan does: right after a grant, and while the spec is not followed (suspended or refused). */

/**
 * The result of reading a secret right after a grant. `stands`: the secret still consents. `revoke`: the consent was withdrawn
 * between the check and the grant, and `step` removes the grant. `unread`: the secret or its policy could not be read; no further
 * step is applied until they have been read.
 */
export type Recheck = { kind: 'stands' } | { kind: 'unread' } | { kind: 'revoke'; step: Step };

export async function recheckGrant(
  reads: Reads,
  grant: Step,
  tenant: Tenant,
  desired: Desired,
  rules: ClaimRules,
): Promise<Recheck> {
  if (grant.call.kind !== 'setSecretPolicy') return { kind: 'stands' };
  const name = grant.call.secret;
  const secret = await reads.secret(name, { actAs: desired.actAs });
  if (secret.state !== 'present') return { kind: 'unread' };
  if (secretConsent(secret.value.labels, rules, false)) return { kind: 'stands' };
  const policy = await reads.secretPolicy(name, { actAs: desired.actAs });
  if (policy.state !== 'present') return { kind: 'unread' };
  const entry = { type: 'SecretAccess' as const, name, time: '' };
  const step = revokeStep({ status: tenant.status, desired }, true, policy.value, entry);
  return step ? { kind: 'revoke', step } : { kind: 'unread' };
}

/**
 * Plans the removal of grants on secrets that have withdrawn their consent, for a tenant whose spec is not followed. The shared
 * lists show which secrets these are. Before a removal is planned, the secret and its policy are read again, uncached.
 */
export async function lostGrants(
  { shared, reads, settings }: { shared: SharedReads; reads: Reads; settings: Settings },
  tenant: Tenant,
  actAs: string | undefined,
): Promise<Step[]> {
  const rules = standingRules(tenant, settings);
  const current = shared.at({ listed: settings.syncIntervalMs / 2, single: 0 });
  const secrets = await Promise.all(
    grantsOf(tenant).map(async entry => ({ entry, secret: await current.secret(entry.name, { actAs }) })),
  );
  const suspects = secrets.flatMap(({ entry, secret }) => (lostConsent(secret, rules) ? entry : []));
  if (suspects.length === 0) return [];
  return planConsent(tenant, await observe(reads, consentTargets(tenant, suspects), { actAs }), settings);
}
