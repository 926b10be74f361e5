import type { GcpCall, GcpStatus } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { failureOf } from '../gcp/errors.ts';

/** How a command reads a whole fleet: a few at a time, and without hurry where Google Cloud asks for that. */

/** Reads at once: quick for a fleet, far from the quota of 600 a minute with the pauses that a 429 asks for. */
const AT_ONCE = 8;
/** Pauses of 1, 2, 4 … s: 63 s in all for a quota or a server in trouble, 1 s where nobody listens at all. */
const TRIES = 7;
const TRIES_OF_NOBODY = 2;

/** Google Cloud can't be asked anything: no credentials that it takes, or no connection. The message says what to do. */
export class OutOfReach extends Error {}

/**
 * A read is simply made again after a while where Google Cloud asks for that, or does not answer. Where nothing can be read at all
 * it throws `OutOfReach`: a plan of half of what there is would be untrue.
 */
export function patiently(call: GcpCall, runtime: Runtime): GcpCall {
  return async (method, request, options) => {
    for (let tries = 1; ; tries++) {
      const result = await call(method, request, options);
      // Cancelled: by the end of the command.
      if (result.ok || result.status.code === 'CANCELLED') return result;
      const { status } = result;
      const { kind, retryAfterMs = 500 * 2 ** tries } = failureOf(method, status);
      const isHopeless = NOBODY.test(status.message) || STRANGER.test(status.message);
      const isOver = tries === (isHopeless ? TRIES_OF_NOBODY : TRIES);
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

/** What Node.js says where no connection comes about; and `client.ts`, where no answer comes. */
const NOBODY = /^No answer within |\b(?:ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)\b/;
/** Of `status.ts` and `rest.ts`: a page of a proxy, or of whatever else listens there. What 429 and 5xx say may pass. */
const STRANGER =
  /^HTTP [1-4]\d\d with a body that is not from a Google API|^A successful answer whose body is no JSON object/;
/** Of `transport.ts` and `credentials.ts`. */
const UNANSWERED = /^No (?:answer from Google Cloud: |answer within |access token could be had: )/;

function outOfReach({ code, message }: GcpStatus, actAs: string | undefined): string | undefined {
  if (code === 'UNAUTHENTICATED') {
    const said = message.replace(/^No valid Google Cloud credentials: /, '').replace(/ Give the operator .*/s, '');
    return (
      `There are no credentials that Google Cloud takes${actAs === undefined ? '' : ` for acting as ${actAs}`}, so nothing was read (${said}). ` +
      'Log in: gcloud auth application-default login. For the local Google Cloud of npm run sandbox: source .sandbox/env'
    );
  }
  if (STRANGER.test(message)) {
    return (
      `What answers is not Google Cloud, so nothing was read (${message}). Check the proxy (HTTPS_PROXY) and the addresses in ` +
      'CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_SECRETMANAGER and …_IAM: after a sandbox has ended, source .sandbox/env.off'
    );
  }
  if (!UNANSWERED.test(message)) return undefined;
  return (
    `Google Cloud can't be reached, so nothing was read (${message}). Check the network, and the addresses in ` +
    'CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_SECRETMANAGER and …_IAM: after a sandbox has ended, source .sandbox/env.off'
  );
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
