import type { GcpCall, GcpResult } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import { type Need, needOf } from './quota.ts';

/** How long a reconcile waits for a read where the last one was given up without an answer. */
const PATIENCE_MS = 2_000;
/** More places than hang at once in any outage. */
const MOST = 1_000;

/**
 * Keeps reconciles from waiting for an API that hangs in a project (and region, for Cloud Run). After a read that ended with
 * DEADLINE_EXCEEDED one read at a time tries again there, for its full time-out; whoever asks meanwhile waits for that one for
 * 2 s, and is answered UNAVAILABLE without a call. So an edit goes on with what the other APIs answer, and no worker is lost to
 * the one that hangs. Any answer ends it. Writes are never held back.
 */
export function createBulkhead(call: GcpCall, runtime: Runtime): GcpCall {
  /** Places that hang, with the read that tries again there, if one runs. */
  const hanging = createRecent<{ first: string; attempt?: Promise<GcpResult> }>(runtime, { most: MOST });

  async function made(place: string, ...args: Parameters<GcpCall>): Promise<GcpResult> {
    const result = await call(...args);
    if (!result.ok && result.status.code === 'DEADLINE_EXCEEDED') {
      hanging.set(place, { first: hanging.get(place)?.first ?? result.status.message });
    } else {
      hanging.delete(place);
    }
    return result;
  }

  /** What `attempt` answers; undefined: nothing for 2 s. */
  async function patiently(attempt: Promise<GcpResult>): Promise<GcpResult | undefined> {
    const answered = new AbortController();
    const waiting = sleep(runtime, PATIENCE_MS, answered.signal).then(() => undefined);
    return Promise.race([attempt, waiting]).finally(() => answered.abort());
  }

  return async (method, request, options) => {
    const need = needOf(method, request);
    if (!need || need.kind === 'write') return call(method, request, options);
    const place = `${need.api} ${need.project} ${need.region}`;
    const known = hanging.get(place);
    if (!known) return made(place, method, request, options);
    if (known.attempt) {
      await patiently(known.attempt);
      return hanging.get(place) ? noAnswer(need, known.first) : made(place, method, request, options);
    }
    known.attempt = made(place, method, request, options);
    return (await patiently(known.attempt)) ?? noAnswer(need, known.first);
  };
}

/** `first`: what ended the first read that was given up. */
function noAnswer({ api, project, region }: Need, first: string): GcpResult {
  const where = `project ${project}${region === '' ? '' : `, region ${region}`}`;
  const message = `${api} does not answer in ${where} (${first}). The operator tries one read at a time until it does.`;
  return { ok: false, status: { code: 'UNAVAILABLE', message } };
}
