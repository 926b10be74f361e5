import type { Runtime } from './ports.ts';
import type { Observed, Read } from './tenant/types.ts';

/**
 * How many times longer than asked the interval of a project's tenants is, because its quota of reads is short. Per
 * project, as the quotas are: one that has run out does not slow down the others.
 */
export interface Stretch {
  /** A read of that project was refused for want of quota. */
  short(project: string): void;
  /** 1 unless the quota is short. */
  of(project: string): number;
  /** Every project that was ever short. */
  all(): [project: string, times: number][];
}

const MOST = 8;
/** It takes so many intervals without a refusal to get back half the way. */
const CALM_INTERVALS = 10;

/** Doubles once an interval at most, however many tenants are refused in it. `intervalMs`: what was asked for. */
export function createStretch(runtime: Runtime, intervalMs: number): Stretch {
  const projects = new Map<string, { times: number; raisedAt: number; shortAt: number }>();
  const of = (project: string): number => {
    const known = projects.get(project);
    if (!known) return 1;
    const calm = Math.floor((runtime.monotonic() - known.shortAt) / (CALM_INTERVALS * intervalMs));
    return Math.max(1, known.times / 2 ** calm);
  };
  return {
    of,
    short(project) {
      const now = runtime.monotonic();
      const known = projects.get(project);
      const raises = !known || now - known.raisedAt >= intervalMs;
      const times = raises ? Math.min(MOST, 2 * of(project)) : of(project);
      projects.set(project, { times, raisedAt: raises ? now : known.raisedAt, shortAt: now });
    },
    all: () => [...projects.keys()].map(project => [project, of(project)]),
  };
}

/** Whether a read was refused for want of quota: what reads run out of is requests a minute, never a number of things. */
export function isQuotaShort({ account, keys, formerGrants, services }: Observed): boolean {
  return (
    isShort(account) ||
    keys.some(({ secret, policy, version }) => isShort(secret) || isShort(policy) || isShort(version)) ||
    formerGrants.some(({ policy }) => isShort(policy)) ||
    services.some(({ service, invokers }) => isShort(service) || isShort(invokers))
  );
}

const isShort = (read: Read<unknown> | undefined): boolean =>
  read?.state === 'failed' && read.failure.kind === 'QuotaExceeded';
