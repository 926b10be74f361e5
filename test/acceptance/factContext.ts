import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { API } from './addresses.ts';
import { type Call, type Exchange, fieldIn } from './exchange.ts';
import type { FactContext, RunOfFacts } from './fact.ts';

/** The longest wait for a long-running operation, in milliseconds. */
const OPERATION_MS = 150_000;

/** The list for the calls of what is being made for several probes; absent: the call is a probe's own. */
const making = new AsyncLocalStorage<Exchange[]>();

/** What probes share, by key, with the calls that made it. */
export type Shared = Map<string, { made: Promise<unknown>; exchanges: Exchange[] }>;

/**
 * The context of one probe. Its calls are added to `exchanges`. After `signal` aborts, calls and waits reject, so that a probe that took
 * too long ends.
 */
export function factContext(run: RunOfFacts, shared: Shared, exchanges: Exchange[], signal: AbortSignal): FactContext {
  const { call: send, pollMs, ...settings } = run;
  const call: Call = async (...request) => {
    signal.throwIfAborted();
    const exchange = await send(...request);
    (making.getStore() ?? exchanges).push(exchange);
    return exchange;
  };

  return {
    ...settings,
    call,
    async wait(started) {
      const name = fieldIn(started, 'name');
      if (typeof name !== 'string' || !/\/operations\/[^/]+$/.test(name)) return started;
      const deadline = performance.now() + OPERATION_MS;
      let last = started;
      while (fieldIn(last, 'done') !== true && performance.now() < deadline) {
        await sleep(pollMs, undefined, { signal });
        const read = await call('GET', `${API.run}/v2/${name}`);
        if (fieldIn(read, 'name') !== name && read.status < 500) return read;
        if (read.status === 200) last = read;
      }
      return last;
    },
    async until(condition, timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const value = await condition();
        if (value !== undefined || performance.now() > deadline) return value;
        await sleep(pollMs, undefined, { signal });
      }
    },
    async shared<T>(key: string, make: () => Promise<T>): Promise<T> {
      let known = shared.get(key);
      if (!known) {
        const calls: Exchange[] = [];
        known = { made: making.run(calls, make), exchanges: calls };
        shared.set(key, known);
      }
      try {
        return (await known.made) as T;
      } finally {
        exchanges.push(...known.exchanges.filter(one => !exchanges.includes(one)));
      }
    },
  };
}
