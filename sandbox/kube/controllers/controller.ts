import type { Runtime } from '../../../ports/runtime.ts';
import type { CompileCrd } from '../../../schema/types.ts';
import type { Registry } from '../resources/registry.ts';
import type { ResourceDef, StoredObject } from '../resources/resource.ts';
import type { Store, StoreEvent } from '../store.ts';
import type { Verbs } from '../verbs/verbs.ts';

/** The parts of the local API that its controllers use. */
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
  /** Does one pending action. Returns false if none is pending. */
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

/** Stores `next` unless it equals `old`. */
export function save(store: Store, storage: string, old: StoredObject, next: StoredObject): StoredObject {
  return JSON.stringify(old) === JSON.stringify(next) ? old : store.put(storage, next);
}

/** Removes and returns the first element of a set. */
export function takeFirst<T>(todo: Set<T>): T | undefined {
  const [first] = todo;
  if (first !== undefined) todo.delete(first);
  return first;
}
