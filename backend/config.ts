import { Problem } from './problem.ts';

/** The key, or what `/chat` answers without a usable one. */
type Key = { ok: true; value: string } | { ok: false; problem: Problem };

export interface Config {
  port: number;
  /** Address to listen on; undefined: all. */
  host: string | undefined;
  key: Key;
  model: string;
  /** Base URL of the model's API; undefined: OpenAI's. */
  baseUrl: string | undefined;
  allowedOrigins: '*' | readonly string[];
  /** `/chat` requests at once; more are answered 503. */
  maxConcurrency: number;
  /** `/chat` requests a minute and caller; 0: no limit. */
  ratePerMinute: number;
  /** How long the model may take for one answer, its stream included. */
  modelTimeoutMs: number;
  /** The most tokens of one answer; undefined: the model's own limit. */
  maxOutputTokens: number | undefined;
  /** Proxies that append to `X-Forwarded-For`, the platform's own (Cloud Run's front end) included. */
  proxies: number;
  /** Whether the process asks the model's API, before it listens, whether it takes the key. */
  startupCheckKey: boolean;
}

type Env = Record<string, string | undefined>;

/**
 * Reads the configuration from environment variables:
 *
 * | variable | default | |
 * |---|---|---|
 * | `PORT`, `HOST` | 8080, all addresses | where to listen |
 * | `OPENAI_API_KEY` | – | without it `/health` answers, `/chat` says 500 `key_missing` |
 * | `OPENAI_MODEL` | `gpt-3.5-turbo` | |
 * | `OPENAI_BASE_URL` | OpenAI's | |
 * | `ALLOWED_ORIGINS` | `*` | comma-separated origins whose pages may call |
 * | `MAX_CONCURRENCY` | 1000 (Cloud Run's own highest) | beyond it: 503 with `Retry-After` |
 * | `RATE_LIMIT_PER_MINUTE` | 0 (none) | per caller and instance; beyond it: 429 with `Retry-After` |
 * | `MODEL_TIMEOUT_SECONDS` | 120 | beyond it: 504 |
 * | `MAX_OUTPUT_TOKENS` | the model's | the most tokens of one answer; a longer one is cut |
 * | `TRUSTED_PROXIES` | 0 | proxies in front that append to `X-Forwarded-For`, beside Cloud Run's own front end: 1 behind Google's load balancer. Close the service's own address then (`ingress`), or callers of it choose whom they count as |
 * | `STARTUP_CHECK_KEY` | `false` | `true`: one call before it listens; if the key is refused, the process ends with 1, and Cloud Run keeps the revision before |
 *
 * Throws an Error that names the variable (and never quotes a value) when one can't be used.
 */
export function readConfig(env: Env): Config {
  return {
    port: wholeNumber(env, 'PORT', 8080, 0, 65_535),
    host: env.HOST || undefined,
    key: readKey(env.OPENAI_API_KEY),
    model: env.OPENAI_MODEL?.trim() || 'gpt-3.5-turbo',
    baseUrl: readUrl(env, 'OPENAI_BASE_URL'),
    allowedOrigins: readOrigins(env.ALLOWED_ORIGINS),
    maxConcurrency: wholeNumber(env, 'MAX_CONCURRENCY', 1000, 1, 100_000),
    ratePerMinute: wholeNumber(env, 'RATE_LIMIT_PER_MINUTE', 0, 0, 1_000_000),
    modelTimeoutMs: wholeNumber(env, 'MODEL_TIMEOUT_SECONDS', 120, 1, 3600) * 1000,
    maxOutputTokens: wholeNumber(env, 'MAX_OUTPUT_TOKENS', 0, 1, 10_000_000) || undefined,
    proxies: wholeNumber(env, 'TRUSTED_PROXIES', 0, 0, 20) + (env.K_SERVICE === undefined ? 0 : 1),
    startupCheckKey: trueOrFalse(env, 'STARTUP_CHECK_KEY'),
  };
}

function readKey(raw: string | undefined): Key {
  // A secret written with `echo` ends in a newline, which no header may hold.
  const value = raw?.trim() ?? '';
  if (value === '') {
    const hint = "OPENAI_API_KEY is not set: give one of the tenant's keys `env: OPENAI_API_KEY`.";
    return { ok: false, problem: new Problem(500, 'key_missing', hint) };
  }
  if (!/^[\x21-\x7e]+$/.test(value)) {
    const hint = 'OPENAI_API_KEY holds characters that no key has: add a corrected version to its secret.';
    return { ok: false, problem: new Problem(500, 'key_malformed', hint) };
  }
  return { ok: true, value };
}

function readUrl(env: Env, name: string): string | undefined {
  const raw = env[name]?.trim();
  if (!raw) return undefined;
  if (!URL.canParse(raw) || !/^https?:$/.test(new URL(raw).protocol)) throw new Error(`${name} is no http(s) URL.`);
  return raw;
}

function readOrigins(raw: string | undefined): Config['allowedOrigins'] {
  const entries = (raw ?? '*').split(',').flatMap(entry => entry.trim() || []);
  if (entries.length === 0 || entries.includes('*')) return '*';
  return entries.map(entry => {
    const origin = URL.canParse(entry) ? new URL(entry).origin : 'null';
    if (origin === 'null') throw new Error('ALLOWED_ORIGINS takes origins such as https://app.example.com, or *.');
    return origin;
  });
}

function wholeNumber(env: Env, name: string, otherwise: number, min: number, max: number): number {
  const raw = env[name]?.trim();
  if (!raw) return otherwise;
  const value = Number(raw);
  if (!/^\d+$/.test(raw) || value < min || value > max) {
    throw new Error(`${name} takes a whole number from ${min} to ${max}.`);
  }
  return value;
}

function trueOrFalse(env: Env, name: string): boolean {
  const raw = env[name]?.trim().toLowerCase() || 'false';
  if (raw !== 'true' && raw !== 'false') throw new Error(`${name} takes true or false.`);
  return raw === 'true';
}
