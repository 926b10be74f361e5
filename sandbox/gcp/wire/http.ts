import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { GcpStatus } from '../../../ports/gcp.ts';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { createLocalServer, readBody } from '../../localServer.ts';
import type { GcpCore } from '../core.ts';
import { CODES, GcpError, invalid } from '../errors.ts';
import type { Method } from './method.ts';
import { protoRegistry } from './protos.ts';
import { createRouter, requestOf } from './routes.ts';

/**
 * The local Google Cloud as REST: one port for all APIs, because their paths differ (`/v2/…` Cloud Run, `/v1/projects/…/secrets`,
 * `/v1/projects/…/serviceAccounts`). Any bearer token is accepted. A token `emulator:EMAIL` names the caller; with any other one, or
 * without one, the caller is the sandbox's owner, who has every permission.
 */

export interface GcpServer {
  /** Such as `http://127.0.0.1:8085`. */
  url: string;
  port: number;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 4 * 1024 * 1024;

const HERE =
  'It has services of Cloud Run (Admin API v2 and v1), global secrets, service accounts with their policies, and deny policies; projects, ' +
  'enabled APIs and what instances print can be read.';

/**
 * Paths that real clients call and that the local Google Cloud does not support, each with its message. The status is 400, because
 * some clients retry 501 for half a minute and report 404 as a missing resource.
 */
const NOT_HERE: [path: RegExp, message: string][] = [
  [
    /^\/v2\/projects\/[^/]+\/locations\/[^/]+\/(jobs|workerPools|builds|instances)|^\/apis\/(run\.googleapis\.com|domains\.cloudrun\.com)\//,
    'Cloud Run services only: this resource is not supported by the local Google Cloud.',
  ],
  [
    /^\/v2\/(entries|(\w+\/[^/]+\/)?(logs|sinks|metrics|exclusions))/,
    'Of Cloud Logging the local Google Cloud has only the list of entries: what an instance prints is in the files below DIR/logs, too.',
  ],
  [
    /^\/storage\/|^\/v1\/projects\/[^/]+\/(locations\/[^/]+\/)?(repositories|builds|triggers)/,
    'Nothing is built or stored by the local Google Cloud: it has no Cloud Build, Artifact Registry or Cloud Storage. Deploy an image ' +
      'with --image.',
  ],
  [
    /^\/v[13]\/projects\/[^/]+:(get|set)IamPolicy$|^\/v1\/((projects|organizations)\/[^/]+\/)?roles\b|:(queryGrantableRoles|queryTestablePermissions)$/,
    "Projects' policies and IAM roles are not supported by the local Google Cloud: every caller has every permission.",
  ],
  [
    /\/serviceAccounts\/[^/]+(\/keys|:sign|:generate)/,
    'Service account keys, tokens and signatures are not supported by the local Google Cloud.',
  ],
  // Some APIs have a name before the version: compute/v1, dns/v1, sql/v1beta4.
  [/^\/([a-z]+\/)?(v\d[a-z0-9]*|apis?)\//, `This is not supported by the local Google Cloud. ${HERE}`],
];

/** Serves `core` on `host` (default 127.0.0.1) and `port` (default 0: any free port). */
export async function startGcpServer(options: { core: GcpCore; port?: number; host?: string }): Promise<GcpServer> {
  const { core, port = 0, host = '127.0.0.1' } = options;
  const match = createRouter(protoRegistry().methods.values());

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Split by a pattern, because `URL` would resolve `..`.
    const [, path = '/', query = ''] = request.url?.match(/^([^?#]*)(?:\?([^#]*))?/) ?? [];
    const parameters = new URLSearchParams(query);
    const verb = verbOf(request);
    if (!['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(verb)) {
      response.writeHead(405, {
        allow: 'GET, HEAD, POST, PUT, PATCH, DELETE',
        'content-type': 'text/html; charset=UTF-8',
      });
      response.end(page(405, `The request method <code>${escapeHtml(verb)}</code> is inappropriate for the URL.`));
      return;
    }
    const found = match(verb, path);
    if (!found) {
      const message = NOT_HERE.find(([pattern]) => pattern.test(path))?.[1];
      request.resume();
      if (message) return fail(response, { code: 'FAILED_PRECONDITION', message });
      response.writeHead(404, { 'content-type': 'text/html; charset=UTF-8' });
      response.end(page(404, `The requested URL <code>${escapeHtml(path)}</code> was not found on this server.`));
      return;
    }
    const gone = new AbortController();
    response.on('close', () => response.writableEnded || gone.abort());
    const { api } = found.route.method;
    try {
      const body = await bodyOf(request, verb, parameters);
      const routed = requestOf(found, parameters, body);
      const alt = parameters.get('$alt') ?? parameters.get('alt') ?? 'json';
      const result = await core.invoke(routed.method.name, routed.request, {
        caller: callerOf(request.headers.authorization),
        signal: gone.signal,
        fromQuery: routed.fromQuery,
        region: regionOf(request.headers.host),
        enumsAsNumbers: /enum-encoding=int/.test(alt),
      });
      if (!result.ok) return fail(response, result.status, api);
      send(response, 200, result.response);
    } catch (error) {
      if (error instanceof GcpError) return fail(response, error.status, api);
      throw error;
    }
  }

  const guard = {
    pages: 'own',
    // gcloud uses this server as its proxy and puts the region before the host: REGION-127.0.0.1 (clientEnv.ts). No public DNS name
    // matches, because none ends in a number.
    alsoHost: REGIONAL_HOST,
    refuse: (response: ServerResponse, message: string) => fail(response, { code: 'PERMISSION_DENIED', message }),
  } as const;
  const server = createLocalServer(guard, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A client that disconnects while it sends its body causes no error to report.
      if (!request.errored) console.error(error);
      if (response.headersSent) response.destroy();
      else fail(response, { code: 'INTERNAL', message: 'Internal error encountered.' });
    });
  });
  server.keepAliveTimeout = 60_000;
  // gcloud uses this server as its proxy. Calls to any other host are refused here.
  server.on('connect', (request, socket) => {
    const reason = `Forbidden: ${request.url} is outside the local Google Cloud`;
    socket.end(`HTTP/1.1 403 ${reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
  const address = server.address() as AddressInfo;
  return {
    url: `http://${host}:${address.port}`,
    port: address.port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * The method of a request. Clients that cannot send it (all Java clients of Google, for PATCH) send POST with the method in
 * `X-HTTP-Method-Override` (https://cloud.google.com/apis/docs/system-parameters).
 */
function verbOf({ method = 'GET', headers }: IncomingMessage): string {
  const override = headers['x-http-method-override'];
  const verb = method === 'POST' && override ? String(override).toUpperCase() : method;
  return verb === 'HEAD' ? 'GET' : verb;
}

/** REGION-127.0.0.1, with or without a port. */
const REGIONAL_HOST = /^([a-z0-9-]+)-127\.0\.0\.1(:\d+)?$/;

const regionOf = (host = ''): string | undefined => REGIONAL_HOST.exec(host)?.[1];

function callerOf(authorization: string | undefined): { email?: string } {
  const [, email] = authorization?.match(/^Bearer emulator:(\S+@\S+)$/i) ?? [];
  return email ? { email } : {};
}

const tooLarge = () => invalid(`Request payload size exceeds the limit: ${MAX_BODY_BYTES} bytes.`);

/** The body without its compression. Google's Java clients send every body with gzip. */
async function unpacked(bytes: Buffer, encoding = 'identity'): Promise<Buffer> {
  if (bytes.length === 0 || encoding === 'identity') return bytes;
  if (encoding !== 'gzip') throw invalid(`Unsupported Content-Encoding '${encoding}': send gzip or none.`);
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: MAX_BODY_BYTES });
  } catch (error) {
    throw (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE'
      ? tooLarge()
      : invalid('The request body is not in gzip format, as its Content-Encoding says.');
  }
}

const FORM = /^application\/x-www-form-urlencoded\b/i;

/**
 * Returns the JSON body. The form body of a GET that was sent as a POST, because it is too long for a URL, is added to
 * `parameters`.
 */
async function bodyOf(
  request: IncomingMessage,
  verb: string,
  parameters: URLSearchParams,
): Promise<JsonObject | undefined> {
  const sent = await readBody(request, MAX_BODY_BYTES);
  if (!sent) throw tooLarge();
  const bytes = await unpacked(sent, request.headers['content-encoding']);
  if (bytes.length === 0) return undefined;
  const type = request.headers['content-type'];
  if (verb === 'GET' && request.method === 'POST' && FORM.test(type ?? '')) {
    for (const [name, value] of new URLSearchParams(bytes.toString())) parameters.append(name, value);
    return undefined;
  }
  // A body without a type is refused too, because a page can send one to any address without a CORS preflight.
  if (!/^application\/(.+\+)?json\b/i.test(type ?? '')) {
    throw invalid(
      `${type ? `Unsupported Content-Type '${type}'` : 'No Content-Type'}: send Content-Type: application/json.`,
    );
  }
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString());
  } catch {
    throw invalid('Invalid JSON payload received. Unexpected token.');
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('Invalid JSON payload received. Root element must be a message.');
  }
  return body as JsonObject;
}

/** The reasons of IAM's older error format, by code. Every other code is `backendError`. */
const LEGACY_REASONS: Partial<Record<GcpStatus['code'], string>> = {
  NOT_FOUND: 'notFound',
  ALREADY_EXISTS: 'alreadyExists',
  PERMISSION_DENIED: 'forbidden',
  INVALID_ARGUMENT: 'badRequest',
  FAILED_PRECONDITION: 'failedPrecondition',
  ABORTED: 'aborted',
  RESOURCE_EXHAUSTED: 'rateLimitExceeded',
};

function fail(response: ServerResponse, status: GcpStatus, api?: Method['api']): void {
  const { code, message, details, retryAfterMs } = status;
  const errors = [{ message, domain: 'global', reason: LEGACY_REASONS[code] ?? 'backendError' }];
  if (retryAfterMs !== undefined) response.setHeader('retry-after', Math.ceil(retryAfterMs / 1000));
  send(response, CODES[code].http, {
    error: {
      code: CODES[code].http,
      message,
      ...(api === 'iam' && { errors }),
      status: code,
      ...(details && { details }),
    },
  });
}

function send(response: ServerResponse, status: number, body: Json): void {
  if (response.destroyed) return;
  const text = `${JSON.stringify(body, null, 2)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json; charset=UTF-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'private',
    vary: 'Origin, X-Origin, Referer',
  });
  response.end(text);
}

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`);

const page = (code: number, message: string) =>
  `<!DOCTYPE html>\n<html lang=en>\n  <title>Error ${code}</title>\n  <p><b>${code}.</b> That's an error.\n  <p>${message}\n</html>\n`;
