import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Fault, type OpenAi, type OpenAiOptions, startOpenAi } from '../../sandbox/openai/server.ts';

/** The canary: it may be seen by the model's API and nobody else. */
const key = 'sk-canary-5f1d9c3e7b2a4d60';

interface Backend {
  url: string;
  port: number;
  /** Everything it wrote so far, to both of its outputs. */
  output(): string;
  /** Its log lines of finished requests. */
  requests(): Record<string, unknown>[];
  /** Signals it and resolves with its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const children: ChildProcess[] = [];
const models: OpenAi[] = [];

async function cleanUp() {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(models.splice(0).map(model => model.close()));
}

async function givenModel(options: OpenAiOptions = {}): Promise<OpenAi> {
  const model = await startOpenAi({ checkKey: candidate => candidate === key, ...options });
  models.push(model);
  return model;
}

function run(env: Record<string, string>): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, ['backend/main.ts'], {
    env: { PATH: process.env.PATH, HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  return { child, output: () => output };
}

async function givenBackend(model: OpenAi | undefined, env: Record<string, string> = {}): Promise<Backend> {
  const { child, output } = run({ OPENAI_API_KEY: key, ...(model && { OPENAI_BASE_URL: model.url }), ...env });
  const entries = () =>
    output()
      .split('\n')
      .filter(line => line.endsWith('}'))
      .map(line => JSON.parse(line) as Record<string, unknown>);
  const exited = once(child, 'exit');
  const listening = () => entries().find(entry => entry.message === 'listening')?.port;
  await vi.waitFor(() => expect(listening()).toBeTypeOf('number'), { timeout: 20_000 });
  const port = Number(listening());
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    output,
    requests: () => entries().filter(entry => entry.path !== undefined),
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const [code] = await exited;
      return code as number | null;
    },
  };
}

const chat = (backend: Backend, message: unknown, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(`${backend.url}/chat`, { method: 'POST', headers, body: JSON.stringify({ message }), signal });
const codeOf = async (answer: Response) => ((await answer.json()) as { error: { code: string } }).error.code;
const stream = (backend: Backend, message: string, signal?: AbortSignal) =>
  chat(backend, message, { Accept: 'text/event-stream' }, signal);

describe('an answer', () => {
  afterEach(cleanUp);

  test('/health says ok and /chat gives what the model said', async () => {
    const backend = await givenBackend(await givenModel());
    const health = await fetch(`${backend.url}/health`);
    expect([health.status, await health.json()]).toEqual([200, { status: 'ok' }]);
    const answer = await chat(backend, 'Hello');
    expect([answer.status, await answer.json()]).toEqual([200, { response: 'gpt-3.5-turbo heard: Hello' }]);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  });

  test('OPENAI_MODEL chooses the model', async () => {
    const backend = await givenBackend(await givenModel(), { OPENAI_MODEL: 'gpt-4o' });
    expect(await (await chat(backend, '日本語 🎌')).json()).toEqual({ response: 'gpt-4o heard: 日本語 🎌' });
  });

  test('80 callers share a few connections, and all are answered', async () => {
    const model = await givenModel({ latencyMs: 20 });
    const backend = await givenBackend(model);
    for (let round = 0; round < 3; round += 1) {
      const answers = await Promise.all(Array.from({ length: 80 }, (_, i) => chat(backend, `caller ${i}`)));
      const texts = await Promise.all(answers.map(answer => answer.json()));
      expect(texts).toEqual(Array.from({ length: 80 }, (_, i) => ({ response: `gpt-3.5-turbo heard: caller ${i}` })));
    }
    expect(model.counters).toMatchObject({ requests: 240, completed: 240 });
    expect(model.counters.connections).toBeLessThanOrEqual(100);
  });
});

describe('tokens', () => {
  afterEach(cleanUp);

  test.each(['chat', 'stream'] as const)('those of each answer are in its log line (%s)', async kind => {
    const backend = await givenBackend(await givenModel());
    const answer = await (kind === 'chat' ? chat(backend, 'one two three') : stream(backend, 'one two three'));
    expect(await answer.text()).toContain('three');
    // The stand-in counts four characters a token.
    await expect.poll(() => backend.requests().at(-1)).toMatchObject({ status: 200, inputTokens: 4, outputTokens: 9 });
  });

  test.each(['chat', 'stream'] as const)(
    'MAX_OUTPUT_TOKENS bounds an answer, which is whole all the same (%s)',
    async kind => {
      const backend = await givenBackend(await givenModel({ repeat: 100 }), { MAX_OUTPUT_TOKENS: '5' });
      const text = await (await (kind === 'chat' ? chat(backend, 'Hello') : stream(backend, 'Hello'))).text();
      const said = [...text.matchAll(/"(?:response|delta)":"([^"]*)"/g)].map(([, part]) => part).join('');
      expect(said).toBe('gpt-3.5-turbo heard:');
      if (kind === 'stream') expect(text).toContain('event: done');
      await expect.poll(() => backend.requests().at(-1)).toMatchObject({ status: 200, outputTokens: 5 });
    },
  );
});

describe('slow senders', () => {
  afterEach(cleanUp);

  test('of bodies take no place from those who have sent theirs', async () => {
    const backend = await givenBackend(await givenModel(), { MAX_CONCURRENCY: '2' });
    const slow = Array.from({ length: 20 }, () => {
      const socket = connect(backend.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write('POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{');
      return socket;
    });
    await Promise.all(slow.map(socket => once(socket, 'connect')));
    for (let i = 0; i < 5; i++) expect((await chat(backend, 'Hello')).status).toBe(200);
    for (const socket of slow) socket.destroy();
  });
});

describe('slow readers', () => {
  afterEach(cleanUp);

  test('keep their place until the model’s time is over and 5 s more, not for ever', { timeout: 40_000 }, async () => {
    // More than the system keeps for who does not read.
    const model = await givenModel({ repeat: 400_000 });
    const backend = await givenBackend(model, { MAX_CONCURRENCY: '2', MODEL_TIMEOUT_SECONDS: '3' });
    const body = '{"message":"Hello"}';
    const slow = Array.from({ length: 2 }, () => {
      const socket = connect(backend.port, '127.0.0.1').pause();
      socket.on('error', () => {});
      socket.write(`POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      return socket;
    });
    await expect.poll(() => model.counters.completed).toBe(2);
    model.settings.repeat = 1;
    expect((await chat(backend, 'Hello')).status).toBe(503);
    await expect.poll(async () => (await chat(backend, 'Hello')).status, { timeout: 20_000 }).toBe(200);
    for (const socket of slow) socket.destroy();
  });
});

describe('STARTUP_CHECK_KEY', () => {
  afterEach(cleanUp);

  test('a refused key: the process ends with 1 before it listens, and says why without the key', async () => {
    const model = await givenModel();
    const wrong = 'sk-wrong-canary-0123456789';
    for (const value of [wrong, '']) {
      const env = { STARTUP_CHECK_KEY: 'true', OPENAI_API_KEY: value, OPENAI_BASE_URL: model.url };
      const { child, output } = run(env);
      const [code] = await once(child, 'exit');
      expect(code).toBe(1);
      expect(output()).toContain('STARTUP_CHECK_KEY: ');
      expect(output()).not.toMatch(/"listening"|wrong-canary/);
    }
  });

  test('a good key: it starts', async () => {
    const model = await givenModel();
    const backend = await givenBackend(model, { STARTUP_CHECK_KEY: 'true' });
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
    expect(backend.output()).toContain('the key is accepted');
    expect(model.counters).toMatchObject({ requests: 1, completed: 0 });
  });

  // A redirect and the 404 of a wrong OPENAI_BASE_URL come from somebody who may not have seen the key.
  test.each([500, 503, 429, 302, 404, 'nothing'])(
    'a vendor that answers %s: it starts, and does not call the key accepted',
    {
      timeout: 30_000,
    },
    async status => {
      const vendor = createServer((_request, response) => {
        if (typeof status === 'number') response.writeHead(status, { Location: '/x' }).end('{}');
      });
      await once(vendor.listen(0, '127.0.0.1'), 'listening');
      const { port } = vendor.address() as AddressInfo;
      try {
        const env = { STARTUP_CHECK_KEY: 'true', OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1` };
        const backend = await givenBackend(await givenModel(), env);
        expect((await fetch(`${backend.url}/health`)).status).toBe(200);
        expect(backend.output()).toContain('the key could not be checked');
      } finally {
        vendor.closeAllConnections();
        vendor.close();
      }
    },
  );

  test('a vendor out of reach: it starts', async () => {
    const model = await givenModel();
    await model.close();
    const backend = await givenBackend(model, { STARTUP_CHECK_KEY: 'true' });
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
    expect(backend.output()).toContain('the key could not be checked');
  });
});

describe('a request that is refused', () => {
  let model: OpenAi;
  let backend: Backend;
  beforeAll(async () => {
    model = await givenModel();
    backend = await givenBackend(model);
  });
  afterAll(cleanUp);

  const json = (body: string): RequestInit => ({ method: 'POST', body });
  test.each<[string, string, RequestInit, number, string]>([
    ['an unknown path', '/nothing', {}, 404, 'not_found'],
    ['GET /chat', '/chat', {}, 405, 'method_not_allowed'],
    ['POST /health', '/health', { method: 'POST' }, 405, 'method_not_allowed'],
    ['no body', '/chat', { method: 'POST' }, 400, 'invalid_json'],
    ['broken JSON', '/chat', json('{"message":'), 400, 'invalid_json'],
    ['a form', '/chat', json('message=hello'), 400, 'invalid_json'],
    [
      'bytes that are no UTF-8',
      '/chat',
      { method: 'POST', body: Buffer.from('7b226d657373616765223a22ff227d', 'hex') },
      400,
      'invalid_json',
    ],
    [
      'a body of another encoding',
      '/chat',
      { ...json('x'), headers: { 'Content-Encoding': 'gzip' } },
      415,
      'encoding_not_supported',
    ],
    ['null', '/chat', json('null'), 400, 'invalid_request'],
    ['no message', '/chat', json('{}'), 400, 'invalid_request'],
    ['a message that is no string', '/chat', json('{"message": ["hi"]}'), 400, 'invalid_request'],
    ['an empty message', '/chat', json('{"message": " \\n"}'), 400, 'invalid_request'],
    [
      'a message of 100,001 characters',
      '/chat',
      json(JSON.stringify({ message: 'x'.repeat(100_001) })),
      413,
      'message_too_long',
    ],
    ['a body beyond 1 MiB', '/chat', json(' '.repeat(1024 * 1024 + 1)), 413, 'body_too_large'],
    ['JSON nested 200,000 deep', '/chat', json('['.repeat(200_000)), 400, 'invalid_json'],
  ])('%s', async (_, path, init, status, code) => {
    const answer = await fetch(backend.url + path, init);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toEqual({ error: { code, message: expect.stringMatching(/\S/) } });
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect(answer.headers.get('x-request-id')).toMatch(/\S/);
    if (status === 405) expect(answer.headers.get('allow')).toMatch(/^(GET|POST)$/);
    expect(model.counters.requests).toBe(0);
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
  });

  test('a 10 MB body without a length is refused while it comes, and the caller gets to read why', async () => {
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 160; i += 1) controller.enqueue(new Uint8Array(65_536).fill(32));
        controller.close();
      },
    });
    const answer = await fetch(`${backend.url}/chat`, { method: 'POST', body, duplex: 'half' });
    expect(answer.status).toBe(413);
    expect(await codeOf(answer)).toBe('body_too_large');
  });
});

describe('more than it will take', () => {
  afterEach(cleanUp);

  test('more at once than MAX_CONCURRENCY: 503, while /health still answers; a finished one makes room', async () => {
    const model = await givenModel({ fault: { kind: 'hang' } });
    const backend = await givenBackend(model, { MAX_CONCURRENCY: '2' });
    const leave = new AbortController();
    const waiting = [1, 2].map(() => chat(backend, 'wait', {}, leave.signal).catch(() => undefined));
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(2);
    const refused = await chat(backend, 'one more');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await codeOf(refused)).toBe('overloaded');
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
    leave.abort();
    await Promise.all(waiting);
    model.settings.fault = undefined;
    await expect.poll(async () => (await chat(backend, 'now')).status).toBe(200);
  });

  test('more than RATE_LIMIT_PER_MINUTE of one caller: 429; behind Cloud Run the caller is who its front end says', async () => {
    const env = { RATE_LIMIT_PER_MINUTE: '1', K_SERVICE: 'ai-platform-tenant-a' };
    const backend = await givenBackend(await givenModel(), env);
    const from = async (forwarded: string) => (await chat(backend, 'Hello', { 'X-Forwarded-For': forwarded })).status;
    expect(await from('192.0.2.1')).toBe(200);
    expect(await from('198.51.100.7, 192.0.2.1')).toBe(429);
    expect(await from('192.0.2.2')).toBe(200);
  });
});

describe('CORS', () => {
  afterEach(cleanUp);

  const preflight = (backend: Backend, origin: string) =>
    fetch(`${backend.url}/chat`, {
      method: 'OPTIONS',
      headers: {
        Origin: origin,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,content-type',
      },
    });

  test('is on for every origin', async () => {
    const backend = await givenBackend(await givenModel());
    const answer = await preflight(backend, 'https://a.example');
    expect(answer.status).toBe(204);
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    expect(answer.headers.get('access-control-allow-methods')).toContain('POST');
    expect(answer.headers.get('access-control-allow-headers')).toBe('authorization,content-type');
  });

  test('ALLOWED_ORIGINS: pages of others are refused before the model is asked; callers that are no pages are not', async () => {
    const model = await givenModel();
    const backend = await givenBackend(model, { ALLOWED_ORIGINS: 'https://a.example' });
    expect((await preflight(backend, 'https://a.example')).headers.get('access-control-allow-origin')).toBe(
      'https://a.example',
    );
    const refusal = await preflight(backend, 'https://b.example');
    expect([refusal.status, refusal.headers.get('access-control-allow-origin')]).toEqual([403, null]);
    expect((await chat(backend, 'Hello', { Origin: 'https://a.example.evil.test' })).status).toBe(403);
    expect(model.counters.requests).toBe(0);
    const allowed = await chat(backend, 'Hello', { Origin: 'https://a.example' });
    expect([allowed.status, allowed.headers.get('vary')]).toEqual([200, 'Origin']);
    expect((await chat(backend, 'Hello')).status).toBe(200);
  });
});

describe('a stream', () => {
  afterEach(cleanUp);

  test('comes in pieces as the model says them, and ends with `done`', async () => {
    const model = await givenModel({ chunkDelayMs: 50 });
    const backend = await givenBackend(model);
    const answer = await stream(backend, 'one two three');
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const pieces: string[] = [];
    let before: number | undefined;
    for await (const piece of answer.body ?? []) {
      // What is read first is here before the model has finished.
      before ??= model.counters.completed;
      pieces.push(Buffer.from(piece).toString());
    }
    expect(before).toBe(0);
    const events = pieces.join('').split('\n\n');
    expect(events.slice(-2)).toEqual(['event: done\ndata: {}', '']);
    const deltas = events.slice(0, -2).map(event => JSON.parse(event.replace(/^data: /, '')).delta);
    expect(deltas).toEqual(['gpt-3.5-turbo ', 'heard: ', 'one ', 'two ', 'three']);
  });

  test.each<[Fault['kind'], Fault, string]>([
    ['cut', { kind: 'cut', afterChunks: 3 }, 'model_stream_cut'],
    ['unfinished', { kind: 'unfinished', afterChunks: 3 }, 'model_stream_cut'],
  ])('that the model leaves %s ends with `error`, never with `done`', async (_, fault, code) => {
    const backend = await givenBackend(await givenModel({ fault }));
    const text = await (await stream(backend, 'one two three')).text();
    expect(text).toMatch(/^data: \{"delta":"gpt-3.5-turbo "\}\n\n/);
    const last = text.split('\n\n').at(-2) ?? '';
    expect(last).toMatch(/^event: error\ndata: /);
    expect(JSON.parse(last.split('\ndata: ')[1] ?? '')).toEqual({
      error: { code, message: expect.stringMatching(/\S/) },
    });
    expect(text).not.toContain('event: done');
    await expect.poll(() => backend.requests().at(-1)).toMatchObject({ status: 200, code, severity: 'WARNING' });
  });

  test('that ends with [DONE] is whole without a finish reason too', async () => {
    const backend = await givenBackend(await givenModel({ fault: { kind: 'noReason' } }));
    const text = await (await stream(backend, 'one two three')).text();
    expect(text).toMatch(/event: done\ndata: \{\}\n\n$/);
  });

  test('whose text is like the last event is not taken for one that ended', async () => {
    const backend = await givenBackend(await givenModel({ fault: { kind: 'unfinished', afterChunks: 6 } }));
    const text = await (await stream(backend, 'a\ndata: [DONE]\n\ndata: [DONE]')).text();
    expect(text).toContain('DONE');
    expect(text).not.toContain('event: done');
  });

  test('that the model refuses is an ordinary error', async () => {
    const backend = await givenBackend(await givenModel({ fault: { kind: 'rateLimit', retryAfterSeconds: 7 } }));
    const answer = await stream(backend, 'Hello');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '7']);
    expect(await codeOf(answer)).toBe('model_rate_limited');
  });

  test('to a caller that does not read holds the model back', async () => {
    const model = await givenModel({ repeat: 200_000 });
    const backend = await givenBackend(model);
    const socket = connect(backend.port, '127.0.0.1');
    const body = JSON.stringify({ message: 'x y z' });
    socket.write(
      `POST /chat HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    socket.pause();
    let last = -1;
    // Held back: no more chunks from one look to the next.
    await expect
      .poll(
        () => {
          const before = last;
          last = model.counters.chunks;
          return last > 0 && last === before;
        },
        { interval: 300, timeout: 20_000 },
      )
      .toBe(true);
    expect(model.counters).toMatchObject({ completed: 0, inFlight: 1 });
    socket.resume();
    await expect.poll(() => model.counters.chunks, { timeout: 10_000 }).toBeGreaterThan(last);
    socket.destroy();
    await expect.poll(() => model.counters, { timeout: 10_000 }).toMatchObject({ aborted: 1, inFlight: 0 });
  });
});

describe('a caller that goes away', () => {
  afterEach(cleanUp);

  test.each(['chat', 'stream'] as const)('takes its request to the model with it (%s)', async kind => {
    const model = await givenModel({ fault: { kind: 'hang' } });
    const backend = await givenBackend(model);
    const leave = new AbortController();
    const asked = kind === 'chat' ? chat(backend, 'Hello', {}, leave.signal) : stream(backend, 'Hello', leave.signal);
    const gone = expect(asked).rejects.toThrow();
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(1);
    leave.abort();
    await gone;
    await expect.poll(() => model.counters, { timeout: 10_000 }).toMatchObject({ aborted: 1, inFlight: 0 });
    await expect
      .poll(() => backend.requests().at(-1))
      .toMatchObject({ path: '/chat', status: 499, code: 'caller_gone' });
  });

  test('in the middle of a stream too', async () => {
    const model = await givenModel({ chunkDelayMs: 20, repeat: 1000 });
    const backend = await givenBackend(model);
    const leave = new AbortController();
    const reader = (await stream(backend, 'Hello', leave.signal)).body?.getReader();
    await reader?.read();
    leave.abort();
    await expect
      .poll(() => model.counters, { timeout: 10_000 })
      .toMatchObject({ aborted: 1, inFlight: 0, completed: 0 });
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
  });
});

describe('a failure of the model', () => {
  let model: OpenAi;
  let backend: Backend;
  beforeAll(async () => {
    model = await givenModel();
    backend = await givenBackend(model, { MODEL_TIMEOUT_SECONDS: '1' });
  });
  afterAll(cleanUp);

  const vendor = (code: string | null, message = 'no') => ({ message, type: 'x', param: null, code });
  test.each<[string, Fault, number, string, string | null]>([
    ['429', { kind: 'rateLimit', retryAfterSeconds: 7 }, 429, 'model_rate_limited', '7'],
    [
      '429 for good',
      { kind: 'error', status: 429, error: vendor('insufficient_quota') },
      429,
      'model_quota_exceeded',
      null,
    ],
    ['500', { kind: 'error', status: 500 }, 500, 'model_error', null],
    ['503 with Retry-After', { kind: 'error', status: 503, headers: { 'Retry-After': '3' } }, 503, 'model_error', '3'],
    ['400', { kind: 'error', status: 400, error: vendor(null, 'too odd') }, 400, 'model_refused_request', null],
    ['403', { kind: 'error', status: 403, error: vendor(null) }, 502, 'model_refused_key', null],
    ['404', { kind: 'error', status: 404, error: vendor('model_not_found') }, 502, 'model_not_found', null],
    ['418', { kind: 'error', status: 418, error: vendor(null) }, 502, 'model_error', null],
    ['a broken connection', { kind: 'cut' }, 502, 'model_stream_cut', null],
    ['no answer in time', { kind: 'hang' }, 504, 'model_timeout', null],
  ])('%s', async (_, fault, status, code, retryAfter) => {
    model.settings.fault = fault;
    const before = model.counters.requests;
    const answer = await chat(backend, 'Hello');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, retryAfter]);
    expect(await answer.json()).toEqual({ error: { code, message: expect.stringMatching(/\S/) } });
    // Never tried again behind the caller's back.
    expect(model.counters.requests).toBe(before + 1);
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(0);
    model.settings.fault = undefined;
    expect((await chat(backend, 'Hello')).status).toBe(200);
  });

  test.each<[string, { code: string | null; param: string | null }, string]>([
    [
      'a known code',
      { code: 'context_length_exceeded', param: 'messages' },
      'The message is too long for the model. (code context_length_exceeded, parameter messages)',
    ],
    [
      'an unknown one',
      { code: 'x_1', param: 'messages[0].content' },
      "The model's API refused the request. (code x_1, parameter messages[0].content)",
    ],
    ['no code', { code: null, param: null }, "The model's API refused the request."],
    [
      'one that is no word',
      { code: '<b>', param: 'http://internal.corp:9/v1' },
      "The model's API refused the request.",
    ],
    ['one with the key', { code: key, param: key }, "The model's API refused the request."],
  ])('a refused request is told in our own words: %s', async (_, named, message) => {
    const text = `key ${key.slice(0, 9)} ${key.slice(9)} ${Buffer.from(key).toString('base64')} at http://internal.corp:9/v1`;
    for (const status of [400, 422]) {
      model.settings.fault = { kind: 'error', status, error: { message: text, type: 'x', ...named } };
      const answer = await chat(backend, 'Hello');
      expect([answer.status, await answer.json()]).toEqual([
        400,
        { error: { code: 'model_refused_request', message } },
      ]);
    }
    model.settings.fault = undefined;
  });

  test('nothing listens there: 502', async () => {
    await model.close();
    const answer = await chat(backend, 'Hello');
    expect([answer.status, await codeOf(answer)]).toEqual([502, 'model_unreachable']);
  });

  test('no key: /health answers, /chat says what to do', async () => {
    const backend = await givenBackend(undefined, { OPENAI_API_KEY: '' });
    expect((await fetch(`${backend.url}/health`)).status).toBe(200);
    const answer = await chat(backend, 'Hello');
    expect(answer.status).toBe(500);
    expect(await answer.json()).toMatchObject({
      error: { code: 'key_missing', message: expect.stringContaining('OPENAI_API_KEY') },
    });
  });
});

describe('the key', () => {
  afterEach(cleanUp);

  test('is seen by the model alone: not in an answer, a header or the log, whatever goes wrong', async () => {
    const model = await givenModel();
    // OPENAI_LOG is how the vendor's client is told to log requests.
    const backend = await givenBackend(model, { OPENAI_LOG: 'debug', NODE_DEBUG: '', MODEL_TIMEOUT_SECONDS: '5' });
    const seen: string[] = [];
    const look = async (answer: Response) =>
      seen.push(JSON.stringify([...answer.headers]), await answer.text().catch(String));
    const leak = { message: `Bad key ${key}, also Bearer ${key}`, type: 'x', param: null, code: key };
    const faults: (Fault | undefined)[] = [
      undefined,
      { kind: 'error', status: 400, error: leak, headers: { 'Retry-After': key } },
      { kind: 'error', status: 401, error: leak },
      { kind: 'error', status: 429, error: leak, headers: { 'Retry-After': key } },
      { kind: 'error', status: 500, error: leak },
      { kind: 'cut' },
      { kind: 'hang' },
    ];
    for (const fault of faults) {
      model.settings.fault = fault;
      await look(await chat(backend, 'The message, 合言葉'));
      await look(await stream(backend, 'The message, 合言葉'));
    }
    await look(await fetch(`${backend.url}/${key}?key=${key}`, { method: 'DELETE' }));
    await look(await fetch(`${backend.url}/chat`, { method: 'POST', body: `{"message": 合言葉 ${key}` }));
    expect(await backend.stop()).toBe(0);
    seen.push(backend.output());
    expect(model.counters.requests).toBe(14);
    expect(backend.requests()).toHaveLength(16);
    expect(seen.join('\n')).not.toContain(key.slice(3, 14));
    // Nor does the log hold what was asked or answered.
    expect(backend.output()).not.toMatch(/The message|合言葉|heard/);
  });

  test('is masked by the model, and a wrong one is told apart', async () => {
    const wrong = 'sk-wrong-canary-0123456789';
    const backend = await givenBackend(await givenModel(), { OPENAI_API_KEY: wrong });
    const answer = await chat(backend, 'Hello');
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).error.code]).toEqual([502, 'model_refused_key']);
    expect(text + backend.output()).not.toContain('wrong-canary');
  });
});

describe('the process', () => {
  afterEach(cleanUp);

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: takes nothing new, finishes what is under way, exits with 0',
    async signal => {
      const model = await givenModel({ chunkDelayMs: 100, latencyMs: 300 });
      const backend = await givenBackend(model);
      const asked = chat(backend, 'Hello');
      const streamed = stream(backend, 'one two three').then(answer => answer.text());
      await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(2);
      const stopped = backend.stop(signal);
      await expect.poll(() => backend.output(), { timeout: 10_000 }).toContain('"stopping"');
      await expect(fetch(`${backend.url}/health`)).rejects.toThrow();
      expect(await (await asked).json()).toEqual({ response: 'gpt-3.5-turbo heard: Hello' });
      expect(await streamed).toMatch(/event: done/);
      expect(await stopped).toBe(0);
      expect(model.counters.aborted).toBe(0);
    },
  );

  test('cuts what has not finished 9 s after SIGTERM, and exits with 0', async () => {
    const model = await givenModel({ fault: { kind: 'hang' } });
    const backend = await givenBackend(model);
    const cut = expect(chat(backend, 'Hello')).rejects.toThrow();
    await expect.poll(() => model.counters.inFlight, { timeout: 10_000 }).toBe(1);
    expect(await backend.stop()).toBe(0);
    await cut;
    expect(backend.output()).toContain('some requests were cut');
    await expect.poll(() => model.counters, { timeout: 10_000 }).toMatchObject({ aborted: 1, inFlight: 0 });
  });

  test('a variable it can’t use: it says which, and exits with 1', async () => {
    const { child, output } = run({ MAX_CONCURRENCY: 'many', OPENAI_API_KEY: key });
    const [code] = await once(child, 'exit');
    expect(code).toBe(1);
    expect(output()).toContain('MAX_CONCURRENCY takes a whole number');
    expect(output()).not.toContain('canary');
  });

  test('a port in use: it says so, and exits with 1', async () => {
    const backend = await givenBackend(await givenModel());
    const { child, output } = run({ PORT: String(backend.port), OPENAI_API_KEY: key });
    const [code] = await once(child, 'exit');
    expect(code).toBe(1);
    expect(output()).toMatch(/port \d+ is in use by another program: set PORT to another one/);
  });

  test('gives a request the id it came with, if that is fit for a log', async () => {
    const backend = await givenBackend(await givenModel());
    const id = async (given: string) =>
      (await fetch(`${backend.url}/health`, { headers: { 'X-Request-Id': given } })).headers.get('x-request-id');
    expect(await id('abc-123')).toBe('abc-123');
    expect(await id('a b"c')).toMatch(/^[0-9a-f-]{36}$/);
    await expect
      .poll(() => backend.requests()[0])
      .toMatchObject({
        severity: 'INFO',
        method: 'GET',
        path: '/health',
        status: 200,
        ms: expect.any(Number),
        requestId: 'abc-123',
      });
  });
});
