import { type Dispatcher, request as httpRequest } from 'undici';
import type { KubeResult, KubeStatus } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { shareStrings } from '../collections/commonStrings.ts';
import { type Authorized, createConnection } from './connection.ts';
import type { KubeAccess } from './kubeconfig.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';
type Body = { type: string; json: unknown };

/** The `reason` of the failure if an answer is longer than the caller allows. */
export const PAGE_TOO_LARGE = 'PageTooLarge';

export interface KubeClientOptions {
  config: KubeAccess;
  runtime: Runtime;
  userAgent: string;
  /** Milliseconds until a request without an answer counts as lost; a watch has a time limit of its own. */
  requestTimeoutMs?: number;
}

/** HTTP requests to the API server of `config`. Tokens, exec plug-ins and certificates are read again when they change. */
export function createKubeRequests({ config, runtime, userAgent, requestTimeoutMs = 30_000 }: KubeClientOptions) {
  const connection = createConnection(config, runtime);

  /** Makes one request, and a second one if the API server refuses the credentials and there are newer ones. */
  async function send(
    method: Method,
    path: string,
    signal: AbortSignal,
    body?: Body,
  ): Promise<Dispatcher.ResponseData> {
    const ask = ({ headers, dispatcher }: Authorized) =>
      httpRequest(connection.server + path, {
        method,
        dispatcher,
        signal,
        headers: {
          ...headers,
          'User-Agent': userAgent,
          Accept: 'application/json',
          ...(body && { 'Content-Type': body.type }),
        },
        ...(body && { body: JSON.stringify(body.json) }),
      });
    const authorized = await unlessAborted(connection.current(), signal);
    const response = await ask(authorized);
    if (response.statusCode !== 401) return response;
    const renewed = await unlessAborted(connection.renew(authorized), signal);
    if (!renewed) return response;
    await response.body.dump();
    return ask(renewed);
  }

  async function call<T>(
    method: Method,
    path: string,
    body?: Body,
    signal?: AbortSignal,
    maxBytes?: number,
  ): Promise<KubeResult<T>> {
    const abort = new AbortController();
    const giveUp = () => abort.abort(new Error('cancelled by the caller'));
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });
    const cancelTimer = runtime.after(requestTimeoutMs, () =>
      abort.abort(new Error(`no answer within ${requestTimeoutMs / 1000} s`)),
    );
    try {
      const response = await send(method, path, abort.signal, body);
      const text = await textOf(response.body, maxBytes);
      if (text === undefined) {
        return failed({ code: 0, reason: PAGE_TOO_LARGE, message: `the answer has more than ${maxBytes} bytes` });
      }
      if (response.statusCode < 200 || response.statusCode > 299) {
        return failed(statusOf(response.statusCode, text, response.headers['retry-after']));
      }
      return { ok: true, value: shareStrings(JSON.parse(text)) };
    } catch (error) {
      return failed(noAnswer(error, config.proxyUrl));
    } finally {
      cancelTimer();
      signal?.removeEventListener('abort', giveUp);
    }
  }

  return { send, call, close: connection.close };
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener('abort', onAbort));
}

/** The whole body; undefined, with the rest unread, if it has more than `maxBytes`. */
async function textOf(body: Dispatcher.ResponseData['body'], maxBytes = Number.POSITIVE_INFINITY) {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop destroys the body and the connection, so nothing more is received.
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

export function failed(status: KubeStatus): { ok: false; status: KubeStatus } {
  return { ok: false, status };
}

/** The `Status` that the API server answered, or one made from the answer of a proxy. */
export function statusOf(code: number, text: string, retryAfter: string | string[] | undefined): KubeStatus {
  let body: { kind?: unknown; reason?: unknown; message?: unknown; details?: { retryAfterSeconds?: unknown } } = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // Not JSON: an error page of a proxy.
  }
  const seconds = Number(retryAfter ?? body.details?.retryAfterSeconds);
  return {
    code,
    reason: typeof body.reason === 'string' ? body.reason : '',
    message: typeof body.message === 'string' ? body.message : text.slice(0, 200) || `HTTP ${code}`,
    ...(seconds > 0 && { retryAfterMs: seconds * 1000 }),
  };
}

/** The status of a request without an answer. `proxyUrl`: the proxy by which it went, which may be what did not answer. */
export function noAnswer(error: unknown, proxyUrl?: string): KubeStatus {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const words = withoutOpenSsl(cause instanceof Error ? cause.message : String(cause));
  // The message of an exec plug-in is about this machine. A proxy's address may hold a password.
  const by = proxyUrl === undefined || words.startsWith('the exec plug-in ') ? '' : new URL(proxyUrl).host;
  const way = by === '' ? '' : `, by way of the proxy ${by} (proxy-url of the kubeconfig, or HTTPS_PROXY)`;
  return { code: 0, reason: 'NoAnswer', message: words + way };
}

/** An error of OpenSSL without the numbers of its thread and its source, which differ each time. */
function withoutOpenSsl(message: string): string {
  const reason = /(?:^|:)error:[0-9A-F]+:[^:]*:[^:]*:([^:]+)/.exec(message)?.[1];
  if (reason === undefined) return message;
  return reason === 'wrong version number'
    ? 'the address begins with https, and what answers there does not speak TLS (is it http?)'
    : `TLS: ${reason}`;
}
