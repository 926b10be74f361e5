import { createServer, type Server } from 'node:http';

export type Handler = (path: string) => Promise<{ status: number; type?: string; body: string } | undefined>;

/** Serves GET requests at `HOST:PORT` (`:8080`: every address). `0` or nothing: no server. Rejects if it cannot listen. */
export async function serve(address: string, handler: Handler): Promise<Server | undefined> {
  if (address === '' || address === '0') return undefined;
  const { host, port } = parseAddress(address);
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const answer =
      request.method === 'GET' || request.method === 'HEAD'
        ? await handler(path).catch(() => ({ status: 500, body: 'internal error\n' }))
        : { status: 405, body: 'method not allowed\n' };
    const { status, body, type = 'text/plain; charset=utf-8' } = { type: undefined, ...(answer ?? NOT_FOUND) };
    response.writeHead(status, { 'Content-Type': type }).end(request.method === 'HEAD' ? undefined : body);
  });
  server.requestTimeout = 10_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return server;
}

const NOT_FOUND = { status: 404, body: 'not found\n' };

function parseAddress(address: string): { host?: string; port: number } {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, Math.max(0, at)).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(at + 1));
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`${address} is not an address such as :8080`);
  return { host: host === '' ? undefined : host, port };
}
