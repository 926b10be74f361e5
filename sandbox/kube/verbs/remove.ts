import { isDeepStrictEqual } from 'node:util';
import { type CrdObject, markedForCleanup } from '../resources/crds.ts';
import { timestamp } from '../resources/meta.ts';
import type { DraftObject, StoredObject, Target } from '../resources/resource.ts';
import { conflict, forbidden, type Status, success } from '../status.ts';
import { type Api, clean, shown, stored } from './stored.ts';

export interface DeleteOptions {
  dryRun: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: string;
}

const PROTECTED_NAMESPACES = ['default', 'kube-system', 'kube-public'];

/** Deletes an object, or sets its deletionTimestamp while finalizers remain. */
export function remove(api: Api, target: Target, options: DeleteOptions): Status | StoredObject {
  const { def, name = '' } = target;
  const old = stored(api, target);
  const meta = old.metadata;
  checkPreconditions(target, meta, options);
  if (def.storage === '/namespaces' && PROTECTED_NAMESPACES.includes(name)) {
    throw forbidden(def, name, 'this namespace may not be deleted');
  }
  const finalizers = (meta.finalizers ?? []).filter(each => each !== 'orphan' && each !== 'foregroundDeletion');
  if (options.propagationPolicy === 'Orphan') finalizers.push('orphan');
  if (options.propagationPolicy === 'Foreground') finalizers.push('foregroundDeletion');
  const isNamespace = def.storage === '/namespaces';
  if (def.kind === 'CustomResourceDefinition' && !meta.deletionTimestamp) {
    const crd = markedForCleanup(old as CrdObject, timestamp(api.runtime.now()));
    return options.dryRun ? crd : api.store.put(def.storage, crd);
  }
  const pending = finalizers.length > 0 || isNamespace;
  if (!pending) {
    if (!options.dryRun) api.store.remove(def.storage, old);
    return success({ name, group: def.group || undefined, kind: def.plural, uid: meta.uid });
  }
  const marked: DraftObject = clean({
    ...old,
    metadata: {
      ...meta,
      finalizers: isNamespace ? meta.finalizers : finalizers,
      generation: meta.generation && !meta.deletionTimestamp ? meta.generation + 1 : meta.generation,
      deletionTimestamp: meta.deletionTimestamp ?? timestamp(api.runtime.now()),
      deletionGracePeriodSeconds: isNamespace ? undefined : 0,
    },
  });
  if (isNamespace) marked.status = { ...(old.status as object), phase: 'Terminating' };
  if (options.dryRun || isDeepStrictEqual(marked, old)) return shown(target, marked as StoredObject);
  return shown(target, api.store.put(def.storage, marked));
}

function checkPreconditions({ def, name = '' }: Target, meta: StoredObject['metadata'], options: DeleteOptions): void {
  const { uid, resourceVersion } = options.preconditions ?? {};
  const kinded = { group: def.group, plural: def.kind };
  if (uid && uid !== meta.uid) {
    if (def.storage === '/namespaces') {
      throw conflict(
        { group: '', plural: def.plural },
        name,
        `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${meta.uid}`,
      );
    }
    throw conflict(
      kinded,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${meta.uid}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion && resourceVersion !== meta.resourceVersion) {
    throw conflict(
      kinded,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${meta.resourceVersion}). The object might have been modified`,
    );
  }
}
