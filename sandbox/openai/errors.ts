/** An error as the vendor's API answers it. */
export interface OpenAiError {
  status: number;
  headers?: Record<string, string>;
  error: { message: string; type: string; param: string | null; code: string | null };
}

export function badRequest(message: string, param: string | null = null, code: string | null = null): OpenAiError {
  return { status: 400, error: { message, type: 'invalid_request_error', param, code } };
}

/** For a request without a key (undefined), or with one that is not accepted; shows the key masked, as the real one does. */
export function refusedKey(key: string | undefined): OpenAiError {
  if (key === undefined) {
    const message =
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
    return { ...badRequest(message), status: 401 };
  }
  const shown =
    key.length > 12 ? `${key.slice(0, 8)}${'*'.repeat(key.length - 12)}${key.slice(-4)}` : '*'.repeat(key.length);
  const message = `Incorrect API key provided: ${shown}. You can find your API key at https://platform.openai.com/account/api-keys.`;
  return { ...badRequest(message, null, 'invalid_api_key'), status: 401 };
}

export function rateLimited(model: string, retryAfterSeconds: number): OpenAiError {
  const message = `Rate limit reached for ${model} on requests per min (RPM). Please try again in ${retryAfterSeconds}s.`;
  return {
    status: 429,
    headers: { 'Retry-After': String(retryAfterSeconds), 'Retry-After-Ms': String(retryAfterSeconds * 1000) },
    error: { message, type: 'requests', param: null, code: 'rate_limit_exceeded' },
  };
}

export function serverError(status: number): OpenAiError {
  const message =
    status === 503
      ? 'The engine is currently overloaded, please try again later'
      : 'The server had an error while processing your request. Sorry about that!';
  return { status, error: { message, type: 'server_error', param: null, code: null } };
}
