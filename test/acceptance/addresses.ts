import { type Endpoint, endpointOf } from '../../operator/gcp/endpoints.ts';

/**
 * The public addresses of Google's APIs, and where a request to them is sent. An API without an override of its own follows that of Cloud
 * Run, because a local Google Cloud serves all of them at one address: nothing that is meant for it reaches the real one.
 */
export const API = {
  run: 'https://run.googleapis.com',
  secretmanager: 'https://secretmanager.googleapis.com',
  iam: 'https://iam.googleapis.com',
  cloudresourcemanager: 'https://cloudresourcemanager.googleapis.com',
  serviceusage: 'https://serviceusage.googleapis.com',
  logging: 'https://logging.googleapis.com',
} as const;

type ApiName = keyof typeof API;

/** Where a request is sent. */
export interface Destination {
  url: URL;
  /** The `Host` header, if it is not the host of the URL. */
  host?: string;
  /** Whether credentials may be sent. */
  credentials: boolean;
}

export interface Addresses {
  /** `publicUrl`: an address of one of the APIs, or of a tenant's service. */
  destination(publicUrl: string): Destination;
  /** The public address of a request that was sent to an endpoint. Undefined: it was sent to none of them, as for a token. */
  publicUrl(sentTo: string, api: ApiName): string | undefined;
  /** False: an endpoint on this machine, in plain text. */
  isReal: boolean;
}

/** Cloud Run's API v1 is served by a host for each region. */
const REGIONAL = /^([a-z]+(?:-[a-z]+)+\d+)-run\.googleapis\.com$/;

/** Throws if an override is not an address. */
export function addressesFrom(env: Record<string, string | undefined>): Addresses {
  const run = endpointOf('run', API.run, env);
  const endpoints = Object.fromEntries(
    Object.entries(API).map(([name, address]) => [name, endpointOf(name, run.credentials ? address : run.base, env)]),
  ) as Record<ApiName, Endpoint>;

  return {
    isReal: run.credentials,
    destination(publicUrl) {
      const url = new URL(publicUrl);
      const rest = url.pathname + url.search;
      const [, region] = REGIONAL.exec(url.hostname) ?? [];
      if (region !== undefined && run.base !== API.run) {
        const sent = new URL(run.base + rest);
        return { url: sent, host: `${region}-${sent.host}`, credentials: run.credentials };
      }
      if (region !== undefined) return { url, credentials: true };
      const [name] = Object.entries(API).find(([, address]) => address === url.origin) ?? [];
      if (name === undefined) return { url, credentials: false };
      const endpoint = endpoints[name as ApiName];
      return { url: new URL(endpoint.base + rest), credentials: endpoint.credentials };
    },
    publicUrl(sentTo, api) {
      const { base } = endpoints[api];
      return sentTo.startsWith(`${base}/`) ? API[api] + sentTo.slice(base.length) : undefined;
    },
  };
}
