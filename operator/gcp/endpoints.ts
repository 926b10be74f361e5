import type { Api } from './methods.ts';

export interface Endpoint {
  /** Scheme, host and, if any, a path prefix; no slash at its end. */
  base: string;
  /** A plain-text address is a local stand-in: it gets no credentials. */
  credentials: boolean;
}

export type Endpoints = Record<Api, Endpoint>;

const DEFAULTS: Record<Api, string> = {
  run: 'https://run.googleapis.com',
  secretmanager: 'https://secretmanager.googleapis.com',
  iam: 'https://iam.googleapis.com',
};

/**
 * Where each API is: the public address, or what gcloud's own `CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN`, `_SECRETMANAGER`
 * and `_IAM` say. Throws on one that is no http(s) URL, or that carries a user, a query or a fragment.
 */
export function endpointsFrom(env: Record<string, string | undefined>): Endpoints {
  const endpoint = (api: Api): Endpoint => endpointOf(api, DEFAULTS[api], env);
  return { run: endpoint('run'), secretmanager: endpoint('secretmanager'), iam: endpoint('iam') };
}

/** Where one API is. `api` as gcloud writes it in its variables, in any case. */
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
