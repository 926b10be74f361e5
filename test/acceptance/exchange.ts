import type { Json, JsonObject } from '../../ports/json.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One HTTP request and its answer, as it went over the wire. */
export interface Exchange {
  /** The number in the order of the answers, from 1. */
  id: number;
  /** Who made the call: a probe or a step of the acceptance, or the operator. */
  by: 'acceptance' | 'operator';
  method: HttpMethod;
  /** The public address, such as `https://run.googleapis.com/v2/…`, whichever endpoint the request was sent to. */
  url: string;
  /** The headers that change what is asked for, in lower case. Credentials are never among them. */
  requestHeaders: Record<string, string>;
  /** Absent: the request had no body. */
  requestBody?: Json;
  /** The HTTP status. 0: there was no answer; `body` says why. */
  status: number;
  /** The headers that say how to read the answer or when to ask again, in lower case. */
  responseHeaders: Record<string, string>;
  /** The parsed JSON, or the text if it is not JSON. An empty body is `''`. */
  body: Json;
  /** When the answer was complete: RFC 3339. */
  when: string;
}

/**
 * Makes one call and waits for its answer, 30 s at most. Never rejects because of what the server answers or does not answer.
 * Rejects before anything is sent if the call would change something that this run did not make (`guard.ts`).
 *
 * `url` is the public address; the endpoint overrides are applied to it. `body` is sent as JSON.
 */
export type Call = (
  method: HttpMethod,
  url: string,
  body?: Json,
  headers?: Record<string, string>,
) => Promise<Exchange>;

/** The request headers that are kept in an exchange. */
const KEPT_REQUEST = ['x-http-method-override', 'x-goog-user-project', 'accept', 'if-match'];
/** The response headers that are kept in an exchange. */
const KEPT_RESPONSE = ['content-type', 'retry-after', 'location', 'allow'];

const kept = (names: string[], headers: Headers): Record<string, string> =>
  Object.fromEntries(names.flatMap(name => (headers.has(name) ? [[name, headers.get(name) ?? '']] : [])));

/** Numbers the exchanges of one run and tells each to those who listen. */
export interface ExchangeLog {
  add(made: Made): Exchange;
  /** Answers with a function that ends the listening. */
  listen(listener: (exchange: Exchange) => void): () => void;
}

/** An exchange as it is seen where the call is made. */
interface Made extends Pick<Exchange, 'by' | 'method' | 'url' | 'status'> {
  requestHeaders: Headers;
  requestBody?: Json;
  responseHeaders: Headers;
  text: string;
}

export function createExchangeLog(): ExchangeLog {
  const listeners = new Set<(exchange: Exchange) => void>();
  let last = 0;
  return {
    add({ requestHeaders, requestBody, responseHeaders, text, ...made }) {
      const exchange: Exchange = {
        id: ++last,
        ...made,
        requestHeaders: kept(KEPT_REQUEST, requestHeaders),
        ...(requestBody !== undefined && { requestBody }),
        responseHeaders: kept(KEPT_RESPONSE, responseHeaders),
        body: parsed(text),
        when: new Date().toISOString(),
      };
      for (const listener of listeners) listener(exchange);
      return exchange;
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Most levels of objects and lists in an answer. Google's have fewer than 20; thousands would end the stack of whoever walks through them. */
const MOST_LEVELS = 100;

function parsed(text: string): Json {
  try {
    const value = JSON.parse(text) as Json;
    return isTooDeep(value) ? `JSON of more than ${MOST_LEVELS} levels: ${text.slice(0, 1_000)}` : value;
  } catch {
    return text;
  }
}

export function isTooDeep(value: Json): boolean {
  let level: object[] = typeof value === 'object' && value !== null ? [value] : [];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_LEVELS) return true;
    level = level.flatMap((outer): object[] =>
      Object.values(outer).filter(inner => typeof inner === 'object' && inner !== null),
    );
  }
  return false;
}

/** Whether the call succeeded. A page of HTML with a status of success is another server's, such as a proxy's. */
export const succeeded = ({ status, body }: Exchange): boolean => status >= 200 && status < 300 && isObject(body);

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The body as an object; empty if the answer was not a JSON object. */
export const objectIn = ({ body }: Exchange): JsonObject => (isObject(body) ? body : {});

/** The same field as text; empty if it is none. `String` would throw for `{"toString": 1}`. */
export const textIn = (exchange: Exchange, path: string): string => textOf(fieldIn(exchange, path));

export const textOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

/** One field of the body by its path, such as `error.message` or `template.containers.0.image`. */
export const fieldIn = (exchange: Exchange, path: string): Json | undefined => fieldOf(exchange.body, path);

/** One field of a value by its path. */
export function fieldOf(value: Json | undefined, path: string): Json | undefined {
  return path.split('.').reduce<Json | undefined>((at, step) => {
    if (Array.isArray(at)) return at[Number(step)];
    return isObject(at) ? at[step] : undefined;
  }, value);
}

/** What was answered, in one line: `HTTP 404 NOT_FOUND: Resource … does not exist.` */
export function answerIn(exchange: Exchange): string {
  const { status, body } = exchange;
  if (status === 0) return `no answer: ${shortened(String(body))}`;
  const code = fieldIn(exchange, 'error.status');
  const message = fieldIn(exchange, 'error.message');
  const said = typeof message === 'string' ? message : typeof body === 'string' ? body : JSON.stringify(body);
  return `HTTP ${status}${typeof code === 'string' ? ` ${code}` : ''}: ${shortened(said)}`;
}

/** At most 300 characters, without line breaks. */
const shortened = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
};
