import { failureOf } from '../gcp/errors.ts';
import type { GcpCall, Runtime } from '../ports.ts';
import { sleep } from '../runtime.ts';

/** How a command reads a whole fleet: a few at a time, and without hurry where Google Cloud asks for that. */

/** Reads at once: quick for a fleet, far from the quota of 600 a minute with the pauses that a 429 asks for. */
const AT_ONCE = 8;
const TRIES = 7;

/** A read is simply made again after a while where Google Cloud asks for that, or does not answer. */
export function patiently(call: GcpCall, runtime: Runtime): GcpCall {
  return async (method, request, options) => {
    for (let tries = 1; ; tries++) {
      const result = await call(method, request, options);
      if (result.ok || tries === TRIES) return result;
      const { kind, retryAfterMs = 500 * 2 ** tries } = failureOf(method, result.status);
      if (kind !== 'QuotaExceeded' && kind !== 'Transient') return result;
      await sleep(runtime, retryAfterMs);
    }
  };
}

/** `Promise.all` over `items`, a few at a time. */
export async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
