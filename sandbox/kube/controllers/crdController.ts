import { isDeepStrictEqual } from 'node:util';
import { CLEANUP_FINALIZER, type CrdObject, customResource, hasCondition, withConditions } from '../resources/crds.ts';
import { timestamp } from '../resources/meta.ts';
import type { Registry } from '../resources/registry.ts';
import type { Target } from '../resources/resource.ts';
import { managedAfter } from '../verbs/managedFields.ts';
import { type Controller, type ControllerParts, CRDS, deleteAll, save, takeFirst } from './controller.ts';

/** Establishes CRDs, serves the resources that they define, and deletes these resources' objects before a CRD is removed. */
export function createCrdController(parts: ControllerParts): Controller {
  const { store, registry } = parts;
  const todo = new Set<string>();
  /** The names of CRDs that are being deleted, by the storage of their objects. The last deletion there wakes the CRD. */
  const terminating = new Map<string, string>();

  return {
    observe(storage, { type, object }) {
      if (storage === CRDS) {
        const { group, names } = (object as CrdObject).spec;
        const own = `${group}/${names.plural}`;
        if (type === 'DELETED') {
          terminating.delete(own);
          registry.remove(group, names.plural);
        } else if (object.metadata.deletionTimestamp) terminating.set(own, object.metadata.name);
        todo.add(object.metadata.name);
      }
      const waiting = type === 'DELETED' && terminating.get(storage);
      if (waiting) todo.add(waiting);
    },
    step() {
      const name = takeFirst(todo);
      if (name === undefined) return false;
      const crd = store.get(CRDS, undefined, name) as CrdObject | undefined;
      if (!crd) return true;
      if (!crd.metadata.deletionTimestamp) establish(parts, crd);
      else if (terminate(parts, crd)) todo.add(name);
      return true;
    },
  };
}

/** Records this controller's write of a status in `managedFields`, as kube-apiserver does. */
function owned({ registry, runtime }: ControllerParts, before: CrdObject, after: CrdObject): CrdObject {
  const def = registry.find('apiextensions.k8s.io', 'customresourcedefinitions');
  const version = def?.versions[0];
  if (!def || !version) return after;
  const target: Target = { def, version, namespace: undefined, subresource: 'status' };
  const options = { dryRun: false, fieldValidation: 'Ignore' as const, warnings: [], manager: 'kube-apiserver' };
  const managedFields = managedAfter(target, after, before, options, timestamp(runtime.now()));
  return { ...after, metadata: { ...after.metadata, ...(managedFields && { managedFields }) } };
}

/** Accepts or refuses a CRD's names, and serves the CRD once it is established. */
function establish(parts: ControllerParts, crd: CrdObject): void {
  const { store, registry, runtime } = parts;
  const now = timestamp(runtime.now());
  const { acceptedNames, taken } = judgeNames(registry, crd);
  let next: CrdObject = { ...crd, status: { ...crd.status, acceptedNames } };
  if (taken) {
    next = withConditions(next, now, [{ type: 'NamesAccepted', status: 'False', ...taken }]);
    if (!hasCondition(next, 'Established')) {
      const message = 'not all names are accepted';
      next = withConditions(next, now, [{ type: 'Established', status: 'False', reason: 'NotAccepted', message }]);
    }
  } else {
    next = withConditions(next, now, [
      { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
      {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
      },
    ]);
  }
  serve(parts, save(store, CRDS, crd, isDeepStrictEqual(next, crd) ? crd : owned(parts, crd, next)) as CrdObject);
}

function serve({ registry, compile }: ControllerParts, crd: CrdObject): void {
  if (!hasCondition(crd, 'Established')) return;
  const compiled = compile(crd);
  if (compiled.ok) registry.set(customResource(crd, compiled.crd));
}

/** Accepts each name that no other resource of the group uses. `taken` is the reason for the last one that another uses. */
function judgeNames(registry: Registry, { spec, status }: CrdObject) {
  const others = registry.all().filter(def => def.group === spec.group && def.plural !== spec.names.plural);
  const words = new Set(others.flatMap(def => [def.plural, def.singular, ...def.shortNames]));
  const kinds = new Set(others.flatMap(def => [def.kind, def.listKind]));
  const { categories, ...names } = spec.names;
  const acceptedNames: Record<string, unknown> = { ...status.acceptedNames, ...(categories && { categories }) };
  let taken: { reason: string; message: string } | undefined;
  for (const [field, reason, inUse] of [
    ['plural', 'PluralConflict', words],
    ['singular', 'SingularConflict', words],
    ['shortNames', 'ShortNamesConflict', words],
    ['kind', 'KindConflict', kinds],
    ['listKind', 'ListKindConflict', kinds],
  ] as const) {
    const wanted = names[field];
    if (wanted === undefined) continue;
    const name = [wanted].flat().find(each => inUse.has(each));
    if (name === undefined) acceptedNames[field] = wanted;
    else taken = { reason, message: `"${name}" is already in use` };
  }
  return { acceptedNames, taken };
}

/**
 * Deletes the objects of a CRD that is being deleted, and removes the CRD once none is left. Returns true if the CRD needs another
 * step.
 */
function terminate(parts: ControllerParts, crd: CrdObject): boolean {
  const { store, registry, runtime } = parts;
  const now = timestamp(runtime.now());
  if (!crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) return false;
  const def = registry.find(crd.spec.group, crd.spec.names.plural);
  if (!crd.status.conditions?.some(each => each.reason.startsWith('InstanceDeletionInProgress'))) {
    const message = 'CustomResource deletion is in progress';
    const next = withConditions(crd, now, [
      { type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress', message },
    ]);
    store.put(CRDS, owned(parts, crd, next));
    if (def) {
      registry.set({ ...def, terminating: true });
      deleteAll(parts, def);
    }
    return true;
  }
  if (def && store.size(def.storage)) return false;
  const finalizers = crd.metadata.finalizers.filter(each => each !== CLEANUP_FINALIZER);
  const message = 'removed all instances';
  const next = withConditions({ ...crd, metadata: { ...crd.metadata, finalizers } }, now, [
    { type: 'Terminating', status: 'False', reason: 'InstanceDeletionCompleted', message },
  ]);
  if (finalizers.length) store.put(CRDS, next);
  else store.remove(CRDS, crd);
  return false;
}
