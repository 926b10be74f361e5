import type { GcpCall, GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { type Credentials, createCredentials } from './credentials.ts';
import { type Endpoints, endpointsFrom } from './endpoints.ts';
import { METHODS } from './methods.ts';
import { isAccount } from './resourceNames.ts';
import { answerOf, httpRequestOf } from './rest.ts';
import { CallError, createTransport } from './transport.ts';

interface GcpClientOptions {
  runtime: Runtime;
  endpoints?: Endpoints;
  credentials?: Credentials;
  /** Milliseconds after which the client aborts a call and answers DEADLINE_EXCEEDED. */
  timeouts?: { readMs: number; writeMs: number };
}

export interface GcpClient {
  call: GcpCall;
  /** Cancels calls in progress and closes idle connections. These calls, and all later ones, answer CANCELLED. */
  close(): void;
}

/**
 * Calls Google Cloud over REST. A call is one HTTP request and is never retried: the reconciler reads again instead. Requests and
 * answers are JSON and are not changed. A method that is not in `methods.ts` is a bug and throws. Credentials are loaded for the first
 * call that needs them.
 */
export function createGcpClient({
  runtime,
  endpoints = endpointsFrom(process.env),
  credentials = createCredentials(),
  timeouts = { readMs: 15_000, writeMs: 30_000 },
}: GcpClientOptions): GcpClient {
  const transport = createTransport(credentials, runtime.now);
  const closing = new AbortController();

  const call: GcpCall = async (name, request, options = {}) => {
    const method = METHODS.get(name);
    if (!method) throw new Error(`${name} is not a method that the operator may call`);
    const { actAs = '' } = options;
    if (actAs !== '' && !isAccount(actAs)) {
      return {
        ok: false,
        status: {
          code: 'INVALID_ARGUMENT',
          message: 'The service account to impersonate is not the e-mail address of a service account.',
        },
      };
    }
    const ms = method.write ? timeouts.writeMs : timeouts.readMs;
    const send = transport.send(endpoints[method.api], actAs);
    return untilEnd(
      runtime,
      ms,
      method.write,
      [closing.signal, ...(options.signal ? [options.signal] : [])],
      async signal => answerOf(await send({ ...httpRequestOf(method, request), signal })),
    );
  };

  return {
    call,
    close() {
      closing.abort();
      transport.close();
    },
  };
}

/**
 * Runs one call until it ends, its time-out expires or one of `signals` aborts. In the last two cases the request is aborted; a part that
 * ignores the signal, such as waiting for a token, continues, but its result is dropped.
 */
function untilEnd(
  runtime: Runtime,
  ms: number,
  write: boolean,
  signals: AbortSignal[],
  run: (signal: AbortSignal) => Promise<JsonObject>,
): Promise<GcpResult> {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    const tidy = () => {
      stopTimer();
      for (const signal of signals) signal.removeEventListener('abort', cancelled);
    };
    const end = (result: GcpResult) => {
      tidy();
      resolve(result);
    };
    const cut = (status: GcpStatus) => {
      end({ ok: false, status });
      controller.abort();
    };
    const effect = write ? '; the call may have taken effect.' : '.';
    const cancelled = () => cut({ code: 'CANCELLED', message: `The call was cancelled${effect}` });
    const stopTimer = runtime.after(ms, () =>
      cut({
        code: 'DEADLINE_EXCEEDED',
        message: `No answer within ${ms / 1000} s${effect}`,
        unanswered: 'unreachable',
      }),
    );
    if (signals.some(signal => signal.aborted)) return cancelled();
    for (const signal of signals) signal.addEventListener('abort', cancelled, { once: true });
    run(controller.signal).then(
      response => end({ ok: true, response }),
      (error: unknown) => {
        if (error instanceof CallError) return end({ ok: false, status: error.status });
        tidy();
        reject(error);
      },
    );
  });
}
