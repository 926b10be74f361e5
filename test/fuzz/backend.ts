import { setTimeout as wait } from 'node:timers/promises';
import fc from 'fast-check';
import { readConfig } from '../../backend/config.ts';
import { createLog, scrubber } from '../../backend/log.ts';
import { startBackend } from '../../backend/server.ts';
import { startOpenAi } from '../../sandbox/openai/server.ts';
import { complaint, fire, type Shot, shots } from './requests.ts';

export interface Fired {
  requests: number;
  /** Answers by status; 0: none, because the connection was broken off. */
  statuses: Map<number, number>;
  /** What did not hold, with the request. */
  failures: { what: string; shot?: Shot }[];
}

const key = 'sk-canary-9d2f7c1b5a3e';
/** Requests at once. */
const AT_ONCE = 20;

/** Requests from `seed`, some at once, until `enough` says so or one is answered wrongly. */
export async function fuzzBackend(seed: number, enough: (requests: number) => boolean): Promise<Fired> {
  const model = await startOpenAi({ checkKey: candidate => candidate === key });
  const lines: string[] = [];
  const scrub = scrubber([key]);
  const config = readConfig({ PORT: '0', HOST: '127.0.0.1', OPENAI_API_KEY: key, OPENAI_BASE_URL: model.url });
  const log = createLog(line => lines.push(line), scrub);
  const backend = await startBackend(config, log, scrub);
  const fired: Fired = { requests: 0, statuses: new Map(), failures: [] };
  const fails = (what: string, shot?: Shot) => fired.failures.push({ what, ...(shot && { shot }) });
  try {
    for (let batch = 0; fired.failures.length === 0 && !enough(fired.requests); batch++) {
      const next = fc.sample(shots, { numRuns: AT_ONCE, seed: seed + batch });
      const answers = await Promise.all(next.map(shot => fire(backend.port, shot)));
      answers.forEach((answer, at) => {
        const [shot] = next.slice(at);
        fired.requests++;
        const status = Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
        fired.statuses.set(status, (fired.statuses.get(status) ?? 0) + 1);
        const wrong = shot && complaint(shot, answer);
        if (wrong) fails(wrong, shot);
        if (answer.includes(key.slice(3))) fails('the key is in an answer', shot);
      });
      for (const line of lines.splice(0)) {
        if (line.includes(key.slice(3))) fails(`the key is in the log`);
        if (line.length > 2_000) fails(`a line of the log without bounds`);
        if (/unexpected error/.test(line) || typeof JSON.parse(line) !== 'object') fails(line);
      }
    }
    const health = await fetch(`http://127.0.0.1:${backend.port}/health`);
    if (health.status !== 200) fails(`/health answers ${health.status}`);
    for (let tries = 0; model.counters.inFlight > 0 && tries < 100; tries++) await wait(50);
    if (model.counters.inFlight > 0) fails('requests to the model outlive those of the callers');
  } finally {
    await backend.close(1_000);
    await model.close();
  }
  return fired;
}
