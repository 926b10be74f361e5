import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { OnBug } from './bugs.ts';

export type Handler = (path: string) => Promise<{ status: number; type?: string; body: string | Buffer } | undefined>;

/** The most open connections of one port. One more closes the oldest, so that a flood cannot block a new probe or scrape. */
const MAX_CONNECTIONS = 200;
/** A whole request must arrive within this time. It is enough, because a probe or a scrape sends only a few hundred bytes. */
const REQUEST_MS = 5_000;
/** A connection without any traffic is closed after this: longer than Prometheus' usual scrape interval of 30 s. */
const IDLE_MS = 65_000;

/**
 * Serves GET requests at `HOST:PORT`. `:8080` listens on every address; `0` or an empty text starts no server. Rejects if the
 * server cannot listen. If a handler throws, the error is reported to `onBug` and the request is answered with 500. A server on a
 * loopback address (127.0.0.1, ::1) refuses requests whose Host header has another name: a web page could send them through the
 * browser of this machine (DNS rebinding).
 */
export async function serve(address: string, handler: Handler, onBug: OnBug): Promise<Server | undefined> {
  if (address === '' || address === '0') return undefined;
  const { host, port } = parseAddress(address);
  const isLocal = host !== undefined && isLocalName(host);
  const answerTo = async (request: IncomingMessage) => {
    if (isLocal && !isLocalName(request.headers.host ?? '')) return FORBIDDEN;
    if (request.method !== 'GET' && request.method !== 'HEAD') return METHOD_NOT_ALLOWED;
    return (await handler(pathOf(request.url ?? '/'))) ?? NOT_FOUND;
  };
  const busy = new WeakSet<Socket>();
  const server = createServer({ connectionsCheckingInterval: 1_000, maxHeaderSize: 8_192 }, (request, response) => {
    const { socket } = request;
    // A probe or a scrape waits for each answer. Pipelined requests are refused, because one 64 kB chunk can contain 2,000 of them.
    if (busy.has(socket)) return void socket.destroy();
    busy.add(socket);
    response.once('close', () => busy.delete(socket));
    answerTo(request)
      .catch((error: unknown) => {
        onBug('request', error);
        return INTERNAL_ERROR;
      })
      .then(answer => send(request, response, answer))
      .catch((error: unknown) => {
        onBug('request', error);
        response.destroy();
      });
  });
  server.headersTimeout = REQUEST_MS;
  server.requestTimeout = REQUEST_MS;
  server.keepAliveTimeout = IDLE_MS;
  server.timeout = IDLE_MS;
  boundConnections(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}

const NOT_FOUND = { status: 404, body: 'not found\n' };
const METHOD_NOT_ALLOWED = { status: 405, body: 'method not allowed\n' };
const INTERNAL_ERROR = { status: 500, body: 'internal error\n' };
const FORBIDDEN = { status: 403, body: 'this port only answers requests for localhost\n' };

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, body, type = 'text/plain; charset=utf-8' }: { status: number; body: string | Buffer; type?: string },
): void {
  response.writeHead(status, { 'Content-Type': type }).end(request.method === 'HEAD' ? undefined : body);
}

/** Closes the oldest connection when there are more than `MAX_CONNECTIONS`. A Set is iterated in the order of insertion. */
function boundConnections(server: Server): void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const [oldest] = open;
    if (open.size > MAX_CONNECTIONS) oldest?.destroy();
  });
}

/**
 * The path of a request target in every form of RFC 9112, 3.2. `URL` is not used, because it throws for some of these forms. The
 * targets of CONNECT and `OPTIONS *` are returned unchanged; they are equal to no path that is served.
 */
function pathOf(target: string): string {
  const path = target.replace(/^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  return path === '' ? '/' : path;
}

/** Whether a host, with or without a port, can only mean this machine. */
function isLocalName(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\]|::1)(:\d+)?$/i.test(host);
}

function parseAddress(address: string): { host?: string; port: number } {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, Math.max(0, at)).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(at + 1));
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`${address} is not an address such as :8080`);
  return { host: host === '' ? undefined : host, port };
}
