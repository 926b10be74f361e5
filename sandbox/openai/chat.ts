import { badRequest, type OpenAiError } from './errors.ts';

/** A request that has passed the checks of the chat completions endpoint. */
export interface ChatRequest {
  model: string;
  messages: { role: string; text: string }[];
  stream: boolean;
  includeUsage: boolean;
  /** The most tokens of the answer. */
  maxTokens: number;
}

/** The models that the stand-in has, with their context length in tokens. */
export const models: ReadonlyMap<string, number> = new Map([
  ['gpt-3.5-turbo', 16_385],
  ['gpt-4o', 128_000],
  ['gpt-4o-mini', 128_000],
  ['gpt-4.1', 1_047_576],
  ['gpt-4.1-mini', 1_047_576],
]);

const roles = ['system', 'assistant', 'user', 'function', 'tool', 'developer'];

/** The parameters of the endpoint (as the vendor's client declares them); any other is refused. */
const parameters = new Set(
  `audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata
  modalities model n parallel_tool_calls prediction presence_penalty prompt_cache_key prompt_cache_retention
  reasoning_effort response_format safety_identifier seed service_tier stop store stream stream_options temperature
  tool_choice tools top_logprobs top_p user verbosity web_search_options`.split(/\s+/),
);

type Fields = Record<string, unknown>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Checks a request body the way the real endpoint does, and answers the first fault in its words. */
export function readChatRequest(body: string): ChatRequest | OpenAiError {
  let fields: unknown;
  try {
    fields = JSON.parse(body);
  } catch {
    fields = undefined;
  }
  if (!isFields(fields)) return badRequest('We could not parse the JSON body of your request.');
  const unknown = Object.keys(fields).find(name => !parameters.has(name));
  if (unknown) return badRequest(`Unrecognized request argument supplied: ${unknown}`);

  const { model, messages, stream = false, stream_options: streamOptions } = fields;
  const maxTokens = fields.max_completion_tokens ?? fields.max_tokens ?? Number.POSITIVE_INFINITY;
  if (model === undefined) return badRequest('you must provide a model parameter');
  if (typeof model !== 'string') return invalidType('model', 'a string', model);
  if (typeof stream !== 'boolean' && stream !== null) return invalidType('stream', 'a boolean', stream);
  if (typeof maxTokens !== 'number') return invalidType('max_completion_tokens', 'an integer', maxTokens);
  if (messages === undefined) {
    return badRequest("Missing required parameter: 'messages'.", 'messages', 'missing_required_parameter');
  }
  if (!Array.isArray(messages)) return invalidType('messages', 'an array of objects', messages);
  if (messages.length === 0) {
    const text =
      "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
    return badRequest(text, 'messages', 'empty_array');
  }
  const read: ChatRequest['messages'] = [];
  for (const [index, message] of messages.entries()) {
    const result = readMessage(message, `messages[${index}]`);
    if ('status' in result) return result;
    read.push(result);
  }

  const context = models.get(model);
  if (context === undefined) {
    const text = `The model \`${model}\` does not exist or you do not have access to it.`;
    return { ...badRequest(text, null, 'model_not_found'), status: 404 };
  }
  const tokens = countTokens(read.map(message => message.text).join(''));
  if (tokens > context) {
    const text = `This model's maximum context length is ${context} tokens. However, your messages resulted in ${tokens} tokens. Please reduce the length of the messages.`;
    return badRequest(text, 'messages', 'context_length_exceeded');
  }
  const includeUsage = isFields(streamOptions) && streamOptions.include_usage === true;
  return { model, messages: read, stream: stream === true, includeUsage, maxTokens };
}

function readMessage(message: unknown, param: string): { role: string; text: string } | OpenAiError {
  if (!isFields(message)) return invalidType(param, 'an object', message);
  const { role, content } = message;
  if (role === undefined) {
    return badRequest(`Missing required parameter: '${param}.role'.`, `${param}.role`, 'missing_required_parameter');
  }
  if (typeof role !== 'string' || !roles.includes(role)) {
    const supported = roles.map(name => `'${name}'`).join(', ');
    const text = `Invalid value: '${String(role)}'. Supported values are: ${supported}.`;
    return badRequest(text, `${param}.role`, 'invalid_value');
  }
  if (typeof content === 'string') return { role, text: content };
  if (Array.isArray(content)) {
    const texts = content.map(part => (isFields(part) && typeof part.text === 'string' ? part.text : ''));
    return { role, text: texts.join('') };
  }
  // An assistant's turn may consist of tool calls alone.
  if (role === 'assistant' && (content === null || content === undefined)) return { role, text: '' };
  return invalidType(`${param}.content`, 'one of a string or array of objects', content);
}

function invalidType(param: string, expected: string, got: unknown): OpenAiError {
  const kind = got === null ? 'null' : Array.isArray(got) ? 'an array' : kinds[typeof got];
  return badRequest(
    `Invalid type for '${param}': expected ${expected}, but got ${kind} instead.`,
    param,
    'invalid_type',
  );
}

const kinds: Partial<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  boolean: 'a boolean',
  object: 'an object',
  undefined: 'null',
};

/** About four characters a token, as the vendor's rule of thumb has it for English. */
function countTokens(text: string): number {
  return Math.ceil(text.length / 4);
}

/** The answer, the same for the same request: it says which model and what it was asked last, `repeat` times. */
export function answerTo(request: ChatRequest, repeat: number): string {
  const last = request.messages.findLast(message => message.role === 'user')?.text ?? '';
  const whole = Array.from({ length: repeat }, () => `${request.model} heard: ${last}`).join('\n');
  return whole.slice(0, request.maxTokens * 4);
}

/** As long as its limit: it was cut there. */
const finishOf = (request: ChatRequest, answer: string) =>
  answer.length >= request.maxTokens * 4 ? ('length' as const) : ('stop' as const);

const usageOf = (request: ChatRequest, answer: string) => {
  const prompt = countTokens(request.messages.map(message => message.text).join(''));
  const completion = countTokens(answer);
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
};

/** A `chat.completion` object; `created` in seconds since the epoch. */
export function completionObject(id: string, created: number, request: ChatRequest, answer: string) {
  const message = { role: 'assistant', content: answer, refusal: null, annotations: [] };
  return {
    id,
    object: 'chat.completion',
    created,
    model: request.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishOf(request, answer) }],
    usage: usageOf(request, answer),
    service_tier: 'default',
    system_fingerprint: null,
  };
}

/** The `chat.completion.chunk` objects of a streamed answer, a word each, in the order they are sent. */
export function* chunkObjects(id: string, created: number, request: ChatRequest, answer: string) {
  const head = { id, object: 'chat.completion.chunk', created, model: request.model, system_fingerprint: null };
  const usage = request.includeUsage ? { usage: null } : {};
  const chunk = (delta: object, finish: 'stop' | 'length' | null) => ({
    ...head,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
    ...usage,
  });
  yield chunk({ role: 'assistant', content: '', refusal: null }, null);
  for (const [word] of answer.matchAll(/\S+\s*|\s+/g)) yield chunk({ content: word }, null);
  yield chunk({}, finishOf(request, answer));
  if (request.includeUsage) yield { ...head, choices: [], usage: usageOf(request, answer) };
}
