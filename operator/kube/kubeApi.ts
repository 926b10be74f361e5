import type { KubeApi, KubeList, KubeObject, KubeResource, KubeResult, KubeWatchEvent } from '../../ports/kube.ts';
import { apiVersionOf } from '../../ports/kubeResources.ts';
import { shareStrings } from '../collections/commonStrings.ts';
import { createKubeRequests, failed, type KubeClientOptions, noAnswer, statusOf } from './kubeRequests.ts';

/** A proxy or another server can answer a read with status 200 and JSON that is no object of Kubernetes. */
const FOREIGN = { code: 0, reason: 'NoAnswer', message: 'the answer is JSON, but not that of a Kubernetes API server' };

/** Whether a value has `metadata`, as every object and every list of Kubernetes has. */
function isObject(value: unknown): value is Pick<KubeObject, 'metadata'> {
  const { metadata } = (value ?? {}) as { metadata?: unknown };
  return typeof metadata === 'object' && metadata !== null;
}

/** The port to the cluster, by REST. */
export function createKubeApi(options: KubeClientOptions): KubeApi & { close(): Promise<void> } {
  const { send, call, close } = createKubeRequests(options);
  return {
    async list(resource, { namespace, signal, maxBytes, ...query }) {
      const path = resourcePath(resource, { namespace, query: { ...query } });
      if (!path.ok) return path;
      const result = await call<KubeList>('GET', path.value, undefined, signal, maxBytes);
      if (!result.ok) return result;
      const { value } = result;
      const items: unknown = value?.items ?? [];
      if (!isObject(value) || !Array.isArray(items) || !items.every(isObject)) return failed(FOREIGN);
      // The API server leaves out apiVersion and kind of the items of a list.
      const apiVersion = apiVersionOf(resource);
      value.items = items.map(item => ({ apiVersion, kind: resource.kind, ...item }));
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
        return signal.aborted ? { ok: true, value: undefined } : failed(noAnswer(error, options.config.proxyUrl));
      }
    },

    async get(resource, namespace, name) {
      const path = resourcePath(resource, { namespace, name });
      if (!path.ok) return path;
      const result = await call<KubeObject>('GET', path.value);
      return result.ok && !isObject(result.value) ? failed(FOREIGN) : result;
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
      const result = await call<unknown>('DELETE', path.value, { type: 'application/json', json });
      return result.ok ? { ok: true, value: undefined } : result;
    },

    close,
  };
}

/** Parses the events of a watch, one on each line. The last line of a broken stream is left out if it cannot be parsed: the next watch gets it again. */
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
    const event = shareStrings(JSON.parse(line)) as Partial<KubeWatchEvent> | null;
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
    // The API server refuses such a path segment too. It is refused here because it could lead to another URL.
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
