import { createServer } from 'node:http';

/** A second container for the tests of the local Cloud Run: listens where SIDECAR_PORT says, and tells its variables. */
const { SIDECAR_PORT, BEHAVIOUR } = process.env;
const server = createServer((request, response) => {
  if (request.url === '/crash') process.exit(3);
  response.end(JSON.stringify({ pid: process.pid, env: process.env }));
});
if (BEHAVIOUR === 'silent') setInterval(() => {}, 60_000);
else server.listen(Number(SIDECAR_PORT), '127.0.0.1');
