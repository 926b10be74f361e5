import { execFile } from 'node:child_process';
import { Agent, request } from 'undici';
import { parse } from 'yaml';
import { createNormaliser } from './normalise.ts';

/** One of the two servers that are compared, as an administrator sees it. */
export interface Target {
  url: string;
  /** PEM; absent: plain HTTP. */
  ca?: string;
  token?: string;
  /** Makes the server forget everything but the newest state of each object. */
  forget(): Promise<void>;
  kubeconfig: string;
  /** For kubectl's caches and files. */
  folder: string;
}

interface CallOptions {
  body?: unknown;
  type?: string;
  accept?: string;
}

/** What was answered, as it came. */
interface Answer {
  code: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of any kind, looked into by scenarios
  body: any;
}

export interface KubectlOptions {
  input?: string;
  env?: Record<string, string>;
  /** Done once, as soon as it has printed something. */
  meanwhile?: () => Promise<unknown>;
  /** It is ended once it has printed this many lines. */
  lines?: number;
}

interface Watching {
  /** Resolves with the events so far once there are `count` of them, or the server has ended the watch. */
  until(count: number): Promise<Answer['body'][]>;
  /** Ends the watch and records its events. */
  done(): Promise<void>;
}

/** Plays requests against one server and keeps what is answered, with what differs from run to run replaced. */
export interface Session {
  target: Target;
  /** The answer is recorded under `name`. */
  call(name: string, method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Records a part of an answer. */
  note(name: string, value: unknown): void;
  /** The answer is not recorded. */
  ask(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** Asks, unrecorded, until `isThere` says so. */
  until(path: string, isThere: (answer: Answer) => boolean): Promise<Answer>;
  watch(name: string, path: string): Promise<Watching>;
  /** Runs kubectl; its exit code, output and complaints are recorded. */
  kubectl(name: string, args: string[], options?: KubectlOptions): Promise<string>;
  transcript: Record<string, unknown>;
  close(): Promise<void>;
}

const PATIENCE_MS = 20_000;

export function openSession(target: Target, kubectl = ''): Session {
  const dispatcher = new Agent({ connect: { ca: target.ca } });
  const normalise = createNormaliser(target.url);
  const transcript: Record<string, unknown> = {};
  const aborts = new AbortController();

  const send = (method: string, path: string, { body, type, accept = 'application/json' }: CallOptions) =>
    request(target.url + path, {
      method: method as 'GET',
      dispatcher,
      signal: aborts.signal,
      headers: {
        accept,
        ...(target.token && { authorization: `Bearer ${target.token}` }),
        ...(body !== undefined && { 'content-type': type ?? 'application/json' }),
      },
      body: body === undefined || typeof body === 'string' ? (body as string | undefined) : JSON.stringify(body),
    });

  async function full(method: string, path: string, options: CallOptions = {}) {
    const response = await send(method, path, options);
    const text = await response.body.text();
    const { warning, 'content-type': contentType, 'retry-after': retryAfter } = response.headers;
    const body = String(contentType).startsWith('application/yaml') ? (parse(text) as unknown) : parsed(text);
    return { code: response.statusCode, contentType, warning, retryAfter, body };
  }

  const record = (name: string, value: unknown) => {
    if (name in transcript) throw new Error(`two steps are called ${name}`);
    transcript[name] = normalise(value);
  };

  const session: Session = {
    target,
    transcript,
    async call(name, method, path, options) {
      const answer = await full(method, path, options);
      record(name, answer);
      return answer;
    },
    note: record,
    ask: full,
    async until(path, isThere) {
      const deadline = performance.now() + PATIENCE_MS;
      for (;;) {
        const answer = await full('GET', path);
        if (isThere(answer)) return answer;
        if (performance.now() > deadline) throw new Error(`${path} on ${target.url}: ${JSON.stringify(answer)}`);
        await new Promise(resolve => setTimeout(resolve, 50));
      }
    },
    async watch(name, path) {
      const response = await send('GET', path, {});
      const events: Answer['body'][] = [];
      const news = new EventTarget();
      let ended = false;
      let rest = '';
      const { code = response.statusCode, body } = { body: response.body };
      const reading = (async () => {
        try {
          for await (const chunk of body.setEncoding('utf8')) {
            const lines = (rest + chunk).split('\n');
            rest = lines.pop() ?? '';
            events.push(...lines.filter(line => line !== '').map(parsed));
            news.dispatchEvent(new Event('more'));
          }
          if (rest) events.push(parsed(rest));
        } catch {
          // Ended by us.
        }
        ended = true;
        news.dispatchEvent(new Event('more'));
      })();
      return {
        async until(count) {
          const deadline = performance.now() + PATIENCE_MS;
          while (events.length < count && !ended) {
            const left = deadline - performance.now();
            if (left <= 0) throw new Error(`${name}: ${events.length} of ${count} events: ${JSON.stringify(events)}`);
            await new Promise<void>(resolve => {
              const timer = setTimeout(resolve, left);
              const wake = () => {
                clearTimeout(timer);
                resolve();
              };
              news.addEventListener('more', wake, { once: true });
            });
          }
          return events;
        },
        async done() {
          body.destroy();
          await reading;
          // How many bookmarks come in a row is a matter of time.
          const told = events.filter((event, at) => event.type !== 'BOOKMARK' || events[at - 1]?.type !== 'BOOKMARK');
          record(name, { code, events: told });
        },
      };
    },
    kubectl(name, args, { input, env = {}, meanwhile, lines } = {}) {
      return new Promise((resolve, reject) => {
        let printed = '';
        const child = execFile(
          kubectl,
          args,
          {
            cwd: target.folder,
            timeout: PATIENCE_MS,
            env: { PATH: process.env.PATH, HOME: target.folder, KUBECONFIG: target.kubeconfig, ...env },
          },
          (error, out, err) => {
            const enough = lines !== undefined && count(out) >= lines;
            const code = enough ? 'ended' : error ? error.code : 0;
            if (code === undefined || code === null) return reject(error ?? new Error('kubectl'));
            record(name, { code, out: cells(out), err: cells(err.replaceAll(KLOG, '')) });
            resolve(out);
          },
        );
        child.stdout?.on('data', chunk => {
          if (printed === '') meanwhile?.().catch(reject);
          printed += chunk;
          if (lines !== undefined && count(printed) >= lines) child.kill();
        });
        child.stdin?.end(input ?? '');
      });
    },
    async close() {
      aborts.abort();
      await dispatcher.close();
    },
  };
  return session;
}

/** What kubectl logs of its own inner life, such as a watch that its time-out has cut. */
const KLOG = /^[EIW]\d{4} .*\n/gm;
const count = (text: string) => text.split('\n').length - 1;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A line a word: blanks are only for the eye, and columns are as wide as what stands in them. */
const cells = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text.split('\n').map(line => line.trim().replaceAll(/\s{2,}/g, '  '));
  }
};
