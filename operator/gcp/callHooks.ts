import type { GcpCall, GcpCode } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { type Api, METHODS } from './methods.ts';
import { resourceIn } from './resourceNames.ts';

export interface CallEnd {
  method: string;
  api: Api | 'unknown';
  write: boolean;
  /** The resource, or the parent of the list, that the request names; empty if it names none. */
  resource: string;
  code: GcpCode | 'OK';
  /** What an answer that is no success says. */
  message?: string;
  durationMs: number;
  /** For whom it was made, where it was made for one tenant alone. */
  tenant?: string;
}

export interface CallHooks {
  /** Before the call goes out; it waits for what this gives back (a quota's slot, a fence). */
  before?(method: string): Promise<void> | void;
  /** After it has ended, whichever way. */
  after?(end: CallEnd): void;
}

/** The same call, watched: the place for metrics and quotas. */
export function instrument(call: GcpCall, runtime: Runtime, hooks: CallHooks): GcpCall {
  return async (method, request, options) => {
    await hooks.before?.(method);
    const start = runtime.monotonic();
    const result = await call(method, request, options);
    const known = METHODS.get(method);
    hooks.after?.({
      method,
      api: known?.api ?? 'unknown',
      write: known?.write ?? true,
      resource: resourceIn(request),
      code: result.ok ? 'OK' : result.status.code,
      ...(!result.ok && { message: result.status.message }),
      durationMs: runtime.monotonic() - start,
      ...(options?.tenant && { tenant: options.tenant }),
    });
    return result;
  };
}
