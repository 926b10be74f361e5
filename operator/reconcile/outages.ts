import { hash } from 'node:crypto';
import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';

/**
 * Records since when each tenant could not be read. The times are in memory and on the monotonic clock, so a new process starts to
 * measure anew; a tenant whose status already says NotVerified keeps that status meanwhile. Only tenants that cannot be read now, or
 * whose status still says NotVerified, have an entry.
 */
export interface OutageMemory {
  /** Notes that a reconcile could not read the tenant's resources, and answers with the outage so far. */
  unread(key: string, uid: string, failure: string): Outage;
  /**
   * Notes that a reconcile could read them, or that the tenant is gone. `uid` is passed for a tenant whose status says NotVerified:
   * the answer is then how many milliseconds the new status must wait, so that the statuses of all tenants are not written at once.
   * Otherwise the answer is 0.
   */
  over(key: string, uid?: string): number;
  /** Notes that a read in this project was answered. */
  answered(project: string): void;
  /**
   * True if only this tenant cannot be read: reads in its project have been answered for at least 2 min, and one was answered at least
   * 2 min after this tenant's outage began. An IAM change takes up to 2 min, so the cause is not a change that still propagates.
   */
  isOwn(key: string, project: string): boolean;
}

export interface Outage {
  /** RFC 3339. */
  since: string;
  /** The message of the first failure. */
  failure: string;
  /** True if the outage has lasted long enough for NotVerified: three intervals and the tenant's own share of one more. */
  isLong: boolean;
}

/** An outage is long after this many sync intervals. */
const INTERVALS = 3;
/** IAM changes usually take effect within 2 min: https://docs.cloud.google.com/iam/docs/access-change-propagation */
const PROPAGATION_MS = 120_000;
const MOST_PROJECTS = 1_000;

export function createOutageMemory(runtime: Pick<Runtime, 'now' | 'monotonic'>, syncIntervalMs: number): OutageMemory {
  const outages = new Map<string, { since: string; failure: string; from: number; endedAt?: number }>();
  /** By project: the first and the last answered read. An interval without an answered read starts a new series. */
  const projects = createRecent<{ first: number; last: number }>(runtime, {
    forMs: syncIntervalMs,
    most: MOST_PROJECTS,
  });
  // The uid gives each tenant its own delay between 0 and one interval, so that the statuses are not written at once.
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
