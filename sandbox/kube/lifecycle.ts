import type { Runtime } from '../../operator/ports.ts';
import type { CompileCrd } from '../../schema/types.ts';
import {
  CLEANUP_FINALIZER,
  type CrdCondition,
  type CrdObject,
  customResource,
  hasCondition,
  withConditions,
} from './crds.ts';
import { timestamp } from './meta.ts';
import type { Registry } from './registry.ts';
import type { Store } from './store.ts';
import type { ResourceDef, StoredObject } from './types.ts';
import type { Verbs } from './verbs.ts';

const CRDS = 'apiextensions.k8s.io/customresourcedefinitions';
const NAMESPACES = '/namespaces';

/**
 * What runs beside the API in a real cluster: CRDs become established and take their objects with them, namespaces
 * take their content with them, the garbage collector follows owner references. `settle()` runs it all, at once,
 * until nothing is left to do.
 */
export function createLifecycle(store: Store, registry: Registry, verbs: Verbs, runtime: Runtime, compile: CompileCrd) {
  const crdsToDo = new Set<string>();
  const namespacesToDo = new Set<string>();
  const ownersGone: string[] = [];
  const owners = new Map<string, { storage: string; object: StoredObject }>();
  const ownersToDo = new Set<string>();

  store.onWrite((storage, event) => {
    const { metadata } = event.object;
    if (storage === CRDS) {
      crdsToDo.add(metadata.name);
      if (event.type === 'DELETED') dropResource(event.object as CrdObject);
    }
    if (storage === NAMESPACES && metadata.deletionTimestamp) namespacesToDo.add(metadata.name);
    if (event.type === 'DELETED') {
      ownersGone.push(metadata.uid);
      owners.delete(metadata.uid);
      for (const { uid } of event.object.metadata.ownerReferences ?? []) if (owners.has(uid)) ownersToDo.add(uid);
      if (metadata.namespace && isTerminating(metadata.namespace)) namespacesToDo.add(metadata.namespace);
      for (const [name, crd] of crdObjects()) {
        if (crd.metadata.deletionTimestamp && storageOf(crd) === storage) crdsToDo.add(name);
      }
      return;
    }
    if (
      metadata.deletionTimestamp &&
      metadata.finalizers?.some(each => each === 'orphan' || each === 'foregroundDeletion')
    ) {
      owners.set(metadata.uid, { storage, object: event.object });
      ownersToDo.add(metadata.uid);
    }
  });

  const crdObjects = () => (store.list(CRDS) ?? []) as [string, CrdObject][];
  const storageOf = (crd: CrdObject) => `${crd.spec.group}/${crd.spec.names.plural}`;
  const isTerminating = (name: string) => !!store.get(NAMESPACES, undefined, name)?.metadata.deletionTimestamp;

  function dropResource(crd: CrdObject) {
    registry.remove(crd.spec.group, crd.spec.names.plural);
  }

  function settle() {
    // Each step may cause another; a cluster that never comes to rest would be a bug.
    for (let round = 0; round < 1000; round += 1) {
      if (!step()) return;
    }
    throw new Error('the local Kubernetes API does not settle');
  }

  function step(): boolean {
    const [crd] = crdsToDo;
    if (crd !== undefined) {
      crdsToDo.delete(crd);
      const object = store.get(CRDS, undefined, crd) as CrdObject | undefined;
      if (object) tendCrd(object);
      return true;
    }
    const gone = ownersGone.shift();
    if (gone !== undefined) {
      collectDependents(gone);
      return true;
    }
    const [owner] = ownersToDo;
    if (owner !== undefined) {
      ownersToDo.delete(owner);
      const waiting = owners.get(owner);
      if (waiting) tendPropagation(waiting.storage, waiting.object);
      return true;
    }
    const [namespace] = namespacesToDo;
    if (namespace !== undefined) {
      namespacesToDo.delete(namespace);
      const object = store.get(NAMESPACES, undefined, namespace);
      if (object) tendNamespace(object);
      return true;
    }
    return false;
  }

  // ---------------------------------------------------------------------------------------------------------- CRDs

  const conditioned = (crd: CrdObject, changes: Parameters<typeof withConditions>[2]) =>
    withConditions(crd, timestamp(runtime.now()), changes);

  function save(storage: string, old: StoredObject, next: StoredObject): StoredObject {
    return JSON.stringify(old) === JSON.stringify(next) ? old : store.put(storage, next);
  }

  function tendCrd(crd: CrdObject) {
    if (crd.metadata.deletionTimestamp) {
      terminateCrd(crd);
      return;
    }
    let next = crd;
    const taken = nameConflict(crd);
    if (taken) {
      next = conditioned(crd, [{ type: 'NamesAccepted', status: 'False', ...taken }]);
      if (!hasCondition(next, 'Established')) {
        const message = 'not all names are accepted';
        next = conditioned(next, [{ type: 'Established', status: 'False', reason: 'NotAccepted', message }]);
      }
    } else {
      next = conditioned(crd, [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
        {
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
        },
      ]);
      const names = Object.entries(crd.spec.names).filter(([, value]) => !Array.isArray(value) || value.length);
      next = { ...next, status: { ...next.status, acceptedNames: Object.fromEntries(names) } };
    }
    serve(save(CRDS, crd, next) as CrdObject);
  }

  function serve(crd: CrdObject) {
    if (!hasCondition(crd, 'Established')) return;
    const compiled = compile(crd);
    if (compiled.ok) registry.set(customResource(crd, compiled.crd));
  }

  function nameConflict(crd: CrdObject) {
    const others = registry.all().filter(def => def.group === crd.spec.group && def.plural !== crd.spec.names.plural);
    const words = new Set(others.flatMap(def => [def.plural, def.singular, ...def.shortNames]));
    const kinds = new Set(others.flatMap(def => [def.kind, def.listKind]));
    const { singular = '', shortNames = [], kind, listKind = '' } = crd.spec.names;
    const inUse = (name: string) => ({ message: `"${name}" is already in use` });
    if (words.has(singular)) return { reason: 'SingularConflict', ...inUse(singular) };
    const short = shortNames.find(name => words.has(name));
    if (short) return { reason: 'ShortNamesConflict', ...inUse(short) };
    if (kinds.has(kind)) return { reason: 'KindConflict', ...inUse(kind) };
    if (kinds.has(listKind)) return { reason: 'ListKindConflict', ...inUse(listKind) };
    return undefined;
  }

  function terminateCrd(crd: CrdObject) {
    if (!crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) return;
    const def = registry.find(crd.spec.group, crd.spec.names.plural);
    if (!crd.status.conditions?.some(each => each.reason.startsWith('InstanceDeletionInProgress'))) {
      const message = 'CustomResource deletion is in progress';
      store.put(
        CRDS,
        conditioned(crd, [{ type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress', message }]),
      );
      if (def) {
        registry.set({ ...def, terminating: true });
        deleteAll(def);
      }
      crdsToDo.add(crd.metadata.name);
      return;
    }
    if (def && store.list(def.storage)?.length) return;
    const finalizers = crd.metadata.finalizers.filter(each => each !== CLEANUP_FINALIZER);
    const message = 'removed all instances';
    const next = conditioned({ ...crd, metadata: { ...crd.metadata, finalizers } }, [
      { type: 'Terminating', status: 'False', reason: 'InstanceDeletionCompleted', message },
    ]);
    if (finalizers.length) store.put(CRDS, next);
    else store.remove(CRDS, next);
  }

  function deleteAll(def: ResourceDef, namespace?: string) {
    const version = def.versions[0];
    if (!version) return;
    for (const [, { metadata }] of store.list(def.storage) ?? []) {
      if (namespace !== undefined && metadata.namespace !== namespace) continue;
      if (metadata.deletionTimestamp) continue;
      verbs.remove({ def, version, namespace: metadata.namespace, name: metadata.name }, { dryRun: false });
    }
  }

  // ---------------------------------------------------------------------------------------------------- namespaces

  function tendNamespace(object: StoredObject) {
    const { name } = object.metadata;
    const namespaced = [...new Map(registry.all().map(def => [def.storage, def])).values()].filter(
      def => def.namespaced,
    );
    for (const def of namespaced) deleteAll(def, name);
    const remaining = namespaced
      .map(def => ({
        def,
        left: (store.list(def.storage) ?? []).map(([, each]) => each).filter(each => each.metadata.namespace === name),
      }))
      .filter(({ left }) => left.length);
    if (!remaining.length) {
      if (!object.metadata.finalizers?.length) store.remove(NAMESPACES, { ...object, spec: {} });
      else save(NAMESPACES, object, { ...object, spec: {} });
      return;
    }
    const finalizers = new Map<string, number>();
    for (const each of remaining.flatMap(({ left }) => left.flatMap(({ metadata }) => metadata.finalizers ?? []))) {
      finalizers.set(each, (finalizers.get(each) ?? 0) + 1);
    }
    const counts = remaining.map(
      ({ def, left }) => `${def.plural}${def.group ? `.${def.group}` : '.'} has ${left.length} resource instances`,
    );
    const held = [...finalizers].map(([finalizer, count]) => `${finalizer} in ${count} resource instances`);
    const old = ((object.status as { conditions?: CrdCondition[] }).conditions ?? []) as CrdCondition[];
    const condition = (type: string, on: boolean, reason: string, message: string) => {
      const status = on ? 'True' : 'False';
      const before = old.find(each => each.type === type);
      const lastTransitionTime = before?.status === status ? before.lastTransitionTime : timestamp(runtime.now());
      return { lastTransitionTime, message, reason, status, type };
    };
    const conditions = [
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
      held.length
        ? condition(
            'NamespaceFinalizersRemaining',
            true,
            'SomeFinalizersRemain',
            `Some content in the namespace has finalizers remaining: ${held.join(', ')}`,
          )
        : condition(
            'NamespaceFinalizersRemaining',
            false,
            'ContentHasNoFinalizers',
            'All content-preserving finalizers finished',
          ),
    ];
    save(NAMESPACES, object, { ...object, status: { ...(object.status as object), conditions } });
  }

  // ---------------------------------------------------------------------------------------------- garbage collector

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

  function collectDependents(uid: string) {
    for (const dependent of dependents(uid)) release(dependent, uid, true);
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
    else store.remove(storage, next);
  }

  return { settle };
}
