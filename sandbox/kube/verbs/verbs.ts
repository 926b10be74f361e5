import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../../ports/runtime.ts';
import { invalidValue } from '../../../schema/metadata.ts';
import type { FieldCause, PlainObject } from '../../../schema/types.ts';
import { applyConfig, conflictMessage, shownWriter } from '../apply/managers.ts';
import { asGoValue, typeOf } from '../apply/schemas.ts';
import { type CrdObject, markedForCleanup, newCrdStatus } from '../resources/crds.ts';
import {
  finalizerWarnings,
  metadataErrors,
  metadataUpdateErrors,
  nameSuffix,
  timestamp,
  uuid,
} from '../resources/meta.ts';
import type { DraftObject, Meta, StoredObject, Target, WriteOptions } from '../resources/resource.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  failure,
  forbidden,
  invalid,
  notFound,
  type Status,
  staleObject,
  success,
} from '../status.ts';
import type { Store } from '../store.ts';
import { decode, sortedKeys } from './decode.ts';
import { differsInTimesOnly, ignoredFields, managedAfter, writerOf } from './managedFields.ts';
import { patched, unsupportedPatch } from './patch.ts';

export interface DeleteOptions {
  dryRun: boolean;
  preconditions?: { uid?: string; resourceVersion?: string };
  propagationPolicy?: string;
}

export type Verbs = ReturnType<typeof createVerbs>;

const PROTECTED_NAMESPACES = ['default', 'kube-system', 'kube-public'];

