import type { GcpCall } from '../ports/gcp.ts';
import type { KubeApi } from '../ports/kube.ts';

/**
 * Asks before each call whether this process may still act, so that none starts once the lease is lost: not between the
 * read and the write of one step, and not when a process wakes that stood still. What was refused looks like an answer
 * that never came.
 */
export function fencedCall(call: GcpCall, mayAct: () => boolean): GcpCall {
  return async (method, request, options) =>
    mayAct() ? call(method, request, options) : { ok: false, status: { code: 'UNAVAILABLE', message: NOT_LEADING } };
}

/** The same for writes to the cluster; reading and watching go on. */
export function fencedWrites(api: KubeApi, mayAct: () => boolean): KubeApi {
  const fenced =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A) =>
      mayAct() ? write(...args) : REFUSED;
  return { ...api, create: fenced(api.create), patch: fenced(api.patch), delete: fenced(api.delete) };
}

const NOT_LEADING = 'this replica does not lead';
const REFUSED = { ok: false as const, status: { code: 0, reason: 'NotLeading', message: NOT_LEADING } };
