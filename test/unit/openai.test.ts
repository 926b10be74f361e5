import { OpenAI } from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import { type OpenAi, type OpenAiOptions, startOpenAi } from '../../sandbox/openai/server.ts';

let openai: OpenAi | undefined;
afterEach(async () => openai?.close());

async function given(options: OpenAiOptions = {}) {
  openai = await startOpenAi({ checkKey: key => key === 'sk-good', ...options });
  const client = new OpenAI({ apiKey: 'sk-good', baseURL: openai.url, maxRetries: 0 });
  const post = (body: unknown, key = 'sk-good') =>
    fetch(`${openai?.url}/chat/completions`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { openai, client, post };
}

interface Refusal {
  error: { message: string; type: string; param: string | null; code: string | null };
}
const errorOf = async (answer: Response) => ((await answer.json()) as Refusal).error;

const messages = [{ role: 'user' as const, content: 'Hello there' }];
const hello = { model: 'gpt-3.5-turbo', messages };

describe('a chat completion', () => {
  test('answers the same to the same request, with its usage', async () => {
    const { client } = await given();
    const answer = await client.chat.completions.create(hello);
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'gpt-3.5-turbo',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'gpt-3.5-turbo heard: Hello there' },
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 8, total_tokens: 11 },
    });
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(answer._request_id).toMatch(/^req_/);
  });

  test('streams the same text in chunks, a finish reason, and the usage if it was asked for', async () => {
    const { client } = await given();
    const stream = await client.chat.completions.create({
      ...hello,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.map(chunk => chunk.choices[0]?.delta.content ?? '').join('')).toBe(
      'gpt-3.5-turbo heard: Hello there',
    );
    expect(chunks[0]?.choices[0]?.delta.role).toBe('assistant');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 11 } });
    expect(new Set(chunks.map(chunk => chunk.id)).size).toBe(1);
  });

  test('ends its stream with [DONE]', async () => {
    const { post } = await given();
    const answer = await post({ ...hello, stream: true });
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const events = (await answer.text()).split('\n\n');
    expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
    for (const event of events.slice(0, -2))
      expect(JSON.parse(event.replace(/^data: /, '')).object).toBe('chat.completion.chunk');
  });
});

