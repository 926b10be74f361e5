import type { AuthClient } from 'google-auth-library';
import { createGcpClient } from '../../operator/gcp/client.ts';
import { anonymous, type Credentials, createCredentials } from '../../operator/gcp/credentials.ts';
import { endpointsFrom } from '../../operator/gcp/endpoints.ts';
import { type Api, METHODS } from '../../operator/gcp/methods.ts';
import { httpRequestOf } from '../../operator/gcp/rest.ts';
import { CallError, type HttpRequest } from '../../operator/gcp/transport.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { type Addresses, API } from './addresses.ts';
import type { ExchangeLog, HttpMethod } from './exchange.ts';
import { type Guard, NotOursError } from './guard.ts';

/** The operator's own client of Google Cloud, behind the guard of the run, with each of its exchanges in the log. */
export interface OperatorCalls {
  call: GcpCall;
  /** What the operator tried to change although it is not the run's. It must stay empty. */
  refused: string[];
  close(): void;
}

export function createOperatorCalls(options: {
  env: Record<string, string | undefined>;
  addresses: Addresses;
  guard: Guard;
  log: ExchangeLog;
  credentials?: Credentials;
}): OperatorCalls {
  const { env, addresses, guard, log, credentials = createCredentials() } = options;
  const refused: string[] = [];
  const recorder = createRecorder(addresses, guard, log);
  recorder.record(anonymous);
  const google = createGcpClient({
    runtime,
    endpoints: endpointsFrom(env),
    credentials: {
      ...credentials,
      async client(actAs) {
        const client = await credentials.client(actAs);
        recorder.record(client);
        return client;
      },
    },
  });

  const call: GcpCall = async (method, request, options) => {
    const sent = requestOf(method, request);
    if (sent) {
      try {
        guard.check({ by: 'operator', ...sent });
      } catch (error) {
        if (!(error instanceof NotOursError)) throw error;
        refused.push(`${sent.method} ${sent.url}: ${error.message}`);
        return { ok: false, status: { code: 'PERMISSION_DENIED', message: error.message } };
      }
    }
    return google.call(method, request, options);
  };

  return {
    call,
    refused,
    close() {
      google.close();
      recorder.stop();
    },
  };
}

/** The HTTP request that the client will send. Undefined: it will send none, and answers with the reason. */
function requestOf(name: string, message: JsonObject): { method: HttpMethod; url: string; body?: Json } | undefined {
  const rule = METHODS.get(name);
  if (!rule) return undefined;
  let http: HttpRequest;
  try {
    http = httpRequestOf(rule, message);
  } catch (error) {
    if (error instanceof CallError) return undefined;
    throw error;
  }
  const body = http.body === undefined ? undefined : (JSON.parse(http.body) as Json);
  return { method: http.method as HttpMethod, url: API[rule.api] + http.path, body };
}

const APIS: Api[] = ['run', 'secretmanager', 'iam'];

/**
 * Adds the exchanges of HTTP clients to the log. The clients also fetch access tokens; requests to other addresses than the APIs' are
 * left out.
 */
function createRecorder(addresses: Addresses, guard: Guard, log: ExchangeLog) {
  const recorded = new Map<AuthClient, () => void>();
  return {
    record(client: AuthClient) {
      if (recorded.has(client)) return;
      const { response: responses } = client.transporter.interceptors;
      const interceptor: Parameters<typeof responses.add>[0] = {
        async resolved(response) {
          const { config } = response;
          const api = apiOf(String(config.url), addresses);
          const body = text(config.body ?? config.data);
          if (api !== undefined) {
            const exchange = log.add({
              by: 'operator',
              method: (config.method ?? 'GET') as HttpMethod,
              url: addresses.publicUrl(String(config.url), api) ?? '',
              status: response.status,
              requestHeaders: config.headers,
              ...(body !== undefined && { requestBody: JSON.parse(body) as Json }),
              responseHeaders: response.headers,
              text: text(response.data) ?? '',
            });
            guard.learn(exchange);
          }
          return response;
        },
      };
      responses.add(interceptor);
      recorded.set(client, () => responses.delete(interceptor));
    },
    stop() {
      for (const forget of recorded.values()) forget();
    },
  };
}

/** The API of a request. All of them may have one address; then the path tells. */
function apiOf(sentTo: string, addresses: Addresses): Api | undefined {
  const fits = APIS.filter(api => addresses.publicUrl(sentTo, api) !== undefined);
  const { pathname } = new URL(sentTo);
  const byPath: Api = /\/serviceAccounts(\/|$)/.test(pathname)
    ? 'iam'
    : /\/secrets(\/|$)/.test(pathname)
      ? 'secretmanager'
      : 'run';
  return fits.includes(byPath) ? byPath : undefined;
}

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
