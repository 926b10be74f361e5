import { setTimeout as sleep } from 'node:timers/promises';

/** Calls a tenant's address all the time while its steps are made, to see whether a change takes it down. */
export interface Pinger {
  /** From now on the address is called. */
  start(url: string): void;
  /** Ends the calls. Answers with how many there were, and with the failures that the next call repeated. */
  stop(): Promise<{ calls: number; failures: string[] }>;
  /** Calls an address once: the status, or why there was none. */
  once(url: string): Promise<{ status: number; why: string }>;
}

/** The longest call, in milliseconds: a cold start takes some seconds. */
const CALL_MS = 20_000;

export function createPinger(intervalMs: number): Pinger {
  let running: { ended: Promise<void>; stop: AbortController; calls: number; failures: string[] } | undefined;

  async function once(url: string): Promise<{ status: number; why: string }> {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(CALL_MS), redirect: 'manual' });
      await response.body?.cancel();
      return { status: response.status, why: `HTTP ${response.status}` };
    } catch (error) {
      const { message, cause } = error as { message: string; cause?: { code?: string } };
      return { status: 0, why: cause?.code ?? message };
    }
  }

  const isDown = (status: number) => status === 0 || status === 404 || status >= 500;

  return {
    once,
    start(url) {
      const stop = new AbortController();
      const state = { ended: Promise.resolve(), stop, calls: 0, failures: [] as string[] };
      state.ended = (async () => {
        while (!stop.signal.aborted) {
          const first = await once(url);
          state.calls++;
          if (isDown(first.status)) {
            const again = await once(url);
            if (isDown(again.status)) state.failures.push(`${new Date().toISOString()} ${again.why}`);
          }
          await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => {});
        }
      })();
      running = state;
    },
    async stop() {
      const state = running;
      running = undefined;
      if (!state) return { calls: 0, failures: [] };
      state.stop.abort();
      await state.ended;
      return { calls: state.calls, failures: state.failures };
    },
  };
}
