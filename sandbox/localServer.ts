import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * An HTTP server for callers on this machine only. A browser on this machine also runs pages of other sites, and those can reach
 * local ports: by DNS rebinding (their own host name resolves to 127.0.0.1), and by cross-site requests, whose answer they cannot
 * read but whose effect happens. The server therefore checks three things before it handles a request:
 *
 * 1. `Host`, and the authority of an absolute-form target, are names of this machine.
 * 2. `Origin` is the server itself (`pages: 'own'`) or a page of this machine (`pages: 'local'`).
 * 3. A request without `Origin` does not say `Sec-Fetch-Site: cross-site`. With `pages: 'own'` it does not say `same-site` either,
 *    which is a page of another port, unless the user follows a link.
 */
export interface LocalServerOptions {
  /** The pages that may send requests: those of this server, or those of any server on this machine. */
  pages: 'own' | 'local';
  /** Answers a refused request in the API's error format. */
  refuse(response: ServerResponse, message: string): void;
  /** Passes WebSocket handshakes to `handle`, with their connection. */
  webSockets?: boolean;
  /** Also accepts HTTP/2 without TLS from clients with prior knowledge (RFC 9113, 3.3), such as gRPC clients. */
  http2?: boolean;
  /** Further authorities to accept beside this machine's names. */
  alsoHost?: RegExp;
}

/** `handle` gets requests whose `url` is in origin form (path and query). An error that it throws ends only that connection. */
export function createLocalServer(
  options: LocalServerOptions,
  handle: (
    request: IncomingMessage,
    response: ServerResponse,
    upgraded?: { client: Duplex; head: Buffer },
  ) => Promise<void> | void,
): Server {
  // Only WebSockets are upgraded, and only with `webSockets`. A server may ignore any other `Upgrade` and answer the request
  // (RFC 9110, 7.8).
  const shouldUpgradeCallback = ({ headers }: IncomingMessage) =>
    options.webSockets === true && headers.upgrade?.toLowerCase() === 'websocket';
  const respond = (
    request: IncomingMessage,
    response: ServerResponse,
    upgraded?: { client: Duplex; head: Buffer },
  ): void => {
    const { authority, target } = originForm(request.url ?? '/');
    request.url = target;
    // In HTTP/2 a client may send a `Host` that differs from `:authority`, so both are checked.
    const refused = refusalOf(request, request.headers[':authority']?.toString() ?? authority, options);
    // The host of an absolute form counts, whatever `Host` says (RFC 9112, 3.2.2).
    if (authority !== undefined) request.headers.host = authority;
    const handled = async () => {
      if (refused === undefined) return handle(request, response, upgraded);
      request.resume();
      options.refuse(response, refused);
    };
    handled().catch((error: unknown) => {
      // A client that disconnects while it sends its body causes no error to report.
      if (!request.errored) console.error(error);
      response.destroy();
    });
  };
  const server = createServer({ shouldUpgradeCallback }, (request, response) => respond(request, response));
  // This listener stays for the life of the connection. node:http removes its own listeners from a connection that it hands over
  // (CONNECT, `Upgrade`), and without any listener a reset of that connection would end the process.
  server.on('connection', (socket: Socket) => socket.on('error', () => {}));
  server.on('upgrade', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    // In Node.js 26 `client` is a stream on the connection, which emits its own `error` events.
    client.on('error', () => {});
    // This response is used when the server refuses the handshake.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(client as Socket);
    response.once('finish', () => client.end());
    respond(request, response, { client, head });
  });
  if (options.http2) alsoHttp2(server, (request, response) => respond(request, response));
  return server;
}

const PREFACE = 'PRI * HTTP/2.0';

/** Reads the first bytes of each connection and passes it to the HTTP/1 or the HTTP/2 server. */
function alsoHttp2(server: Server, respond: (request: IncomingMessage, response: ServerResponse) => void): void {
  const second = createHttp2Server((request, response) => {
    request.headers.host ??= request.authority;
    // Node's compatibility API: both objects can be used like those of HTTP/1.
    respond(request as unknown as IncomingMessage, response as unknown as ServerResponse);
  });
  second.on('sessionError', () => {});
  const first = server.listeners('connection') as ((socket: Socket) => void)[];
  const open = new Set<Socket>();
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket)).on('error', () => {});
    // No server handles the connection before its first byte. Without this, a connection that sends nothing or ends would stay
    // open.
    const close = () => socket.destroy();
    socket.once('end', close).setTimeout(server.headersTimeout, close);
    socket.once('data', chunk => {
      socket.off('end', close).setTimeout(0, close);
      socket.pause();
      socket.unshift(chunk);
      if (chunk.toString('latin1', 0, PREFACE.length) === PREFACE) {
        // The HTTP/2 server, unlike that of HTTP/1, expects the socket to close when the client ends it.
        socket.allowHalfOpen = false;
        second.emit('connection', socket);
      } else for (const listener of first) listener.call(server, socket);
      process.nextTick(() => socket.resume());
    });
  });
  const closeAll = server.closeAllConnections.bind(server);
  server.closeAllConnections = () => {
    closeAll();
    for (const socket of open) socket.destroy();
  };
}

/** A request target (RFC 9112, 3.2) as path and query, and the authority of an absolute form. By hand, because `URL` throws. */
function originForm(given: string): { authority?: string; target: string } {
  const [, authority, rest = given] = /^[a-z][a-z\d+.-]*:\/\/([^/?#]*)(.*)$/is.exec(given) ?? [];
  return { authority, target: rest.startsWith('/') ? rest : `/${rest}` };
}

function refusalOf(
  { headers }: IncomingMessage,
  authority: string | undefined,
  { pages, alsoHost }: LocalServerOptions,
): string | undefined {
  const { host = '', origin, 'sec-fetch-site': site, 'sec-fetch-dest': destination } = headers;
  for (const name of authority === undefined ? [host] : [host, authority]) {
    if (!isThisMachine(name) && !alsoHost?.test(name))
      return `This port answers to names of this machine only (127.0.0.1, localhost), not to ${shown(name)}.`;
  }
  if (origin !== undefined) {
    const [, from = ''] = /^https?:\/\/([^/]+)$/i.exec(origin) ?? [];
    const isAllowed = pages === 'own' ? from.toLowerCase() === host.toLowerCase() : isThisMachine(from);
    return isAllowed ? undefined : `This port takes no requests from pages of ${shown(origin)}.`;
  }
  if (site === 'cross-site') return 'This port takes no requests from pages of other sites.';
  if (site === 'same-site' && pages === 'own' && destination !== 'document')
    return 'This port takes no requests from pages of other ports.';
  return undefined;
}

/** True if an authority, with or without a port, always means this machine: DNS does not serve these names (RFC 6761, 6.3). */
function isThisMachine(authority: string): boolean {
  return /^(([a-z\d_-]+\.)*localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(authority);
}

const shown = (text: string) => JSON.stringify(text.slice(0, 100));

/** True if a request has a body that a page could send without a CORS preflight (a "simple" request). */
export function hasBodyOfAnyPage({ headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  const type = headers['content-type'] ?? '';
  return hasBody && (!/^application\//i.test(type) || /^application\/x-www-form-urlencoded/i.test(type));
}

/** Returns the body, or undefined if it is longer than `most` bytes. The rest of a longer body is read and discarded. */
export async function readBody(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= most) chunks.push(chunk);
  }
  return size > most ? undefined : Buffer.concat(chunks, size);
}
