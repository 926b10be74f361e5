import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Runtime } from '../../ports/runtime.ts';
import { realRuntime, sleep } from '../../ports/runtime.ts';
import { createLocalServer, hasBodyOfAnyPage, readBody } from '../localServer.ts';
import { answerTo, type ChatRequest, chunkObjects, completionObject, models, readChatRequest } from './chat.ts';
import { badRequest, type OpenAiError, rateLimited, refusedKey, serverError } from './errors.ts';

/**
 * What goes wrong with a chat completion: `rateLimit` 429 with `Retry-After`; `error` that status (an `error` of 500 or
 * more unless a body is given); `hang` no answer until the caller gives up; `cut` the connection breaks in the middle of
 * the answer, when streaming after `afterChunks` (default 3); `unfinished` the stream ends in good order but too soon;
 * `noReason` no chunk of it has a finish reason, as some compatible APIs have it.
 */
export type Fault =
  | { kind: 'rateLimit'; retryAfterSeconds: number }
  | { kind: 'error'; status: number; headers?: Record<string, string>; error?: OpenAiError['error'] }
  | { kind: 'hang' }
  | { kind: 'cut'; afterChunks?: number }
  | { kind: 'unfinished'; afterChunks?: number }
  | { kind: 'noReason' };

/** The stand-in's behaviour. Every setting may be changed while it runs. */
interface OpenAiSettings {
  /** From the request until the answer begins, milliseconds. */
  latencyMs: number;
  /** Between two chunks of a stream, milliseconds. */
  chunkDelayMs: number;
  /** The number of times that the answer is repeated, for long answers. */
  repeat: number;
  fault: Fault | undefined;
}

interface OpenAiCounters {
  /** Requests of any kind. */
  requests: number;
  /** Completions answered in full, streamed ones too. */
  completed: number;
  /** Requests refused with 401. */
  refusedKeys: number;
  /** Requests whose caller went away before the answer was complete. */
  aborted: number;
  /** Chunks written to streams. */
  chunks: number;
  inFlight: number;
  maxInFlight: number;
  /** TCP connections accepted. */
  connections: number;
}

export interface OpenAiOptions extends Partial<OpenAiSettings> {
  /** Default: any free one. */
  port?: number;
  /** Returns true for an accepted key. Default: every key is accepted. */
  checkKey?: (key: string) => boolean;
  runtime?: Runtime;
}

export interface OpenAi {
  /** The base URL, for OPENAI_BASE_URL. */
  url: string;
  settings: OpenAiSettings;
  counters: Readonly<OpenAiCounters>;
  close(): Promise<void>;
}

interface State {
  settings: OpenAiSettings;
  counters: OpenAiCounters;
  runtime: Runtime;
  checkKey: (key: string) => boolean;
}

/**
 * A stand-in for OpenAI's API on 127.0.0.1: `POST /v1/chat/completions`, `GET /v1/models` and `GET /v1/models/ID`, with the
 * real one's answers, errors and server-sent events. The same request gets the same answer: `MODEL heard: MESSAGE`.
 */