describe('a wrong key', () => {
  test('is refused with 401, shown masked', async () => {
    const { openai, post } = await given();
    const answer = await post(hello, 'sk-wrong-0123456789-tail');
    expect(answer.status).toBe(401);
    const error = await errorOf(answer);
    expect(error).toMatchObject({ type: 'invalid_request_error', param: null, code: 'invalid_api_key' });
    expect(error.message).toContain('sk-wrong************tail');
    expect(openai.counters.refusedKeys).toBe(1);
  });

  test('none at all is refused with 401', async () => {
    const { openai } = await given();
    const answer = await fetch(`${openai.url}/models`);
    expect(answer.status).toBe(401);
    expect(await errorOf(answer)).toMatchObject({
      code: null,
      message: expect.stringMatching(/^You didn't provide/),
    });
  });
});

test.each<[string, unknown, number, object]>([
  ['no JSON', '{"model":', 400, { message: expect.stringContaining('could not parse the JSON body') }],
  ['no object', '[]', 400, { message: expect.stringContaining('could not parse the JSON body') }],
  ['no model', { messages }, 400, { message: 'you must provide a model parameter' }],
  ['a model that is no string', { model: 3, messages }, 400, { param: 'model', code: 'invalid_type' }],
  ['no messages', { model: 'gpt-4o' }, 400, { param: 'messages', code: 'missing_required_parameter' }],
  ['messages that are no list', { model: 'gpt-4o', messages: 'hi' }, 400, { param: 'messages', code: 'invalid_type' }],
  ['an empty list', { model: 'gpt-4o', messages: [] }, 400, { param: 'messages', code: 'empty_array' }],
  [
    'an unknown role',
    { model: 'gpt-4o', messages: [{ role: 'me', content: 'hi' }] },
    400,
    { param: 'messages[0].role', code: 'invalid_value' },
  ],
  [
    'a content that is a number',
    { model: 'gpt-4o', messages: [{ role: 'user', content: 5 }] },
    400,
    { param: 'messages[0].content', code: 'invalid_type' },
  ],
  [
    'an unknown parameter',
    { ...hello, prompt: 'x' },
    400,
    { message: 'Unrecognized request argument supplied: prompt' },
  ],
  ['a model it does not have', { model: 'constructor', messages }, 404, { code: 'model_not_found' }],
  [
    'more than the context holds',
    { ...hello, messages: [{ role: 'user', content: 'x'.repeat(70_000) }] },
    400,
    { code: 'context_length_exceeded' },
  ],
])('a request with %s is refused in the vendor’s words', async (_, body, status, error) => {
  const { post } = await given();
  const answer = await post(body);
  expect(answer.status).toBe(status);
  expect(await errorOf(answer)).toMatchObject({ type: 'invalid_request_error', ...error });
});

test('lists its models; other paths and methods are refused', async () => {
  const { openai, client } = await given();
  const ids = (await client.models.list()).data.map(model => model.id);
  expect(ids).toContain('gpt-3.5-turbo');
  expect(await client.models.retrieve('gpt-4o')).toMatchObject({ id: 'gpt-4o', object: 'model' });
  await expect(client.models.retrieve('toString')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  const headers = { Authorization: 'Bearer sk-good' };
  expect((await fetch(`${openai.url}/chat/completions`, { headers })).status).toBe(405);
  expect((await fetch(`${openai.url}/nothing`, { headers })).status).toBe(404);
});

describe('a fault', () => {
  test('rateLimit: 429 with Retry-After, until it is taken away', async () => {
    const { openai, client } = await given({ fault: { kind: 'rateLimit', retryAfterSeconds: 7 } });
    const refused = await client.chat.completions.create(hello).catch(error => error);
    expect(refused).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(refused.headers.get('retry-after')).toBe('7');
    openai.settings.fault = undefined;
    await expect(client.chat.completions.create(hello)).resolves.toMatchObject({ object: 'chat.completion' });
  });

  test('error: that status', async () => {
    const { client } = await given({ fault: { kind: 'error', status: 503 } });
    await expect(client.chat.completions.create(hello)).rejects.toMatchObject({ status: 503, type: 'server_error' });
  });

  test('hang: no answer until the caller gives up, which is counted', async () => {
    const { openai, client } = await given({ fault: { kind: 'hang' } });
    await expect(client.chat.completions.create(hello, { timeout: 50 })).rejects.toThrow(/timed out/);
    await expect.poll(() => openai.counters).toMatchObject({ aborted: 1, inFlight: 0, completed: 0 });
  });

  test('cut: the connection breaks in the middle, which is no abort', async () => {
    const { openai, post } = await given({ fault: { kind: 'cut', afterChunks: 2 } });
    const stream = await post({ ...hello, stream: true });
    await expect(stream.text()).rejects.toThrow();
    await expect((await post(hello)).text()).rejects.toThrow();
    await expect.poll(() => openai.counters).toMatchObject({ aborted: 0, completed: 0, chunks: 2, inFlight: 0 });
  });

  test('unfinished: the stream ends in good order but too soon', async () => {
    const { post } = await given({ fault: { kind: 'unfinished', afterChunks: 2 } });
    const text = await (await post({ ...hello, stream: true })).text();
    expect(text.match(/^data: /gm)).toHaveLength(2);
    expect(text).not.toContain('[DONE]');
  });
});

test('answers only after its latency, by the clock it was given', async () => {
  const waits: { ms: number; fn: () => void }[] = [];
  const runtime = {
    now: () => 1_700_000_000_000,
    monotonic: () => 0,
    random: () => 0,
    after(ms: number, fn: () => void) {
      waits.push({ ms, fn });
      return () => {};
    },
  };
  const { openai, client } = await given({ latencyMs: 1000, runtime });
  const answer = client.chat.completions.create(hello);
  await expect.poll(() => waits.map(wait => wait.ms)).toEqual([1000]);
  expect(openai.counters).toMatchObject({ inFlight: 1, completed: 0 });
  waits[0]?.fn();
  expect((await answer).created).toBe(1_700_000_000);
});
