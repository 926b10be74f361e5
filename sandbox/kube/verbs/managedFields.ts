import { isDeepStrictEqual } from 'node:util';
import type { PlainObject } from '../../../schema/types.ts';
import { emptySet, type FieldSet, insert } from '../apply/fieldSet.ts';
import { recordUpdate, type Writer } from '../apply/managers.ts';
import { asGoValue, typeOf } from '../apply/schemas.ts';
import type { DraftObject, ManagedFieldsEntry, StoredObject, Target, WriteOptions } from '../resources/resource.ts';

/** Functions by which the API's writes maintain `metadata.managedFields`. */

/**
 * The fields that a write cannot change: `status` in a write of the resource itself, all other fields in a write of its status
 * subresource.
 */
export function ignoredFields({ version, subresource }: Target): FieldSet {
  const set = emptySet();
  if (subresource === 'status') for (const field of ['f:spec', 'f:metadata']) insert(set, [field]);
  else if (version.hasStatus) insert(set, ['f:status']);
  return set;
}

export function writerOf(
  { def, version, subresource }: Target,
  manager: string,
  operation: Writer['operation'],
): Writer {
  const apiVersion = def.group ? `${def.group}/${version.name}` : version.name;
  return { manager, operation, apiVersion, ...(subresource ? { subresource } : {}) };
}

/** The entries after a create (`old` undefined), replace or patch; without a manager those of before. */
export function managedAfter(
  target: Target,
  draft: DraftObject,
  old: StoredObject | undefined,
  options: WriteOptions,
  now: string,
): ManagedFieldsEntry[] | undefined {
  const recorded = old?.metadata.managedFields;
  if (options.applied) return options.applied.managedFields;
  if (options.manager === undefined) return recorded;
  const sent = draft.metadata.managedFields;
  // An object that nobody is on record of is not taken up by a change: only creating or applying does that.
  if (old && !recorded?.length && !sent?.length) return undefined;
  const { managedFields } = recordUpdate(
    asGoValue(target.version, (old ?? {}) as PlainObject),
    asGoValue(target.version, draft as PlainObject),
    recorded,
    writerOf(target, options.manager, 'Update'),
    typeOf(target.version),
    ignoredFields(target),
    now,
  );
  return managedFields;
}

/** True if two objects differ only in the times of managers. kube-apiserver does not store such a change. */
export function differsInTimesOnly(object: DraftObject, old: StoredObject): boolean {
  const timeless = ({ metadata, ...rest }: DraftObject) => ({
    ...rest,
    metadata: { ...metadata, managedFields: metadata.managedFields?.map(({ time: _, ...entry }) => entry) },
  });
  return isDeepStrictEqual(timeless(object), timeless(old));
}
