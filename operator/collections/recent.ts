import type { Runtime } from '../../ports/runtime.ts';

/** A map that drops old entries, so that tenants and projects that no longer exist do not use memory for ever. */
export interface Recent<T> {
  get(key: string): T | undefined;
  /** Sets the value. The entry becomes the newest one, also if it had a value before. */
  set(key: string, value: T): void;
  delete(key: string): void;
  values(): T[];
}

export interface RecentOptions<T> {
  /** An entry is dropped if it was not set for this long, milliseconds. The default is an hour. */
  forMs?: number;
  /** If there are more entries than this, the oldest are dropped. */
  most?: number;
  /** True for values that are never dropped. */
  isKept?: (value: T) => boolean;
}

const HOUR_MS = 3_600_000;

/** Entries are dropped while the map is used (`get`, `set`, `values`), so no timer is needed. Reading an entry does not renew it. */
export function createRecent<T>(
  { monotonic }: Pick<Runtime, 'monotonic'>,
  { forMs = HOUR_MS, most = Number.POSITIVE_INFINITY, isKept = () => false }: RecentOptions<T> = {},
): Recent<T> {
  /** In the order in which they were last set. */
  const entries = new Map<string, { value: T; at: number }>();

  /** No entry was set before this. V8's Map walks over deleted entries to find its first one, so `prune` must not ask for it each time. */
  let oldest = Number.POSITIVE_INFINITY;

  function prune(newest?: string): void {
    if (entries.size <= most && monotonic() - oldest <= forMs) return;
    oldest = Number.POSITIVE_INFINITY;
    for (const [key, { value, at }] of entries) {
      const isRecent = entries.size <= most && monotonic() - at <= forMs;
      if (!isRecent && key !== newest && !isKept(value)) entries.delete(key);
      else oldest = Math.min(oldest, at);
      if (isRecent) return;
    }
  }

  return {
    get(key) {
      prune();
      return entries.get(key)?.value;
    },
    set(key, value) {
      entries.delete(key);
      const at = monotonic();
      entries.set(key, { value, at });
      oldest = Math.min(oldest, at);
      prune(key);
    },
    delete: key => void entries.delete(key),
    values() {
      prune();
      return [...entries.values()].map(({ value }) => value);
    },
  };
}
