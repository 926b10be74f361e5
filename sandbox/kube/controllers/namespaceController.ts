import type { CrdCondition } from '../resources/crds.ts';
import { timestamp } from '../resources/meta.ts';
import type { ResourceDef, StoredObject } from '../resources/resource.ts';
import { type Controller, type ControllerParts, deleteAll, NAMESPACES, save, takeFirst } from './controller.ts';

/** A kind of which objects are left. */
interface Remaining {
  def: ResourceDef;
  left: StoredObject[];
}

/** Empties namespaces that are being deleted, and lets them go once nothing is left in them. */
export function createNamespaceController(parts: ControllerParts): Controller {
  const { store } = parts;
  const todo = new Set<string>();
  const isTerminating = (name: string) => !!store.get(NAMESPACES, undefined, name)?.metadata.deletionTimestamp;

  return {
    observe(storage, { type, object }) {
      const { name, namespace, deletionTimestamp } = object.metadata;
      if (storage === NAMESPACES && deletionTimestamp) todo.add(name);
      if (type === 'DELETED' && namespace && isTerminating(namespace)) todo.add(namespace);
    },
    step() {
      const name = takeFirst(todo);
      if (name === undefined) return false;
      const object = store.get(NAMESPACES, undefined, name);
      if (object) tendNamespace(parts, object);
      return true;
    },
  };
}

/** Deletes what is left in a terminating namespace. Removes the namespace, or reports in its status what remains. */
function tendNamespace(parts: ControllerParts, object: StoredObject): void {
  const { store, registry, runtime } = parts;
  const { name } = object.metadata;
  const namespaced = [...new Map(registry.all().map(def => [def.storage, def])).values()].filter(def => def.namespaced);
  for (const def of namespaced) deleteAll(parts, def, name);
  const remaining = namespaced
    .map(def => ({
      def,
      left: (store.list(def.storage) ?? []).map(([, each]) => each).filter(each => each.metadata.namespace === name),
    }))
    .filter(({ left }) => left.length);
  if (!remaining.length) {
    if (!object.metadata.finalizers?.length) store.remove(NAMESPACES, object);
    else save(store, NAMESPACES, object, { ...object, spec: {} });
    return;
  }
  const conditions = remainingConditions(object, remaining, timestamp(runtime.now()));
  save(store, NAMESPACES, object, { ...object, status: { ...(object.status as object), conditions } });
}

/** The conditions by which kube-controller-manager reports what remains in a terminating namespace. `now`: a timestamp. */
function remainingConditions(object: StoredObject, remaining: Remaining[], now: string): CrdCondition[] {
  const finalizers = new Map<string, number>();
  for (const each of remaining.flatMap(({ left }) => left.flatMap(({ metadata }) => metadata.finalizers ?? []))) {
    finalizers.set(each, (finalizers.get(each) ?? 0) + 1);
  }
  const counts = remaining.map(
    ({ def, left }) => `${def.plural}${def.group ? `.${def.group}` : '.'} has ${left.length} resource instances`,
  );
  const kept = [...finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`);
  const old = ((object.status as { conditions?: CrdCondition[] }).conditions ?? []) as CrdCondition[];
  const condition = (type: string, on: boolean, reason: string, message: string) => {
    const status: CrdCondition['status'] = on ? 'True' : 'False';
    const before = old.find(each => each.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now;
    return { lastTransitionTime, message, reason, status, type };
  };
  return [
    condition(
      'NamespaceDeletionDiscoveryFailure',
      false,
      'ResourcesDiscovered',
      'All resources successfully discovered',
    ),
    condition(
      'NamespaceDeletionGroupVersionParsingFailure',
      false,
      'ParsedGroupVersions',
      'All legacy kube types successfully parsed',
    ),
    condition(
      'NamespaceDeletionContentFailure',
      false,
      'ContentDeleted',
      'All content successfully deleted, may be waiting on finalization',
    ),
    condition(
      'NamespaceContentRemaining',
      true,
      'SomeResourcesRemain',
      `Some resources are remaining: ${counts.join(', ')}`,
    ),
    kept.length
      ? condition(
          'NamespaceFinalizersRemaining',
          true,
          'SomeFinalizersRemain',
          `Some content in the namespace has finalizers remaining: ${kept.join(', ')}`,
        )
      : condition(
          'NamespaceFinalizersRemaining',
          false,
          'ContentHasNoFinalizers',
          'All content-preserving finalizers finished',
        ),
  ];
}
