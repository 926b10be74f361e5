import { randomBytes } from 'node:crypto';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { type Duplex, pipeline } from 'node:stream';

/**
 * Headers of the connection, which are not forwarded (RFC 9110, 7.6.1). `transfer-encoding` is not listed: node:http needs it
 * to write the body.
 */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  // Old clients send this header. HTTP/2 forbids it (RFC 9113, 8.2.2).
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
];

/** A `Connection` header cannot remove these. Without its length, an instance would read a body as the next request. */
const ofTheMessage = ['host', 'content-length', 'transfer-encoding'];

/** Opens a new connection to an instance, so that none is stale. Resolves with undefined if no process listens on the port. */
export function connectTo(port: number, signal: AbortSignal): Promise<Socket | undefined> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, signal });
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

/** The largest request body over HTTP/1: 32 MiB (Cloud Run, "Quotas and limits"). */
const MAX_BODY = 32 * 1024 * 1024;

/** True if the request's headers say that its body is too long. */
export const isTooLarge = ({ headers }: IncomingMessage): boolean => Number(headers['content-length'] ?? 0) > MAX_BODY;

/**
 * The headers that Cloud Run's front end adds (Cloud Run, "Container runtime contract"; Cloud Trace, "Trace context"). The caller's
 * headers on the protocol are replaced, its address is appended to `X-Forwarded-For`, and its trace id is kept.
 */
function frontEndHeaders({ headers, socket }: IncomingMessage): IncomingHttpHeaders {
  const from = socket.remoteAddress ?? '';
  const [, given] = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(headers.traceparent?.toString() ?? '') ?? [];
  const [, older] = /^([0-9a-f]{32})\b/i.exec(headers['x-cloud-trace-context']?.toString() ?? '') ?? [];
  const trace = given ?? older?.toLowerCase() ?? randomBytes(16).toString('hex');
  const span = randomBytes(8);
  return {
    'x-forwarded-for': [headers['x-forwarded-for'], from].filter(Boolean).join(', '),
    'x-forwarded-proto': 'http',
    forwarded: `for="${from}";proto=http`,
    traceparent: `00-${trace}-${span.toString('hex')}-00`,
    'x-cloud-trace-context': `${trace}/${span.readBigUInt64BE()}`,
  };
}

/** The headers that an instance receives: the caller's, overridden by those of the front end. */
const passedOn = (incoming: IncomingMessage): IncomingHttpHeaders => ({
  ...withoutHopByHop(incoming.headers),
  ...frontEndHeaders(incoming),
});

/** Forwards a WebSocket's handshake over `socket`, then bytes in both directions. Resolves when one side has closed. */
export function forwardUpgrade(
  incoming: IncomingMessage,
  client: Duplex,
  head: Buffer,
  socket: Socket,
  signal: AbortSignal,
): Promise<void> {
  const headers = passedOn(incoming);
  const lines = Object.entries({ ...headers, connection: 'Upgrade', upgrade: 'websocket' }).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map(one => `${name}: ${one}\r\n`),
  );
  socket.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
  if (head.length > 0) socket.write(head);
  return new Promise(resolve => {
    const end = () => {
      client.destroy();
      socket.destroy();
      resolve();
    };
    signal.addEventListener('abort', end, { once: true });
    for (const side of [client, socket]) side.on('error', end).on('close', end);
    client.pipe(socket).pipe(client);
  });
}

/**
 * Forwards a request to a container that speaks HTTP/2 without TLS (`ports[].name: h2c`; Cloud Run, "Use HTTP/2"), as `forward` does.
 * Callers that use HTTP/2 also receive trailers, in which gRPC sends its status.
 */
