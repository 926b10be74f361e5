import { invalid } from './errors.ts';

export interface Page<T> {
  items: T[];
  nextPageToken?: string;
  totalSize: number;
}

/**
 * Returns one page of `items`, which are in answer order and have a unique `sequence`. The token contains the sequence of the last
 * item on the page, so creating or deleting an item between two pages neither repeats nor skips another item.
 */
export function page<T extends { sequence: number }>(
  items: T[],
  request: { pageSize?: unknown; pageToken?: unknown },
  limits: { default: number; max: number; order: 'newest first' | 'oldest first' },
): Page<T> {
  const asked = Number(request.pageSize ?? 0);
  if (asked < 0) throw invalid('The page size must not be negative.', { field: 'page_size', description: 'negative' });
  const size = Math.min(asked || limits.default, limits.max);
  const after = request.pageToken ? Number(Buffer.from(String(request.pageToken), 'base64url').toString()) : undefined;
  if (after !== undefined && !Number.isSafeInteger(after)) {
    throw invalid('The provided page token is invalid.', { field: 'page_token', description: 'invalid' });
  }
  const isNext = ({ sequence }: T) =>
    after === undefined || (limits.order === 'newest first' ? sequence < after : sequence > after);
  const rest = items.filter(isNext);
  const given = rest.slice(0, size);
  const last = given.at(-1);
  return {
    items: given,
    totalSize: items.length,
    ...(rest.length > size && last && { nextPageToken: Buffer.from(String(last.sequence)).toString('base64url') }),
  };
}
