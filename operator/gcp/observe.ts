import type { GcpCallOptions } from '../../ports/gcp.ts';
import { part, secretName } from '../tenant/names.ts';
import { secretReferences } from '../tenant/template.ts';
import type { Observed, ObservedKey, Targets } from '../tenant/types.ts';
import type { Api } from './methods.ts';
import type { Reads } from './reads.ts';
import { sameButProject } from './resourceNames.ts';

/** Reads everything that a plan needs, concurrently. A failed read is part of the result, so this never rejects for one. */
export async function observe(reads: Reads, targets: Targets, options?: GcpCallOptions): Promise<Observed> {
  const { account } = targets;
  const [accountRead, { keys, formerGrants }, services] = await Promise.all([
    account ? reads.account(account, options) : { state: 'absent' as const },
    observeSecrets(reads, targets, options),
    Promise.all(targets.services.map(name => observeService(reads, name, targets, options))),
  ]);
  const references = services.flatMap(({ service }) =>
    service.state === 'present' ? secretReferences(service.value.template) : [],
  );
  const spelled = keys.map((key, at) =>
    observeSpelling(
      reads,
      key,
      targets.keys[at]?.secret ?? '',
      new Set(references),
      part(account ?? '', 'projects'),
      options,
    ),
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

/** Calls to one API about one resource. */
export interface Cost {
  api: Api;
  name: string;
  /** The calls that read it. Each write takes one call. */
  reads: number;
}

type Flag = 'formerConsent' | 'invokersOf' | 'isPublic';

/** The calls with which `observe` reads each target, if no list or cache answers. */
const COSTS: Record<Exclude<keyof Targets, Flag>, (targets: Targets) => Cost[]> = {
  account: ({ account }) => (account ? [{ api: 'iam', name: account, reads: 1 }] : []),
  // Two calls read the secret and its policy; a third one reads the version, if one is wanted.
  keys: ({ keys }) =>
    keys.map(({ secret, want }) => ({ api: 'secretmanager', name: secret, reads: want === 'none' ? 2 : 3 })),
  formerGrants: ({ formerGrants, formerConsent, keys }) =>
    withoutKeys(formerGrants, keys).map(name => ({ api: 'secretmanager', name, reads: formerConsent ? 2 : 1 })),
  services: ({ services, invokersOf }) =>
    services.map(name => ({ api: 'run', name, reads: invokersOf.includes(name) ? 2 : 1 })),
};

export const costs = (targets: Targets): Cost[] => Object.values(COSTS).flatMap(of => of(targets));

/**
 * Leaves out the recorded grants that belong to a key, because their secrets are already counted with the keys. The inventory names a
 * secret by its project's number and the spec mostly by the project's id, so a number counts as the same project. A key accounts for
 * one grant at most.
 */
function withoutKeys(grants: string[], keys: Targets['keys']): string[] {
  const unmatched = new Set(keys);
  return grants.filter(grant => {
    const key = [...unmatched].find(({ secret }) => mayBeSame(secret, grant));
    return !key || !unmatched.delete(key);
  });
}

const mayBeSame = (secret: string, grant: string): boolean =>
  secret === grant || (/^\d+$/.test(part(grant, 'projects')) && sameButProject('secret', secret, grant));
