import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';

/** What the OpenAI client reads of a `Response`. */
export interface LeanResponse {
  ok: boolean;
  status: number;
  url: string;
  headers: { get(name: string): string | null; entries(): Iterable<[string, string]> };
  /** Its chunks as they come, no faster than they are taken. */
  body: AsyncIterable<Buffer>;
  /** Whether a stream's last event, `data: [DONE]`, has been read. */
  isDone(): boolean;
  text(): Promise<string>;
}

export interface LeanRequest {
  method?: string;
  headers?: Headers;
  body?: string;
  signal?: AbortSignal;
}

/** The most of an answer that is read at once, in bytes; a stream may be longer. */
const maxTextBytes = 16 * 1024 * 1024;

/**
 * `fetch` for the one thing that is fetched here: a JSON request to the model's API. Node's own costs several times what the
 * rest of a `/chat` does, and 40 MiB. Connections are kept alive and shared; no redirect is followed (the key goes where it
 * was meant to go), nothing is compressed, nothing is sent twice but what a connection lost that the other side had closed
 * while it lay idle. Rejects as `fetch` does: with a TypeError if there is no connection, with the signal's reason if that aborts.
 */
export async function createFetch(baseUrl: string): Promise<(url: string, init: LeanRequest) => Promise<LeanResponse>> {
  const { Agent, request } = baseUrl.startsWith('https:') ? await import('node:https') : await import('node:http');
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 1000 });

  // All requests have one address and one set of headers, which are taken apart once.
  let last: { url: string; headers: Headers | undefined; options: RequestOptions; fields: string[] } | undefined;
  const takenApart = (url: string, headers: Headers | undefined) => {
    const { host, hostname, port, pathname, search } = new URL(url);
    const options = { agent, hostname: hostname.replace(/^\[|\]$/g, ''), port, path: pathname + search };
    return { url, headers, options, fields: ['host', host, ...[...(headers ?? [])].flat()] };
  };

  return (url, { method, headers, body = '', signal }) => {
    if (last?.url !== url || last.headers !== headers) last = takenApart(url, headers);
    // Node.js writes a list of names and values as it is, without an object that holds each of them.
    const fields = [...last.fields, 'content-length', String(Buffer.byteLength(body))];
    const options: RequestOptions = { ...last.options, method, headers: fields };
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      let asked: ClientRequest;
      let answer: IncomingMessage | undefined;
      const abort = () => (answer ?? asked).destroy(signal?.reason);
      const ask = () => {
        asked = request(options);
        asked.on('response', response => {
          answer = response;
          // Of a body that nobody reads; who reads it is told as well.
          response.on('error', () => {});
          response.on('close', () => signal?.removeEventListener('abort', abort));
          resolve(leanResponse(url, response));
        });
        asked.on('error', (error: NodeJS.ErrnoException) => {
          if (answer) return;
          if (asked.reusedSocket && error.code === 'ECONNRESET' && !signal?.aborted) return ask();
          signal?.removeEventListener('abort', abort);
          reject(signal?.aborted ? signal.reason : new TypeError('fetch failed', { cause: error }));
        });
        asked.end(body);
      };
      signal?.addEventListener('abort', abort, { once: true });
      ask();
    });
  };
}

function leanResponse(url: string, answer: IncomingMessage): LeanResponse {
  const { statusCode: status = 0, headers } = answer;
  let done = false;
  // The OpenAI client ends a stream in the same way with and without its last event.
  async function* chunks(): AsyncGenerator<Buffer> {
    let before = '\n';
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const text = before + chunk.toString('latin1');
      done ||= /[\r\n]data: ?\[DONE\]/.test(text);
      before = text.slice(-16);
      yield chunk;
    }
  }
  return {
    status,
    ok: status >= 200 && status < 300,
    url,
    headers: {
      get: name => headers[name.toLowerCase()]?.toString() ?? null,
      entries: () => Object.entries(headers).map(([name, value]) => [name, String(value)]),
    },
    body: chunks(),
    isDone: () => done,
    text: () => textOf(answer),
  };
}

function textOf(answer: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    answer.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > maxTextBytes) answer.destroy(new TypeError('an answer that does not end'));
    });
    answer.on('end', () => resolve(Buffer.concat(chunks, size).toString()));
    answer.on('error', error => reject(error));
    answer.on('close', () => answer.readableEnded || reject(new TypeError('terminated')));
  });
}
