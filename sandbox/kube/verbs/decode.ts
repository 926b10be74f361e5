import { invalidValue, metaTypeError } from '../../../schema/metadata.ts';
import type { PlainObject } from '../../../schema/types.ts';
import { tidyMeta, unknownMetaFields } from '../resources/meta.ts';
import type { DraftObject, Meta, Target, WriteOptions } from '../resources/resource.ts';
import { badRequest, invalid } from '../status.ts';

/** The body as an object of the target's kind: types checked, unknown fields told, pruned, defaulted. */
export function decode(target: Target, body: PlainObject, options: WriteOptions, refuse = badRequest): DraftObject {
  const { def, version } = target;
  const expected = def.group ? `${def.group}/${version.name}` : version.name;
  if (body.apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${body.apiVersion}) does not match the expected API version (${expected})`,
    );
  }
  const handled = `${body.kind} in version "${version.name}" cannot be handled as a ${def.kind}`;
  if (body.kind !== def.kind) {
    if (!def.custom) throw badRequest(`${handled}: converting (${body.kind}) to (${def.kind}): unknown conversion`);
    const name = String((body.metadata as PlainObject | undefined)?.name ?? '');
    throw invalid({ group: def.group, kind: String(body.kind) }, name, [
      invalidValue('kind', body.kind, `must be ${def.kind}`),
    ]);
  }
  const raw = (body.metadata ?? {}) as PlainObject;
  const typeError = metaTypeError(raw, def.custom ? '' : 'metadata.') ?? version.typeError(body);
  if (typeError) throw refuse(`${handled}: ${typeError}`);
  const draft = { ...body, metadata: raw } as unknown as DraftObject;
  if (options.fieldValidation !== 'Ignore') {
    const unknown = [...new Set([...unknownMetaFields(raw), ...version.unknownFields(draft)])];
    const twice = (options.duplicates ?? []).map(path => `duplicate field "${path}"`);
    const told = [...twice, ...unknown.map(path => `unknown field "${path}"`)];
    if (told.length && options.fieldValidation === 'Strict') {
      throw refuse(`${handled}: strict decoding error: ${told.join(', ')}`);
    }
    options.warnings.push(...told);
  }
  return version.admit({ ...draft, metadata: tidyMeta(raw as unknown as Meta) });
}

/** A custom resource is written with its keys in order. */
export function sortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sortedKeys(inner)]));
}
