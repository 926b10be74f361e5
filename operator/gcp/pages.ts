import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { failureOf } from './errors.ts';
import { filled, objects, texts } from './parse.ts';
import type { Listed } from './sharedList.ts';
import { passes } from './status.ts';

/** More pages than any list here can have: a server that never ends its list is not followed for ever. */
const MAX_PAGES = 2_000;

/**
 * All pages of a list method. `field` holds a page's items, `read` gives an item's key and value; an item that it can't
 * understand, or a place that could not be reached (`unreachable`, google/cloud/run/v2/service.proto), makes it partial.
 */
export async function listAll<T>(
  call: GcpCall,
  method: string,
  request: JsonObject,
  field: string,
  read: (item: JsonObject) => [string, T] | undefined,
): Promise<Listed<T>> {
  const items = new Map<string, T>();
  let partial = false;
  let pageToken: string | undefined;
  for (let pages = 1; pages <= MAX_PAGES; pages++) {
    const result = await call(method, { ...request, pageToken });
    if (!result.ok) return { ok: false, failure: failureOf(method, result.status), passes: passes(result.status.code) };
    for (const item of objects(result.response[field])) {
      const known = read(item);
      if (known) items.set(...known);
      else partial = true;
    }
    partial ||= texts(result.response.unreachable).length > 0;
    pageToken = filled(result.response.nextPageToken);
    if (!pageToken) return { ok: true, listing: { items, pages, partial } };
  }
  return { ok: false, failure: { kind: 'Transient', message: `${method} did not come to an end.` }, passes: false };
}
