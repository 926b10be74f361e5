import type { GcpCall, GcpCode } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { type Api, METHODS } from './methods.ts';
import { resourceIn } from './resourceNames.ts';

export interface CallEnd {
  method: string;
  api: Api | 'unknown';
  write: boolean;
  /** The resource that the request names (`resourceIn`). */
  resource: string;
  code: GcpCode | 'OK';
  /** The error message of a call that failed. */
  message?: string;
  durationMs: number;
  /** The tenant that the call was made for; absent for calls that tenants share. */
  tenant?: string;
}

interface CallHooks {
  /** Runs before the call; the call is sent when its promise has resolved. */
  before?(method: string): Promise<void> | void;
  /** Runs after the call, whether it has succeeded or not. */
  after?(end: CallEnd): void;
}

/** Wraps a call with hooks, for metrics and logs. */
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
