import type { Json, JsonObject } from '../../../ports/json.ts';
import type {
  KubeApi,
  KubeMeta,
  KubeObject,
  KubeResource,
  KubeResult,
  KubeStatus,
  KubeWatchEvent,
} from '../../../ports/kube.ts';
import { keyOf } from '../../../ports/kubeResources.ts';

interface FakeRequest {
  verb: 'list' | 'watch' | 'get' | 'create' | 'patch' | 'delete';
  plural: string;
  namespace?: string;
  name?: string;
  body?: JsonObject;
  options?: Record<string, unknown>;
}

/** What becomes of a request: nothing special, refused, lost with or without its effect, or held until let go. */
type Fault = undefined | KubeStatus | 'lost' | 'lost-after' | Promise<void>;

export interface FakeKube extends KubeApi {
  /** Every request so far. */
  requests: FakeRequest[];
  /** Asked before each request. */
  fault: (request: FakeRequest) => Fault;
  /** Somebody else creates or replaces an object. */
  put(resource: KubeResource, object: { metadata: KubeMeta; [key: string]: unknown }): KubeObject;
  /** Somebody else deletes one. */
  remove(resource: KubeResource, key: string): void;
  /** What is there, by key. */
  all(resource: KubeResource): Map<string, KubeObject>;
  /** Watches that are open now; `send` gives all of them an event, `end` ends them. */
  watches(): number;
  send(event: KubeWatchEvent): void;
  end(status?: KubeStatus): void;
  /** No event reaches an open watch any more, and none of them ends by itself. */
  blackHole(): void;
  /** Watches from before this moment get 410. */
  compact(): void;
  bookmark(): void;
  /** The state of now; called later, it restores that state, as from a backup of etcd, and all watches end. */
  backup(): () => void;
}

export const refused = (code: number, reason = '', retryAfterMs?: number): KubeStatus => ({
  code,
  reason,
  message: `refused with ${code}`,
  retryAfterMs,
});

