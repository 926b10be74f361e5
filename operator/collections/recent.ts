import type { Runtime } from '../../ports/runtime.ts';

/** A map of what was set lately, so that what this process keeps of tenants and projects that are gone has an end. */
export interface Recent<T> {
  get(key: string): T | undefined;
  /** Sets the value, or sets it again: it is the newest. */
  set(key: string, value: T): void;
  delete(key: string): void;
  values(): T[];
}

export interface RecentOptions<T> {
  forMs?: number;
  /** Beyond this number the oldest are dropped. */
  most?: number;
  /** Values that are dropped neither for their age nor for their number. */
  isKept?: (value: T) => boolean;
}

const HOUR_MS = 3_600_000;

/** Drops what was not set again for `forMs` (an hour unless said otherwise). It needs no timer: every use of it does so. */
export function createRecent<T>(
  { monotonic }: Pick<Runtime, 'monotonic'>,
  { forMs = HOUR_MS, most = Number.POSITIVE_INFINITY, isKept = () => false }: RecentOptions<T> = {},
): Recent<T> {
  /** In the order in which they were last set. */
  const entries = new Map<string, { value: T; at: number }>();

  function prune(newest?: string): void {
    for (const [key, { value, at }] of entries) {
      if (entries.size <= most && monotonic() - at <= forMs) return;
      if (key !== newest && !isKept(value)) entries.delete(key);
    }
  }

  return {
    get(key) {
      prune();
      return entries.get(key)?.value;
    },
    set(key, value) {
      entries.delete(key);
      entries.set(key, { value, at: monotonic() });
      prune(key);
    },
    delete: key => void entries.delete(key),
    values() {
      prune();
      return [...entries.values()].map(({ value }) => value);
    },
  };
}
