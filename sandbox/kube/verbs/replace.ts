import { isDeepStrictEqual } from 'node:util';
import type { FieldCause, PlainObject } from '../../../schema/types.ts';
import { newCrdStatus } from '../resources/crds.ts';
import { finalizerWarnings, metadataErrors, metadataUpdateErrors, timestamp } from '../resources/meta.ts';
import type { DraftObject, Meta, StoredObject, Target, WriteOptions } from '../resources/resource.ts';
import { conflict, failure, invalid, staleObject } from '../status.ts';
import { differsInTimesOnly, managedAfter } from './managedFields.ts';
import { type Api, checkNamespace, clean, shown, stored } from './stored.ts';

/**
 * Replaces a stored object. Every change of an existing object comes here: it checks preconditions, keeps immutable and
 * separate fields, validates, and removes the object when its last finalizer goes.
 */
export function replace(
  api: Api,
  target: Target,
  draft: DraftObject,
  options: WriteOptions,
  unique = true,
): StoredObject {
  const { def, version, name = '', subresource } = target;
  checkNamespace(target, draft);
  const old = stored(api, target);
  const meta = draft.metadata;
  checkPreconditions(target, meta, old, options.dryRun, unique);
  const oldShown = shown(target, old);
  const next = merged(target, draft, old, options, timestamp(api.runtime.now()));
  const object = version.toStored(next);
  if (def.hasGeneration && subresource !== 'status' && !isDeepStrictEqual(desired(object), desired(old))) {
    object.metadata = { ...object.metadata, generation: (old.metadata.generation ?? 0) + 1 };
    next.metadata = object.metadata;
  }
  const wrong = [
    ...metadataErrors(def, object, false),
    ...metadataUpdateErrors(object.metadata, old.metadata),
    // kube-apiserver runs this check twice and reports its errors twice.
    ...metadataUpdateErrors(object.metadata, old.metadata),
  ];
  const causes = [...wrong, ...version.validate(def.custom ? next : object, def.custom ? oldShown : old, wrong)];
  if (causes.length) throw invalid(def, name, def.custom && subresource === 'status' ? ofStatus(causes) : causes);
  if (def.custom) options.warnings.push(...finalizerWarnings(next, old));
  // An update that changes nothing is not written: the resourceVersion stays.
  if (differsInTimesOnly(object, old)) return oldShown;
  if (options.dryRun) return shown(target, object as StoredObject);
  if (
    object.metadata.deletionTimestamp &&
    !object.metadata.finalizers?.length &&
    !keptByNamespace(def.storage, object)
  ) {
    // Watches receive the stored object, which still has the finalizer, in the DELETED event.
    api.store.remove(def.storage, old);
    return shown(target, object as StoredObject);
  }
  return shown(target, api.store.put(def.storage, object));
}

/** Checks the uid (only if `unique`) and the resourceVersion that the request carries against those of the stored object. */
function checkPreconditions(target: Target, meta: Meta, old: StoredObject, dryRun: boolean, unique: boolean): void {
  const { def, name = '' } = target;
  if (unique && meta.uid && meta.uid !== old.metadata.uid) {
    throw conflict(def, name, uidMismatch(target, meta.uid, old.metadata, dryRun));
  }
  if (!meta.resourceVersion && !def.allowUnconditionalUpdate) {
    throw invalid({ group: def.group, kind: def.plural }, name, [
      {
        reason: 'FieldValueInvalid',
        message: 'Invalid value: 0: must be specified for an update',
        field: 'metadata.resourceVersion',
      },
    ]);
  }
  if (meta.resourceVersion && !/^\d+$/.test(meta.resourceVersion)) {
    throw failure(500, '', `strconv.ParseUint: parsing ${JSON.stringify(meta.resourceVersion)}: invalid syntax`);
  }
  if (meta.resourceVersion && meta.resourceVersion !== old.metadata.resourceVersion) {
    throw conflict(def, name, staleObject);
  }
}

/** The object as requested, with the fields of the stored one that this request cannot change. */
function merged(
  target: Target,
  draft: DraftObject,
  old: StoredObject,
  options: WriteOptions,
  now: string,
): DraftObject {
  const { def, version, subresource } = target;
  const meta = draft.metadata;
  const oldShown = shown(target, old);
  let next: DraftObject;
  if (subresource === 'status') next = { ...oldShown, status: draft.status };
  else {
    next = { ...draft, metadata: { ...meta } };
    if (version.hasStatus) next.status = oldShown.status;
    if (def.kind === 'CustomResourceDefinition') next.status = newCrdStatus(draft, old.status as PlainObject);
    if (def.storage === '/namespaces') next.spec = old.spec;
  }
  next.metadata = {
    ...next.metadata,
    uid: meta.uid || old.metadata.uid,
    creationTimestamp: old.metadata.creationTimestamp,
    deletionTimestamp: meta.deletionTimestamp ?? old.metadata.deletionTimestamp,
    deletionGracePeriodSeconds: old.metadata.deletionGracePeriodSeconds,
    resourceVersion: old.metadata.resourceVersion,
    generation: old.metadata.generation,
  };
  next.metadata.managedFields = managedAfter(target, next, oldShown, options, now);
  return clean(next);
}

/** True while `spec.finalizers` keeps a terminating namespace, even if its metadata.finalizers are empty. */
const keptByNamespace = (storage: string, object: DraftObject) =>
  storage === '/namespaces' && !!(object.spec as { finalizers?: string[] } | undefined)?.finalizers?.length;

/**
 * The object without its metadata. With a status subresource, `object` carries the old status here, so only the spec can
 * differ.
 */
const desired = ({ metadata: _, ...rest }: DraftObject) => rest;

/**
 * The message for a wrong uid. In a dry run another layer of kube-apiserver writes it, with the resourceVersion and without
 * etcd's prefix.
 */
function uidMismatch({ def, namespace, name }: Target, wanted: string, old: Meta, dryRun: boolean) {
  const key = `/${def.storage.replace(/^\//, '')}/${namespace ? `${namespace}/` : ''}${name}`;
  const where = dryRun ? `${key}, ResourceVersion: ${old.resourceVersion}` : `/registry${key}, ResourceVersion: 0`;
  return `StorageError: invalid object, Code: 4, Key: ${where}, AdditionalErrorMsg: Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${old.uid}`;
}

/**
 * Rewrites the field names in messages about a custom resource's status subresource, where kube-apiserver names the field
 * without the leading `status.`.
 */
function ofStatus(causes: FieldCause[]): FieldCause[] {
  return causes.map(cause => ({ ...cause, message: cause.message.replace(/: status\.(?=\S* in body )/, ': ') }));
}
