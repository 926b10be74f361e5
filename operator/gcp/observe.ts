import type { GcpCallOptions } from '../../ports/gcp.ts';
import { part, secretName } from '../tenant/names.ts';
import type { Targets } from '../tenant/plan.ts';
import { secretReferences } from '../tenant/template.ts';
import type { Observed, ObservedKey } from '../tenant/types.ts';
import type { Reads } from './reads.ts';

/** Reads everything that a plan is made from, side by side. Reads only; what fails is part of what was observed. */
export async function observe(reads: Reads, targets: Targets, options?: GcpCallOptions): Promise<Observed> {
  const { account } = targets;
  const [accountRead, { keys, formerGrants }, services] = await Promise.all([
    account ? reads.account(account.project, account.email, options) : { state: 'absent' as const },
    observeSecrets(reads, targets, options),
    Promise.all(targets.services.map(name => observeService(reads, name, targets, options))),
  ]);
  const written = services.flatMap(({ service }) =>
    service.state === 'present' ? secretReferences(service.value.template) : [],
  );
  const spelled = keys.map((key, at) =>
    observeSpelling(reads, key, targets.keys[at]?.secret ?? '', new Set(written), account?.project ?? '', options),
  );
  return { account: accountRead, keys: await Promise.all(spelled), formerGrants, services };
}

/**
 * One secret can be written with its project's id or its number, and nothing tells that two of them are one project but
 * Google Cloud's own name for what is found there.
 */
async function observeSpelling(
  reads: Reads,
  key: ObservedKey,
  asked: string,
  written: Set<string>,
  ownProject: string,
  options?: GcpCallOptions,
): Promise<ObservedKey> {
  if (key.secret.state !== 'present') return key;
  const { name } = key.secret.value;
  // A project's number may be that of the tenant's own project.
  const isNumber = /^\d+$/.test(part(asked, 'projects'));
  const others = [...new Set([...written, ...(isNumber ? [part(name, 'secrets')] : [])])]
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

/** The keys first: which grants have left the spec shows only by the names that Google Cloud answers. */
async function observeSecrets(
  reads: Reads,
  targets: Targets,
  options?: GcpCallOptions,
): Promise<Pick<Observed, 'keys' | 'formerGrants'>> {
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

async function observeKey(
  reads: Reads,
  key: Targets['keys'][number],
  options?: GcpCallOptions,
): Promise<Observed['keys'][number]> {
  const secret = await reads.secret(key.secret, options);
  if (secret.state !== 'present') return { name: key.name, secret };
  const [policy, version] = await Promise.all([
    reads.secretPolicy(secret.value.name, options),
    key.want === 'none' ? undefined : reads.secretVersion(secret.value.name, key.want, options),
  ]);
  return { name: key.name, secret, policy, version };
}

async function observeService(
  reads: Reads,
  name: string,
  targets: Targets,
  options?: GcpCallOptions,
): Promise<Observed['services'][number]> {
  const region = part(name, 'locations');
  const service = await reads.service(name, options);
  const matters =
    service.state === 'present' &&
    (targets.invokersOf.includes(name) || (targets.isPublic && !service.value.invokerIamDisabled));
  return matters
    ? { name, region, service, invokers: await reads.servicePolicy(name, options) }
    : { name, region, service };
}
