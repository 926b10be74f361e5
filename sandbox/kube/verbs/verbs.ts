import type { Runtime } from '../../../ports/runtime.ts';
import { invalidValue } from '../../../schema/metadata.ts';
import { isObject } from '../../../schema/model.ts';
import type { PlainObject } from '../../../schema/types.ts';
import { applyConfig, conflictMessage, shownWriter } from '../apply/managers.ts';
import { asGoValue, typeOf } from '../apply/schemas.ts';
import { DEDUCED, type Type } from '../apply/typed.ts';
import { typeFault } from '../apply/typeFault.ts';
import { timestamp } from '../resources/meta.ts';
import type { DraftObject, Meta, StoredObject, Target, WriteOptions } from '../resources/resource.ts';
import { badRequest, conflict, failure, forbidden, invalid, notFound } from '../status.ts';
import type { Store } from '../store.ts';
import { decode, sortedKeys } from './decode.ts';
import { insert } from './insert.ts';
import { ignoredFields, writerOf } from './managedFields.ts';
import { patched } from './patch.ts';
import { remove } from './remove.ts';
import { replace } from './replace.ts';
import { type Api, checkNamespace, shown, stored } from './stored.ts';

export type Verbs = ReturnType<typeof createVerbs>;

/** The writing verbs of the API. They make their checks in kube-apiserver's order and throw a StatusError on refusal. */
export function createVerbs(store: Store, runtime: Runtime) {
  const bound =
    <Given extends unknown[], Result>(verb: (api: Api, ...given: Given) => Result) =>
    (...given: Given) =>
      verb({ store, runtime }, ...given);
  return {
    create: bound(create),
    update: bound(update),
    patch: bound(patch),
    apply: bound(apply),
    remove: bound(remove),
    stored: bound(stored),
    shown,
  };
}

function create(api: Api, target: Target, body: PlainObject, options: WriteOptions): StoredObject {
  const { def, version } = target;
  if (def.terminating) {
    const name = String((body.metadata as PlainObject | undefined)?.name ?? '');
    throw forbidden(def, name, 'create not allowed while custom resource definition is terminating');
  }
  return insert(api, target, decode(target, body, options), options, version.hasStatus);
}

/** PUT. `created` is true if the object did not exist before. */
function update(
  api: Api,
  target: Target,
  body: PlainObject,
  options: WriteOptions,
): { object: StoredObject; created: boolean } {
  const { def, name = '', namespace, subresource } = target;
  const draft = decode(target, body, options);
  checkNamespace(target, draft);
  checkName(name, draft);
  if (!api.store.get(def.storage, namespace, name)) {
    if (!def.allowCreateOnUpdate || subresource) throw notFound(def, name);
    return {
      object: insert(api, target, { ...draft, metadata: { ...draft.metadata, resourceVersion: '' } }, options, false),
      created: true,
    };
  }
  return { object: replace(api, target, draft, options), created: false };
}

function patch(api: Api, target: Target, type: string, change: unknown, options: WriteOptions): StoredObject {
  const { version, name = '' } = target;
  const current = shown(target, stored(api, target));
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
  const noType = kindFault(body, json);
  if (noType) throw refuse(noType);
  checkPatchedVersion(target, body);
  const draft = decode(target, body, options, refuse);
  checkName(name, draft);
  // In a patch a different uid is a change of an immutable field, not a precondition.
  return replace(api, target, draft, options, false);
}

/** Server-side apply. `created` is true if the object did not exist before. */
function apply(
  api: Api,
  target: Target,
  body: PlainObject,
  options: WriteOptions,
): { object: StoredObject; created: boolean } {
  const { def, version, namespace, name = '', subresource } = target;
  const current = api.store.get(def.storage, namespace, name);
  if (!current && subresource) throw notFound(def, name);
  checkApplied(target, body);
  const config: PlainObject = { ...body, metadata: { name, ...(body.metadata as PlainObject | undefined) } };
  const { uid } = config.metadata as Meta;
  if (uid && !current) {
    throw conflict(
      def,
      name,
      `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`,
    );
  }
  const sent = decode(target, config, options);
  // Only an object that exists may be applied without its name.
  if (!current) checkName(name, body as unknown as Pick<DraftObject, 'metadata'>);
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
    { force: options.force === true, now: timestamp(api.runtime.now()) },
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
  const decoded = decode(target, { ...result.object, apiVersion, kind }, { ...options, fieldValidation: 'Ignore' });
  const draft = def.custom ? (withNulls(decoded, result.object, typeOf(version)) as typeof decoded) : decoded;
  if (current) return { object: replace(api, target, draft, { ...options, applied }, false), created: false };
  return { object: insert(api, target, draft, { ...options, applied }, version.hasStatus), created: true };
}

/**
 * The value with the nulls of `applied`, which stand for lists and maps whose last part an apply has removed. A decoder drops nulls, but
 * what an apply makes passes no decoder before the schema refuses it. A field of no type may be null there, and is then not stored.
 */
function withNulls(value: unknown, applied: unknown, type: Type): unknown {
  if (Array.isArray(value) && Array.isArray(applied) && type.kind === 'list')
    return value.map((item, at) => withNulls(item, applied[at], type.item));
  if (!isObject(value) || !isObject(applied) || type.kind !== 'map' || type === DEDUCED) return value;
  const result: PlainObject = { ...value };
  for (const [name, inner] of Object.entries(applied)) {
    const of = type.field(name) ?? type.values;
    if (of === undefined || of === DEDUCED || name === 'metadata') continue;
    if (inner === null) result[name] ??= null;
    else if (Object.hasOwn(result, name)) result[name] = withNulls(result[name], inner, of);
  }
  return result;
}

/** Checks the body of an apply in kube-apiserver's order: its kind, its managers, and each field against the schema. */
function checkApplied({ def, version }: Target, body: PlainObject): void {
  const { apiVersion = '', kind = '' } = body as { apiVersion?: string; kind?: string };
  const gvk = `${String(apiVersion).includes('/') ? apiVersion : `/${apiVersion}`}, Kind=${kind}`;
  const expected = `${def.group}/${version.name}, Kind=${def.kind}`;
  if (gvk !== expected) throw badRequest(`invalid object type: ${gvk}`);
  const meta = (body.metadata ?? {}) as Meta;
  if (meta.managedFields !== undefined) throw badRequest('metadata.managedFields must be nil');
  const fault = typeFault(body, typeOf(version));
  if (!fault) return;
  const text = (value: unknown) => (typeof value === 'string' ? value : '');
  const named = `${text(meta.namespace)}/${text(meta.name)}`;
  throw failure(500, '', `failed to create typed patch object (${named}; ${gvk}): ${fault}`);
}

function checkName(name: string, { metadata }: Pick<DraftObject, 'metadata'>) {
  const named = metadata?.name ?? '';
  if (named === name) return;
  throw badRequest(
    named
      ? `the name of the object (${named}) does not match the name on the URL (${name})`
      : `the name of the object (${name} based on URL) was undeterminable: name must be provided`,
  );
}

/** Returns the error message for a patched object whose kind is missing or whose kind or apiVersion is not a string. */
function kindFault({ apiVersion, kind }: PlainObject, json: string): string | undefined {
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
