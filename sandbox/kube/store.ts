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
  /** Events up to this revision are forgotten. */
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
  let revision = 1;

  function shelf(storage: string): Shelf {
    let found = shelves.get(storage);
    if (!found) {
      found = { objects: new Map(), history: [], compacted: 0, listeners: new Set() };
      shelves.set(storage, found);
    }
    return found;
  }

  const everywhere = new Set<(storage: string, event: StoreEvent) => void>();

  function publish(storage: string, event: StoreEvent) {
    const { history, listeners } = shelf(storage);
    history.push(event);
    // Cut in steps, so that a full history does not cost a copy per write.
    if (history.length > historyLimit * 1.25)
      forget(storage, history[history.length - historyLimit - 1]?.revision ?? 0);
    for (const listener of [...listeners]) listener(event);
    for (const listener of everywhere) listener(storage, event);
  }

  function forget(storage: string, upTo: number) {
    const it = shelf(storage);
    it.history = it.history.filter(event => event.revision > upTo);
    it.compacted = Math.max(it.compacted, upTo);
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

    /** Everything on the shelf in key order, as it was at revision `at`; undefined if that is forgotten. */
    list(storage: string, at = revision): [string, StoredObject][] | undefined {
      const { objects, history, compacted } = shelf(storage);
      if (at < compacted) return undefined;
      let view = objects;
      if (at < revision) {
        view = new Map(objects);
        for (const event of history.filter(event => event.revision > at).reverse()) {
          const key = storeKey(event.object.metadata.namespace, event.object.metadata.name);
          if (event.old) view.set(key, event.old);
          else view.delete(key);
        }
      }
      return [...view].sort(([a], [b]) => (a < b ? -1 : 1));
    },

    /** Events after `since`; undefined if some of them are forgotten. */
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

    /** Tells every write, wherever it is. */
    onWrite(listener: (storage: string, event: StoreEvent) => void) {
      everywhere.add(listener);
    },

    size: (storage: string) => shelf(storage).objects.size,

    /** Forgets all history up to `upTo`: older resourceVersions are answered 410. */
    compact(upTo = revision) {
      for (const storage of shelves.keys()) forget(storage, upTo);
    },
  };
}
