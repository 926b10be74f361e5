import http from 'node:http';
import https from 'node:https';
import { type Credentials, createCredentials } from '../../operator/gcp/credentials.ts';
import type { Addresses, Destination } from './addresses.ts';
import type { Call, ExchangeLog, HttpMethod } from './exchange.ts';
import type { Guard } from './guard.ts';

/** Milliseconds after which a call counts as unanswered. */
const TIMEOUT_MS = 30_000;
const MOST_BYTES = 16 * 1024 * 1024;

export interface Caller {
  call: Call;
  close(): void;
}

/** The raw client of probes and steps. It uses Application Default Credentials, and none for an endpoint in plain text. */
export function createCaller(options: {
  addresses: Addresses;
  guard: Guard;
  log: ExchangeLog;
  credentials?: Credentials;
  timeoutMs?: number;
}): Caller {
  const { addresses, guard, log, credentials = createCredentials(), timeoutMs = TIMEOUT_MS } = options;
  const agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true, proxyEnv: process.env }),
  };

  async function authorization(destination: Destination, url: string): Promise<Headers> {
    if (!destination.credentials) return new Headers();
    const client = await credentials.client('');
    return client.getRequestHeaders(url);
  }

  const call: Call = async (method, url, body, extra = {}) => {
    const asked = new Headers(extra);
    guard.check({ by: 'acceptance', method, url, body, override: asked.get('x-http-method-override') ?? undefined });
    const destination = addresses.destination(url);
    const content = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string> = { ...extra, 'user-agent': 'aitenant-acceptance' };
    if (content !== undefined) headers['content-type'] = 'application/json';
    if (destination.host !== undefined) headers.host = destination.host;
    let answer: Answer;
    try {
      for (const [name, value] of await authorization(destination, url)) headers[name] = value;
      answer = await send({ method, destination, headers, content, timeoutMs, agents });
    } catch (error) {
      answer = { status: 0, headers: new Headers(), text: error instanceof Error ? error.message : String(error) };
    }
    const exchange = log.add({
      by: 'acceptance',
      method,
      url,
      status: answer.status,
      requestHeaders: asked,
      ...(body !== undefined && { requestBody: body }),
      responseHeaders: answer.headers,
      text: answer.text,
    });
    guard.learn(exchange);
    return exchange;
  };

  return {
    call,
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

interface Request {
  method: HttpMethod;
  destination: Destination;
  headers: Record<string, string>;
  content: string | undefined;
  timeoutMs: number;
  agents: Record<'http:' | 'https:', http.Agent>;
}

/** Rejects if the connection fails or the answer takes too long. Redirects are not followed. */
function send({ method, destination, headers, content, timeoutMs, agents }: Request): Promise<Answer> {
  const { url } = destination;
  const isPlain = url.protocol === 'http:';
  return new Promise((resolve, reject) => {
    const request = (isPlain ? http : https).request(url, {
      method,
      headers: { ...headers, ...(content !== undefined && { 'content-length': String(Buffer.byteLength(content)) }) },
      agent: agents[isPlain ? 'http:' : 'https:'],
      signal: AbortSignal.timeout(timeoutMs),
    });
    request.on('error', error => {
      reject(
        error.name === 'TimeoutError' || error.name === 'AbortError'
          ? new Error(`no answer within ${timeoutMs / 1000} s`)
          : error,
      );
    });
    request.on('response', response => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MOST_BYTES) response.destroy(new Error('the answer is longer than 16 MiB'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        const kept = new Headers();
        for (const [name, value] of Object.entries(response.headers))
          if (value !== undefined) kept.set(name, String(value));
        resolve({ status: response.statusCode ?? 0, headers: kept, text: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.end(content);
  });
}
