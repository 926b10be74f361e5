import http from 'node:http';
import https from 'node:https';
import type { AuthClient } from 'google-auth-library';
import type { GcpStatus } from '../../ports/gcp.ts';
import { anonymous, type Credentials, credentialsStatus } from './credentials.ts';
import type { Endpoint } from './endpoints.ts';
import { bounded, statusOf, unansweredOf } from './status.ts';

/** One HTTP request to an endpoint. */
export interface HttpRequest {
  method: string;
  /** The path and the query, escaped. It starts with a slash and is appended to the endpoint's address. */
  path: string;
  /** JSON. */
  body?: string;
  signal?: AbortSignal;
}

/** Sends a request. Resolves to the body of an answer with a 2xx status, and rejects with a `CallError` otherwise. */
export type Send = (request: HttpRequest) => Promise<string>;

/** A call that failed or that was not made. */
export class CallError extends Error {
  readonly status: GcpStatus;
  constructor(status: GcpStatus) {
    super(status.message);
    this.status = status;
  }
}

interface Transport {
  /** Answers with a function that sends to one endpoint as one identity (`''`: the process's own). */
  send(endpoint: Endpoint, actAs: string): Send;
  close(): void;
}

/** Sends HTTP requests with credentials over kept-alive connections. It neither retries nor follows redirects. `now`: milliseconds since the epoch. */
export function createTransport(credentials: Credentials, now: () => number): Transport {
  // A plain-text endpoint is on this machine, so no proxy is used.
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
      const url = endpoint.base + request.path;
      const { client, headers } = await authorized(endpoint, actAs, url);
      // The caller may have cancelled the call while the credentials were loaded.
      if (request.signal?.aborted)
        throw new CallError({ code: 'CANCELLED', message: 'The call was cancelled before it was made.' });
      headers.set('user-agent', 'aitenant-operator');
      if (request.body !== undefined) headers.set('content-type', 'application/json');
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

interface Exchange extends Omit<HttpRequest, 'path'> {
  url: string;
  headers: Headers;
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
      responseType: 'text',
      validateStatus: () => true,
      retry: false,
      redirect: 'error',
    });
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body: response.data ?? '' };
  } catch (error) {
    // The connection was refused, reset or closed, or the name was not resolved. The call may have taken effect.
    const said = error instanceof Error ? error.message : String(error);
    const message = bounded(`No answer from Google Cloud: ${said}`);
    throw new CallError({ code: 'UNAVAILABLE', message, unanswered: unansweredOf(error) });
  }
}
