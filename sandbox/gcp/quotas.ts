import type { Runtime } from '../../ports/runtime.ts';
import { GcpError } from './errors.ts';

export type Api =
  | 'run'
  | 'secretmanager'
  | 'iam'
  | 'denypolicies'
  | 'cloudresourcemanager'
  | 'serviceusage'
  | 'logging';
type Kind = 'read' | 'write' | 'access';

/** Calls per minute, by API and kind of call. An absent entry means no limit. */
export type Limits = Partial<Record<Api, Partial<Record<Kind, number>>>>;

/** The published quotas per project and minute. The quota of Cloud Run's writes is per region. */
export const PUBLISHED_LIMITS: Limits = {
  secretmanager: { read: 600, write: 600, access: 90_000 },
  iam: { read: 6_000, write: 600 },
  denypolicies: { read: 5, write: 5 },
  run: { write: 180 },
};

export interface Quotas {
  /** The limits in force. They may be changed at any time; an empty object means no quota. */
  limits: Limits;
  /** Counts one call. Throws RESOURCE_EXHAUSTED with `retryAfterMs` once the minute's quota is used up. */
  take(api: Api, kind: Kind, project: string, region: string): void;
}

const MINUTE_MS = 60_000;

/** Quotas by project and minute, in fixed windows of the monotonic clock. */
export function createQuotas(runtime: Runtime, limits: Limits): Quotas {
  const windows = new Map<string, { minute: number; used: number }>();
  const quotas: Quotas = {
    limits,
    take(api, kind, project, region) {
      const limit = quotas.limits[api]?.[kind];
      if (limit === undefined) return;
      const key = [api, kind, project, api === 'run' ? region : ''].join(' ');
      const now = runtime.monotonic();
      const minute = Math.floor(now / MINUTE_MS);
      const window = windows.get(key);
      const used = window?.minute === minute ? window.used : 0;
      if (used < limit) {
        windows.set(key, { minute, used: used + 1 });
        return;
      }
      const retryAfterMs = Math.ceil((minute + 1) * MINUTE_MS - now);
      const service = `${api}.googleapis.com`;
      throw new GcpError({
        code: 'RESOURCE_EXHAUSTED',
        message:
          `Quota exceeded for quota metric '${kind} requests' and limit '${kind} requests per minute' of service ` +
          `'${service}' for consumer 'project:${project}'.`,
        details: [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'RATE_LIMIT_EXCEEDED',
            domain: 'googleapis.com',
            metadata: { service, consumer: `projects/${project}`, quota_limit_value: String(limit) },
          },
          { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${retryAfterMs / 1000}s` },
        ],
        retryAfterMs,
      });
    },
  };
  return quotas;
}
