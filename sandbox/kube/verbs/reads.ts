import type { Runtime } from '../../../ports/runtime.ts';
import type { ResourceDef, StoredObject, Target } from '../resources/resource.ts';
import { badRequest, expired, failure, type Status, type StatusError } from '../status.ts';
import type { Store, StoreEvent } from '../store.ts';
import { type FieldTerm, fieldSelector, labelSelector } from './selectors.ts';

export interface ListOptions {
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
}

export interface ListResult {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: StoredObject[];
}

export interface WatchOptions extends ListOptions {
  timeoutSeconds?: number;
  allowWatchBookmarks?: boolean;
  sendInitialEvents?: boolean;
}

export type WatchEvent =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'; object: StoredObject }
  | { type: 'ERROR'; object: Status };

export interface WatchSink {
  event(event: WatchEvent): void;
  end(): void;
}

export interface OpenWatch {
  def: ResourceDef;
  namespace: string | undefined;
  /** Ends it, as a cut connection would. */
  stop(): void;
  pause(): void;
  resume(): void;
}

export type Reads = ReturnType<typeof createReads>;

/** `list` and `watch` over the store. */
export function createReads(store: Store, runtime: Runtime, watchDelayMs: () => number) {
  const watches = new Set<OpenWatch>();

  function filter(target: Target, options: ListOptions): (object: StoredObject) => boolean {
    const byLabel = labelSelector(options.labelSelector);
    const terms = fieldSelector(options.fieldSelector);
    const values = terms.map(term => ({ ...term, read: fieldReader(target, term) }));
    return object => {
      if (target.namespace !== undefined && object.metadata.namespace !== target.namespace) return false;
      if (target.name !== undefined && object.metadata.name !== target.name) return false;
      if (!byLabel(object.metadata.labels ?? {})) return false;
      return values.every(({ read, equal, value }) => (read(object) === value) === equal);
    };
  }

  function fieldReader({ def }: Target, { field }: FieldTerm): (object: StoredObject) => string {
    if (field === 'metadata.name') return object => object.metadata.name;
    if (field === 'metadata.namespace' && (def.namespaced || !def.custom))
      return object => object.metadata.namespace ?? '';
    const read = def.selectable[field];
    if (read) return read;
    const known = def.custom || Object.keys(def.selectable).length > 0;
    throw badRequest(
      known
        ? `field label not supported: ${field}`
        : `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`,
    );
  }

  function list(target: Target, options: ListOptions): ListResult {
    const { def, version } = target;
    const matches = filter(target, options);
    const token = options.continue ? decodeToken(options.continue) : undefined;
    const wanted = revisionOf(options.resourceVersion, why => badRequest(`invalid resource version: ${why}`));
    if (wanted !== undefined && wanted > store.revision()) {
      throw failure(504, 'Timeout', `Timeout: Too large resource version: ${wanted}, current: ${store.revision()}`, {
        causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
        retryAfterSeconds: 1,
      });
    }
    const exact = options.resourceVersionMatch === 'Exact' ? wanted : undefined;
    const at = token ? token.revision : (exact ?? store.revision());
    const all = store.list(def.storage, at);
    if (!all) {
      if (!token) throw expired(`The resourceVersion for the provided list is too old.`);
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
        encodeToken({ revision: store.revision(), after: token.after }),
      );
    }
    const found = all.filter(([key, object]) => (!token || key > token.after) && matches(object));
    const page = options.limit ? found.slice(0, options.limit) : found;
    const metadata: ListResult['metadata'] = { resourceVersion: String(at) };
    const last = page.at(-1);
    if (page.length < found.length && last) {
      metadata.continue = encodeToken({ revision: at, after: last[0] });
      // As in kube-apiserver, whose count of the remaining ones cannot see through a selector.
      if (!options.labelSelector && !options.fieldSelector) metadata.remainingItemCount = found.length - page.length;
    }
    return { metadata, items: page.map(([, object]) => version.fromStored(object)) };
  }

  /** Opens a watch. Refusals throw; a forgotten resourceVersion is told as an ERROR event, as kube-apiserver does. */
  function watch(target: Target, options: WatchOptions, sink: WatchSink): OpenWatch {
    const { def, version, namespace } = target;
    const matches = filter(target, options);
    const since = revisionOf(options.resourceVersion, why => failure(500, '', why));
    let queue: WatchEvent[] = [];
    let paused = false;
    let ended = false;
    let cancelFlush: (() => void) | undefined;
    const timers: (() => void)[] = [];

    const flush = () => {
      cancelFlush = undefined;
      if (paused) return;
      const events = queue;
      queue = [];
      for (const event of events) {
        if (ended) return;
        sink.event(event);
        if (event.type === 'ERROR') stop();
      }
    };
    const send = (event: WatchEvent) => {
      if (ended) return;
      queue.push(event);
      if (!paused) cancelFlush ??= runtime.after(watchDelayMs(), flush);
    };
    const stop = () => {
      if (ended) return;
      ended = true;
      watches.delete(open);
      unsubscribe();
      cancelFlush?.();
      for (const cancel of timers) cancel();
      sink.end();
    };
    const open: OpenWatch = {
      def,
      namespace,
      stop,
      pause: () => {
        paused = true;
      },
      resume: () => {
        paused = false;
        if (!ended) cancelFlush ??= runtime.after(watchDelayMs(), flush);
      },
    };
    const bookmark = (annotations?: Record<string, string>, revision = store.revision()) => {
      const apiVersion = def.group ? `${def.group}/${version.name}` : version.name;
      const metadata = { resourceVersion: String(revision), annotations } as unknown as StoredObject['metadata'];
      if (!annotations) delete metadata.annotations;
      send({ type: 'BOOKMARK', object: { kind: def.kind, apiVersion, metadata } });
    };
    const relay = (event: StoreEvent) => {
      // A watch from a resourceVersion of the future is silent until the server gets there, as kube-apiserver 1.37's is.
      if (since !== undefined && event.revision <= since) return;
      const before = event.old !== undefined && matches(event.old);
      const now = event.type !== 'DELETED' && matches(event.object);
      if (!before && !now) return;
      const type = !now ? 'DELETED' : before ? 'MODIFIED' : 'ADDED';
      // An object that has left the selection is told as it last was in it, with the resourceVersion of now.
      const object =
        type === 'DELETED' && event.type !== 'DELETED' && event.old
          ? { ...event.old, metadata: { ...event.old.metadata, resourceVersion: String(event.revision) } }
          : event.object;
      send({ type, object: version.fromStored(object) });
    };

    let unsubscribe = () => {};
    watches.add(open);
    if (since === undefined || options.sendInitialEvents) {
      if (options.sendInitialEvents !== false) {
        for (const [, object] of store.list(def.storage) ?? []) {
          if (matches(object)) send({ type: 'ADDED', object: version.fromStored(object) });
        }
      }
      if (options.sendInitialEvents) bookmark({ 'k8s.io/initial-events-end': 'true' });
    } else {
      const missed = store.eventsAfter(def.storage, since);
      if (!missed) {
        send({
          type: 'ERROR',
          object: expired(`too old resource version: ${since} (${store.oldest(def.storage)})`).status,
        });
      }
      for (const event of missed ?? []) relay(event);
    }
    unsubscribe = store.subscribe(def.storage, relay);
    // Without a wish kube-apiserver ends a watch after 30 to 60 minutes.
    const timeout = (options.timeoutSeconds ?? 1800 + Math.floor(runtime.random() * 1800)) * 1000;
    timers.push(runtime.after(timeout, stop));
    if (options.allowWatchBookmarks) {
      const opened = Math.max(store.revision(), since ?? 0);
      // Only if it has moved on: a bookmark that tells nothing new is not sent.
      const mark = () => store.revision() > opened && bookmark();
      let cancel = () => {};
      const again = () => {
        cancel = runtime.after(60_000, () => {
          mark();
          again();
        });
      };
      again();
      timers.push(() => cancel());
      if (timeout > 2000) timers.push(runtime.after(timeout - 2000, mark));
    }
    return open;
  }

  return { list, watch, watches: () => [...watches] };
}

function revisionOf(text: string | undefined, refuse: (why: string) => StatusError): number | undefined {
  if (!text || text === '0') return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw refuse(`resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
}

const encodeToken = ({ revision, after }: { revision: number; after: string }) =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start: `${after}\u0000` })).toString('base64url');

function decodeToken(text: string): { revision: number; after: string } {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (v === 'meta.k8s.io/v1' && typeof rv === 'number' && typeof start === 'string') {
      return { revision: rv, after: start.slice(0, -1) };
    }
  } catch {}
  throw badRequest('invalid continue token: continue key is not valid: illegal base64 data at input byte 0');
}
