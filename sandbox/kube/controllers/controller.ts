import type { Runtime } from '../../../ports/runtime.ts';
import type { CompileCrd } from '../../../schema/types.ts';
import type { Registry } from '../resources/registry.ts';
import type { ResourceDef, StoredObject } from '../resources/resource.ts';
import type { Store, StoreEvent } from '../store.ts';
import type { Verbs } from '../verbs/verbs.ts';

/** What the controllers of the local cluster work with. */
export interface ControllerParts {
  store: Store;
  registry: Registry;
  verbs: Verbs;
  runtime: Runtime;
  compile: CompileCrd;
}

/** One of the loops that run beside the API in a real cluster. */
export interface Controller {
  observe(storage: string, event: StoreEvent): void;
  /** Does one thing that is to be done; false if there is nothing. */
  step(): boolean;
}

export const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
export const NAMESPACES = '/namespaces';

/** Deletes all objects of a kind, in one namespace or everywhere; those with finalizers are marked. */
export function deleteAll({ store, verbs }: ControllerParts, def: ResourceDef, namespace?: string) {
  const version = def.versions[0];
  if (!version) return;
  for (const [, { metadata }] of store.list(def.storage) ?? []) {
    if (namespace !== undefined && metadata.namespace !== namespace) continue;
    if (metadata.deletionTimestamp) continue;
    verbs.remove({ def, version, namespace: metadata.namespace, name: metadata.name }, { dryRun: false });
  }
}

/** Writes only what differs. */
export function save(store: Store, storage: string, old: StoredObject, next: StoredObject): StoredObject {
  return JSON.stringify(old) === JSON.stringify(next) ? old : store.put(storage, next);
}

/** The first of a set of things to do, taken out of it. */
export function takeFirst<T>(todo: Set<T>): T | undefined {
  const [first] = todo;
  if (first !== undefined) todo.delete(first);
  return first;
}
