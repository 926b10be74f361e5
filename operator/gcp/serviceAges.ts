import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import type { Observed, ObservedService } from '../tenant/types.ts';

/** More services than fail at once anywhere. Beyond this the oldest are forgotten, and their backoff starts again. */
const MOST = 10_000;

/**
 * Adds to each service that is not ready how long this process has known that. Google Cloud's timestamps are not compared with this
 * machine's clock: on a machine whose clock is half an hour fast every backoff would already be over. A new generation, which
 * also each retry of the operator makes, starts at 0 again, so two retries are never closer than their backoff.
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

/** Undefined for a service that is ready. */
function unreadyState({ generation, observedGeneration, reconciling, terminal }: ObservedService): string | undefined {
  const settled = !reconciling && generation === observedGeneration;
  if (settled && terminal.state === 'SUCCEEDED') return undefined;
  return `${generation} ${settled && terminal.state === 'FAILED' ? 'failed' : 'pending'}`;
}
