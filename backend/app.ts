import type { IncomingMessage, ServerResponse } from 'node:http';
import Koa, { type Context, type Middleware } from 'koa';
import { createChat } from './chat.ts';
import type { Config } from './config.ts';
import { errorFields, type Log, type Severity } from './log.ts';
import type { Model } from './model.ts';
import { callerGone, internalProblem, Problem, problemBody } from './problem.ts';
import { pathOf } from './target.ts';

/** The web service as a handler for a `node:http` server. `loadModel` is called at each use and should answer from memory. */
export function createApp(
  config: Config,
  log: Log,
  loadModel: () => Promise<Model>,
): (req: IncomingMessage, res: ServerResponse) => void {
  const app = new Koa();
  const report = (ctx: Context, error: unknown) => {
    ctx.state.code = error instanceof Problem ? error.code : internalProblem.code;
    if (!(error instanceof Problem))
      log('ERROR', 'unexpected error', { requestId: ctx.state.id, ...errorFields(error) });
  };
  const routes: Record<string, Record<string, (ctx: Context) => void | Promise<void>>> = {
    '/health': {
      GET: ctx => {
        ctx.body = { status: 'ok' };
      },
    },
    '/chat': { POST: createChat(config, loadModel, report) },
  };

  app.use(observe(log));
  app.use(answerErrors(report));
  app.use(cors(config.allowedOrigins));
  app.use(async ctx => {
    const path = pathOf(ctx.req.url);
    const methods = Object.hasOwn(routes, path) ? routes[path] : undefined;
    if (!methods) throw new Problem(404, 'not_found', 'There is GET /health and POST /chat.');
    const method = ctx.method === 'HEAD' ? 'GET' : ctx.method;
    const handler = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (!handler) {
      const allow = Object.keys(methods).join(', ');
      throw new Problem(405, 'method_not_allowed', `${path} takes ${allow}.`, { Allow: allow });
    }
    await handler(ctx);
  });
  // Only a connection that broke while the answer was being written comes here, which `observe` logs.
  app.on('error', () => {});
  return app.callback();
}

/** Gives each request its id and, when it is over, its line in the log. */
function observe(log: Log): Middleware {
  return (ctx, next) => {
    const start = performance.now();
    const given = ctx.get('X-Request-Id');
    ctx.state.id = /^[\w.-]{1,64}$/.test(given) ? given : crypto.randomUUID();
    ctx.set('X-Request-Id', ctx.state.id);
    ctx.res.once('close', () => {
      const gone = !ctx.res.writableFinished;
      const status = gone ? callerGone.status : ctx.res.statusCode;
      log(severityOf(status, ctx.state.code), `${ctx.method} ${status}`, {
        method: ctx.method,
        path: pathOf(ctx.req.url).slice(0, 100),
        status,
        ms: Math.round((performance.now() - start) * 10) / 10,
        requestId: ctx.state.id,
        code: gone ? callerGone.code : ctx.state.code,
        ...ctx.state.usage,
      });
    });
    return next();
  };
}

function severityOf(status: number, code: string | undefined): Severity {
  if (status >= 500) return 'ERROR';
  return status >= 400 || code !== undefined ? 'WARNING' : 'INFO';
}

function answerErrors(report: (ctx: Context, error: unknown) => void): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      report(ctx, error);
      if (error === callerGone || ctx.headerSent) {
        ctx.respond = false;
        ctx.res.destroy();
        return;
      }
      const problem = error instanceof Problem ? error : internalProblem;
      ctx.status = problem.status;
      ctx.set(problem.headers);
      ctx.body = problemBody(problem);
    }
  };
}

/**
 * CORS. With a list of origins, a request from a page of another one is also refused here (403 `origin_not_allowed`):
 * CORS alone would only keep the page from reading an answer that has been paid for.
 */
function cors(allowed: Config['allowedOrigins']): Middleware {
  return async (ctx, next) => {
    const origin = ctx.get('Origin');
    if (allowed === '*') ctx.set('Access-Control-Allow-Origin', '*');
    else {
      ctx.vary('Origin');
      if (origin && !allowed.includes(origin)) {
        throw new Problem(403, 'origin_not_allowed', 'Pages of this origin may not call: see ALLOWED_ORIGINS.');
      }
      if (origin) ctx.set('Access-Control-Allow-Origin', origin);
    }
    ctx.set('Access-Control-Expose-Headers', 'Retry-After, X-Request-Id');
    if (ctx.method !== 'OPTIONS' || !ctx.get('Access-Control-Request-Method')) return next();
    ctx.set('Access-Control-Allow-Methods', 'GET, HEAD, POST');
    ctx.set('Access-Control-Allow-Headers', ctx.get('Access-Control-Request-Headers') || 'Content-Type');
    ctx.set('Access-Control-Max-Age', '7200');
    ctx.status = 204;
  };
}
