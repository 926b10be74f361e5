import type { KubeObject, KubeWatchEvent } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import { isAtMost, isSameVersion } from './resourceVersion.ts';
import { createStore } from './store.ts';
import { sameJson } from './writes.ts';

export type ReflectorCache = ReturnType<typeof createReflectorCache>;

interface CacheOptions {
  /** What to keep of an object. */
  transform: (object: KubeObject) => KubeObject;
  /** Called for each change, after the store has it; `undefined` is an object that does not exist. May throw. */
  onChange: (key: string, object: KubeObject | undefined, old: KubeObject | undefined) => void;
  onProblem: (message: string) => void;
  counters: { events: number; bookmarks: number; repeats: number; malformed: number; handlerErrors: number };
}

/** The objects of a reflector. Lists and events change it, and each change is handed to `onChange` once. */
export function createReflectorCache({ transform, onChange, onProblem, counters }: CacheOptions) {
  const store = createStore();
  /** etcd may have been restored, so that one resourceVersion may stand for two states: copies are compared by content. */
  let isDistrusted = false;

  function change(key: string, object: KubeObject | undefined): void {
    const old = store.get(key);
    if (object) store.set(object);
    else store.delete(key);
    const isSame = object && old && isSameVersion(object, old) && !(isDistrusted && !sameJson(object, old));
    if (isSame || (!object && !old)) return;
    try {
      onChange(key, object, old);
    } catch (error) {
      counters.handlerErrors++;
      onProblem(`the handler failed on ${key}: ${String(error)}`);
    }
  }

  /** What the cache keeps of an object; undefined, and reported, if the object is malformed. */
  function kept(object: KubeObject): KubeObject | undefined {
    try {
      if (typeof object.metadata.name !== 'string') throw new Error('it has no name');
      return transform(object);
    } catch (error) {
      counters.malformed++;
      onProblem(`an object of the answer can't be used and was left out: ${String(error)}`);
      return undefined;
    }
  }

  return {
    store,
    kept,
    /** The stored copy of an unchanged object, so that a list does not take the memory of all objects a second time. */
    storedOr(object: KubeObject): KubeObject {
      const old = store.get(keyOf(object.metadata));
      return old && isSameVersion(object, old) && sameJson(object, old) ? old : object;
    },
    /** Makes the cache equal to a whole list. */
    replace(listed: ReadonlyMap<string, KubeObject>): void {
      for (const key of [...store.keys()]) if (!listed.has(key)) change(key, undefined);
      for (const [key, object] of listed) change(key, object);
      isDistrusted = false;
    },
    /** Applies an event of a watch that has come as far as resourceVersion `version`. Returns whether the event is no newer. */
    apply({ type, object }: KubeWatchEvent, version: string | undefined): boolean {
      const isRepeat = version !== undefined && isAtMost(object?.metadata?.resourceVersion, version);
      if (type === 'BOOKMARK') {
        counters.bookmarks++;
        return isRepeat;
      }
      counters.events++;
      const now = kept(object);
      if (!now) return isRepeat;
      const key = keyOf(now.metadata);
      if (type === 'DELETED') {
        // A uid is never used again, so the deletion of this uid is true even if the event is late.
        if (store.get(key)?.metadata.uid === now.metadata.uid) change(key, undefined);
      } else if (isRepeat) counters.repeats++;
      else change(key, now);
      return isRepeat;
    },
    distrust(): void {
      isDistrusted = true;
    },
  };
}

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Drops managedFields and kubectl's copy of the object: no controller reads them, and they can be larger than all the rest. */
export function trimmed(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata as KubeObject['metadata'] & { managedFields?: unknown };
  if (metadata.annotations?.[LAST_APPLIED] !== undefined) {
    const { [LAST_APPLIED]: _, ...annotations } = metadata.annotations;
    metadata.annotations = annotations;
  }
  return { ...object, metadata };
}
