import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * An HTTP server for this machine alone. A browser on the same machine runs pages of strangers, and these reach every local port:
 * by DNS rebinding (a name of theirs that resolves to 127.0.0.1), and by requests whose answer they can't read but whose
 * effect they get. So three things are checked before a request is handled:
 *
 * 1. `Host`, and the authority of an absolute-form target, are names of this machine.
 * 2. `Origin` is the server itself (`pages: 'own'`) or a page of this machine (`pages: 'local'`).
 * 3. A request without `Origin` does not say `Sec-Fetch-Site: cross-site`.
 */
export interface LocalServerOptions {
  /** Whose pages may send requests. */
  pages: 'own' | 'local';
  /** Answers a request that is refused, in the API's own form. */
  refuse(response: ServerResponse, message: string): void;
  /** Hands the handshakes of WebSockets to `handle`, with their connection. */
  webSockets?: boolean;
  /** Takes HTTP/2 without TLS, too, from callers that know beforehand (RFC 9113, 3.3), as gRPC's do. */
  http2?: boolean;
  /** Other authorities than those of this machine that are taken. */
  alsoHost?: RegExp;
}

/** `handle` gets requests whose `url` is in origin form (path and query). What it throws ends that one connection. */
export function createLocalServer(
  options: LocalServerOptions,
  handle: (
    request: IncomingMessage,
    response: ServerResponse,
    upgraded?: { client: Duplex; head: Buffer },
  ) => Promise<void> | void,
): Server {
  // Of a WebSocket only, and only where somebody asked for it: any other `Upgrade` is ignored, and the request answered (RFC 9110, 7.8).
  const shouldUpgradeCallback = ({ headers }: IncomingMessage) =>
    options.webSockets === true && headers.upgrade?.toLowerCase() === 'websocket';
  const respond = (
    request: IncomingMessage,
    response: ServerResponse,
    upgraded?: { client: Duplex; head: Buffer },
  ): void => {
    const { authority, target } = originForm(request.url ?? '/');
    request.url = target;
    // HTTP/2's authority, beside which a caller may send another `Host`.
    const refused = refusalOf(request, request.headers[':authority']?.toString() ?? authority, options);
    const handled = async () => {
      if (refused === undefined) return handle(request, response, upgraded);
      request.resume();
      options.refuse(response, refused);
    };
    handled().catch((error: unknown) => {
      // A caller that went away in the middle of its body is no error of ours.
      if (!request.errored) console.error(error);
      response.destroy();
    });
  };
  const server = createServer({ shouldUpgradeCallback }, (request, response) => respond(request, response));
  // For as long as it lives: node:http takes its own listeners off what it hands over (CONNECT, `Upgrade`), and a caller that cuts such
  // a connection would end the process.
  server.on('connection', (socket: Socket) => socket.on('error', () => {}));
  server.on('upgrade', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    // Not the connection itself in Node.js 26, but a stream on it that tells of the connection's end on its own.
    client.on('error', () => {});
    // For what is answered in the handshake's place.
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

/** Looks at a connection's first bytes and hands it to HTTP/1 or HTTP/2. */
function alsoHttp2(server: Server, respond: (request: IncomingMessage, response: ServerResponse) => void): void {
  const second = createHttp2Server((request, response) => {
    request.headers.host ??= request.authority;
    // Node's compatibility API: both are made to be used as those of HTTP/1.
    respond(request as unknown as IncomingMessage, response as unknown as ServerResponse);
  });
  second.on('sessionError', () => {});
  const first = server.listeners('connection') as ((socket: Socket) => void)[];
  const open = new Set<Socket>();
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket)).on('error', () => {});
    // Nobody else watches it before its first byte: one that says nothing, or ends, would stay open for ever.
    const close = () => socket.destroy();
    socket.once('end', close).setTimeout(server.headersTimeout, close);
    socket.once('data', chunk => {
      socket.off('end', close).setTimeout(0, close);
      socket.pause();
      socket.unshift(chunk);
      if (chunk.toString('latin1', 0, PREFACE.length) === PREFACE) {
        // Unlike HTTP/1's server, HTTP/2's expects that a socket closes when its caller ends it.
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
  const { host = '', origin } = headers;
  for (const name of authority === undefined ? [host] : [host, authority]) {
    if (!isThisMachine(name) && !alsoHost?.test(name))
      return `This port answers to names of this machine only (127.0.0.1, localhost), not to ${shown(name)}.`;
  }
  if (origin !== undefined) {
    const [, from = ''] = /^https?:\/\/([^/]+)$/i.exec(origin) ?? [];
    const isAllowed = pages === 'own' ? from.toLowerCase() === host.toLowerCase() : isThisMachine(from);
    return isAllowed ? undefined : `This port takes no requests from pages of ${shown(origin)}.`;
  }
  if (headers['sec-fetch-site'] === 'cross-site') return 'This port takes no requests from pages of other sites.';
  return undefined;
}

/** Whether an authority, with or without a port, can only mean this machine: no DNS has these names (RFC 6761, 6.3). */
function isThisMachine(authority: string): boolean {
  return /^(([a-z\d_-]+\.)*localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(authority);
}

const shown = (text: string) => JSON.stringify(text.slice(0, 100));

/** Whether a request has a body, and one that a page could have sent without the browser asking first (CORS, "simple"). */
export function hasBodyOfAnyPage({ headers }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  const type = headers['content-type'] ?? '';
  return hasBody && (!/^application\//i.test(type) || /^application\/x-www-form-urlencoded/i.test(type));
}

/** The body, or undefined when it is longer than `most` bytes; the rest of it is then read and thrown away. */
export async function readBody(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= most) chunks.push(chunk);
  }
  return size > most ? undefined : Buffer.concat(chunks, size);
}
