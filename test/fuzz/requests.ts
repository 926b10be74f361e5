import { connect } from 'node:net';
import fc from 'fast-check';

/**
 * Requests to the backend, made from what its API says (GET /health, POST /chat {"message"}) and from what callers do
 * instead, and what must hold of every answer.
 */

export interface Shot {
  /** What goes over the wire, in these pieces. */
  pieces: Buffer[];
  /** After the last piece: wait for the answer, close our side first, or break the connection off. */
  end: 'wait' | 'close' | 'break';
  /** What the API says of it; `any`: what becomes of it depends on how it is cut. */
  expected: 'accepted' | 'refused' | 'any';
}

const VALID = fc.string({ minLength: 1, maxLength: 200, unit: 'grapheme' }).filter(text => text.trim() !== '');
const encode = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '');

interface Body {
  bytes: Buffer;
  valid: boolean;
}
const good: fc.Arbitrary<Body> = fc
  .record({ message: VALID, more: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3, noNullPrototype: true }) })
  .map(({ message, more }) => ({ bytes: encode({ ...more, message }), valid: true }));

const bad: fc.Arbitrary<Body> = fc
  .oneof(
    // Another type than the API's.
    fc
      .jsonValue()
      .filter(value => typeof value !== 'string')
      .map(message => encode({ message })),
    fc.constantFrom('', ' ', '\n').map(message => encode({ message })),
    fc.constantFrom(null, [], {}, 'Hello', 7, { Message: 'Hello' }, [{ message: 'Hello' }]).map(encode),
    // Broken JSON.
    fc.tuple(good, fc.nat()).map(([{ bytes }, at]) => bytes.subarray(0, at % bytes.length)),
    fc
      .tuple(good, fc.constantFrom('\ufeff\ufeff', '{', ',', '//'))
      .map(([{ bytes }, text]) => Buffer.concat([Buffer.from(text), bytes])),
    fc
      .constantFrom('NaN', '{message: "Hello"}', "{'message': 'Hello'}", '{"message": "a\nb"}')
      .map(text => Buffer.from(text)),
    fc.constantFrom('[', '{"message":').map(text => Buffer.from(text.repeat(60_000))),
    // No UTF-8.
    fc
      .uint8Array({ minLength: 1, maxLength: 50 })
      .map(bytes => Buffer.concat([Buffer.from('{"message": "'), bytes, Buffer.from([0xff])])),
    fc.constant(Buffer.from('{"message": "Hello"}', 'utf16le')),
    // Too much.
    fc.constantFrom(100_001, 1_048_576, 10_485_760).map(length => encode({ message: 'x'.repeat(length) })),
  )
  .map(bytes => ({ bytes, valid: false }));

const PATHS = [
  '/',
  '/Chat',
  '/chat/',
  '/chat/..',
  '/%63hat',
  '//chat',
  '/health/x',
  '/../health',
  '/..%2f..%2fetc/passwd',
  '/\\chat',
  '/é',
  'constructor',
  '__proto__',
  '*',
  '/__proto__',
  '/chat\u0000',
];
const METHODS = ['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY', 'BREW', 'post'];
const ODD_HEADERS = [
  'Content-Encoding: gzip',
  'Expect: 100-continue',
  'Expect: the unexpected',
  'Content-Type: application/xml; charset=utf-7',
  'Origin: https://evil.example',
  'Access-Control-Request-Method: POST',
  'Access-Control-Request-Headers: x, y\u007f',
  'X-Request-Id: ../../x" onload=',
  `X-Request-Id: ${'x'.repeat(5_000)}`,
  'X-Forwarded-For: ,,, ,',
  'Accept: text/event-stream',
  'Accept: */*;q=, text/html;q=NaN',
  'Accept: image/png',
  'Upgrade: websocket',
  'Connection: close, upgrade',
  'Transfer-Encoding: gzip',
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Cookie: __proto__=1',
  `X-Big: ${'x'.repeat(20_000)}`,
  'No colon at all',
  ': no name',
  'Host: another',
];

