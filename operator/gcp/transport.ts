import http from 'node:http';
import https from 'node:https';
import type { AuthClient } from 'google-auth-library';
import type { GcpStatus } from '../ports.ts';
import { anonymous, type Credentials, credentialsStatus } from './credentials.ts';
import type { Endpoint } from './endpoints.ts';
import { bounded, statusOf } from './status.ts';

/** One HTTP request as the vendor's libraries build it; the URL's origin is replaced by the endpoint's. */
export interface HttpRequest {
  url: string;
  method: string;
  headers?: Headers;
  body?: string;
  signal?: AbortSignal;
}

/** Sends a request; resolves to the body of a 2xx, rejects with a `CallError` for anything else. */
export type Send = (request: HttpRequest) => Promise<string>;

/** A call that failed, on its way through the vendor's libraries. */
export class CallError extends Error {
  readonly status: GcpStatus;
  constructor(status: GcpStatus) {
    super(status.message);
    this.status = status;
  }
}

export interface Transport {
  /** For one endpoint and one identity (`''`: the process's own). */
  send(endpoint: Endpoint, actAs: string): Send;
  close(): void;
}

/** HTTP with keep-alive, credentials and errors; never a retry, never a redirect. `now`: milliseconds since the epoch. */
export function createTransport(credentials: Credentials, now: () => number): Transport {
  // A plain-text endpoint is on this machine: no proxy.
  const plain = new http.Agent({ keepAlive: true });
  const secure = new https.Agent({ keepAlive: true, proxyEnv: process.env });

  async function authorized(endpoint: Endpoint, actAs: string, url: string) {
    if (!endpoint.credentials) return { client: anonymous, headers: new Headers() };
    try {
      const client: AuthClient = await credentials.client(actAs);
      return { client, headers: await client.getRequestHeaders(url) };
    } catch (error) {
      throw new CallError(credentialsStatus(error, actAs));
    }
  }

  const send =
    (endpoint: Endpoint, actAs: string): Send =>
    async request => {
      const { pathname, search } = new URL(request.url);
      const url = endpoint.base + pathname + search;
      const { client, headers } = await authorized(endpoint, actAs, url);
      request.headers?.forEach((value, name) => {
        headers.set(name, value);
      });
      headers.set('user-agent', 'aitenant-operator');
      const answer = await exchange(client, {
        url,
        method: request.method,
        headers,
        body: request.body,
        signal: request.signal,
        agent: endpoint.credentials ? secure : plain,
      });
      if (answer.status === 401) credentials.forget(actAs);
      if (answer.status < 200 || answer.status > 299) {
        throw new CallError(statusOf(answer.status, answer.retryAfter, answer.body, now()));
      }
      return answer.body;
    };

  return {
    send,
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}

interface Exchange extends HttpRequest {
  agent: http.Agent;
}

interface Answer {
  status: number;
  retryAfter: string | null;
  body: string;
}

async function exchange(client: AuthClient, request: Exchange): Promise<Answer> {
  try {
    const response = await client.transporter.request<string>({
      ...request,
      url: request.url,
      responseType: 'text',
      validateStatus: () => true,
      retry: false,
      redirect: 'error',
    });
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body: response.data ?? '' };
  } catch (error) {
    // No answer: refused, reset, hung up, not resolved, or cut off half-way. It may have taken effect.
    const said = error instanceof Error ? error.message : String(error);
    throw new CallError({ code: 'UNAVAILABLE', message: bounded(`No answer from Google Cloud: ${said}`) });
  }
}
