/** What `npm run backend -- --help` prints. `config.ts` reads these variables, and a test compares the two lists. */
export const USAGE = `Usage: npm run backend
       node backend/main.ts

Starts the web service of one tenant: GET /health, and POST /chat with {"message": "…"}. It has no flags; environment
variables configure it:

  PORT, HOST               where it listens (8080 on all addresses)
  OPENAI_API_KEY           the key of the model's API; without it, /chat answers 500
  OPENAI_MODEL             the model (gpt-3.5-turbo)
  OPENAI_BASE_URL          the address of another API that is compatible with OpenAI's
  ALLOWED_ORIGINS          origins of the web pages that may call, separated by commas (*)
  MAX_CONCURRENCY          chat requests at the same time; further ones get 503 (1000)
  RATE_LIMIT_PER_MINUTE    chat requests of one caller in a minute; further ones get 429 (0: no limit)
  TRUSTED_PROXIES          proxies in front besides Cloud Run's own (0)
  MODEL_TIMEOUT_SECONDS    how long the model may take for an answer (120)
  MAX_OUTPUT_TOKENS        the most tokens of an answer (the model's limit)
  STARTUP_CHECK_KEY        true: it calls the model's API before it listens, and ends if the key is refused (false)

SIGTERM and SIGINT stop it after the answers in progress. docs/backend.md says more.
`;
