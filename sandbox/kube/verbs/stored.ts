import type { Runtime } from '../../../ports/runtime.ts';
import type { DraftObject, StoredObject, Target } from '../resources/resource.ts';
import { badRequest, notFound } from '../status.ts';
import type { Store } from '../store.ts';

/** The state that the writing verbs change, and their source of time and chance. */
export interface Api {
  store: Store;
  runtime: Runtime;
}

/** The object in the API version of the request. */
export const shown = ({ version }: Target, object: StoredObject) => version.fromStored(object);

export function stored({ store }: Api, { def, namespace, name = '' }: Target): StoredObject {
  const object = store.get(def.storage, namespace, name);
  if (!object) throw notFound(def, name);
  return object;
}

export function checkNamespace({ namespace }: Target, draft: DraftObject) {
  if (!namespace) return;
  draft.metadata.namespace ??= namespace;
  if (draft.metadata.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
}

/** Drops keys whose value is undefined, so that an object compares and prints as it would after JSON serialization. */
export function clean(object: DraftObject): DraftObject {
  const drop = (record: object) =>
    Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
  return { ...drop(object), metadata: drop(object.metadata) } as DraftObject;
}
