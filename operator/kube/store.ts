import type { KubeObject } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';

/** The cached objects of one kind, by key (`namespace/name` or `name`). Readers must not change the objects. */
export interface ReadonlyStore {
  get(key: string): KubeObject | undefined;
  /** The objects of one namespace, or all. */
  list(namespace?: string): Iterable<KubeObject>;
  keys(): Iterable<string>;
  readonly size: number;
}

export interface Store extends ReadonlyStore {
  set(object: KubeObject): void;
  delete(key: string): void;
}

export function createStore(): Store {
  const objects = new Map<string, KubeObject>();
  const namespaces = new Map<string, Map<string, KubeObject>>();
  return {
    get: key => objects.get(key),
    list: namespace => (namespace === undefined ? objects : (namespaces.get(namespace) ?? NOTHING)).values(),
    keys: () => objects.keys(),
    get size() {
      return objects.size;
    },
    set(object) {
      const key = keyOf(object.metadata);
      objects.set(key, object);
      const { namespace } = object.metadata;
      if (namespace === undefined) return;
      const beside = namespaces.get(namespace);
      if (beside) beside.set(key, object);
      else namespaces.set(namespace, new Map([[key, object]]));
    },
    delete(key) {
      const namespace = objects.get(key)?.metadata.namespace;
      objects.delete(key);
      if (namespace === undefined) return;
      const beside = namespaces.get(namespace);
      beside?.delete(key);
      if (beside?.size === 0) namespaces.delete(namespace);
    },
  };
}

const NOTHING: ReadonlyMap<string, KubeObject> = new Map();
