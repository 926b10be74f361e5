import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream';

/** Of the connection, not of the message (RFC 9110, 7.6.1); `transfer-encoding` is kept: node:http writes the body by it. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'upgrade',
  'expect',
];

/** A connection to an instance; undefined: nobody listens there (any more). A new one each: none can be stale. */
export function connectTo(port: number, signal: AbortSignal): Promise<Socket | undefined> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, signal });
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

/**
 * Passes a request on over `socket` and its answer back, both as they come. Resolves when all is sent, or with how it
 * went wrong; aborting `signal` ends it on both sides.
 */
export function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  socket: Socket,
  signal: AbortSignal,
): Promise<'done' | 'failed'> {
  return new Promise(resolve => {
    const headers = withoutHopByHop(incoming.headers);
    const from = incoming.socket.remoteAddress ?? '';
    headers['x-forwarded-for'] = [headers['x-forwarded-for'], from].filter(Boolean).join(', ');
    headers['x-forwarded-proto'] ??= 'http';
    const outgoing = httpRequest({
      createConnection: () => socket,
      method: incoming.method,
      path: incoming.url,
      headers: { ...headers, connection: 'close' },
      signal,
    });
    let answered = false;
    outgoing.on('response', answer => {
      answered = true;
      const answerHeaders = withoutHopByHop(answer.headers);
      delete answerHeaders['transfer-encoding'];
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, answerHeaders);
      // A stream's first event may be long in coming: its head goes now.
      response.flushHeaders();
      pipeline(answer, response, error => resolve(error ? 'failed' : 'done'));
    });
    outgoing.on('error', () => {});
    outgoing.on('close', () => {
      if (!answered) resolve('failed');
    });
    // Not a pipeline: an instance may answer before it has read all, and that answer counts.
    incoming.pipe(outgoing);
    outgoing.flushHeaders();
    response.once('close', () => outgoing.destroy());
  });
}

function withoutHopByHop(given: IncomingHttpHeaders): IncomingHttpHeaders {
  const headers = { ...given };
  const named = String(given.connection ?? '').split(',');
  for (const name of [...hopByHop, ...named]) delete headers[name.trim().toLowerCase()];
  return headers;
}
