import type { GcpCallOptions } from '../../ports/gcp.ts';
import { readNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Need } from '../gcp/quota.ts';
import type { Reads } from '../gcp/reads.ts';
import type { Verdict } from '../kube/queue.ts';
import { everyRegion, mayBeOwn } from '../tenant/lostStatus.ts';
import type { Desired, Observed } from '../tenant/types.ts';

/**
 * Searches every region for services of a tenant whose status was lost, and adds to `read` those that may be the tenant's. Regions that
 * `read` covers already are left out. `take` claims the budget for the reads; if there is none, the answer is its verdict.
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
