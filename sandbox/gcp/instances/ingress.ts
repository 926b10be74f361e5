import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Runtime } from '../../../ports/runtime.ts';
import type { Run } from '../run/run.ts';
import { connectTo, forward, forwardH2c, forwardUpgrade, isTooLarge } from './forward.ts';
import { refuse } from './frontEndAnswers.ts';
import type { Pool } from './pool.ts';

/** A running revision. */
export interface Workload {
  pool: Pool;
  /** Milliseconds that one request may take. */
  timeoutMs: number;
  /** Its containers speak HTTP/2 without TLS. */
  isH2c: boolean;
}

/** The connection of a WebSocket's handshake. `head` holds the bytes after the handshake that were already read. */
export interface Upgraded {
  client: Duplex;
  head: Buffer;
}

/** If an instance has just ended and refuses the connection, the request is tried on another one after 20 ms. */
const retryMs = 20;

/** Forwards requests to instances, as Cloud Run's front end does. `workload` returns the running revision of a service. */
export function createIngress(
  runtime: Runtime,
  run: () => Pick<Run, 'route' | 'mayInvoke'> | undefined,
  workload: (service: string, revision: string) => Workload | undefined,
) {
  return async (
    target: { service: string; tag?: string } | undefined,
    request: IncomingMessage,
    response: ServerResponse,
    upgraded?: Upgraded,
  ): Promise<void> => {
    const path = request.url ?? '/';
    const revision = target && run()?.route(target.service, target.tag);
    const found = target && revision && workload(target.service, revision);
    if (!found) return refuse(response, 'notFound', path);
    if (!run()?.mayInvoke(target.service, callerOf(request.headers.authorization))) {
      return refuse(response, 'forbidden', path);
    }
    if (request.httpVersionMajor === 1 && isTooLarge(request)) return refuse(response, 'tooLarge', path);
    const controller = new AbortController();
    let isOverdue = false;
    const cancelTimeout = runtime.after(found.timeoutMs, () => {
      isOverdue = true;
      controller.abort();
    });
    response.once('close', () => controller.abort());
    try {
      const failure = await answer(found, request, response, controller.signal, upgraded);
      if (isOverdue) refuse(response, 'timeout', path);
      else if (failure && failure !== 'cancelled') refuse(response, failure, path);
    } catch {
      // node:http throws for requests that it can parse but not write.
      refuse(response, 'unavailable', path);
    } finally {
      cancelTimeout();
    }
  };

  async function answer(
    { pool, isH2c }: Workload,
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
    upgraded?: Upgraded,
  ) {
    // Upgrades exist in HTTP/1 only. A container that speaks HTTP/2 would answer with a protocol error. WebSockets over HTTP/2
    // (extended CONNECT, RFC 8441) are not supported here.
    if (upgraded && isH2c) return 'unavailable' as const;
    for (;;) {
      const place = await pool.acquire(signal);
      if ('refused' in place) return place.refused;
      try {
        const socket = await connectTo(place.port, signal);
        if (signal.aborted) {
          socket?.destroy();
          return 'cancelled' as const;
        }
        if (socket) {
          const how = await (upgraded
            ? forwardUpgrade(request, upgraded.client, upgraded.head, socket, signal)
            : (isH2c ? forwardH2c : forward)(request, response, socket, signal));
          return how === 'tooLarge' ? how : how === 'failed' ? ('unavailable' as const) : undefined;
        }
      } finally {
        place.release();
      }
      await new Promise<void>(resolve => runtime.after(retryMs, resolve));
    }
  }
}

/**
 * The account that a bearer token names: EMAIL of the local cloud's `emulator:EMAIL`, or the claim `email` of an identity token. The
 * token's signature is not checked.
 */
function callerOf(authorization: string | undefined): string | undefined {
  const [, token = ''] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
  if (token.startsWith('emulator:')) return token.slice('emulator:'.length);
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const { email } = claims as { email?: unknown };
    return typeof email === 'string' ? email : undefined;
  } catch {
    return undefined;
  }
}
