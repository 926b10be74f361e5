import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import type { Observed, ObservedService } from '../tenant/types.ts';

/** The most services that are recorded as not ready. Beyond this number the oldest are dropped, and their backoff starts again. */
const MOST = 10_000;

/**
 * Adds to each service that is not ready (`unreadyForMs`) for how long this process has known that. Google Cloud's timestamps are not
 * compared with this machine's clock, because with a clock that is half an hour fast every backoff would already be over. The time starts
 * at 0 again with each new generation of the service. Each retry of the operator makes a new generation, so the time between two
 * retries is never shorter than the backoff.
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