/** A cluster in a few maps: enough of one for what `operator/kube` asks, with every way to fail that it must survive. */
export function fakeKube(): FakeKube {
  let version = 100;
  let uid = 0;
  let compacted = 0;
  const kinds = new Map<string, Map<string, KubeObject>>();
  const log: { plural: string; version: number; event: KubeWatchEvent }[] = [];
  interface Watch {
    plural: string;
    namespace: string | undefined;
    /** Nothing up to this resourceVersion is sent, as it may be one that the server has not reached. */
    from: number;
    dead: boolean;
    onEvent: (event: KubeWatchEvent) => void;
    end: (result: KubeResult<undefined>) => void;
  }
  const open = new Set<Watch>();
  const pages = new Map<string, KubeObject[]>();

  const kind = (plural: string) => {
    const found = kinds.get(plural) ?? new Map<string, KubeObject>();
    kinds.set(plural, found);
    return found;
  };
  const no = (code: number, reason = ''): { ok: false; status: KubeStatus } => ({
    ok: false,
    status: refused(code, reason),
  });

  function emit(plural: string, type: KubeWatchEvent['type'], object: KubeObject) {
    const event = { type, object: structuredClone(object) };
    log.push({ plural, version, event });
    for (const watch of open) {
      if (watch.plural !== plural || watch.dead || version <= watch.from) continue;
      if (watch.namespace === undefined || watch.namespace === object.metadata.namespace) watch.onEvent(event);
    }
  }

  function store(plural: string, object: KubeObject) {
    const key = keyOf(object.metadata);
    const old = kind(plural).get(key);
    const metadata = {
      ...object.metadata,
      uid: old?.metadata.uid ?? `uid-${++uid}`,
      resourceVersion: String(++version),
    };
    const stored = { ...object, metadata };
    kind(plural).set(key, stored);
    emit(plural, old ? 'MODIFIED' : 'ADDED', stored);
    return structuredClone(stored);
  }

  function erase(plural: string, key: string) {
    const old = kind(plural).get(key);
    if (!old) return;
    kind(plural).delete(key);
    emit(plural, 'DELETED', { ...old, metadata: { ...old.metadata, resourceVersion: String(++version) } });
  }

  async function answer<T>(request: FakeRequest, act: () => KubeResult<T>): Promise<KubeResult<T>> {
    fake.requests.push(structuredClone(request));
    const fault = fake.fault(request);
    await undefined;
    if (fault === 'lost') return no(0, 'NoAnswer');
    if (fault instanceof Promise) await fault;
    else if (typeof fault === 'object') return { ok: false, status: fault };
    const result = act();
    return fault === 'lost-after' ? no(0, 'NoAnswer') : structuredClone(result);
  }

  const fake: FakeKube = {
    requests: [],
    fault: () => undefined,
    put: ({ plural }, object) => store(plural, object),
    remove: ({ plural }, key) => erase(plural, key),
    all: ({ plural }) => kind(plural),
    watches: () => open.size,
    send(event) {
      for (const watch of [...open]) watch.onEvent(event);
    },
    end(status) {
      for (const watch of [...open]) watch.end(status ? { ok: false, status } : { ok: true, value: undefined });
    },
    blackHole() {
      for (const watch of open) watch.dead = true;
    },
    compact() {
      compacted = ++version;
    },
    bookmark() {
      const metadata = { resourceVersion: String(version) } as KubeObject['metadata'];
      for (const watch of open) {
        if (!watch.dead && version > watch.from) watch.onEvent({ type: 'BOOKMARK', object: { metadata } });
      }
    },
    backup() {
      const saved = { version, kinds: structuredClone(kinds), events: log.length };
      return () => {
        version = saved.version;
        kinds.clear();
        for (const [plural, objects] of structuredClone(saved.kinds)) kinds.set(plural, objects);
        log.length = saved.events;
        for (const watch of [...open]) watch.end(no(0, 'NoAnswer'));
      };
    },

    list: ({ plural }, { namespace, limit = 500, continue: token }) =>
      answer({ verb: 'list', plural, namespace, options: { limit, continue: token } }, () => {
        const of = (object: KubeObject) => namespace === undefined || object.metadata.namespace === namespace;
        const items = token === undefined ? [...kind(plural).values()].filter(of) : pages.get(token);
        if (!items) return no(410, 'Expired');
        const rest = items.slice(limit);
        const next = rest.length > 0 ? `page-${pages.size}` : undefined;
        if (next) pages.set(next, rest);
        return {
          ok: true,
          value: { metadata: { resourceVersion: String(version), continue: next }, items: items.slice(0, limit) },
        };
      }),

    async watch({ plural }, { namespace, resourceVersion, timeoutSeconds, signal }, onEvent) {
      const request: FakeRequest = { verb: 'watch', plural, namespace, options: { resourceVersion, timeoutSeconds } };
      const started = await answer(request, () => ({ ok: true, value: undefined }));
      if (!started.ok || signal.aborted) return started;
      const from = Number(resourceVersion);
      if (from < compacted) return no(410, 'Expired');
      return new Promise(resolve => {
        const end = (result: KubeResult<undefined>) => {
          open.delete(watch);
          resolve(result);
        };
        const watch: Watch = { plural, namespace, from, dead: false, onEvent, end };
        open.add(watch);
        signal.addEventListener('abort', () => end({ ok: true, value: undefined }), { once: true });
        for (const past of log) {
          if (past.plural !== plural || past.version <= from) continue;
          if (namespace === undefined || past.event.object.metadata.namespace === namespace) onEvent(past.event);
        }
      });
    },

    get: ({ plural }, namespace, name) =>
      answer({ verb: 'get', plural, namespace, name }, () => {
        const value = kind(plural).get(keyOf({ namespace, name }));
        return value ? { ok: true, value } : no(404, 'NotFound');
      }),

    create: ({ plural }, namespace, object) =>
      answer({ verb: 'create', plural, namespace, body: object as JsonObject }, () => {
        const { name } = object.metadata;
        if (kind(plural).has(keyOf({ namespace, name }))) return no(409, 'AlreadyExists');
        return { ok: true, value: store(plural, { ...object, metadata: { ...object.metadata, namespace } }) };
      }),

    patch: ({ plural }, namespace, name, patch, options) =>
      answer({ verb: 'patch', plural, namespace, name, body: patch, options: { ...options } }, () => {
        const old = kind(plural).get(keyOf({ namespace, name }));
        if (!old) return no(404, 'NotFound');
        const expected = (patch.metadata as JsonObject | undefined)?.resourceVersion;
        if (expected !== undefined && expected !== old.metadata.resourceVersion) return no(409, 'Conflict');
        return { ok: true, value: store(plural, merged(old as JsonObject, patch) as unknown as KubeObject) };
      }),

    delete: ({ plural }, namespace, name) =>
      answer({ verb: 'delete', plural, namespace, name }, () => {
        const key = keyOf({ namespace, name });
        if (!kind(plural).has(key)) return no(404, 'NotFound');
        erase(plural, key);
        return { ok: true, value: undefined };
      }),
  };
  return fake;
}

/** RFC 7386, as written there. */
export function merged(target: Json | undefined, patch: Json): Json {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const isObject = typeof target === 'object' && target !== null && !Array.isArray(target);
  const result: JsonObject = isObject ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = merged(result[key], value);
  }
  return result;
}
