import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createLocalServer } from '../../localServer.ts';
import { GcpError } from '../errors.ts';
import { projectHash, type ServiceAddress, serviceName, type Urls } from '../run/names.ts';
import { refuse } from './frontEndAnswers.ts';
import type { Upgraded } from './ingress.ts';

/** Listening in advance, so that a service's address is known in the call that creates it. */
const spareListeners = 32;
/** Ports of deleted services that still answer 404 instead of refusing connections. */
const keptAfterRelease = 64;

/** Handles a request to the service that a port belongs to; undefined: it is gone, or the host is another's. */
export type Handle = (
  target: { service: string; tag?: string } | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  upgraded?: Upgraded,
) => Promise<void> | void;

export interface Addresses extends Urls {
  close(): Promise<void>;
}

interface Listener {
  server: Server;
  port: number;
  service?: ServiceAddress;
}

/**
 * A port of 127.0.0.1 for each service, as curl, browsers and Node's fetch reach it without DNS (Node asks the system's
 * resolver for `*.localhost`, which glibc and musl don't know). Beside it, names below `.localhost` on the same port, for
 * curl and browsers. `portBase`: ports count up from there, passing over those in use; default: any free one.
 */
export async function openAddresses(handle: Handle, portBase?: number): Promise<Addresses> {
  const byService = new Map<string, Listener>();
  const spares: Listener[] = [];
  const released: Listener[] = [];
  let nextPort = portBase ?? 0;
  let filling: Promise<void> | undefined;
  let closed = false;

  async function listen(): Promise<Listener> {
    for (;;) {
      // Pages of this machine may call, as a web application that somebody develops beside the sandbox does.
      const server = createLocalServer(
        { pages: 'local', webSockets: true, http2: true, refuse: response => refuse(response, 'forbidden', '/') },
        (request, response, upgraded) => handle(targetOf(listener, request.headers.host), request, response, upgraded),
      );
      const listener: Listener = { server, port: 0 };
      // Cloud Run knows no time for the head of a request; a request's own time is the service's.
      server.requestTimeout = 0;
      try {
        server.listen(nextPort && nextPort++, '127.0.0.1');
        await once(server, 'listening');
      } catch (error) {
        if (nextPort > 0 && nextPort < 65_536 && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue;
        throw error;
      }
      const address = server.address();
      listener.port = typeof address === 'object' && address ? address.port : 0;
      return listener;
    }
  }

  function fill(): Promise<void> {
    filling ??= (async () => {
      while (!closed && spares.length < spareListeners) spares.push(await listen());
    })().finally(() => {
      filling = undefined;
    });
    return filling;
  }

  await fill();

  return {
    of(service) {
      const listener = spares.shift();
      fill().catch(() => {});
      if (!listener) {
        throw new GcpError({ code: 'UNAVAILABLE', message: 'The local Cloud Run has no free port at this moment.' });
      }
      listener.service = service;
      byService.set(serviceName(service), listener);
      const uri = `http://127.0.0.1:${listener.port}`;
      return { uri, urls: [`http://${hostsOf(service)[1]}:${listener.port}`, uri] };
    },
    tagged: (service, tag) => `http://${tag}---${hostsOf(service)[0]}:${byService.get(serviceName(service))?.port}`,
    release(service) {
      const listener = byService.get(serviceName(service));
      if (!listener) return;
      byService.delete(serviceName(service));
      listener.service = undefined;
      released.push(listener);
      if (released.length > keptAfterRelease) released.shift()?.server.close();
    },
    async close() {
      closed = true;
      await filling?.catch(() => {});
      const servers = [...byService.values(), ...spares, ...released].map(({ server }) => server);
      await Promise.all(
        servers.map(server => {
          server.closeAllConnections();
          return new Promise(resolve => server.close(resolve));
        }),
      );
    },
  };
}

/** As the real hosts, below `.localhost`: with the project's hash, and with its number. */
function hostsOf({ id, project, location }: ServiceAddress): [string, string] {
  return [
    `${id}-${projectHash(project, location)}.${location}.localhost`,
    `${id}-${project.number}.${location}.localhost`,
  ];
}

function targetOf({ service }: Listener, header = ''): { service: string; tag?: string } | undefined {
  if (!service) return undefined;
  const host = header.replace(/:\d+$/, '').toLowerCase();
  if (host === '127.0.0.1' || host === 'localhost') return { service: serviceName(service) };
  const [, tag, plain = ''] = /^(?:([a-z0-9-]+)---)?(.+)$/.exec(host) ?? [];
  // Another name that leads here is not this service's: so a page of another site can't reach it by its own name.
  return hostsOf(service).includes(plain) ? { service: serviceName(service), tag } : undefined;
}
