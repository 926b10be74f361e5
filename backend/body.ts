import type { IncomingMessage } from 'node:http';
import { callerGone, Problem } from './problem.ts';

export interface BodyLimits {
  maxBytes: number;
  /** For the whole body, so that a caller who drips it in holds nothing for long. */
  timeoutMs: number;
  /** Shared by all bodies that are under way. */
  room: Room;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Bounds the memory of all bodies that are under way. */
export interface Room {
  take(body: Body, bytes: number): void;
  leave(body: Body): void;
}

interface Body {
  giveUp(): void;
}

/** Beyond `maxBytes` the body that began first is given up: whoever sends at once is long done, so this is the slowest sender. */
export function createRoom(maxBytes: number): Room {
  const taken = new Map<Body, number>();
  let total = 0;
  const leave = (body: Body) => {
    total -= taken.get(body) ?? 0;
    taken.delete(body);
  };
  return {
    take(body, bytes) {
      total += bytes;
      taken.set(body, (taken.get(body) ?? 0) + bytes);
      for (const [oldest] of taken) {
        if (total <= maxBytes) return;
        leave(oldest);
        oldest.giveUp();
      }
    },
    leave,
  };
}

/**
 * Reads and parses a JSON body (UTF-8, whatever its content type is called). Throws a Problem: 400 `invalid_json`, 408
 * `body_too_slow`, 413 `body_too_large`, 415 `encoding_not_supported`, 503 `overloaded`, or `callerGone`.
 */
export async function readJson(req: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  const encoding = req.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new Problem(415, 'encoding_not_supported', 'Send the body without Content-Encoding.');
  }
  const bytes = await readBytes(req, limits);
  try {
    return JSON.parse(utf8.decode(bytes));
  } catch {
    throw new Problem(400, 'invalid_json', 'The body must be JSON in UTF-8, such as {"message": "Hello"}.');
  }
}

function readBytes(req: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  const tooLarge = () => new Problem(413, 'body_too_large', `The body must not exceed ${limits.maxBytes} bytes.`);
  if (Number(req.headers['content-length'] ?? 0) > limits.maxBytes) return Promise.reject(tooLarge());
  if (req.destroyed) return Promise.reject(callerGone);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      limits.room.leave(body);
      req.off('data', onData).off('end', onEnd).off('close', onClose);
      finish();
    };
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limits.maxBytes) {
        chunks.push(chunk);
        limits.room.take(body, chunk.length);
      } else {
        // What still comes is thrown away, so that the caller gets to read the answer; requestTimeout bounds that.
        settle(() => reject(tooLarge()));
        req.resume();
      }
    };
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks, size)));
    const onClose = () => settle(() => reject(callerGone));
    const onSlow = () => {
      const seconds = limits.timeoutMs / 1000;
      const text = `The body did not arrive within ${seconds} s.`;
      settle(() => reject(new Problem(408, 'body_too_slow', text, { Connection: 'close' })));
    };
    const body: Body = {
      giveUp() {
        const text = 'Too many bodies at once, and this one began before all others: try again.';
        settle(() => reject(new Problem(503, 'overloaded', text, { 'Retry-After': '1', Connection: 'close' })));
      },
    };
    const timer = setTimeout(onSlow, limits.timeoutMs);
    // A broken connection is told by `close`; without a listener its `error` would end the process.
    req.on('error', () => {});
    req.on('data', onData).on('end', onEnd).on('close', onClose);
  });
}
