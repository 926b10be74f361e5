import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Runtime } from '../../../ports/runtime.ts';
import type { Run } from '../run/run.ts';
import { connectTo, forward, forwardH2c, forwardUpgrade, isTooLarge } from './forward.ts';
import { refuse } from './frontEndAnswers.ts';
import type { Pool } from './pool.ts';

/** A revision that runs. */
export interface Workload {
  pool: Pool;
  /** Milliseconds that one request may take. */
  timeoutMs: number;
  /** Its containers speak HTTP/2 without TLS. */
  isH2c: boolean;
}

/** The connection of a WebSocket's handshake, and what has been read of it already. */
export interface Upgraded {
  client: Duplex;
  head: Buffer;
}

/** A connection that is refused by an instance just ended is tried again elsewhere after this. */
const retryMs = 20;

/** Sends requests on to instances, as Cloud Run's front end does. `workload` finds a service's revision. */
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
      // Such as a request that node:http reads but does not write.
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
    // An upgrade is HTTP/1's, and a container that speaks HTTP/2 would answer it with a protocol error. (By HTTP/2 a WebSocket is an
    // extended CONNECT, RFC 8441, which is not built here.)
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
 * The account that a bearer token names: the local cloud's `emulator:EMAIL`, or the `email` of an identity token, whose
 * signature nobody checks here.
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
