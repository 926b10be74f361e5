import { APIS, type Api } from './methods.ts';

export interface Endpoint {
  /** The scheme, the host and an optional path prefix, without a slash at the end. */
  base: string;
  /** False for an `http:` address, which is an emulator on this machine. The operator never sends credentials to it. */
  credentials: boolean;
}

export type Endpoints = Record<Api, Endpoint>;

/**
 * The address of each API: the public one, or the one in gcloud's environment variables `CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN`, `_SECRETMANAGER`
 * and `_IAM`. Throws if an address is not an http(s) URL, or has a user, a query or a fragment.
 */
export function endpointsFrom(env: Record<string, string | undefined>): Endpoints {
  const all = Object.entries(APIS).map(([api, { address }]) => [api, endpointOf(api, address, env)]);
  return Object.fromEntries(all) as Endpoints;
}

/** The address of one API. `api`: the last part of the variable's name, in upper or lower case. `otherwise`: the address without the variable. */
export function endpointOf(api: string, otherwise: string, env: Record<string, string | undefined>): Endpoint {
  const variable = `CLOUDSDK_API_ENDPOINT_OVERRIDES_${api.toUpperCase()}`;
  const address = env[variable]?.trim() || otherwise;
  const url = URL.parse(address);
  const plain = url?.protocol === 'http:';
  if (!url || (!plain && url.protocol !== 'https:') || url.username || url.password || url.search || url.hash) {
    throw new Error(`${variable} is not an address such as https://run.googleapis.com/ or http://127.0.0.1:8085/`);
  }
  return { base: url.origin + url.pathname.replace(/\/+$/, ''), credentials: !plain };
}
