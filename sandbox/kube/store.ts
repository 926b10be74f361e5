import type { DraftObject, StoredObject } from './resources/resource.ts';

export interface StoreEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  revision: number;
  object: StoredObject;
  /** The object before the write. */
  old?: StoredObject;
}

interface Shelf {
  objects: Map<string, StoredObject>;
  history: StoreEvent[];
  /** The events up to this revision are dropped. */
  compacted: number;
  listeners: Set<(event: StoreEvent) => void>;
}

export type Store = ReturnType<typeof createStore>;

/** Sorts as etcd's keys do: namespace, then name, by code point. */
const storeKey = (namespace: string | undefined, name: string) => (namespace ? `${namespace}/${name}` : name);

/**
 * The store, as etcd is for kube-apiserver: one revision counter, objects by key, and a bounded history for each kind of object.
 * `historyLimit`: events kept per shelf; older ones are compacted by themselves.
 */
export function createStore({ historyLimit = 2000 }: { historyLimit?: number } = {}) {
  const shelves = new Map<string, Shelf>();
  const everywhere = new Set<(storage: string, event: StoreEvent) => void>();
  let revision = 1;

  function shelf(storage: string): Shelf {
    let found = shelves.get(storage);
    if (!found) {
      found = { objects: new Map(), history: [], compacted: 0, listeners: new Set() };
      shelves.set(storage, found);
    }
    return found;
  }

  function publish(storage: string, event: StoreEvent) {
    const place = shelf(storage);
    record(place, event, historyLimit);
    for (const listener of [...place.listeners]) listener(event);
    for (const listener of everywhere) listener(storage, event);
  }

  return {
    revision: () => revision,
    get: (storage: string, namespace: string | undefined, name: string) =>
      shelf(storage).objects.get(storeKey(namespace, name)),

    /** Writes; the object gets the new revision as its resourceVersion. */
    put(storage: string, draft: DraftObject): StoredObject {
      const key = storeKey(draft.metadata.namespace, draft.metadata.name);
      const old = shelf(storage).objects.get(key);
      revision += 1;
      const object = { ...draft, metadata: { ...draft.metadata, resourceVersion: String(revision) } } as StoredObject;
      shelf(storage).objects.set(key, object);
      publish(storage, { type: old ? 'MODIFIED' : 'ADDED', revision, object, old });
      return object;
    },

    remove(storage: string, old: StoredObject): StoredObject {
      revision += 1;
      shelf(storage).objects.delete(storeKey(old.metadata.namespace, old.metadata.name));
      const object = { ...old, metadata: { ...old.metadata, resourceVersion: String(revision) } };
      publish(storage, { type: 'DELETED', revision, object, old });
      return object;
    },

    /** The objects of a kind in key order, as they were at revision `at`; undefined if that revision is compacted. */
    list(storage: string, at = revision): [string, StoredObject][] | undefined {
      const place = shelf(storage);
      if (at < place.compacted) return undefined;
      const view = at < revision ? viewAt(place, at) : place.objects;
      return [...view].sort(([a], [b]) => (a < b ? -1 : 1));
    },

    /** The events after revision `since`; undefined if some of them are compacted. */
    eventsAfter(storage: string, since: number): StoreEvent[] | undefined {
      const { history, compacted } = shelf(storage);
      return since < compacted ? undefined : history.filter(event => event.revision > since);
    },

    oldest: (storage: string) => shelf(storage).compacted,

    subscribe(storage: string, listener: (event: StoreEvent) => void): () => void {
      const { listeners } = shelf(storage);
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    /** Calls `listener` after every write of any kind of object. */
    onWrite(listener: (storage: string, event: StoreEvent) => void) {
      everywhere.add(listener);
    },

    size: (storage: string) => shelf(storage).objects.size,

    /** Drops the history up to revision `upTo`. Requests for an older resourceVersion are answered 410. */
    compact(upTo = revision) {
      for (const place of shelves.values()) forget(place, upTo);
    },
  };
}

/** Appends an event. Once the history exceeds `limit` by a quarter it is cut, so that not every write copies it. */
function record(shelf: Shelf, event: StoreEvent, limit: number): void {
  shelf.history.push(event);
  if (shelf.history.length > limit * 1.25)
    forget(shelf, shelf.history[shelf.history.length - limit - 1]?.revision ?? 0);
}

/** Drops the events up to revision `upTo`. */
function forget(shelf: Shelf, upTo: number): void {
  shelf.history = shelf.history.filter(event => event.revision > upTo);
  shelf.compacted = Math.max(shelf.compacted, upTo);
}

/** The objects as they were at an earlier revision: undoes the events after it, the last one first. */
function viewAt({ objects, history }: Shelf, at: number): Map<string, StoredObject> {
  const view = new Map(objects);
  for (const { object, old } of history.filter(event => event.revision > at).reverse()) {
    const key = storeKey(object.metadata.namespace, object.metadata.name);
    if (old) view.set(key, old);
    else view.delete(key);
  }
  return view;
}
