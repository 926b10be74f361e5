import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { failureOf } from './errors.ts';
import { filled, objects, texts } from './parse.ts';
import type { Listed } from './sharedList.ts';
import { passes } from './status.ts';

/** How the resources of one type in one parent (a project, or a region of a project) are listed. */
export interface ListOf<T> {
  method: string;
  /** The method's request message, without the page token. */
  request(parent: string): JsonObject;
  /** The field of the answer that holds a page's items. */
  field: string;
  /** Undefined if the item cannot be parsed; the list is then partial. */
  parse(item: JsonObject): T | undefined;
  /** An id that is unique in the parent. */
  key(value: T): string;
}

/** A list with more pages than this fails. No real list is this long, so the server answers with page tokens for ever. */
const MAX_PAGES = 2_000;

/**
 * Reads all pages of a list. The list is partial if an item cannot be parsed, or if the answer names regions that could not be
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
  return {
    ok: false,
    failure: { kind: 'Transient', message: `${method} still answered with a page token after ${MAX_PAGES} pages.` },
    passes: false,
  };
}
