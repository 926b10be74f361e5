import { KubeConfig, Watch } from '@kubernetes/client-node';
import { request as httpRequest } from 'undici';
import type {
  JsonObject,
  KubeApi,
  KubeList,
  KubeObject,
  KubeResource,
  KubeResult,
  KubeStatus,
  KubeWatchEvent,
  Runtime,
} from '../ports.ts';
import { createConnection } from './connection.ts';
import { apiVersionOf } from './resources.ts';

export interface KubeClientOptions {
  config: KubeConfig;
  runtime: Runtime;
  userAgent: string;
  /** Milliseconds until a request without an answer counts as lost; watches have their own. */
  requestTimeoutMs?: number;
}

/** $KUBECONFIG, else ~/.kube/config, else the pod's service account, else localhost:8080. Throws on a broken file. */
export function loadKubeConfig(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromDefault();
  return config;
}

/** The cluster that `config` points at. Credentials are read anew as they change: tokens, exec plug-ins, certificates. */
export function createKubeApi(options: KubeClientOptions): KubeApi & { close(): Promise<void> } {
  const { runtime, userAgent, requestTimeoutMs = 30_000 } = options;
  const connection = createConnection(options.config);

  const watchConfig: KubeConfig = Object.create(connection.config);
  watchConfig.applySecurityAuthentication = async context => {
    const { headers, dispatcher } = await connection.current();
    for (const [name, value] of Object.entries({ ...headers, 'User-Agent': userAgent })) {
      context.setHeaderParam(name, value);
    }
    context.setDispatcher(dispatcher);
  };
  const watcher = new Watch(watchConfig);

  async function call<T>(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: { type: string; json: unknown },
    signal?: AbortSignal,
  ): Promise<KubeResult<T>> {
    const abort = new AbortController();
    const giveUp = () => abort.abort(new Error('cancelled by the caller'));
    if (signal?.aborted) giveUp();
    signal?.addEventListener('abort', giveUp, { once: true });
    const cancelTimer = runtime.after(requestTimeoutMs, () =>
      abort.abort(new Error(`no answer within ${requestTimeoutMs / 1000} s`)),
    );
    try {
      const { headers, dispatcher } = await connection.current();
      const response = await httpRequest(connection.server + path, {
        method,
        dispatcher,
        signal: abort.signal,
        headers: {
          ...headers,
          'User-Agent': userAgent,
          Accept: 'application/json',
          ...(body && { 'Content-Type': body.type }),
        },
        ...(body && { body: JSON.stringify(body.json) }),
      });
      const text = await response.body.text();
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
    async list(resource, { namespace, signal, ...query }) {
      const path = resourcePath(resource, { namespace, query: { ...query } });
      if (!path.ok) return path;
      const result = await call<KubeList>('GET', path.value, undefined, signal);
      // The items of a list leave out what the list itself says.
      if (result.ok) {
        const apiVersion = apiVersionOf(resource);
        result.value.items = (result.value.items ?? []).map(item => ({ apiVersion, kind: resource.kind, ...item }));
      }
      return result;
    },

    async watch(resource, { namespace, resourceVersion, timeoutSeconds, signal }, onEvent) {
      const path = resourcePath(resource, { namespace });
      if (!path.ok) return path;
      const query = { allowWatchBookmarks: true, resourceVersion, timeoutSeconds };
      return watchOnce(watcher, path.value, query, signal, onEvent);
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

/**
 * client-node's `Watch` as one promise. Three things about 2.0.1 show here: it can be aborted only once the server has
 * answered, it may go on calling back after it is done, and it drops a line that it can't parse (only ever the last one
 * of a torn stream, which the next watch gets again). It also cuts a watch that is silent for 30 s: ask for shorter ones.
 */
function watchOnce(
  watcher: Watch,
  path: string,
  query: Record<string, string | number | boolean>,
  signal: AbortSignal,
  onEvent: (event: KubeWatchEvent) => void,
): Promise<KubeResult<undefined>> {
  return new Promise(resolve => {
    let ended = false;
    let connection: AbortController | undefined;
    const end = (error?: unknown) => {
      if (ended) return;
      ended = true;
      signal.removeEventListener('abort', onAbort);
      connection?.abort();
      resolve(error ? failed(watchStatus(error)) : { ok: true, value: undefined });
    };
    const onAbort = () => end();
    if (signal.aborted) return end();
    signal.addEventListener('abort', onAbort, { once: true });
    const onLine = (type: string, object: KubeObject) => {
      if (!ended) onEvent({ type: type as KubeWatchEvent['type'], object });
    };
    watcher.watch(path, query, onLine, end).then(
      controller => {
        connection = controller;
        if (ended) controller.abort();
      },
      (error: unknown) => end(error),
    );
  });
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

function watchStatus(error: unknown): KubeStatus {
  const { statusCode } = error as { statusCode?: unknown };
  if (typeof statusCode !== 'number') return noAnswer(error);
  return { code: statusCode, reason: '', message: `the watch was answered with HTTP ${statusCode}` };
}
