import { expect, test } from 'vitest';
import { fuzzBackend } from '../fuzz/backend.ts';

/** A short run of `npm run fuzz -- backend`, with other requests each time. */
const SEED = Date.now() % 1e9;
const REQUESTS = 600;

test(`${REQUESTS} requests of all kinds are answered as the API says, or as what they are (seed ${SEED})`, {
  timeout: 120_000,
}, async () => {
  const { requests, statuses, failures } = await fuzzBackend(SEED, count => count >= REQUESTS);
  expect(failures, `npm run fuzz -- --seed ${SEED} backend`).toEqual([]);
  expect(requests).toBe(REQUESTS);
  // Each of these ways is really tried.
  for (const status of [0, 200, 400, 404, 405, 413]) expect(statuses.get(status), `${status}`).toBeGreaterThan(0);
});
