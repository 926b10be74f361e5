import { connect } from 'node:net';
import fc from 'fast-check';

/** Requests over a raw socket whose target, method, version and headers take every form that a client may send. */

const TARGETS = [
  '/',
  '//',
  '///',
  '//[',
  '//[/healthz',
  '/%',
  '/%zz',
  '/\\',
  '/\\..\\',
  '/?%',
  '/#',
  '/;',
  '*',
  '?',
  '#',
  ':',
  '[',
  'x',
  'constructor',
  '/__proto__',
  'http:',
  'http:/',
  'http://',
  'http:///',
  'http://[',
  'http://[::1',
  'http://a:b',
  'http://a:99999/',
  'http://%/',
  'http://@/',
  'https://evil.example/healthz',
  'http://127.0.0.1/healthz',
  'ws://127.0.0.1/',
  'file:///etc/passwd',
  'javascript:1',
  'a:1',
  '127.0.0.1:80',
  'evil.example:443',
  '[::1]:80',
  '/healthz',
  '/metrics',
  '/chat',
  '/v1/models',
  '/v1/projects/demo-project/secrets',
  '/v1/projects/%/secrets/%zz:access',
  '/v2/projects/demo-project/locations/-/services/%ff',
  '/api/v1/namespaces',
  '/api/v1/namespaces/%zz/secrets',
  '/apis//',
  '/apis/%/v1/x',
  '/api/v1/namespaces?limit=%&labelSelector=%zz',
  '/openapi/v3/%zz',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY', 'PRI', 'get'];
const HEADERS = [
  'Host: 127.0.0.1',
  'Host: evil.example',
  'Host: [',
  'Host: [::1]:80',
  'Host: a:b',
  'Host:',
  'Origin: http://evil.example',
  'Origin: null',
  'Origin: [',
  'Sec-Fetch-Site: cross-site',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Connection: upgrade',
  'Connection: close, x',
  'Expect: 100-continue',
  'Expect: x',
  'Content-Type: application/json',
  'Content-Type: text/plain',
  'Content-Length: 2',
  'Content-Length: 9999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: x',
  'Accept: ;;;,q=',
  'Accept: application/json;as=Table;g=;v=',
  'Authorization: Bearer a.b.c',
  'Authorization: Bearer emulator:x@y',
  'X-Forwarded-For: ,',
  'X-Request-Id: \u0001',
  'Range: bytes=-1',
  `X-Long: ${'x'.repeat(20_000)}`,
  ': nameless',
];
const character = fc.constantFrom(...'/:[]@%?#&=.*\\ab1 \u007f\u00ff'.split(''));

/** The bytes of one request. */
export const hostileRequests: fc.Arbitrary<Buffer> = fc
  .record({
    method: fc.oneof({ weight: 3, arbitrary: fc.constant('GET') }, fc.constantFrom(...METHODS)),
    target: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...TARGETS) },
      fc.tuple(fc.constantFrom(...TARGETS), fc.string({ unit: character, maxLength: 8 })).map(parts => parts.join('')),
      fc.string({ unit: character, minLength: 1, maxLength: 12 }),
      fc.constant(`/${'x'.repeat(9_000)}`),
    ),
    version: fc.oneof({ weight: 8, arbitrary: fc.constant('1.1') }, fc.constantFrom('1.0', '0.9', '2.0')),
    host: fc.oneof({ weight: 4, arbitrary: fc.constant(['Host: 127.0.0.1']) }, fc.constant([])),
    headers: fc.subarray(HEADERS, { maxLength: 3 }),
    body: fc.constantFrom('', '', '{}', '0\r\n\r\n', 'zz\r\n'),
  })
  .map(({ method, target, version, host, headers, body }) =>
    Buffer.from(
      `${[`${method} ${target} HTTP/${version}`, ...host, ...headers, '', ''].join('\r\n')}${body}`,
      'latin1',
    ),
  );

/** A stream or a body that is waited for is not the subject: what has come by then is the answer. */
const PATIENCE_MS = 300;

/** Sends the bytes and returns what the server answers until it closes, falls silent or `PATIENCE_MS` have passed. */
export function sendRaw(port: number, bytes: Buffer | string, patienceMs = PATIENCE_MS): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    const timer = setTimeout(() => socket.destroy(), patienceMs);
    socket.on('data', data => {
      answer += data.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    socket.end(bytes);
  });
}

/** Sends the bytes and resets the connection `afterMs` later, whatever the server does with it by then. */
export function sendAndReset(port: number, bytes: Buffer | string, afterMs: number): Promise<void> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(bytes);
      setTimeout(() => socket.resetAndDestroy(), afterMs);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}
