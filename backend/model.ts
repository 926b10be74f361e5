import { APIConnectionTimeoutError, APIError, OpenAI } from 'openai';
import type { Config } from './config.ts';
import { createFetch } from './fetch.ts';
import { Problem } from './problem.ts';

/**
 * A chat model. Both calls reject with a Problem; where `signal` aborts with one as its reason, with that.
 */
export interface Model {
  complete(message: string, signal: AbortSignal): Promise<string>;
  /** Resolves once the model has accepted the request; then the answer comes in pieces. */
  stream(message: string, signal: AbortSignal): Promise<AsyncIterable<string>>;
}

/**
 * The OpenAI client for the whole process. It never tries again by itself: who calls sees the 429 and its `Retry-After`,
 * and decides. Connections are kept alive and shared.
 */
export async function openAiModel(config: Config, apiKey: string, scrub: (text: string) => string): Promise<Model> {
  const baseURL = config.baseUrl ?? 'https://api.openai.com/v1';
  const client = new OpenAI({
    apiKey,
    baseURL,
    fetch: (await createFetch(baseURL)) as unknown as typeof fetch,
    maxRetries: 0,
    // The caller's signal has the deadline; this one comes after it and only bounds what the signal should have ended.
    timeout: config.modelTimeoutMs + 5000,
    // OPENAI_LOG=debug would log the messages.
    logLevel: 'off',
  });
  const request = (message: string) => ({
    model: config.model,
    messages: [{ role: 'user' as const, content: message }],
  });

  return {
    async complete(message, signal) {
      try {
        const answer = await client.chat.completions.create(request(message), { signal });
        const choice = answer.choices?.[0]?.message;
        const text = choice?.content ?? choice?.refusal;
        if (typeof text !== 'string') throw strangeAnswer();
        return text;
      } catch (error) {
        throw toProblem(error, signal, scrub);
      }
    },

    async stream(message, signal) {
      try {
        const chunks = await client.chat.completions.create({ ...request(message), stream: true }, { signal });
        return deltas(chunks, signal, scrub);
      } catch (error) {
        throw toProblem(error, signal, scrub);
      }
    },
  };
}

async function* deltas(
  chunks: AsyncIterable<OpenAI.ChatCompletionChunk>,
  signal: AbortSignal,
  scrub: (text: string) => string,
): AsyncGenerator<string> {
  let finished = false;
  try {
    for await (const chunk of chunks) {
      const choice = chunk.choices?.[0];
      const text = choice?.delta?.content ?? choice?.delta?.refusal;
      if (text) yield text;
      if (choice?.finish_reason) finished = true;
    }
    // The client ends an aborted or cut stream as if it were complete.
    signal.throwIfAborted();
    if (!finished) throw new Problem(502, 'model_stream_cut', "The model's answer broke off.");
  } catch (error) {
    throw toProblem(error, signal, scrub);
  }
}

/** What the caller is told of a failed call. The vendor's own text only where the caller can act on it, and scrubbed. */
function toProblem(error: unknown, signal: AbortSignal, scrub: (text: string) => string): unknown {
  if (signal.aborted && signal.reason instanceof Problem) return signal.reason;
  if (error instanceof Problem) return error;
  if (error instanceof APIConnectionTimeoutError) return new Problem(504, 'model_timeout', 'The model did not answer.');
  if (error instanceof SyntaxError) return strangeAnswer();
  if (!(error instanceof APIError)) {
    // The connection broke while the body was being read.
    const broken = error instanceof TypeError || (error instanceof Error && 'code' in error);
    return broken ? new Problem(502, 'model_stream_cut', "The model's answer broke off.") : error;
  }
  const headers = retryAfter(error.headers);
  switch (error.status) {
    case undefined:
      if (error.type) return new Problem(502, 'model_error', 'The model failed while it answered.');
      return new Problem(502, 'model_unreachable', "The model's API can't be reached.");
    case 400:
    case 422:
      return new Problem(400, 'model_refused_request', scrub(error.message.replace(/^\d+ /, '')).slice(0, 1000));
    case 401:
    case 403:
      return new Problem(502, 'model_refused_key', "The model's API refused the key in OPENAI_API_KEY.");
    case 404:
      return new Problem(
        502,
        'model_not_found',
        "The model's API does not know OPENAI_MODEL, or OPENAI_BASE_URL is wrong.",
      );
    case 429:
      return error.code === 'insufficient_quota'
        ? new Problem(429, 'model_quota_exceeded', "The quota of the model's account is used up.", headers)
        : new Problem(429, 'model_rate_limited', "The model's API takes no more requests for now.", headers);
    default: {
      const status = error.status >= 500 && error.status <= 599 ? error.status : 502;
      return new Problem(status, 'model_error', `The model's API answered ${error.status}.`, headers);
    }
  }
}

function strangeAnswer(): Problem {
  return new Problem(502, 'model_error', "The model's API gave no answer that can be read.");
}

/** Seconds or an HTTP date, and nothing else: a header is as good a place for a key to leak as a body. */
function retryAfter(headers: Headers | undefined): Record<string, string> {
  const value = headers?.get('retry-after') ?? '';
  const valid = /^(\d{1,9}|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)$/.test(value);
  return valid ? { 'Retry-After': value } : {};
}
