import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from './config.ts';
import { errorFields, type Log } from './log.ts';
import type { Model } from './model.ts';

export interface Backend {
  port: number;
  /**
   * Stops: accepts nothing more, lets what is under way finish for `graceMs`, cuts what is left. True if nothing had to
   * be cut.
   */
  close(graceMs: number): Promise<boolean>;
}

type Handle = (req: IncomingMessage, res: ServerResponse) => void;

/**
 * Starts the web service. It listens before koa and openai are loaded: the first requests wait for koa, and only `/chat`
 * for openai, which is loaded in the background. Rejects when it can't listen.
 */
export async function startBackend(config: Config, log: Log, scrub: (text: string) => string): Promise<Backend> {
  let stopping = false;
  let handle: Handle | undefined;

  // How often the time-outs below are looked at; Node's own 30 s would let what drips in stay four times as long.
  const server = createServer({ connectionsCheckingInterval: 2_000 }, (req, res) => {
    if (stopping) res.setHeader('Connection', 'close');
    res.once('close', () => {
      if (stopping) server.closeIdleConnections();
    });
    if (handle) handle(req, res);
    else app.then(loaded => res.closed || loaded(req, res));
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  // Longer than any proxy in front keeps a connection that it may use again; a shorter one loses requests to a race.
  server.keepAliveTimeout = 620_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(config.port, config.host, resolve);
  });

  let model: Promise<Model> | undefined;
  const loadModel = () => {
    if (!config.key.ok) return Promise.reject(config.key.problem);
    const { value } = config.key;
    model ??= import('./model.ts').then(loaded => loaded.openAiModel(config, value, scrub));
    return model;
  };
  const app: Promise<Handle> = import('./app.ts').then(loaded => {
    handle = loaded.createApp(config, log, loadModel);
    return handle;
  });
  await app;
  // Loading openai holds the process for tens of milliseconds: requests that wait for the start are answered first.
  if (config.key.ok)
    setTimeout(() => loadModel().catch(error => log('ERROR', 'no model', errorFields(error))), 50).unref();

  return {
    port: (server.address() as AddressInfo).port,
    async close(graceMs) {
      stopping = true;
      const closed = new Promise<boolean>(resolve => server.close(() => resolve(true)));
      server.closeIdleConnections();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>(resolve => {
        timer = setTimeout(() => resolve(false), graceMs);
      });
      const finished = await Promise.race([closed, late]);
      clearTimeout(timer);
      server.closeAllConnections();
      await closed;
      return finished;
    },
  };
}
