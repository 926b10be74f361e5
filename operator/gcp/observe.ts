import type { GcpCallOptions } from '../../ports/gcp.ts';
import { accountName, part, secretName } from '../tenant/names.ts';
import type { Targets } from '../tenant/targets.ts';
import { secretReferences } from '../tenant/template.ts';
import type { Observed, ObservedKey } from '../tenant/types.ts';
import type { Reads } from './reads.ts';

/** Reads everything that a plan needs, concurrently. A failed read is part of the result, so this never rejects for one. */
export async function observe(reads: Reads, targets: Targets, options?: GcpCallOptions): Promise<Observed> {
  const { account } = targets;
  const [accountRead, { keys, formerGrants }, services] = await Promise.all([
    account ? reads.account(accountName(account.project, account.email), options) : { state: 'absent' as const },
    observeSecrets(reads, targets, options),
    Promise.all(targets.services.map(name => observeService(reads, name, targets, options))),
  ]);
  const references = services.flatMap(({ service }) =>
    service.state === 'present' ? secretReferences(service.value.template) : [],
  );
  const spelled = keys.map((key, at) =>
    observeSpelling(reads, key, targets.keys[at]?.secret ?? '', new Set(references), account?.project ?? '', options),
  );
  return { account: accountRead, keys: await Promise.all(spelled), formerGrants, services };
}

/**
 * Finds out by which other project names the services refer to this key's secret (`alsoIn`). A service may name the project by its id or
 * by its number. Only Google Cloud knows that both are one project: it answers reads of both with the same secret name.
 */
async function observeSpelling(
  reads: Reads,
  key: ObservedKey,
  asked: string,
  references: Set<string>,
  ownProject: string,
  options?: GcpCallOptions,
): Promise<ObservedKey> {
  if (key.secret.state !== 'present') return key;
  const { name } = key.secret.value;
  // If the spec names the project by its number, that may be the tenant's own project, so its id is tried too.
  const isNumber = /^\d+$/.test(part(asked, 'projects'));
  const others = [...new Set([...references, ...(isNumber ? [part(name, 'secrets')] : [])])]
    .map(reference => ({ project: part(reference, 'projects'), full: secretName(reference, ownProject) }))
    .filter(({ full }) => part(full, 'secrets') === part(name, 'secrets') && full !== asked && full !== name);
  if (others.length === 0) return key;
  const found = await Promise.all(others.map(({ full }) => reads.secret(full, options)));
  const alsoIn = others.flatMap(({ project }, at) => {
    const other = found[at];
    return other?.state === 'present' && other.value.name === name ? [project] : [];
  });
  return { ...key, alsoIn };
}

/** Reads the keys' secrets first. A recorded grant no longer belongs to the spec if no answer for a key has the name of the grant's secret. */
async function observeSecrets(reads: Reads, targets: Targets, options?: GcpCallOptions) {
  const keys = await Promise.all(targets.keys.map(key => observeKey(reads, key, options)));
  const named = keys.flatMap(({ secret }) => (secret.state === 'present' ? secret.value.name : []));
  const former = targets.formerGrants.filter(secret => !named.includes(secret));
  const formerGrants = await Promise.all(
    former.map(async secret => {
      const [policy, read] = await Promise.all([
        reads.secretPolicy(secret, options),
        targets.formerConsent ? reads.secret(secret, options) : undefined,
      ]);
      return { secret, policy, read };
    }),
  );
  return { keys, formerGrants };
}

async function observeKey(reads: Reads, key: Targets['keys'][number], options?: GcpCallOptions): Promise<ObservedKey> {
  const secret = await reads.secret(key.secret, options);
  if (secret.state !== 'present') return { name: key.name, secret };
  const [policy, version] = await Promise.all([
    reads.secretPolicy(secret.value.name, options),
    key.want === 'none' ? undefined : reads.secretVersion(secret.value.name, key.want, options),
  ]);
  return { name: key.name, secret, policy, version };
}

async function observeService(reads: Reads, name: string, targets: Targets, options?: GcpCallOptions) {
  const region = part(name, 'locations');
  const service = await reads.service(name, options);
  const matters =
    service.state === 'present' &&
    (targets.invokersOf.includes(name) || (targets.isPublic && !service.value.invokerIamDisabled));
  return { name, region, service, ...(matters && { invokers: await reads.servicePolicy(name, options) }) };
}
