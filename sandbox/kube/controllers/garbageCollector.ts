import type { ResourceDef, StoredObject } from '../resources/resource.ts';
import type { Controller, ControllerParts } from './controller.ts';
import { takeFirst } from './controller.ts';

const PROPAGATION = ['orphan', 'foregroundDeletion'];

/** Follows owner references: dependents go with the last of their owners, before it (foreground) or never (orphan). */
export function createGarbageCollector({ store, registry, verbs }: ControllerParts): Controller {
  /** All that is or was an owner: only these are worth a look when they go. */
  const referenced = new Set<string>();
  const gone = new Set<string>();
  const owners = new Map<string, { storage: string; object: StoredObject }>();
  const ownersToDo = new Set<string>();

  function dependents(uid: string): { def: ResourceDef; object: StoredObject }[] {
    const defs = [...new Map(registry.all().map(def => [def.storage, def])).values()];
    return defs.flatMap(def =>
      (store.list(def.storage) ?? [])
        .map(([, object]) => ({ def, object }))
        .filter(({ object }) => object.metadata.ownerReferences?.some(owner => owner.uid === uid)),
    );
  }

  /** An object goes with the last of its owners; before that only the reference goes. */
  function release({ def, object }: { def: ResourceDef; object: StoredObject }, uid: string, mayDelete: boolean) {
    const { ownerReferences = [], ...metadata } = object.metadata;
    const rest = ownerReferences.filter(owner => owner.uid !== uid);
    const version = def.versions[0];
    if (!rest.length && mayDelete && version) {
      if (metadata.deletionTimestamp) return;
      verbs.remove({ def, version, namespace: metadata.namespace, name: metadata.name }, { dryRun: false });
      return;
    }
    const next = rest.length ? { ...metadata, ownerReferences: rest } : metadata;
    store.put(def.storage, { ...object, metadata: next });
  }

  function tendPropagation(storage: string, seen: StoredObject) {
    const object = store.get(storage, seen.metadata.namespace, seen.metadata.name);
    if (!object || object.metadata.uid !== seen.metadata.uid) return;
    const { uid, finalizers = [] } = object.metadata;
    const orphan = finalizers.includes('orphan');
    for (const dependent of dependents(uid)) release(dependent, uid, !orphan);
    // Foreground: the owner stays until its last dependent is gone; each removal comes back here.
    if (dependents(uid).length) return;
    const rest = finalizers.filter(each => each !== 'orphan' && each !== 'foregroundDeletion');
    const next = { ...object, metadata: { ...object.metadata, finalizers: rest } };
    if (rest.length) store.put(storage, next);
    else store.remove(storage, object);
  }

  return {
    observe(storage, { type, object }) {
      const { uid, ownerReferences = [], deletionTimestamp, finalizers } = object.metadata;
      if (type === 'DELETED') {
        owners.delete(uid);
        if (referenced.has(uid)) gone.add(uid);
        for (const owner of ownerReferences) if (owners.has(owner.uid)) ownersToDo.add(owner.uid);
        return;
      }
      for (const owner of ownerReferences) referenced.add(owner.uid);
      if (deletionTimestamp && finalizers?.some(each => PROPAGATION.includes(each))) {
        owners.set(uid, { storage, object });
        ownersToDo.add(uid);
      }
    },
    step() {
      const uid = takeFirst(gone);
      if (uid !== undefined) {
        referenced.delete(uid);
        for (const dependent of dependents(uid)) release(dependent, uid, true);
        return true;
      }
      const owner = takeFirst(ownersToDo);
      const waiting = owner === undefined ? undefined : owners.get(owner);
      if (waiting) tendPropagation(waiting.storage, waiting.object);
      return owner !== undefined;
    },
  };
}
