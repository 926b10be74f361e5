import type { Config } from './config.ts';
import { createFetch } from './fetch.ts';
import type { Log } from './log.ts';

/** Beyond it the vendor counts as out of order, which is no reason not to start. Cloud Run's default start-up probe waits 240 s. */
const TIMEOUT_MS = 5_000;

/**
 * Asks the model's API once whether it takes the key, and throws an Error that says so if it does not. It asks for a chat
 * completion without messages: every key that may chat is answered 400 for that, and it costs no tokens (a list of the models needs a
 * right that a restricted key may lack). Anything but 401 and 403, and no answer at all, counts as the vendor's own trouble.
 */
export async function checkKey(config: Config, log: Log): Promise<void> {
  const { key, model, baseUrl = 'https://api.openai.com/v1' } = config;
  if (!key.ok) throw new Error(`STARTUP_CHECK_KEY: ${key.problem.message}`);
  const fetch = await createFetch(baseUrl);
  const status = await fetch(`${baseUrl.replace(/\/+$/, '')}/chat/completions`, {
    method: 'POST',
    headers: new Headers({ Authorization: `Bearer ${key.value}`, 'Content-Type': 'application/json' }),
    body: JSON.stringify({ model, messages: [] }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).then(
    async answer => {
      await answer.text().catch(() => '');
      return answer.status;
    },
    () => undefined,
  );
  if (status === 401 || status === 403) {
    throw new Error(`STARTUP_CHECK_KEY: the model's API refuses the key in OPENAI_API_KEY (${status}).`);
  }
  // Another answer, such as a redirect or the 404 of a wrong OPENAI_BASE_URL, may come from somebody who did not see the key.
  const well = status !== undefined && (status < 300 || status === 400 || status === 422);
  log(well ? 'INFO' : 'WARNING', well ? 'the key is accepted' : 'the key could not be checked', { status });
}