/** The writing verbs of the API. They make their checks in kube-apiserver's order and throw a StatusError on refusal. */
export function createVerbs(store: Store, runtime: Runtime) {
  const shown = ({ version }: Target, object: StoredObject) => version.fromStored(object);

  function stored({ def, namespace, name = '' }: Target): StoredObject {
    const object = store.get(def.storage, namespace, name);
    if (!object) throw notFound(def, name);
    return object;
  }

  function checkNamespace({ namespace }: Target, draft: DraftObject) {
    if (!namespace) return;
    draft.metadata.namespace ??= namespace;
    if (draft.metadata.namespace !== namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
  }

  function checkName(name: string, { metadata }: DraftObject) {
    const named = metadata.name ?? '';
    if (named === name) return;
    throw badRequest(
      named
        ? `the name of the object (${named}) does not match the name on the URL (${name})`
        : `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
    );
  }

  function admitToNamespace({ def, namespace }: Target, name: string) {
    if (!namespace) return;
    const home = store.get('/namespaces', undefined, namespace);
    if (!home) throw notFound({ group: '', plural: 'namespaces' }, namespace);
    if (!home.metadata.deletionTimestamp) return;
    throw forbidden(
      def,
      name,
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }

  function create(target: Target, body: PlainObject, options: WriteOptions): StoredObject {
    const { def, version } = target;
    if (def.terminating) {
      const name = String((body.metadata as PlainObject | undefined)?.name ?? '');
      throw forbidden(def, name, 'create not allowed while custom resource definition is terminating');
    }
    return insert(target, decode(target, body, options), options, version.hasStatus);
  }

  function insert(target: Target, draft: DraftObject, options: WriteOptions, dropStatus: boolean): StoredObject {
    const { def, version, namespace } = target;
    checkNamespace(target, draft);
    const meta = draft.metadata;
    if (!meta.name && meta.generateName) meta.name = `${meta.generateName.slice(0, 58)}${nameSuffix(runtime)}`;
    admitToNamespace(target, meta.name ?? '');
    draft.metadata = {
      ...meta,
      uid: uuid(runtime),
      creationTimestamp: timestamp(runtime.now()),
      generation: def.hasGeneration ? 1 : undefined,
      resourceVersion: undefined,
      deletionTimestamp: undefined,
      deletionGracePeriodSeconds: undefined,
    };
    if (dropStatus) delete draft.status;
    draft.metadata.managedFields = managedAfter(target, draft, undefined, options, timestamp(runtime.now()));
    if (def.storage === '/namespaces') {
      // `generateName` may have set the name after the client wrote the label.
      const labels = { ...draft.metadata.labels, 'kubernetes.io/metadata.name': draft.metadata.name };
      draft = {
        ...draft,
        metadata: { ...draft.metadata, labels },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      };
    }
    if (def.kind === 'CustomResourceDefinition') draft = { ...draft, status: newCrdStatus(draft) };
    const object = version.toStored(clean(draft));
    const wrong = metadataErrors(def, object, true);
    const causes = [...wrong, ...version.validate(def.custom ? draft : object, undefined, wrong)];
    if (causes.length) throw invalid(def, meta.name ?? '', causes);
    if (def.custom) options.warnings.push(...finalizerWarnings(draft));
    // In kube-apiserver the storage layer refuses this. A dry run never reaches that layer, and the layer reads a resourceVersion
    // that is not a number as absent.
    if (!options.dryRun && /^\d+$/.test(meta.resourceVersion ?? '') && Number(meta.resourceVersion) !== 0) {
      throw failure(500, '', 'resourceVersion should not be set on objects to be created');
    }
    const there = store.get(def.storage, namespace, meta.name);
    if (there) throw alreadyExists(def, meta.name, there.metadata.deletionTimestamp !== undefined);
    if (options.dryRun) {
      const { resourceVersion } = meta;
      const answer = { ...object, metadata: { ...object.metadata, ...(resourceVersion && { resourceVersion }) } };
      return shown(target, answer as StoredObject);
    }
    return shown(target, store.put(def.storage, object));
  }

  /** PUT. `created` is true if the object did not exist before. */
  function update(
    target: Target,
    body: PlainObject,
    options: WriteOptions,
  ): { object: StoredObject; created: boolean } {
    const { def, name = '', namespace, subresource } = target;
    const draft = decode(target, body, options);
    checkNamespace(target, draft);
    checkName(name, draft);
    if (!store.get(def.storage, namespace, name)) {
      if (!def.allowCreateOnUpdate || subresource) throw notFound(def, name);
      return {
        object: insert(target, { ...draft, metadata: { ...draft.metadata, resourceVersion: '' } }, options, false),
        created: true,
      };
    }
    return { object: replace(target, draft, options), created: false };
  }

  function patch(target: Target, type: string, change: unknown, options: WriteOptions): StoredObject {
    const { def, version, name = '' } = target;
    if (!def.patchTypes.includes(type)) throw unsupportedPatch(def.patchTypes);
    const current = shown(target, stored(target));
    const body = patched(current, type, change, version.patchMergeKeys);
    const json = JSON.stringify(sortedKeys(body));
    const refuse = (message: string) =>
      invalid({ group: '', kind: '' }, '', [
        {
          reason: 'FieldValueInvalid',
          message: `Invalid value: ${JSON.stringify(json)}: ${message.replace(/^.*?cannot be handled as a \w+: /, '')}`,
          field: 'patch',
        },
      ]);
    const noType = typeFault(body, json);
    if (noType) throw refuse(noType);
    checkPatchedVersion(target, body);
    const draft = decode(target, body, options, refuse);
    checkName(name, draft);
    // In a patch a different uid is a change of an immutable field, not a precondition.
    return replace(target, draft, options, false);
  }

  /** Server-side apply. `created` is true if the object did not exist before. */
  function apply(target: Target, body: PlainObject, options: WriteOptions): { object: StoredObject; created: boolean } {
    const { def, version, namespace, name = '', subresource } = target;
    const current = store.get(def.storage, namespace, name);
    if (!current && subresource) throw notFound(def, name);
    const config: PlainObject = { ...body, metadata: { name, ...(body.metadata as PlainObject | undefined) } };
    const meta = config.metadata as Meta;
    if (meta.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
    // Wrong types and unknown fields are reported for the body that was sent, not for the merged object.
    const sent = decode(target, config, options);
    if (sent.metadata.name !== name) {
      throw badRequest(`the name of the object (${sent.metadata.name}) does not match the name on the URL (${name})`);
    }
    const live = current ? shown(target, current) : {};
    const writer = writerOf(target, options.manager ?? '', 'Apply');
    const result = applyConfig(
      asGoValue(version, live as PlainObject),
      config,
      writer,
      typeOf(version),
      ignoredFields(target),
      { force: options.force === true, now: timestamp(runtime.now()) },
    );
    if (!result.ok) {
      const causes = result.conflicts.map(({ writer, path }) => ({
        reason: 'FieldManagerConflict',
        message: `conflict with ${shownWriter(writer)}`,
        field: path,
      }));
      throw failure(409, 'Conflict', conflictMessage(result.conflicts), { causes });
    }
    const applied = { managedFields: result.managedFields };
    const { apiVersion, kind } = config;
    const draft = decode(target, { ...result.object, apiVersion, kind }, { ...options, fieldValidation: 'Ignore' });
    if (current) return { object: replace(target, draft, { ...options, applied }, false), created: false };
    return { object: insert(target, draft, { ...options, applied }, version.hasStatus), created: true };
  }

  /**
   * Replaces a stored object. Every change of an existing object comes here: it checks preconditions, keeps immutable and
   * separate fields, validates, and removes the object when its last finalizer goes.
   */
  function replace(target: Target, draft: DraftObject, options: WriteOptions, unique = true): StoredObject {
    const { def, version, name = '', subresource } = target;
    checkNamespace(target, draft);
    const old = stored(target);
    const meta = draft.metadata;
    if (unique && meta.uid && meta.uid !== old.metadata.uid) {
      throw conflict(def, name, uidMismatch(target, meta.uid, old.metadata, options.dryRun));
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
    next.metadata.managedFields = managedAfter(target, next, oldShown, options, timestamp(runtime.now()));
    next = clean(next);
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
      store.remove(def.storage, old);
      return shown(target, object as StoredObject);
    }
    return shown(target, store.put(def.storage, object));
  }

  /** Deletes an object, or sets its deletionTimestamp while finalizers remain. */
  function remove(target: Target, options: DeleteOptions): Status | StoredObject {
    const { def, name = '' } = target;
    const old = stored(target);
    const meta = old.metadata;
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
    if (def.storage === '/namespaces' && PROTECTED_NAMESPACES.includes(name)) {
      throw forbidden(def, name, 'this namespace may not be deleted');
    }
    const finalizers = (meta.finalizers ?? []).filter(each => each !== 'orphan' && each !== 'foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.push('orphan');
    if (options.propagationPolicy === 'Foreground') finalizers.push('foregroundDeletion');
    const isNamespace = def.storage === '/namespaces';
    if (def.kind === 'CustomResourceDefinition' && !meta.deletionTimestamp) {
      const crd = markedForCleanup(old as CrdObject, timestamp(runtime.now()));
      return options.dryRun ? crd : store.put(def.storage, crd);
    }
    const pending = finalizers.length > 0 || isNamespace;
    if (!pending) {
      if (!options.dryRun) store.remove(def.storage, old);
      return success({ name, group: def.group || undefined, kind: def.plural, uid: meta.uid });
    }
    const marked: DraftObject = clean({
      ...old,
      metadata: {
        ...meta,
        finalizers: isNamespace ? meta.finalizers : finalizers,
        generation: meta.generation && !meta.deletionTimestamp ? meta.generation + 1 : meta.generation,
        deletionTimestamp: meta.deletionTimestamp ?? timestamp(runtime.now()),
        deletionGracePeriodSeconds: isNamespace ? undefined : 0,
      },
    });
    if (isNamespace) marked.status = { ...(old.status as object), phase: 'Terminating' };
    if (options.dryRun || isDeepStrictEqual(marked, old)) return shown(target, marked as StoredObject);
    return shown(target, store.put(def.storage, marked));
  }

  return { create, update, patch, apply, remove, stored, shown };
}

/**
 * Rewrites the field names in messages about a custom resource's status subresource, where kube-apiserver names the field
 * without the leading `status.`.
 */
function ofStatus(causes: FieldCause[]): FieldCause[] {
  return causes.map(cause => ({ ...cause, message: cause.message.replace(/: status\.(?=\S* in body )/, ': ') }));
}

/** Returns the error message for a patched object whose kind is missing or whose kind or apiVersion is not a string. */
function typeFault({ apiVersion, kind }: PlainObject, json: string): string | undefined {
  for (const [key, value] of Object.entries({ apiVersion, kind })) {
    if (value === undefined || value === null || typeof value === 'string') continue;
    const found = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    return `couldn't get version/kind; json parse error: json: cannot unmarshal ${found} into Go struct field .${key} of type string`;
  }
  if (!kind) return `Object 'Kind' is missing in '${json}'`;
  return apiVersion === null ? '.apiVersion accessor error: <nil> is of the type <nil>, expected string' : undefined;
}

/** Refuses a patch of a custom resource that changes its apiVersion. kube-apiserver checks the patched object. */
function checkPatchedVersion({ def, version, name = '' }: Target, body: PlainObject): void {
  const expected = `${def.group}/${version.name}`;
  if (def.custom && !body.apiVersion) {
    const message = "Object 'apiVersion' is missing in 'object has no apiVersion field'";
    throw failure(500, 'InternalError', `Internal error occurred: ${message}`, { causes: [{ message }] });
  }
  if (!def.custom || body.apiVersion === expected) return;
  const [group = ''] = /^[^/]+(?=\/)/.exec(String(body.apiVersion)) ?? [];
  throw invalid({ group, kind: String(body.kind) }, name, [
    invalidValue('apiVersion', body.apiVersion, `must be ${expected}`),
  ]);
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

/** Drops keys whose value is undefined, so that an object compares and prints as it would after JSON serialization. */
function clean(object: DraftObject): DraftObject {
  const drop = (record: object) =>
    Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined));
  return { ...drop(object), metadata: drop(object.metadata) } as DraftObject;
}
