import type { GcpCall } from '../ports/gcp.ts';
import type { KubeApi } from '../ports/kube.ts';

/**
 * Refuses calls while this process does not lead, so that no call starts after the lease is lost: not between the read and the write
 * of one step, and not when a process resumes that was suspended. The caller sees a call without an answer.
 */
export function fencedCall(call: GcpCall, mayAct: () => boolean): GcpCall {
  return async (method, request, options) =>
    mayAct() ? call(method, request, options) : { ok: false, status: { code: 'UNAVAILABLE', message: NOT_LEADING } };
}

/** Refuses writes to the cluster while this process does not lead. Reads and watches are allowed. */
export function fencedWrites(api: KubeApi, mayAct: () => boolean): KubeApi {
  const fenced =
    <A extends unknown[], R>(write: (...args: A) => Promise<R>) =>
    async (...args: A) =>
      mayAct() ? write(...args) : REFUSED;
  return { ...api, create: fenced(api.create), patch: fenced(api.patch), delete: fenced(api.delete) };
}

const NOT_LEADING = 'this replica does not lead';
const REFUSED = { ok: false as const, status: { code: 0, reason: 'NotLeading', message: NOT_LEADING } };
