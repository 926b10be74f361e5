import type { GcpCallOptions } from '../../ports/gcp.ts';
import { readNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Need } from '../gcp/quota.ts';
import type { Reads } from '../gcp/reads.ts';
import type { Verdict } from '../kube/queue.ts';
import { everyRegion, mayBeOwn } from '../tenant/lostStatus.ts';
import type { Desired, Observed } from '../tenant/types.ts';

/**
 * Adds the services of a tenant whose status was lost, from all regions that nothing on record names. `take` takes the budget for
 * the reads; the answer is its verdict if there is none.
 */
export async function withLostServices(
  reads: Reads,
  read: Observed,
  { project, serviceId }: Pick<Desired, 'project' | 'serviceId'>,
  rules: Parameters<typeof mayBeOwn>[1],
  asked: GcpCallOptions,
  take: (needs: Need[]) => Verdict | undefined,
): Promise<Observed | Verdict> {
  const search = everyRegion(project, serviceId, read.services);
  const later = take(readNeeds(search));
  if (later) return later;
  const { services } = await observe(reads, search, asked);
  return { ...read, services: [...read.services, ...mayBeOwn(services, rules)] };
}