export function forwardH2c(
  incoming: IncomingMessage,
  response: ServerResponse,
  socket: Socket,
  signal: AbortSignal,
): Promise<'done' | 'failed' | 'tooLarge'> {
  return new Promise(resolve => {
    const headers = passedOn(incoming);
    // HTTP/2 forbids this header (RFC 9113, 8.2.2), except for `te: trailers`, which gRPC servers require.
    for (const name of ['host', 'transfer-encoding', 'http2-settings']) delete headers[name];
    if (incoming.headers.te === 'trailers') headers.te = 'trailers';
    const session = connectHttp2('http://127.0.0.1', { createConnection: () => socket });
    const end = (how: 'done' | 'failed' | 'tooLarge') => {
      resolve(how);
      session.destroy();
    };
    session.on('error', () => end('failed'));
    signal.addEventListener('abort', () => session.destroy(), { once: true });
    const stream = session.request({
      ...headers,
      ':method': incoming.method ?? 'GET',
      ':path': incoming.url ?? '/',
      ':authority': incoming.headers.host ?? '127.0.0.1',
    });
    stream.on('response', answer => {
      const status = Number(answer[':status']);
      if (!isAnswer(status, incoming)) return end('failed');
      response.writeHead(status, withoutHopByHop(answer));
      response.flushHeaders();
      pipeline(stream, response, error => end(error ? 'failed' : 'done'));
    });
    stream.on('trailers', trailers => {
      if (incoming.httpVersionMajor === 2) response.addTrailers(trailers as Record<string, string>);
    });
    stream.on('error', () => end('failed'));
    stream.on('close', () => response.headersSent || end('failed'));
    // The body's size is not checked: Cloud Run limits it for HTTP/1 only.
    incoming.pipe(stream);
    response.once('close', () => session.destroy());
  });
}

/**
 * Forwards a request over `socket` and streams the answer back. Resolves with `done` once the whole answer is sent, else with the
 * kind of failure. An abort of `signal` closes both connections.
 */
export function forward(
  incoming: IncomingMessage,
  response: ServerResponse,
  socket: Socket,
  signal: AbortSignal,
): Promise<'done' | 'failed' | 'tooLarge'> {
  return new Promise(resolve => {
    const headers = passedOn(incoming);
    const outgoing = httpRequest({
      createConnection: () => socket,
      method: incoming.method,
      path: incoming.url,
      // With `close`, an instance that answers before it has read the body would reset the connection and its answer would be lost.
      headers: { ...headers, connection: 'keep-alive' },
      signal,
    });
    let answered = false;
    outgoing.on('response', answer => {
      const { statusCode = 0, statusMessage = '' } = answer;
      // node:http parses answers that it refuses to write, such as status 99. They count as no answer.
      const isWritable = isAnswer(statusCode, incoming) && /^[\t\x20-\x7e\x80-\xff]*$/.test(statusMessage);
      if (!isWritable) return void outgoing.destroy();
      answered = true;
      const answerHeaders = withoutHopByHop(answer.headers);
      delete answerHeaders['transfer-encoding'];
      // HTTP/2 has no status message.
      if (incoming.httpVersionMajor === 1) response.writeHead(statusCode, statusMessage, answerHeaders);
      else response.writeHead(statusCode, answerHeaders);
      // The headers are sent at once, because the first event of a stream may come much later.
      response.flushHeaders();
      pipeline(answer, response, error => {
        resolve(error ? 'failed' : 'done');
        socket.destroy();
      });
    });
    outgoing.on('error', () => {});
    outgoing.on('close', () => {
      if (!answered) resolve('failed');
    });
    let size = 0;
    incoming.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY) return;
      resolve('tooLarge');
      outgoing.destroy();
    });
    // `pipeline` would end the answer if the instance stops reading. An instance may answer before it has read the whole body.
    incoming.pipe(outgoing);
    outgoing.flushHeaders();
    response.once('close', () => outgoing.destroy());
  });
}

/** True if node:http and node:http2 can write this status. They throw for any other. */
const isAnswer = (status: number, { httpVersionMajor }: IncomingMessage): boolean =>
  status >= 200 && status <= (httpVersionMajor === 1 ? 999 : 599);

function withoutHopByHop(given: IncomingHttpHeaders): IncomingHttpHeaders {
  const headers = { ...given };
  const named = String(given.connection ?? '').split(',');
  for (const name of [...hopByHop, ...named.map(one => one.trim().toLowerCase())])
    if (!ofTheMessage.includes(name)) delete headers[name];
  // The pseudo-header fields of HTTP/2, such as `:status`.
  for (const name of Object.keys(headers)) if (name.startsWith(':')) delete headers[name];
  return headers;
}
