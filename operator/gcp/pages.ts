import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { failureOf } from './errors.ts';
import { filled, objects, texts } from './parse.ts';
import type { Listed } from './sharedList.ts';
import { passes } from './status.ts';

/** How all resources of one type below one parent (a project, or a region of it) are listed. */
export interface ListOf<T> {
  method: string;
  /** The message that the method takes, without the page's token. */
  request(parent: string): JsonObject;
  /** The field of the answer that holds a page's items. */
  field: string;
  /** Undefined if the item cannot be understood: the list is then partial. */
  parse(item: JsonObject): T | undefined;
  /** Tells the items of one parent apart. */
  key(value: T): string;
}

/** More pages than any list here can have: a list that a server never ends is given up after these. */
const MAX_PAGES = 2_000;

/**
 * All pages of a list. It is partial if an item cannot be understood, or if the answer names places that could not be
 * reached (`unreachable`, google/cloud/run/v2/service.proto).
 */
export async function listAll<T>(call: GcpCall, list: ListOf<T>, parent: string): Promise<Listed<T>> {
  const { method, field } = list;
  const items = new Map<string, T>();
  let partial = false;
  let pageToken: string | undefined;
  for (let pages = 1; pages <= MAX_PAGES; pages++) {
    const request = { ...list.request(parent), pageToken };
    const result = await call(method, request);
    if (!result.ok) {
      return { ok: false, failure: failureOf(method, result.status, request), passes: passes(result.status.code) };
    }
    for (const item of objects(result.response[field])) {
      const value = list.parse(item);
      if (value !== undefined) items.set(list.key(value), value);
      else partial = true;
    }
    partial ||= texts(result.response.unreachable).length > 0;
    pageToken = filled(result.response.nextPageToken);
    if (!pageToken) return { ok: true, listing: { items, pages, partial } };
  }
  return { ok: false, failure: { kind: 'Transient', message: `${method} did not come to an end.` }, passes: false };
}
