import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import type { Observed, ObservedService } from '../tenant/types.ts';

/** More services than fail at once anywhere; beyond it the longest known are forgotten, and their waits begin anew. */
const MOST = 10_000;

/**
 * Says of each service that is not ready for how long this process has seen it so. Google's own times are not compared
 * with this machine's clock: one that is half an hour fast would find every backoff already over. A new generation, such
 * as a retry of the operator's own makes, starts the count anew, so two retries are never closer than their backoff.
 */
export function createServiceAges(runtime: Pick<Runtime, 'monotonic'>): (observed: Observed) => Observed {
  const since = createRecent<{ state: string; at: number }>(runtime, { most: MOST });

  function aged(service: ObservedService): ObservedService {
    const { name } = service;
    const state = unreadyState(service);
    const known = since.get(name);
    since.delete(name);
    if (state === undefined) return service;
    const first = known?.state === state ? known : { state, at: runtime.monotonic() };
    since.set(name, first);
    return { ...service, unreadyForMs: runtime.monotonic() - first.at };
  }

  return observed => ({
    ...observed,
    services: observed.services.map(one =>
      one.service.state === 'present' ? { ...one, service: { state: 'present', value: aged(one.service.value) } } : one,
    ),
  });
}

/** Undefined: it is ready. */
function unreadyState({ generation, observedGeneration, reconciling, terminal }: ObservedService): string | undefined {
  const settled = !reconciling && generation === observedGeneration;
  if (settled && terminal.state === 'SUCCEEDED') return undefined;
  return `${generation} ${settled && terminal.state === 'FAILED' ? 'failed' : 'pending'}`;
}
