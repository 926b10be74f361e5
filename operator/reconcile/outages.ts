import { hash } from 'node:crypto';
import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';

/**
 * Since when tenants that were up to date could not be read. Kept in memory and measured on the monotonic clock: a new
 * process starts to count anew, and a tenant that is NotVerified already stays so. One entry for each tenant that cannot be
 * read now or whose status still says so, and none for any other.
 */
export interface OutageMemory {
  /** A check ended without reading the tenant's resources. */
  unread(key: string, uid: string, failure: string): Outage;
  /**
   * A check could read them, or the tenant is gone. With `uid`: the milliseconds for which the status of a tenant that is
   * NotVerified is still not written, because the end of an outage would otherwise write those of all tenants at once.
   */
  over(key: string, uid?: string): number;
  /** Some read in this project was answered. */
  answered(project: string): void;
  /** True while other tenants of the project are read, and this one has been refused for longer than IAM takes to apply. */
  isOwn(key: string, project: string): boolean;
}

export interface Outage {
  /** RFC 3339. */
  since: string;
  /** The first failure's words. */
  failure: string;
  /** For so long that the status of a tenant that was up to date says so. */
  isLong: boolean;
}

const INTERVALS = 3;
/** IAM changes apply within 2 minutes as a rule: https://docs.cloud.google.com/iam/docs/access-change-propagation */
const PROPAGATION_MS = 120_000;
const MOST_PROJECTS = 1_000;

export function createOutageMemory(runtime: Pick<Runtime, 'now' | 'monotonic'>, syncIntervalMs: number): OutageMemory {
  const outages = new Map<string, { since: string; failure: string; from: number; endedAt?: number }>();
  /** By project: the first and the latest read of the present run of answered reads. */
  const projects = createRecent<{ first: number; last: number }>(runtime, {
    forMs: syncIntervalMs,
    most: MOST_PROJECTS,
  });
  // Each tenant has a moment of its own within one interval, so that their writes do not come all at once.
  const share = (uid: string) => (Number.parseInt(hash('sha256', uid).slice(0, 8), 16) / 2 ** 32) * syncIntervalMs;
  return {
    unread(key, uid, failure) {
      const now = runtime.monotonic();
      const { endedAt: _, ...known } = outages.get(key) ?? {
        since: new Date(runtime.now()).toISOString(),
        failure,
        from: now,
      };
      outages.set(key, known);
      const isLong = now - known.from >= INTERVALS * syncIntervalMs + share(uid);
      return { since: known.since, failure: known.failure, isLong };
    },
    over(key, uid) {
      if (uid !== undefined) {
        const now = runtime.monotonic();
        const known = outages.get(key) ?? { since: '', failure: '', from: now };
        const endedAt = known.endedAt ?? now;
        const left = endedAt + share(uid) - now;
        if (left > 0) {
          outages.set(key, { ...known, endedAt });
          return left;
        }
      }
      outages.delete(key);
      return 0;
    },
    answered(project) {
      const now = runtime.monotonic();
      projects.set(project, { first: projects.get(project)?.first ?? now, last: now });
    },
    isOwn(key, project) {
      const now = runtime.monotonic();
      const reads = projects.get(project);
      const from = outages.get(key)?.from;
      if (!reads || from === undefined) return false;
      return reads.last - from >= PROPAGATION_MS && now - reads.first >= PROPAGATION_MS;
    },
  };
}
