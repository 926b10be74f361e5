import type { GcpCallOptions } from '../ports.ts';
import type { Targets } from '../tenant/plan.ts';
import type { Observed } from '../tenant/types.ts';
import type { Reads } from './reads.ts';

/** Reads everything that a plan is made from, side by side. Reads only; what fails is part of what was observed. */
export async function observe(reads: Reads, targets: Targets, options?: GcpCallOptions): Promise<Observed> {
  const { account } = targets;
  const [accountRead, keys, formerGrants, services] = await Promise.all([
    account ? reads.account(account.project, account.email, options) : { state: 'absent' as const },
    Promise.all(targets.keys.map(key => observeKey(reads, key, options))),
    Promise.all(
      targets.formerGrants.map(async secret => ({ secret, policy: await reads.secretPolicy(secret, options) })),
    ),
    Promise.all(targets.services.map(name => observeService(reads, name, targets, options))),
  ]);
  return { account: accountRead, keys, formerGrants, services };
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
  const region = name.split('/')[3] ?? '';
  const service = await reads.service(name, options);
  const matters =
    service.state === 'present' &&
    (targets.invokersOf.includes(name) || (targets.isPublic && !service.value.invokerIamDisabled));
  return matters
    ? { name, region, service, invokers: await reads.servicePolicy(name, options) }
    : { name, region, service };
}
