import type { GcpCall, GcpStatus } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { failureOf } from '../gcp/errors.ts';

/** The calls of the commands `plan` and `import`: at most 8 at the same time, with retries after errors that may pass. */

/**
 * The number of items that are read at the same time. It is small, because Secret Manager's quota is 600 reads a minute; after a 429
 * the reads are retried later.
 */
const AT_ONCE = 8;
/** The pauses are 1, 2, 4 … s: 63 s in total after a 429 or a 5xx, but only 1 s if there is no connection. */
const TRIES = 7;
const TRIES_WITHOUT_CONNECTION = 2;

/** Nothing can be read: Google Cloud refuses the credentials, or there is no connection. The message says what to do. */
export class OutOfReach extends Error {}

/**
 * Retries a read if Google Cloud asks to wait or does not answer. Throws `OutOfReach` if nothing can be read, because a plan from
 * incomplete reads would be wrong.
 */
export function patiently(call: GcpCall, runtime: Runtime): GcpCall {
  return async (method, request, options) => {
    for (let tries = 1; ; tries++) {
      const result = await call(method, request, options);
      // Only the end of the command cancels a call.
      if (result.ok || result.status.code === 'CANCELLED') return result;
      const { status } = result;
      const { kind, retryAfterMs = 500 * 2 ** tries } = failureOf(method, status);
      const isHopeless = status.unanswered === 'unreachable' || status.unanswered === 'foreign';
      const isOver = tries === (isHopeless ? TRIES_WITHOUT_CONNECTION : TRIES);
      if (!isOver && (kind === 'QuotaExceeded' || kind === 'Transient')) {
        await sleep(runtime, retryAfterMs);
        continue;
      }
      const reason = outOfReach(status, options?.actAs);
      if (reason !== undefined) throw new OutOfReach(reason);
      return result;
    }
  };
}

const ADDRESSES =
  'CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_SECRETMANAGER and …_IAM: after a sandbox has ended, source .sandbox/env.off';

/** The message if nothing can be read; undefined for an answer of Google Cloud. */
function outOfReach({ code, message, unanswered }: GcpStatus, actAs: string | undefined): string | undefined {
  if (code === 'UNAUTHENTICATED') {
    return (
      `There are no credentials that Google Cloud takes${actAs === undefined ? '' : ` for acting as ${actAs}`}, so nothing was read (${message}). ` +
      'For the local Google Cloud of npm run sandbox: `source .sandbox/env`. For the real one, log in: gcloud auth application-default login'
    );
  }
  if (unanswered === undefined) return undefined;
  return unanswered === 'foreign'
    ? `What answers is not Google Cloud, so nothing was read (${message}). Check the proxy (HTTPS_PROXY) and the addresses in ${ADDRESSES}`
    : `Google Cloud can't be reached, so nothing was read (${message}). Check the network, and the addresses in ${ADDRESSES}`;
}

/** `Promise.all` over `items`, at most `AT_ONCE` at the same time. */
export async function each<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
