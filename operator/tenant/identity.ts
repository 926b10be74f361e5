import { isServiceAccount, matchesAny } from './names.ts';
import { quoted } from './printable.ts';
import type { Settings, Tenant } from './types.ts';

/**
 * As whom the operator acts for the tenants of a namespace: its own identity, or the service account that the Namespace
 * names, as far as `--impersonation-accounts` allows that one for this namespace.
 */

const ANNOTATION = 'ai-platform.dev/impersonate-service-account';
const PLACEHOLDER = 'NAMESPACE';

export type Identity = { ok: true; actAs?: string } | { ok: false; message: string };

type Annotations = Record<string, string>;

/** An annotation that is there and can't be followed is refused: never does the operator's own identity stand in for it. */
export function chosenIdentity(namespace: string, annotations: Annotations, settings: Settings): Identity {
  const account = annotations[ANNOTATION];
  if (account === undefined) return { ok: true };
  const allowed = settings.impersonationAccounts ?? [];
  const patterns = allowed.map(pattern => pattern.replaceAll(PLACEHOLDER, namespace));
  if (isServiceAccount(account) && patterns.length > 0 && matchesAny(account, patterns)) {
    return { ok: true, actAs: account };
  }
  const why = !isServiceAccount(account)
    ? 'is not the e-mail of a service account'
    : `is not allowed for it (--impersonation-accounts=${allowed.join(',')})`;
  return {
    ok: false,
    message:
      `Namespace ${namespace} asks the operator to act as ${quoted(account)}, which ${why}. Name another one: ` +
      `kubectl annotate namespace ${namespace} ${ANNOTATION}=ACCOUNT --overwrite, or start the operator with a pattern that fits.`,
  };
}

/**
 * As whom a tenant is deleted. No annotation stops a deletion: where the Namespace names nobody that is allowed, whoever
 * made it takes it away (as the inventory's project counts, and not the annotation's).
 */
export function deletingIdentity(tenant: Tenant, annotations: Annotations, settings: Settings): string | undefined {
  const chosen = chosenIdentity(tenant.namespace, annotations, settings);
  return (chosen.ok ? chosen.actAs : undefined) ?? tenant.status.impersonatedServiceAccount;
}
