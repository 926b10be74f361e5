import { type Dispatcher, request as httpRequest } from 'undici';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeList, KubeResource, KubeResult, KubeStatus, KubeWatchEvent } from '../../ports/kube.ts';
import { apiVersionOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { type Authorized, createConnection } from './connection.ts';
import type { KubeAccess } from './kubeconfig.ts';

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

export const PAGE_TOO_LARGE = 'PageTooLarge';

export interface KubeClientOptions {
  config: KubeAccess;
  runtime: Runtime;
  userAgent: string;
  /** Milliseconds until a request without an answer counts as lost; watches have their own. */
  requestTimeoutMs?: number;
}

/** The cluster that `config` points at. Credentials are read anew as they change: tokens, exec plug-ins, certificates. */
export function createKubeApi(options: KubeClientOptions): KubeApi & { close(): Promise<void> } {
  const { runtime, userAgent, requestTimeoutMs = 30_000 } = options;
  const connection = createConnection(options.config, runtime);

  /** One request, and a second one where the API server refused the credentials and there are others by now. */
  async function send(
    method: Method,
    path: string,
    signal: AbortSignal,
    body?: { type: string; json: unknown },
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
    body?: { type: string; json: unknown },
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
      return { ok: true, value: JSON.parse(text) };
    } catch (error) {
      return failed(noAnswer(error));
    } finally {
      cancelTimer();
      signal?.removeEventListener('abort', giveUp);
    }
  }

  return {
    async list(resource, { namespace, signal, maxBytes, ...query }) {
      const path = resourcePath(resource, { namespace, query: { ...query } });
      if (!path.ok) return path;
      const result = await call<KubeList>('GET', path.value, undefined, signal, maxBytes);
      // The items of a list leave out what the list itself says.
      if (result.ok) {
        const apiVersion = apiVersionOf(resource);
        result.value.items = (result.value.items ?? []).map(item => ({ apiVersion, kind: resource.kind, ...item }));
      }
      return result;
    },

    async watch(resource, { namespace, resourceVersion, timeoutSeconds, signal }, onEvent) {
      const query = { watch: 'true', allowWatchBookmarks: 'true', resourceVersion, timeoutSeconds };
      const path = resourcePath(resource, { namespace, query });
      if (!path.ok) return path;
      if (signal.aborted) return { ok: true, value: undefined };
      try {
        const response = await send('GET', path.value, signal);
        if (response.statusCode !== 200) {
          return failed(statusOf(response.statusCode, await response.body.text(), response.headers['retry-after']));
        }
        for await (const event of readEvents(response.body)) {
          if (signal.aborted) break;
          onEvent(event);
        }
        return { ok: true, value: undefined };
      } catch (error) {
        return signal.aborted ? { ok: true, value: undefined } : failed(noAnswer(error));
      }
    },

    async get(resource, namespace, name) {
      const path = resourcePath(resource, { namespace, name });
      return path.ok ? call('GET', path.value) : path;
    },

    async create(resource, namespace, object) {
      const path = resourcePath(resource, { namespace });
      if (!path.ok) return path;
      const json = { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object };
      return call('POST', path.value, { type: 'application/json', json });
    },

    async patch(resource, namespace, name, patch, { subresource } = {}) {
      const path = resourcePath(resource, { namespace, name, subresource });
      if (!path.ok) return path;
      return call('PATCH', path.value, { type: 'application/merge-patch+json', json: patch });
    },

    async delete(resource, namespace, name, preconditions) {
      const path = resourcePath(resource, { namespace, name });
      if (!path.ok) return path;
      const json = { apiVersion: 'v1', kind: 'DeleteOptions', ...(preconditions && { preconditions }) };
      const result = await call<JsonObject>('DELETE', path.value, { type: 'application/json', json });
      return result.ok ? { ok: true, value: undefined } : result;
    },

    close: () => connection.close(),
  };
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
    // Leaving the loop destroys the body, and with it the connection: nothing more is received.
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

/** The lines of a watch. The last one of a torn stream can't be parsed and is left out: the next watch gets it again. */
async function* readEvents(body: AsyncIterable<Buffer>): AsyncGenerator<KubeWatchEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = parseEvent(line);
      if (event) yield event;
    }
  }
  const last = parseEvent(rest);
  if (last) yield last;
}

function parseEvent(line: string): KubeWatchEvent | undefined {
  try {
    const event = JSON.parse(line) as Partial<KubeWatchEvent> | null;
    return event?.type && event.object ? (event as KubeWatchEvent) : undefined;
  } catch {
    return undefined;
  }
}

interface PathParts {
  namespace?: string;
  name?: string;
  subresource?: string;
  query?: Record<string, string | number | undefined>;
}

function resourcePath(resource: KubeResource, { namespace, name, subresource, query }: PathParts): KubeResult<string> {
  const segments = [resource.group === '' ? 'api' : `apis/${resource.group}`, resource.version];
  for (const part of [namespace, name]) {
    // What the API server refuses as a path segment, refused before it can mean another URL.
    if (part !== undefined && (part === '' || part === '.' || part === '..' || /[/%]/.test(part))) {
      return failed({ code: 400, reason: 'BadRequest', message: `${JSON.stringify(part)} is not a name` });
    }
  }
  if (resource.namespaced && namespace !== undefined) segments.push('namespaces', encodeURIComponent(namespace));
  segments.push(resource.plural);
  if (name !== undefined) segments.push(encodeURIComponent(name));
  if (subresource) segments.push(subresource);
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) search.set(key, String(value));
  return { ok: true, value: `/${segments.join('/')}${search.size > 0 ? `?${search}` : ''}` };
}

function failed(status: KubeStatus): { ok: false; status: KubeStatus } {
  return { ok: false, status };
}

/** The `Status` that the API server answered, or what stands in for one where something between us answered. */
function statusOf(code: number, text: string, retryAfter: string | string[] | undefined): KubeStatus {
  let body: { kind?: unknown; reason?: unknown; message?: unknown; details?: { retryAfterSeconds?: unknown } } = {};
  try {
    body = JSON.parse(text) ?? {};
  } catch {
    // Not JSON: a proxy's page.
  }
  const seconds = Number(retryAfter ?? body.details?.retryAfterSeconds);
  return {
    code,
    reason: typeof body.reason === 'string' ? body.reason : '',
    message: typeof body.message === 'string' ? body.message : text.slice(0, 200) || `HTTP ${code}`,
    ...(seconds > 0 && { retryAfterMs: seconds * 1000 }),
  };
}

function noAnswer(error: unknown): KubeStatus {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return { code: 0, reason: 'NoAnswer', message: cause instanceof Error ? cause.message : String(cause) };
}
