import type { StoredObject, Target } from '../resources/resource.ts';
import { badRequest, expired, failure, type StatusError } from '../status.ts';
import type { Store } from '../store.ts';
import { type FieldTerm, fieldSelector, labelSelector } from './selectors.ts';

export interface ListOptions {
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
  resourceVersionMatch?: string;
}

export interface ListResult {
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: StoredObject[];
}

export function list(store: Store, target: Target, options: ListOptions): ListResult {
  const { def, version } = target;
  const matches = filter(target, options);
  const token = options.continue ? decodeToken(options.continue) : undefined;
  const wanted = revisionOf(options.resourceVersion, why => badRequest(`invalid resource version: ${why}`));
  if (wanted !== undefined && wanted > store.revision()) {
    throw failure(504, 'Timeout', `Timeout: Too large resource version: ${wanted}, current: ${store.revision()}`, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    });
  }
  const exact = options.resourceVersionMatch === 'Exact' ? wanted : undefined;
  const at = token ? token.revision : (exact ?? store.revision());
  const all = store.list(def.storage, at);
  if (!all) {
    if (!token) throw expired(`The resourceVersion for the provided list is too old.`);
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
      encodeToken({ revision: store.revision(), after: token.after }),
    );
  }
  const found = all.filter(([key, object]) => (!token || key > token.after) && matches(object));
  const page = options.limit ? found.slice(0, options.limit) : found;
  const metadata: ListResult['metadata'] = { resourceVersion: String(at) };
  const last = page.at(-1);
  if (page.length < found.length && last) {
    metadata.continue = encodeToken({ revision: at, after: last[0] });
    // As in kube-apiserver, whose count of the remaining ones cannot see through a selector.
    if (!options.labelSelector && !options.fieldSelector) metadata.remainingItemCount = found.length - page.length;
  }
  return { metadata, items: page.map(([, object]) => version.fromStored(object)) };
}

/** Returns true for the objects that a request selects. */
export function filter(target: Target, options: ListOptions): (object: StoredObject) => boolean {
  const byLabel = labelSelector(options.labelSelector);
  const terms = fieldSelector(options.fieldSelector);
  const values = terms.map(term => ({ ...term, read: fieldReader(target, term) }));
  return object => {
    if (target.namespace !== undefined && object.metadata.namespace !== target.namespace) return false;
    if (target.name !== undefined && object.metadata.name !== target.name) return false;
    if (!byLabel(object.metadata.labels ?? {})) return false;
    return values.every(({ read, equal, value }) => (read(object) === value) === equal);
  };
}

function fieldReader({ def }: Target, { field }: FieldTerm): (object: StoredObject) => string {
  if (field === 'metadata.name') return object => object.metadata.name;
  if (field === 'metadata.namespace' && (def.namespaced || !def.custom))
    return object => object.metadata.namespace ?? '';
  const read = def.selectable[field];
  if (read) return read;
  const known = def.custom || Object.keys(def.selectable).length > 0;
  throw badRequest(
    known
      ? `field label not supported: ${field}`
      : `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`,
  );
}

export function revisionOf(text: string | undefined, refuse: (why: string) => StatusError): number | undefined {
  if (!text || text === '0') return undefined;
  if (/^\d+$/.test(text)) return Number(text);
  throw refuse(`resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
}

const encodeToken = ({ revision, after }: { revision: number; after: string }) =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start: `${after}\u0000` })).toString('base64url');

function decodeToken(text: string): { revision: number; after: string } {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (v === 'meta.k8s.io/v1' && typeof rv === 'number' && typeof start === 'string') {
      return { revision: rv, after: start.slice(0, -1) };
    }
  } catch {}
  throw badRequest('invalid continue token: continue key is not valid: illegal base64 data at input byte 0');
}
