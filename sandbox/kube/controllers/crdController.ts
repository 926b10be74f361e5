import { isDeepStrictEqual } from 'node:util';
import { CLEANUP_FINALIZER, type CrdObject, customResource, hasCondition, withConditions } from '../resources/crds.ts';
import { timestamp } from '../resources/meta.ts';
import type { Target } from '../resources/resource.ts';
import { managedAfter } from '../verbs/managedFields.ts';
import { type Controller, type ControllerParts, CRDS, deleteAll, save, takeFirst } from './controller.ts';

/** Establishes CRDs, serves what they define, and takes their objects with them when they go. */
export function createCrdController(parts: ControllerParts): Controller {
  const { store, registry, runtime, compile } = parts;
  const todo = new Set<string>();
  /** CRDs that wait for their last object, by its storage. */
  const terminating = new Map<string, string>();

  const conditioned = (crd: CrdObject, changes: Parameters<typeof withConditions>[2]) =>
    withConditions(crd, timestamp(runtime.now()), changes);

  /** The status that this controller writes has an owner as every other write has. */
  function owned(before: CrdObject, after: CrdObject): CrdObject {
    const def = registry.find('apiextensions.k8s.io', 'customresourcedefinitions');
    const version = def?.versions[0];
    if (!def || !version) return after;
    const target: Target = { def, version, namespace: undefined, subresource: 'status' };
    const options = { dryRun: false, fieldValidation: 'Ignore' as const, warnings: [], manager: 'kube-apiserver' };
    const managedFields = managedAfter(target, after, before, options, timestamp(runtime.now()));
    return { ...after, metadata: { ...after.metadata, ...(managedFields && { managedFields }) } };
  }

  function tendCrd(crd: CrdObject) {
    if (crd.metadata.deletionTimestamp) {
      terminateCrd(crd);
      return;
    }
    let next = crd;
    const { acceptedNames, taken } = judgeNames(crd);
    next = { ...crd, status: { ...crd.status, acceptedNames } };
    if (taken) {
      next = conditioned(next, [{ type: 'NamesAccepted', status: 'False', ...taken }]);
      if (!hasCondition(next, 'Established')) {
        const message = 'not all names are accepted';
        next = conditioned(next, [{ type: 'Established', status: 'False', reason: 'NotAccepted', message }]);
      }
    } else {
      next = conditioned(next, [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
        {
          type: 'Established',
          status: 'True',
          reason: 'InitialNamesAccepted',
          message: 'the initial names have been accepted',
        },
      ]);
    }
    serve(save(store, CRDS, crd, isDeepStrictEqual(next, crd) ? crd : owned(crd, next)) as CrdObject);
  }

  function serve(crd: CrdObject) {
    if (!hasCondition(crd, 'Established')) return;
    const compiled = compile(crd);
    if (compiled.ok) registry.set(customResource(crd, compiled.crd));
  }

  /** Each name is accepted for itself; of several that are taken the last one is told. */
  function judgeNames({ spec, status }: CrdObject) {
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

  function terminateCrd(crd: CrdObject) {
    if (!crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) return;
    const def = registry.find(crd.spec.group, crd.spec.names.plural);
    if (!crd.status.conditions?.some(each => each.reason.startsWith('InstanceDeletionInProgress'))) {
      const message = 'CustomResource deletion is in progress';
      const next = conditioned(crd, [
        { type: 'Terminating', status: 'True', reason: 'InstanceDeletionInProgress', message },
      ]);
      store.put(CRDS, owned(crd, next));
      if (def) {
        registry.set({ ...def, terminating: true });
        deleteAll(parts, def);
      }
      todo.add(crd.metadata.name);
      return;
    }
    if (def && store.size(def.storage)) return;
    const finalizers = crd.metadata.finalizers.filter(each => each !== CLEANUP_FINALIZER);
    const message = 'removed all instances';
    const next = conditioned({ ...crd, metadata: { ...crd.metadata, finalizers } }, [
      { type: 'Terminating', status: 'False', reason: 'InstanceDeletionCompleted', message },
    ]);
    if (finalizers.length) store.put(CRDS, next);
    else store.remove(CRDS, crd);
  }

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
      if (crd) tendCrd(crd);
      return true;
    },
  };
}
