import type { GcpCall, GcpCode, Runtime } from '../ports.ts';
import { type Api, METHODS } from './methods.ts';

export interface CallEnd {
  method: string;
  api: Api | 'unknown';
  write: boolean;
  code: GcpCode | 'OK';
  durationMs: number;
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
      code: result.ok ? 'OK' : result.status.code,
      durationMs: runtime.monotonic() - start,
    });
    return result;
  };
}
