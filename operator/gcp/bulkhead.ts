import type { GcpCall, GcpResult } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import { type Need, needOf } from './quota.ts';

/** How long a read waits for the answer of the one read that is sent to a place that hangs, milliseconds. */
const PATIENCE_MS = 2_000;
/** The most places that are recorded as hanging. No outage affects this many at once. */
const MOST = 1_000;

/**
 * Keeps reconciles from waiting for an API that hangs in a place. A place is a project, or for Cloud Run a region of a project.
 *
 * 1. A place hangs after a read there ended with DEADLINE_EXCEEDED, until a read there gets an answer.
 * 2. While it hangs, one read at a time is sent there, with its full time-out.
 * 3. Every other read waits up to 2 s for that read, and then fails with UNAVAILABLE without a call. So a reconcile continues with the
 *    answers of the other APIs, and no worker waits longer than 2 s for the API that hangs.
 * 4. Writes are always sent.
 */
export function createBulkhead(call: GcpCall, runtime: Runtime): GcpCall {
  /** By place: the message of the first read that timed out, and the read that is in progress there now. */
  const hanging = createRecent<{ first: string; attempt?: Promise<GcpResult> }>(runtime, { most: MOST });

  async function send(place: string, ...args: Parameters<GcpCall>): Promise<GcpResult> {
    const result = await call(...args);
    if (!result.ok && result.status.code === 'DEADLINE_EXCEEDED') {
      hanging.set(place, { first: hanging.get(place)?.first ?? result.status.message });
    } else {
      hanging.delete(place);
    }
    return result;
  }

  /** The answer of `attempt`; undefined if it does not come within 2 s. */
  async function within2s(attempt: Promise<GcpResult>): Promise<GcpResult | undefined> {
    const answered = new AbortController();
    const waiting = sleep(runtime, PATIENCE_MS, answered.signal).then(() => undefined);
    return Promise.race([attempt, waiting]).finally(() => answered.abort());
  }

  return async (method, request, options) => {
    const need = needOf(method, request);
    if (!need || need.kind === 'write') return call(method, request, options);
    const place = `${need.api} ${need.project} ${need.region}`;
    const known = hanging.get(place);
    if (!known) return send(place, method, request, options);
    if (known.attempt) {
      await within2s(known.attempt);
      return hanging.get(place) ? noAnswer(need, known.first) : send(place, method, request, options);
    }
    known.attempt = send(place, method, request, options);
    return (await within2s(known.attempt)) ?? noAnswer(need, known.first);
  };
}

/** `first`: the message of the first read that got no answer. */
function noAnswer({ api, project, region }: Need, first: string): GcpResult {
  const where = `project ${project}${region === '' ? '' : `, region ${region}`}`;
  const message = `${api} does not answer in ${where} (${first}). The operator tries one read at a time until it does.`;
  return { ok: false, status: { code: 'UNAVAILABLE', message } };
}
