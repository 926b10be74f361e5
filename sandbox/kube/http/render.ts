import type { Runtime } from '../../../ports/runtime.ts';
import type { StoredObject, Target } from '../resources/resource.ts';
import { partialMetadata, table } from '../resources/table.ts';
import type { Wanted } from './request.ts';
import { includeObject } from './requestOptions.ts';

/** What determines the form of an answer. */
export interface View {
  target: Target;
  query: URLSearchParams;
  wanted: Wanted;
  runtime: Runtime;
}

export const groupVersion = ({ def, version }: Target) => (def.group ? `${def.group}/${version.name}` : version.name);

/** An object in the form that the client wants. */
export function render(view: View, object: StoredObject): object {
  const { wanted } = view;
  if (wanted.as === 'Table') {
    const metadata = { resourceVersion: object.metadata.resourceVersion };
    return tableOf(view, metadata, [object], true);
  }
  return wanted.as ? partialMetadata(object, wanted.groupVersion) : object;
}

export function renderList(view: View, metadata: object, items: StoredObject[]): object {
  const { target, wanted } = view;
  const { def } = target;
  if (wanted.as === 'Table') return tableOf(view, metadata, items, true);
  if (wanted.as) {
    const partial = items.map(item => partialMetadata(item, wanted.groupVersion));
    return { kind: 'PartialObjectMetadataList', apiVersion: wanted.groupVersion, metadata, items: partial };
  }
  const apiVersion = groupVersion(target);
  // Items of built-in lists carry no kind, those of custom resources do.
  const bare = def.custom ? items : items.map(({ kind: _, apiVersion: __, ...rest }) => rest);
  const listMeta = def.custom ? { continue: '', ...metadata } : metadata;
  return { kind: def.listKind, apiVersion, metadata: listMeta, items: bare };
}

/** A Table of `items`. Without `headers` its column definitions are null, as in the second event of a watch. */
export function tableOf(view: View, metadata: object, items: StoredObject[], headers: boolean) {
  const format = { includeObject: includeObject(view.query), groupVersion: view.wanted.groupVersion, headers };
  return table(view.target.version, items, metadata, format, view.runtime.now());
}
