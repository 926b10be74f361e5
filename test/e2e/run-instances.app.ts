import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';

/** A container for the tests of the local Cloud Run. */
const { PORT, BEHAVIOUR } = process.env;

let busy = 0;
let most = 0;

const server = createServer(async (request, response) => {
  busy += 1;
  most = Math.max(most, busy);
  response.once('close', () => {
    busy -= 1;
  });
  const url = new URL(request.url ?? '/', 'http://app');
  if (url.pathname === '/crash') process.exit(3);
  if (url.pathname === '/stream') {
    response.setHeader('x-pid', process.pid);
    response.write('first\n');
    await new Promise<void>(resolve => request.once('data', () => resolve()));
    response.end('last\n');
    return;
  }
  if (url.pathname === '/leave') {
    // In a session of its own: it is in none of the groups that the supervisor knows.
    const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
    response.end(String(child.pid));
    return;
  }
  if (url.pathname === '/raw') return void request.socket.end(url.searchParams.get('bytes') ?? '', 'latin1');
  if (url.pathname === '/drain') for await (const _ of request);
  const wait = Number(url.searchParams.get('ms') ?? 0);
  if (wait > 0) await new Promise(resolve => setTimeout(resolve, wait));
  response.setHeader('content-type', 'application/json');
  const { headers } = request;
  response.end(JSON.stringify({ pid: process.pid, env: process.env, headers, most, url: request.url }));
});

// An echo: what is sent after the handshake comes back.
server.on('upgrade', (request, socket, head) => {
  const { upgrade, connection } = request.headers;
  socket.on('error', () => {});
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\nx-saw: ${connection}\r\n\r\n`,
  );
  socket.write(head);
  socket.pipe(socket);
});

const http2 = createHttp2Server(async (request, response) => {
  if (request.url === '/status') response.addTrailers({ 'grpc-status': '0' });
  response.setHeader('content-type', 'application/json');
  let length = 0;
  for await (const chunk of request) length += chunk.length;
  const { headers, httpVersion } = request;
  response.end(JSON.stringify({ pid: process.pid, env: process.env, headers, httpVersion, length, url: request.url }));
});

console.log(`started ${BEHAVIOUR ?? ''}`);
if (BEHAVIOUR === 'silent') setInterval(() => {}, 60_000);
else if (BEHAVIOUR === 'h2c') http2.listen(Number(PORT), '127.0.0.1');
else server.listen(Number(PORT), '127.0.0.1');
if (BEHAVIOUR === 'deaf') process.on('SIGTERM', () => {});
else process.once('SIGTERM', () => process.exit());
