import type { Runtime } from '../../../ports/runtime.ts';
import type { ResourceDef, StoredObject, Target } from '../resources/resource.ts';
import { expired, failure, type Status } from '../status.ts';
import type { Store, StoreEvent } from '../store.ts';
import { filter, type ListOptions, revisionOf } from './list.ts';

export interface WatchOptions extends ListOptions {
  timeoutSeconds?: number;
  allowWatchBookmarks?: boolean;
  sendInitialEvents?: boolean;
}

type WatchEvent =
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

interface Parts {
  store: Store;
  runtime: Runtime;
  watchDelayMs: () => number;
  /** All open watches. */
  watches: Set<OpenWatch>;
}

/** Opens a watch. Refusals throw; a forgotten resourceVersion is reported by an ERROR event, as kube-apiserver does. */
export function watch(parts: Parts, target: Target, options: WatchOptions, sink: WatchSink): OpenWatch {
  const { store, runtime } = parts;
  const { def, version } = target;
  const matches = filter(target, options);
  const since = revisionOf(options.resourceVersion, why => failure(500, '', why));
  /** Releases what the watch has taken: its subscription and its timers. */
  const releases: (() => void)[] = [];
  const { open, send } = openQueue(parts, target, sink, releases);
  const bookmark = (annotations?: Record<string, string>) => {
    const apiVersion = def.group ? `${def.group}/${version.name}` : version.name;
    const metadata = { resourceVersion: String(store.revision()), ...(annotations && { annotations }) };
    send({ type: 'BOOKMARK', object: { kind: def.kind, apiVersion, metadata: metadata as StoredObject['metadata'] } });
  };
  const relay = (event: StoreEvent) => {
    // A watch from a resourceVersion of the future sends nothing until the server reaches it, as in kube-apiserver 1.37.
    if (since !== undefined && event.revision <= since) return;
    const shown = selectedEvent(event, matches);
    if (shown) send({ type: shown.type, object: version.fromStored(shown.object) });
  };

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
      const { status } = expired(`too old resource version: ${since} (${store.oldest(def.storage)})`);
      send({ type: 'ERROR', object: status });
    }
    for (const event of missed ?? []) relay(event);
  }
  releases.push(store.subscribe(def.storage, relay));
  // Without `timeoutSeconds` kube-apiserver ends a watch after 30 to 60 minutes.
  const timeoutMs = (options.timeoutSeconds ?? 1800 + Math.floor(runtime.random() * 1800)) * 1000;
  releases.push(runtime.after(timeoutMs, open.stop));
  if (options.allowWatchBookmarks) {
    const opened = Math.max(store.revision(), since ?? 0);
    // A bookmark is sent only if the revision has grown since the watch was opened.
    releases.push(...bookmarkTimers(runtime, timeoutMs, () => store.revision() > opened && bookmark()));
  }
  return open;
}

/** Queues a watch's events and passes them on in batches, each `watchDelayMs` after its first event. */
function openQueue(
  { runtime, watchDelayMs, watches }: Parts,
  target: Target,
  sink: WatchSink,
  releases: (() => void)[],
) {
  let queue: WatchEvent[] = [];
  let paused = false;
  let ended = false;
  let cancelFlush: (() => void) | undefined;
  const flush = () => {
    cancelFlush = undefined;
    if (paused) return;
    const events = queue;
    queue = [];
    for (const event of events) {
      if (ended) return;
      sink.event(event);
      if (event.type === 'ERROR') open.stop();
    }
  };
  const send = (event: WatchEvent) => {
    if (ended) return;
    queue.push(event);
    if (!paused) cancelFlush ??= runtime.after(watchDelayMs(), flush);
  };
  const open: OpenWatch = {
    def: target.def,
    namespace: target.namespace,
    stop() {
      if (ended) return;
      ended = true;
      watches.delete(open);
      cancelFlush?.();
      for (const release of releases) release();
      sink.end();
    },
    pause() {
      paused = true;
    },
    resume() {
      paused = false;
      if (!ended) cancelFlush ??= runtime.after(watchDelayMs(), flush);
    },
  };
  watches.add(open);
  return { open, send };
}

/** The event as a watch with a selector receives it: an object that enters the selection is ADDED, one that leaves it DELETED. */
function selectedEvent({ type, object, old, revision }: StoreEvent, matches: (object: StoredObject) => boolean) {
  const before = old !== undefined && matches(old);
  const now = type !== 'DELETED' && matches(object);
  if (now) return { type: before ? ('MODIFIED' as const) : ('ADDED' as const), object };
  if (!before) return undefined;
  if (type === 'DELETED' || !old) return { type: 'DELETED' as const, object };
  // An object that has left the selection is sent as it was before the write, with the resourceVersion of the write.
  const left = { ...old, metadata: { ...old.metadata, resourceVersion: String(revision) } };
  return { type: 'DELETED' as const, object: left };
}

/** Calls `mark` every 60 s and 2 s before the watch ends. Returns functions that cancel this. */
function bookmarkTimers(runtime: Runtime, timeoutMs: number, mark: () => void): (() => void)[] {
  let cancel = () => {};
  const again = () => {
    cancel = runtime.after(60_000, () => {
      mark();
      again();
    });
  };
  again();
  const last = timeoutMs > 2000 ? [runtime.after(timeoutMs - 2000, mark)] : [];
  return [() => cancel(), ...last];
}