export async function startOpenAi(options: OpenAiOptions = {}): Promise<OpenAi> {
  const { port = 0, checkKey = () => true, runtime = realRuntime, ...given } = options;
  const settings: OpenAiSettings = { latencyMs: 0, chunkDelayMs: 0, repeat: 1, fault: undefined, ...given };
  const counters: OpenAiCounters = {
    requests: 0,
    completed: 0,
    refusedKeys: 0,
    aborted: 0,
    chunks: 0,
    inFlight: 0,
    maxInFlight: 0,
    connections: 0,
  };

  const state = { settings, counters, runtime, checkKey };
  const forbidden = (res: ServerResponse, message: string) => refuse(res, { ...badRequest(message), status: 403 });
  const server = createLocalServer({ pages: 'own', refuse: forbidden }, (req, res) => handle(state, req, res));
  server.on('connection', () => {
    counters.connections += 1;
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    settings,
    counters,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(state: State, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { counters } = state;
  counters.requests += 1;
  counters.inFlight += 1;
  counters.maxInFlight = Math.max(counters.maxInFlight, counters.inFlight);
  const gone = new AbortController();
  res.once('close', () => {
    counters.inFlight -= 1;
    // If the fault `cut` broke the connection, the caller did not abort.
    if (!res.writableFinished && !gone.signal.aborted) counters.aborted += 1;
    gone.abort();
  });
  const id = String(counters.requests).padStart(12, '0');
  res.setHeader('X-Request-Id', `req_${id}`);
  res.setHeader('OpenAI-Version', '2020-10-01');
  const key = /^Bearer (\S+)$/.exec(req.headers.authorization ?? '')?.[1];
  const [path] = (req.url ?? '').split('?', 1);
  if (key === undefined || !state.checkKey(key)) {
    counters.refusedKeys += 1;
    return refuse(res, refusedKey(key));
  }
  if (path === '/v1/chat/completions' && req.method === 'POST') {
    if (hasBodyOfAnyPage(req)) {
      req.resume();
      return refuse(res, badRequest('Send the body as JSON, with the header Content-Type: application/json.'));
    }
    const body = await readBody(req, MAX_BODY).catch(() => undefined);
    if (body === undefined) return void res.destroy();
    const request = readChatRequest(body.toString());
    if ('status' in request) return refuse(res, request);
    return complete(state, res, request, id, gone);
  }
  const { status, body } = answerElse(req.method ?? '', path ?? '');
  send(res, status, body);
}

/** Answers a chat completion, or does what the fault asks for. */
async function complete(
  { settings, counters, runtime }: State,
  res: ServerResponse,
  request: ChatRequest,
  id: string,
  gone: AbortController,
): Promise<void> {
  const { fault } = settings;
  const { signal } = gone;
  await sleep(runtime, settings.latencyMs, signal);
  if (signal.aborted || fault?.kind === 'hang') return;
  if (fault?.kind === 'rateLimit') return refuse(res, rateLimited(request.model, fault.retryAfterSeconds));
  if (fault?.kind === 'error') return refuse(res, { ...serverError(fault.status), ...fault });
  const created = Math.floor(runtime.now() / 1000);
  const answer = answerTo(request, settings.repeat);
  if (!request.stream) {
    const body = JSON.stringify(completionObject(`chatcmpl-${id}`, created, request, answer));
    res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
    if (fault?.kind === 'cut') return cut(res, gone, body.slice(0, body.length / 2));
    counters.completed += 1;
    res.end(body);
    return;
  }
  res.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-cache' });
  const stops = fault?.kind === 'cut' || fault?.kind === 'unfinished';
  const stopAfter = stops ? (fault.afterChunks ?? 3) : Number.POSITIVE_INFINITY;
  let sent = 0;
  for (const chunk of chunkObjects(`chatcmpl-${id}`, created, request, answer)) {
    if (fault?.kind === 'noReason') for (const choice of chunk.choices) choice.finish_reason = null;
    if (sent === stopAfter) return fault?.kind === 'cut' ? cut(res, gone, '') : void res.end();
    if (sent > 0 && settings.chunkDelayMs > 0) await sleep(runtime, settings.chunkDelayMs, signal);
    if (signal.aborted) return;
    sent += 1;
    counters.chunks += 1;
    if (!res.write(`data: ${JSON.stringify(chunk)}\n\n`)) await drained(res);
  }
  if (signal.aborted) return;
  counters.completed += 1;
  res.end('data: [DONE]\n\n');
}

/** The largest body that is read: 32 MiB, more than a request to a chat model needs. */
const MAX_BODY = 32 * 1024 * 1024;

/** The answer to every request that is not a chat completion. */
function answerElse(method: string, path: string): { status: number; body: object } {
  const model = (id: string) => ({ id, object: 'model', created: 1_677_610_602, owned_by: 'openai' });
  const refusal = ({ status, error }: OpenAiError) => ({ status, body: { error } });
  const [, id] = /^\/v1\/models\/([^/]+)$/.exec(path) ?? [];
  const known =
    id !== undefined || path === '/v1/models' ? 'GET' : path === '/v1/chat/completions' ? 'POST' : undefined;
  if (known === undefined) return refusal({ ...badRequest(`Invalid URL (${method} ${path})`), status: 404 });
  if (method !== known) {
    const text = `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`;
    return refusal({ ...badRequest(text), status: 405 });
  }
  if (id === undefined) return { status: 200, body: { object: 'list', data: [...models.keys()].map(model) } };
  if (models.has(id)) return { status: 200, body: model(id) };
  return refusal({ ...badRequest(`The model '${id}' does not exist`, 'model', 'model_not_found'), status: 404 });
}

function refuse(res: ServerResponse, { status, headers, error }: OpenAiError): void {
  for (const [name, value] of Object.entries(headers ?? {})) res.setHeader(name, value);
  send(res, status, { error });
}

function send(res: ServerResponse, status: number, body: object): void {
  res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** Breaks the connection once what was written has left. */
function cut(res: ServerResponse, gone: AbortController, last: string): void {
  gone.abort();
  res.write(last, () => res.destroy());
}

function drained(res: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
  });
}
