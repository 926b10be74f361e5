import { Readable } from 'node:stream';
import type { Context } from 'koa';
import { createRoom, readJson } from './body.ts';
import type { Config } from './config.ts';
import { callerAddress, callerKey, createGate, createRateLimit } from './limits.ts';
import type { Model, Usage } from './model.ts';
import { callerGone, internalProblem, Problem, problemBody } from './problem.ts';

const bodyLimits = { maxBytes: 1024 * 1024, timeoutMs: 10_000 };
/** Of all bodies under way; 80 requests at once, Cloud Run's default, have hardly any of them unread. */
const maxBytesUnderWay = 64 * 1024 * 1024;
/** In UTF-16 code units, as JavaScript counts. */
const maxMessageLength = 100_000;
/** For what is left to read when the model's time is over; a caller that does not read would keep its place for ever. */
const readingMs = 5_000;

/**
 * `POST /chat`: `{"message": "…"}` → `{"response": "…"}`.
 *
 * With `Accept: text/event-stream` the answer comes as server-sent events: `data: {"delta": "…"}` for each piece, then
 * `event: done` with `data: {}`. A failure before the first piece is an ordinary error answer; one after it is
 * `event: error` with `data: {"error": {"code", "message"}}`, and nothing follows. A stream that ends with neither was cut.
 *
 * `report` is told of an error that comes after the status line, or that nobody foresaw.
 */
export function createChat(
  config: Config,
  loadModel: () => Promise<Model>,
  report: (ctx: Context, error: unknown) => void,
): (ctx: Context) => Promise<void> {
  const gate = createGate(config.maxConcurrency);
  const rateLimit = createRateLimit(config.ratePerMinute);
  const limits = { ...bodyLimits, room: createRoom(maxBytesUnderWay) };

  return async ctx => {
    if (config.ratePerMinute > 0) {
      const peer = ctx.req.socket.remoteAddress ?? '';
      rateLimit(callerKey(callerAddress(ctx.get('X-Forwarded-For'), peer, config.proxies)));
    }
    const message = messageOf(await readJson(ctx.req, limits));
    if (!config.key.ok) throw config.key.problem;
    const model = await loadModel();
    // After the body: who sends it slowly takes no place from those who wait for the model.
    if (ctx.res.destroyed) throw callerGone;
    const signal = lifeOf(ctx, gate.enter(), config.modelTimeoutMs);
    const onUsage = (usage: Usage) => Object.assign(ctx.state, { usage });
    if (ctx.accepts(['application/json', 'text/event-stream']) !== 'text/event-stream') {
      ctx.body = { response: await model.complete(message, signal, onUsage) };
      return;
    }
    const deltas = await model.stream(message, signal, onUsage);
    ctx.status = 200;
    ctx.type = 'text/event-stream';
    ctx.set({ 'Cache-Control': 'no-cache, no-transform', 'X-Accel-Buffering': 'no' });
    ctx.flushHeaders();
    ctx.body = Readable.from(events(deltas, error => report(ctx, error)));
  };
}

/**
 * A signal that aborts when the caller goes away or the model takes too long; `release` is called when the answer is over, which is
 * `readingMs` after the model's time at the latest.
 */
function lifeOf(ctx: Context, release: () => void, timeoutMs: number): AbortSignal {
  const life = new AbortController();
  let timer = setTimeout(() => {
    life.abort(new Problem(504, 'model_timeout', `The model did not finish within ${timeoutMs / 1000} s.`));
    timer = setTimeout(() => ctx.res.destroy(), readingMs);
  }, timeoutMs);
  ctx.res.once('close', () => {
    clearTimeout(timer);
    release();
    if (!ctx.res.writableFinished) life.abort(callerGone);
  });
  return life.signal;
}

async function* events(deltas: AsyncIterable<string>, failed: (error: unknown) => void): AsyncGenerator<string> {
  try {
    for await (const delta of deltas) yield `data: ${JSON.stringify({ delta })}\n\n`;
    yield 'event: done\ndata: {}\n\n';
  } catch (error) {
    failed(error);
    const problem = error instanceof Problem ? error : internalProblem;
    yield `event: error\ndata: ${JSON.stringify(problemBody(problem))}\n\n`;
  }
}

function messageOf(body: unknown): string {
  const message = typeof body === 'object' && body !== null && 'message' in body ? body.message : undefined;
  if (typeof message !== 'string' || message.trim() === '') {
    throw new Problem(400, 'invalid_request', 'The body must hold a non-empty string: {"message": "Hello"}.');
  }
  if (message.length > maxMessageLength) {
    throw new Problem(413, 'message_too_long', `The message must not exceed ${maxMessageLength} characters.`);
  }
  return message;
}
