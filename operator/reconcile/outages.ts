import { hash } from 'node:crypto';
import type { Runtime } from '../ports.ts';

/**
 * Since when tenants that were up to date could not be read. Kept in memory and measured on the monotonic clock: a new
 * process starts to count anew, and a tenant that is NotVerified already stays so. One entry for each tenant that cannot be
 * read now, and none for any other.
 */
export interface OutageMemory {
  /** A check ended without reading the tenant's resources. Defined: for so long that the status says so. */
  unread(key: string, uid: string, failure: string): Outage | undefined;
  /** A check could read them, or the tenant is gone. */
  over(key: string): void;
}

export interface Outage {
  /** RFC 3339. */
  since: string;
  /** The first failure's words. */
  failure: string;
}

const INTERVALS = 3;

export function createOutageMemory(runtime: Pick<Runtime, 'now' | 'monotonic'>, syncIntervalMs: number): OutageMemory {
  const outages = new Map<string, Outage & { from: number }>();
  return {
    unread(key, uid, failure) {
      const now = runtime.monotonic();
      const outage = outages.get(key) ?? { since: new Date(runtime.now()).toISOString(), failure, from: now };
      outages.set(key, outage);
      // Each tenant has a moment of its own within one interval, so that their writes do not come all at once.
      const share = Number.parseInt(hash('sha256', uid).slice(0, 8), 16) / 2 ** 32;
      if (now - outage.from < (INTERVALS + share) * syncIntervalMs) return undefined;
      return { since: outage.since, failure: outage.failure };
    },
    over(key) {
      outages.delete(key);
    },
  };
}
