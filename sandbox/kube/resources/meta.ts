import type { Runtime } from '../../../ports/runtime.ts';
import { invalidValue, mapErrors } from '../../../schema/metadata.ts';
import { labelNameErrors, pathSegmentErrors, qualifiedNameErrors, subdomainErrors } from '../../../schema/names.ts';
import type { FieldCause } from '../../../schema/types.ts';
import type { DraftObject, Meta, ResourceDef, StoredObject } from './resource.ts';

/** RFC 3339 with whole seconds, as metav1.Time. */
export const timestamp = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** A version 4 UUID from the runtime's randomness. */
export function uuid(runtime: Runtime): string {
  const hex = (digits: number) =>
    Math.floor(runtime.random() * 16 ** digits)
      .toString(16)
      .padStart(digits, '0');
  const variant = (8 + Math.floor(runtime.random() * 4)).toString(16);
  return `${hex(8)}-${hex(4)}-4${hex(3)}-${variant}${hex(3)}-${hex(12)}`;
}

/** Five characters that apimachinery's `SafeEncodeString` may give. */
export function nameSuffix(runtime: Runtime): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  return Array.from({ length: 5 }, () => alphabet[Math.floor(runtime.random() * alphabet.length)]).join('');
}

export const required = (field: string, why: string): FieldCause => ({
  reason: 'FieldValueRequired',
  message: `Required value${why ? `: ${why}` : ''}`,
  field,
});
const forbiddenField = (field: string, why: string): FieldCause => ({
  reason: 'FieldValueForbidden',
  message: `Forbidden: ${why}`,
  field,
});

const nameErrors = { subdomain: subdomainErrors, label: labelNameErrors, segment: pathSegmentErrors };

/** Returns kube-apiserver's validation errors for an object's metadata. */
export function metadataErrors(def: ResourceDef, object: DraftObject, isNew: boolean): FieldCause[] {
  const meta = object.metadata;
  const causes: FieldCause[] = [];
  const rule = nameErrors[def.nameRule];
  const add = (field: string, value: unknown, errors: string[]) =>
    causes.push(...errors.map(error => invalidValue(`metadata.${field}`, value, error)));

  // A prefix may end in a dash: only the generated name has to be right.
  if (isNew && meta.generateName) add('generateName', meta.generateName, rule(meta.generateName.replace(/-$/, 'a')));
  if (!meta.name) causes.push(required('metadata.name', 'name or generateName is required'));
  else add('name', meta.name, rule(meta.name));
  if (!def.namespaced && meta.namespace) causes.push(forbiddenField('metadata.namespace', 'not allowed on this type'));
  causes.push(...mapErrors(meta));
  causes.push(...ownerErrors(meta));
  for (const finalizer of meta.finalizers ?? []) add('finalizers', finalizer, qualifiedNameErrors(finalizer));
  return causes;
}

function ownerErrors({ ownerReferences = [] }: Meta): FieldCause[] {
  return ownerReferences.flatMap((reference, index) =>
    ['apiVersion', 'kind', 'name', 'uid']
      .filter(key => !reference[key])
      .map(key => required(`metadata.ownerReferences[${index}].${key}`, 'must not be empty')),
  );
}

/** Returns kube-apiserver's validation errors for a change of metadata. */
export function metadataUpdateErrors(meta: Meta, old: Meta): FieldCause[] {
  const causes: FieldCause[] = [];
  causes.push(...mapErrors(meta), ...ownerErrors(meta));
  const added = (meta.finalizers ?? []).filter(finalizer => !old.finalizers?.includes(finalizer)).sort();
  if (old.deletionTimestamp && added.length) {
    const list = added.map(finalizer => JSON.stringify(finalizer)).join(', ');
    causes.push(
      forbiddenField(
        'metadata.finalizers',
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
      ),
    );
  }
  for (const key of ['name', 'namespace', 'uid', 'deletionTimestamp'] as const) {
    if (meta[key] !== old[key]) causes.push(invalidValue(`metadata.${key}`, meta[key] ?? null, 'field is immutable'));
  }
  return causes;
}

/** kube-apiserver's warnings about finalizers of custom resources. */
export function finalizerWarnings(object: DraftObject, old?: StoredObject): string[] {
  const standard = ['kubernetes', 'orphan', 'foregroundDeletion'];
  const added = (object.metadata.finalizers ?? []).filter(name => !old?.metadata.finalizers?.includes(name));
  return added
    .filter(name => !name.includes('/') && !standard.includes(name))
    .sort()
    .map(name => {
      const path = name.includes('.') ? ' including a path (/)' : '';
      return `metadata.finalizers: "${name}": prefer a domain-qualified finalizer name${path} to avoid accidental conflicts with other finalizer writers`;
    });
}

const KNOWN_META = new Set([
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'generateName',
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'finalizers',
  'labels',
  'annotations',
  'ownerReferences',
  'managedFields',
  'selfLink',
]);

export const unknownMetaFields = (meta: object) =>
  Object.keys(meta)
    .filter(key => !KNOWN_META.has(key))
    .map(key => `metadata.${key}`);

/** Keeps what ObjectMeta knows; drops selfLink and empty collections, which are never stored here. */
export function tidyMeta(meta: Meta): Meta {
  const kept: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(meta)) {
    if (!KNOWN_META.has(key) || key === 'selfLink') continue;
    if (value === null || value === undefined || value === '') continue;
    if (typeof value === 'object' && Object.keys(value).length === 0) continue;
    // Go reads null in a list as the type's zero value.
    if (key === 'finalizers') kept[key] = [...new Set((value as (string | null)[]).map(one => one ?? ''))];
    else if (key === 'ownerReferences') kept[key] = (value as (object | null)[]).map(one => one ?? {});
    else kept[key] = value;
  }
  return kept as unknown as Meta;
}