/** One piece, several, or a byte at a time. */
function cut(bytes: Buffer, at: number[]): Buffer[] {
  const marks = [0, ...at.map(n => n % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return marks.slice(1).map((to, index) => bytes.subarray(marks[index], to));
}

function chunked(bytes: Buffer): Buffer {
  const [first, second] = [bytes.subarray(0, bytes.length >> 1), bytes.subarray(bytes.length >> 1)];
  const parts = [first, second]
    .filter(part => part.length > 0)
    .flatMap(part => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]);
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

const request = (line: string, headers: string[], body: Buffer): Buffer =>
  Buffer.concat([Buffer.from([line, 'Host: x', ...headers, '', ''].join('\r\n'), 'latin1'), body]);

const ACCEPTS = ['Accept: application/json', 'Accept: text/event-stream', 'Accept: */*'];

/** What the API describes, well framed; with a body that fits, or with one that does not. */
const asDescribed = fc
  .record({
    body: fc.oneof(good, bad),
    accept: fc.constantFrom(...ACCEPTS),
    chunks: fc.boolean(),
    at: fc.array(fc.nat(), { maxLength: 4 }),
  })
  .map(({ body, accept, chunks, at }): Shot => {
    const framing = chunks ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.bytes.length}`;
    const bytes = request(
      'POST /chat HTTP/1.1',
      [accept, framing, 'Connection: close'],
      chunks ? chunked(body.bytes) : body.bytes,
    );
    return { pieces: cut(bytes, at), end: 'wait', expected: body.valid ? 'accepted' : 'refused' };
  });

/** Another path or method than there is. */
const elsewhere = fc.record({ method: fc.constantFrom('GET', 'POST'), path: fc.constantFrom(...PATHS) }).map(
  ({ method, path }): Shot => ({
    pieces: [request(`${method} ${path} HTTP/1.1`, ['Connection: close'], Buffer.alloc(0))],
    end: 'wait',
    expected: 'refused',
  }),
);

/** Anything that may be wrong with a request, at once. */
const odd = fc
  .record({
    method: fc.oneof(
      { weight: 3, arbitrary: fc.constant('POST') },
      { weight: 2, arbitrary: fc.constantFrom(...METHODS) },
    ),
    path: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom('/chat', '/health') },
      { weight: 1, arbitrary: fc.constantFrom(...PATHS) },
    ),
    version: fc.oneof(
      { weight: 9, arbitrary: fc.constant('HTTP/1.1') },
      fc.constantFrom('HTTP/1.0', 'HTTP/2.0', 'HTTP/9', 'X'),
    ),
    headers: fc.subarray(ODD_HEADERS, { maxLength: 4 }),
    body: fc.oneof(good, bad),
    length: fc.oneof(fc.constant(0), fc.integer({ min: -20, max: 20 })),
    framing: fc.constantFrom('length', 'chunked', 'both', 'neither', 'broken chunks'),
    at: fc.array(fc.nat(), { maxLength: 6 }),
    stop: fc.option(fc.nat(), { nil: undefined }),
    end: fc.constantFrom<Shot['end']>('close', 'close', 'break'),
  })
  .map(({ method, path, version, headers, body, length, framing, at, stop, end }): Shot => {
    const said = `Content-Length: ${body.bytes.length + length}`;
    const lines = {
      length: [said],
      chunked: ['Transfer-Encoding: chunked'],
      both: [said, 'Transfer-Encoding: chunked'],
      neither: [],
      'broken chunks': ['Transfer-Encoding: chunked'],
    }[framing];
    const whole = framing === 'chunked' || framing === 'both' ? chunked(body.bytes) : body.bytes;
    const bytes = request(`${method} ${path} ${version}`, [...headers, ...lines], whole);
    return {
      pieces: cut(stop === undefined ? bytes : bytes.subarray(0, stop % bytes.length), at),
      end,
      expected: 'any',
    };
  });

/** No HTTP. */
const garbage = fc
  .record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
    end: fc.constantFrom<Shot['end']>('close', 'break'),
  })
  .map(({ bytes, end }): Shot => ({ pieces: [Buffer.from(bytes)], end, expected: 'any' }));

export const shots = fc.oneof(
  { weight: 4, arbitrary: asDescribed },
  { weight: 1, arbitrary: elsewhere },
  { weight: 5, arbitrary: odd },
  { weight: 1, arbitrary: garbage },
);

/** Everything that came back until the backend closed, or nothing more can come. */
export function fire(port: number, shot: Shot): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setNoDelay(true);
    socket.on('data', bytes => {
      answer += bytes.toString('latin1');
    });
    // Broken by us, or by a backend that has answered and reads no more.
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer));
    const send = async () => {
      for (const piece of shot.pieces) {
        if (piece.length > 0) socket.write(piece);
        await new Promise(setImmediate);
      }
      if (shot.end === 'close') socket.end();
      if (shot.end === 'break') socket.resetAndDestroy();
    };
    socket.on('connect', send);
  });
}

/** The statuses that the API tells of while the model is well, and those of Node.js itself for what is no HTTP. */
const KNOWN = [200, 204, 400, 404, 405, 408, 413, 415];
const OF_NODE = [100, 400, 408, 413, 417, 431];

/** Every answer of ours has an id; Node.js answers for itself what it can't read, without a body. */
const OURS = /^x-request-id: [\w.-]{1,64}\r$/im;

/** What is wrong with an answer; undefined: nothing. */
export function complaint({ pieces, expected, end }: Shot, answer: string): string | undefined {
  const heads = [...answer.matchAll(/^HTTP\/1\.1 (\d{3}) [^\r]*\r\n((?:[^\r\n]+\r\n)*)\r\n/gm)];
  if (answer !== '' && heads[0]?.index !== 0) return 'an answer that is no HTTP';
  for (const [, code, headers = ''] of heads) {
    const status = Number(code);
    const known = OURS.test(headers) ? KNOWN : OF_NODE;
    if (!known.includes(status)) return `a status that the API does not tell of: ${status}`;
  }
  if (expected === 'any') return undefined;
  // A body beyond 1 MiB is refused before it is read to its end: the answer may get lost as the connection is closed.
  const beyond = pieces.reduce((sum, piece) => sum + piece.length, 0) > 1_048_576;
  if (answer === '' && expected === 'refused' && beyond) return undefined;
  const last = heads.at(-1);
  if (!last || heads.length !== 1) return `${heads.length} answers to one request (${end})`;
  const [status, headers, body] = [Number(last[1]), last[2] ?? '', answer.slice(last[0].length)];
  const accepted = status === 200;
  if (accepted !== (expected === 'accepted')) return `${status} to what was to be ${expected}`;
  if (!OURS.test(headers)) return undefined;
  if (/^content-type: text\/event-stream/im.test(headers)) {
    return /event: done\ndata: \{\}\n\n\s*0?\s*$/.test(body) ? undefined : 'a stream without an end';
  }
  const told = JSON.parse(body || 'null') as {
    response?: unknown;
    error?: { code?: unknown; message?: unknown };
  } | null;
  if (accepted) return typeof told?.response === 'string' ? undefined : 'an answer without a response';
  const { code, message } = told?.error ?? {};
  return typeof code === 'string' && typeof message === 'string'
    ? undefined
    : 'an error that does not say what is wrong';
}
