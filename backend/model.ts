import { APIConnectionTimeoutError, APIError, OpenAI } from 'openai';
import type { Config } from './config.ts';
import { createFetch, type LeanRequest, type LeanResponse } from './fetch.ts';
import { Problem } from './problem.ts';

/** Tokens that an answer took, as the vendor counts and bills them; the names are those of the log line. */
export interface Usage {
  inputTokens?: number;
  outputTokens?: number;
}

/**
 * A chat model. Both calls reject with a Problem; where `signal` aborts with one as its reason, with that.
 */
export interface Model {
  complete(message: string, signal: AbortSignal, onUsage: (usage: Usage) => void): Promise<string>;
  /** Resolves once the model has accepted the request; then the answer comes in pieces. */
  stream(message: string, signal: AbortSignal, onUsage: (usage: Usage) => void): Promise<AsyncIterable<string>>;
}

/**
 * The OpenAI client for the whole process. It never tries again by itself: who calls sees the 429 and its `Retry-After`,
 * and decides. Connections are kept alive and shared.
 */
export async function openAiModel(config: Config, apiKey: string, scrub: (text: string) => string): Promise<Model> {
  const baseURL = config.baseUrl ?? 'https://api.openai.com/v1';
  const fetch = await createFetch(baseURL);
  const client = new OpenAI({
    apiKey,
    baseURL,
    maxRetries: 0,
    // OPENAI_LOG=debug would log the messages.
    logLevel: 'off',
  });
  // Every request has the same address and headers, so the client composes them once.
  const { req, url, timeout } = await client.buildRequest({ method: 'post', path: '/chat/completions', body: {} });
  client.buildRequest = async ({ body, signal }) => ({
    req: { method: 'POST', headers: req.headers, body: JSON.stringify(body), signal },
    url,
    timeout,
  });
  // The client's own combines the caller's signal with one more and a timer; the caller's signal alone has the deadline.
  client.fetchWithTimeout = (to, init) => fetch(to as string, init as LeanRequest) as unknown as Promise<Response>;
  const request = (message: string) => ({
    model: config.model,
    messages: [{ role: 'user' as const, content: message }],
    ...(config.maxOutputTokens !== undefined && { max_completion_tokens: config.maxOutputTokens }),
  });

  return {
    async complete(message, signal, onUsage) {
      try {
        // Read here: the client would set a timer and a listener of its own for the body.
        const response = await client.chat.completions.create(request(message), { signal }).asResponse();
        const answer = JSON.parse(await response.text()) as Partial<OpenAI.ChatCompletion> | null;
        onUsage(usageOf(answer?.usage));
        const choice = answer?.choices?.[0]?.message;
        const text = choice?.content ?? choice?.refusal;
        if (typeof text !== 'string') throw strangeAnswer();
        return text;
      } catch (error) {
        throw toProblem(error, signal, scrub);
      }
    },

    async stream(message, signal, onUsage) {
      try {
        const body = { ...request(message), stream: true as const, stream_options: { include_usage: true } };
        const { data, response } = await client.chat.completions.create(body, { signal }).withResponse();
        const { isDone } = response as unknown as LeanResponse;
        return deltas(data, { signal, scrub, onUsage, isDone });
      } catch (error) {
        throw toProblem(error, signal, scrub);
      }
    },
  };
}

interface Streaming {
  signal: AbortSignal;
  scrub: (text: string) => string;
  onUsage: (usage: Usage) => void;
  isDone(): boolean;
}

async function* deltas(
  chunks: AsyncIterable<OpenAI.ChatCompletionChunk>,
  { signal, scrub, onUsage, isDone }: Streaming,
): AsyncGenerator<string> {
  let finished = false;
  try {
    for await (const chunk of chunks) {
      const choice = chunk.choices?.[0];
      const text = choice?.delta?.content ?? choice?.delta?.refusal;
      if (text) yield text;
      if (choice?.finish_reason) finished = true;
      if (chunk.usage) onUsage(usageOf(chunk.usage));
    }
    // The client ends an aborted or cut stream as if it were complete. Some APIs send no finish reason, but the last event.
    signal.throwIfAborted();
    if (!finished && !isDone()) throw new Problem(502, 'model_stream_cut', "The model's answer broke off.");
  } catch (error) {
    throw toProblem(error, signal, scrub);
  }
}

function usageOf(usage: OpenAI.CompletionUsage | null | undefined): Usage {
  const count = (value: unknown) => (Number.isSafeInteger(value) ? (value as number) : undefined);
  return { inputTokens: count(usage?.prompt_tokens), outputTokens: count(usage?.completion_tokens) };
}

/** What the caller is told of a failed call, never in the vendor's own text: that may quote the key, an account or an address. */
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
      return new Problem(400, 'model_refused_request', refusal(error, scrub));
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

/** What the vendor's codes mean to a caller of `/chat`. */
const REFUSALS: Record<string, string> = {
  context_length_exceeded: 'The message is too long for the model.',
  string_above_max_length: 'The message is too long for the model.',
  content_filter: "The message is against the rules of the model's API.",
  content_policy_violation: "The message is against the rules of the model's API.",
};

/** Our own words, and the vendor's `code` and `param` where they are plain words. */
function refusal({ code, param }: APIError, scrub: (text: string) => string): string {
  const word = (value: unknown) =>
    typeof value === 'string' && /^[a-z][\w.[\]]{0,63}$/i.test(value) && scrub(value) === value ? value : undefined;
  const named = [word(code) && `code ${code}`, word(param) && `parameter ${param}`].filter(Boolean).join(', ');
  const text = (word(code) && REFUSALS[code as string]) ?? "The model's API refused the request.";
  return named ? `${text} (${named})` : text;
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
