import { expect, test } from 'vitest';
import { fuzzPorts } from '../fuzz/ports.ts';

/** A short run of `npm run fuzz -- ports`, with other requests each time. */
const SEED = Date.now() % 1e9;
const REQUESTS = 3_000;

test(`${REQUESTS} requests with targets and headers of all forms end no server of ours (seed ${SEED})`, {
  timeout: 120_000,
}, async () => {
  const { requests, answers, failures } = await fuzzPorts(SEED, count => count >= REQUESTS);
  expect(failures, `npm run fuzz -- --seed ${SEED} ports`).toEqual([]);
  expect(requests).toBeGreaterThanOrEqual(REQUESTS);
  // Every port has refused requests, and answered some of them in its own words.
  for (const name of ['operator', 'backend', 'cloud', 'kube', 'openai', 'service']) {
    expect([...(answers.get(name)?.keys() ?? [])], name).toContain(400);
    expect(answers.get(name)?.size, name).toBeGreaterThan(2);
  }
});
