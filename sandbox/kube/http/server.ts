import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { stringify } from 'yaml';
import { createLocalServer, hasBodyOfAnyPage, readBody } from '../../localServer.ts';
import type { KubeCore } from '../core.ts';
import { failure, type StatusError, unsupportedMediaType } from '../status.ts';

export interface KubeServer {
  /** Such as `http://127.0.0.1:6443`. */
  url: string;
  /** Cuts all connections. */
  close(): Promise<void>;
}

/** Serves `core` as plain HTTP on 127.0.0.1. `port` 0 takes a free one. Rejects if the port is taken. */
export async function startKubeServer({ core, port = 0 }: { core: KubeCore; port?: number }): Promise<KubeServer> {
  const refuse = (response: ServerResponse, message: string) =>
    refuseWith(response, failure(403, 'Forbidden', message));
  const server = createLocalServer({ pages: 'own', refuse }, (request, response) => respond(core, request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond(core: KubeCore, request: IncomingMessage, response: ServerResponse) {
  if (hasBodyOfAnyPage(request)) {
    request.resume();
    return refuseWith(response, unsupportedMediaType(TYPES));
  }
  const body = await readBody(request, MAX_BODY);
  if (!body) {
    const message = `Request entity too large: limit is ${MAX_BODY}`;
    return refuseWith(response, failure(413, 'RequestEntityTooLarge', message));
  }
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
  const answer = await core.handle({
    method: request.method ?? 'GET',
    url: request.url ?? '/',
    headers,
    body: body.length ? bodyOf(body, headers['content-type']) : undefined,
  });
  if ('lost' in answer) {
    response.destroy();
    return;
  }
  response.writeHead(answer.code, answer.headers);
  if ('body' in answer) {
    response.end(request.method === 'HEAD' ? undefined : answer.body);
    return;
  }
  response.flushHeaders();
  const stop = answer.start({ write: chunk => response.write(chunk), end: () => response.end() });
  response.on('close', stop);
}

/** kube-apiserver's limit of a request's body. */
const MAX_BODY = 3 * 1024 * 1024;
const TYPES = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

function refuseWith(response: ServerResponse, { status }: StatusError): void {
  response.writeHead(status.code, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(status)}\n`);
}

const bodyOf = (bytes: Buffer, type = '') => (type.includes('protobuf') ? bytes : bytes.toString());

/** Writes a kubeconfig for a server at `url` to `path`, with `namespace` as the default one. */
export async function writeKubeconfig(path: string, url: string, namespace = 'default'): Promise<void> {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'sandbox', cluster: { server: url } }],
    users: [{ name: 'sandbox', user: {} }],
    contexts: [{ name: 'sandbox', context: { cluster: 'sandbox', user: 'sandbox', namespace } }],
    'current-context': 'sandbox',
  };
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, stringify(config), { mode: 0o600 });
}
