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
      `Namespace ${namespace} asks the operator to act as ${quoted(account)}, which ${why}. Name another one: ` +
      `kubectl annotate namespace ${namespace} ${ANNOTATION}=ACCOUNT --overwrite, or give --impersonation-accounts a pattern that fits.`,
  };
}

function isAllowed(account: string, namespace: string, settings: Settings): boolean {
  const patterns = (settings.impersonationAccounts ?? []).map(pattern => pattern.replaceAll(PLACEHOLDER, namespace));
  return isServiceAccount(account) && patterns.length > 0 && matchesAny(account, patterns);
}

/**
 * What is wrong with a pattern of `--impersonation-accounts`; undefined: nothing. Were anything but `@` to follow
 * NAMESPACE, or `*` to stand before it, one namespace's pattern would fit accounts that are meant for another one, such as
 * `a` and `a-b` with `NAMESPACE-*@…`.
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
 * As whom a tenant is deleted. No annotation stops a deletion: where the Namespace names nobody that is allowed, whoever
 * made it takes it away (as the inventory's project counts, and not the annotation's). The status is no authority: an
 * account that it names must be allowed too; else the operator acts as itself, on nothing but what is marked as the tenant's.
 */
export function deletingIdentity(tenant: Tenant, annotations: Annotations, settings: Settings): string | undefined {
  const chosen = chosenIdentity(tenant.namespace, annotations, settings);
  if (chosen.ok && chosen.actAs !== undefined) return chosen.actAs;
  const last = tenant.status.impersonatedServiceAccount;
  return last !== undefined && isAllowed(last, tenant.namespace, settings) ? last : undefined;
}

/**
 * As whom access is closed where the spec cannot be followed otherwise, and where the Namespace could not be read (no
 * annotations). An account that is not allowed any more is not replaced by the operator's own identity.
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
