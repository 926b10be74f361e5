import { isServiceAccount, matchesAny } from './names.ts';
import { quoted } from './printable.ts';
import type { Settings, Tenant } from './types.ts';

/**
 * The identity with which the operator acts for the tenants of a namespace: its own, or the service account that the Namespace
 * names, if `--impersonation-accounts` allows that account for this namespace.
 */

const ANNOTATION = 'ai-platform.dev/impersonate-service-account';
const PLACEHOLDER = 'NAMESPACE';

export type Identity = { ok: true; actAs?: string } | { ok: false; message: string };

type Annotations = Record<string, string>;

/** An annotation that cannot be followed is refused. The operator's own identity never replaces it. */
export function chosenIdentity(namespace: string, annotations: Annotations, settings: Settings): Identity {
  const account = annotations[ANNOTATION];
  if (account === undefined && settings.requireImpersonation) {
    return {
      ok: false,
      message:
        `Namespace ${namespace} names no service account to act as, and the operator requires one (--require-impersonation). Name it: ` +
        `kubectl annotate namespace ${namespace} ${ANNOTATION}=ACCOUNT`,
    };
  }
  if (account === undefined) return { ok: true };
  if (isAllowed(account, namespace, settings)) return { ok: true, actAs: account };
  const allowed = settings.impersonationAccounts ?? [];
  const why = !isServiceAccount(account)
    ? 'is not the e-mail of a service account'
    : `is not allowed for it (--impersonation-accounts=${allowed.join(',')})`;
  return {
    ok: false,
    message:
      `Namespace ${namespace} asks the operator to act as ${quoted(account)}, which ${why}. Give --impersonation-accounts a pattern that fits, ` +
      `or name another one: kubectl annotate namespace ${namespace} ${ANNOTATION}=ACCOUNT --overwrite`,
  };
}

function isAllowed(account: string, namespace: string, settings: Settings): boolean {
  const patterns = (settings.impersonationAccounts ?? []).map(pattern => pattern.replaceAll(PLACEHOLDER, namespace));
  return isServiceAccount(account) && patterns.length > 0 && matchesAny(account, patterns);
}

/**
 * The error in a pattern of `--impersonation-accounts`. Undefined: there is none. NAMESPACE must be followed by `@` and must not
 * come after `*`. Otherwise the pattern of one namespace would match accounts of another one: with `NAMESPACE-*@…` the pattern of
 * namespace `a` would match the accounts of namespace `a-b`.
 */
export function patternProblem(pattern: string): string | undefined {
  for (const { index } of pattern.matchAll(new RegExp(PLACEHOLDER, 'g'))) {
    if (pattern[index + PLACEHOLDER.length] !== '@') {
      return `${PLACEHOLDER} must be directly followed by @, such as operator-${PLACEHOLDER}@PROJECT.iam.gserviceaccount.com`;
    }
    if (pattern.slice(0, index).includes('*')) return `no * may stand before ${PLACEHOLDER}`;
  }
  return undefined;
}

/**
 * The identity for the deletion of a tenant. No annotation stops a deletion: if the Namespace names no allowed account, the
 * account that created the resources also deletes them. It is taken from the status, which can be forged, so it must be
 * allowed too. Otherwise the operator acts as itself, and only on resources that are marked as the tenant's.
 */
export function deletingIdentity(tenant: Tenant, annotations: Annotations, settings: Settings): string | undefined {
  const chosen = chosenIdentity(tenant.namespace, annotations, settings);
  if (chosen.ok && chosen.actAs !== undefined) return chosen.actAs;
  const last = tenant.status.impersonatedServiceAccount;
  return last !== undefined && isAllowed(last, tenant.namespace, settings) ? last : undefined;
}

/**
 * The identity for closing access while the rest of the spec cannot be followed, or the Namespace could not be read (then without
 * annotations). An account that is no longer allowed is not replaced by the operator's own identity.
 */
export function closingIdentity(tenant: Tenant, annotations: Annotations, settings: Settings): Identity {
  const actAs = deletingIdentity(tenant, annotations, settings);
  if (actAs !== undefined) return { ok: true, actAs };
  const last = tenant.status.impersonatedServiceAccount;
  if (last === undefined) return chosenIdentity(tenant.namespace, annotations, settings);
  return {
    ok: false,
    message: `The operator acted as ${quoted(last)} last, which its flag --impersonation-accounts does not allow any more.`,
  };
}
