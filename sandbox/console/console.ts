import { randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createLocalServer, hasBodyOfAnyPage, readBody } from '../localServer.ts';
import { type Actions, type ConsoleWorld, createActions, Refusal } from '../tenants/actions.ts';

/** How often a stream looks for a change, in milliseconds. It sends only what has changed. */
const REFRESH_MS = 300;
const MOST_STREAMS = 20;
/** The longest request body, in bytes. */
const MOST_BODY = 16 * 1024;

/** Everything comes from this server, scripts cannot be made from text, and no other page may embed this one. */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types console",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const pageFile = (name: string): string => fileURLToPath(new URL(`./page/${name}`, import.meta.url));

/** The files of the page: media type and text. The script is bundled when it is asked for; this takes some milliseconds. */
const FILES: Record<string, [type: string, text: () => Promise<string>]> = {
  '/style.css': ['text/css; charset=utf-8', () => readFile(pageFile('style.css'), 'utf8')],
  '/icon.svg': ['image/svg+xml', () => readFile(pageFile('icon.svg'), 'utf8')],
  '/console.js': ['text/javascript; charset=utf-8', bundle],
};

async function bundle(): Promise<string> {
  const { build } = await import('esbuild');
  const entryPoints = [pageFile('consolePage.ts')];
  const { outputFiles } = await build({
    entryPoints,
    bundle: true,
    format: 'esm',
    target: 'es2022',
    loader: { '.md': 'text' },
    write: false,
  });
  return outputFiles[0]?.text ?? '';
}

/**
 * The console of the sandbox: a page that shows the tenants and lets its user break and mend things. A POST changes state, so it
 * needs a JSON body and the token that is in the page, beside the checks of `createLocalServer`: a page of another origin can
 * neither read the token nor send such a request. `port` 0 takes a free one. Rejects if the port is taken.
 */
export async function startConsole(world: ConsoleWorld, port = 0): Promise<{ url: string; close(): Promise<void> }> {
  const actions = createActions(world);
  const token = randomBytes(24).toString('base64url');
  const page = await readFile(pageFile('console.html'), 'utf8');
  const stream = createStreams(actions, world);
  const refuse = (response: ServerResponse, message: string) => sendJson(response, 403, { error: message });

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(`http://console${request.url}`);
    const isGet = request.method === 'GET' || request.method === 'HEAD';
    const action = /^\/api\/(\w+)$/.exec(pathname)?.[1];
    const file = FILES[pathname];
    if (pathname === '/' && isGet) {
      const language = searchParams.get('lang') ?? request.headers['accept-language'] ?? '';
      const text = page
        .replace('lang="en"', /^ja\b/.test(language) ? 'lang="ja"' : 'lang="en"')
        .replace('TOKEN', token);
      return send(response, 'text/html; charset=utf-8', text);
    }
    if (file && isGet) return send(response, file[0], await file[1]());
    if (action === 'stream' && request.method === 'GET') return stream(searchParams.get('tenant') ?? '', response);
    if (action === undefined || action === 'stream' || request.method !== 'POST') {
      const known = pathname === '/' || file || action;
      response.setHeader('Allow', action && action !== 'stream' ? 'POST' : 'GET, HEAD');
      throw known ? new Refusal(405, `${request.method} is not allowed here.`) : new Refusal(404, 'Not found.');
    }
    const { tenant, ...body } = await bodyOf(request, token);
    if (typeof tenant !== 'string') throw new Refusal(400, '"tenant" must be NAMESPACE/NAME.');
    sendJson(response, 200, await actions.act(action, tenant, body));
  }

  const server = createLocalServer({ pages: 'own', refuse }, async (request, response) => {
    await respond(request, response).catch((error: unknown) => {
      if (!(error instanceof Refusal)) throw error;
      request.resume();
      sendJson(response, error.status, { error: error.message });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  }).catch(error => {
    actions.stop();
    throw error;
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      actions.stop();
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function send(response: ServerResponse, type: string, text: string): void {
  response.writeHead(200, { ...HEADERS, 'Content-Type': type }).end(text);
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { ...HEADERS, 'Content-Type': 'application/json' }).end(JSON.stringify(body));
}

/** The JSON body of a POST from the page itself. Throws `Refusal` for any other. */
async function bodyOf(request: IncomingMessage, token: string): Promise<Record<string, unknown>> {
  const given = Buffer.from(String(request.headers['x-console-token'] ?? ''));
  const expected = Buffer.from(token);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new Refusal(403, 'The token of this page is not that of this sandbox. Reload the page.');
  }
  if (hasBodyOfAnyPage(request)) throw new Refusal(415, 'Send the body as application/json.');
  const bytes = await readBody(request, MOST_BODY);
  if (bytes === undefined) throw new Refusal(413, `The body is longer than ${MOST_BODY} bytes.`);
  try {
    const body: unknown = JSON.parse(bytes.toString());
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  } catch {
    // The body is no JSON.
  }
  throw new Refusal(400, 'The body must be a JSON object.');
}

/** Serves server-sent events (HTML Living Standard, 9.2), each of which is a whole `ConsoleState`. */
function createStreams(actions: Actions, { runtime }: ConsoleWorld) {
  let open = 0;
  return async (key: string, response: ServerResponse): Promise<void> => {
    if (open >= MOST_STREAMS) throw new Refusal(503, `The console serves ${MOST_STREAMS} pages at a time.`);
    open++;
    let isClosed = false;
    let cancel = () => {};
    response.once('close', () => {
      open--;
      isClosed = true;
      cancel();
    });
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream' });
    let sent = '';
    const look = async (): Promise<void> => {
      const text = JSON.stringify(await actions.state(key));
      if (isClosed) return;
      // A page that does not read what was sent gets the next state only when it does.
      if (text !== sent && !response.writableNeedDrain) {
        response.write(`data: ${text}\n\n`);
        sent = text;
      }
      cancel = runtime.after(REFRESH_MS, () => {
        look().catch((error: unknown) => response.destroy(error as Error));
      });
    };
    await look();
  };
}
