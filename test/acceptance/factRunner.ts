import { setTimeout as sleep } from 'node:timers/promises';
import type { Exchange } from './exchange.ts';
import type { Fact, FactResult, RunOfFacts, Verdict } from './fact.ts';
import { factContext, type Shared } from './factContext.ts';

/** A probe that takes longer than this is not observable, in milliseconds. */
const PROBE_MS = 240_000;
/** The same for one that waits for quotas of a minute. */
const EXPENSIVE_MS = 900_000;
/** Probes that run at once. Most of their time is waiting for Cloud Run. */
const AT_ONCE = 6;

/** The facts in the order in which they are probed: those that only memory backs first, and those that use up a quota last. */
const inOrder = (facts: readonly Fact[]): Fact[] => {
  const rank = ({ unsure, expensive }: Fact) => (expensive !== undefined ? 2 : unsure ? 0 : 1);
  return facts.toSorted((a, b) => rank(a) - rank(b));
};

/** Probes the facts. What a probe throws, and a probe that does not end, is `notObservable` and stops no other. */
export async function runFacts(
  facts: readonly Fact[],
  run: RunOfFacts,
  options: {
    /** Facts with a reason in `expensive` are probed too. */
    expensive: boolean;
    onResult?: (result: FactResult) => void;
    signal?: AbortSignal;
    probeMs?: number;
  },
): Promise<FactResult[]> {
  const { expensive, onResult, signal, probeMs = PROBE_MS } = options;
  const shared: Shared = new Map();
  const results: FactResult[] = [];
  const waiting = inOrder(facts);

  async function worker(): Promise<void> {
    for (let fact = waiting.shift(); fact && !signal?.aborted; fact = waiting.shift()) {
      const result =
        fact.expensive !== undefined && !expensive
          ? { fact, verdict: notProbed(fact.expensive), exchanges: [], ms: 0 }
          : await probed(fact, run, shared, fact.expensive === undefined ? probeMs : EXPENSIVE_MS, signal);
      if (signal?.aborted) return;
      results.push(result);
      onResult?.(result);
    }
  }

  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  const place = new Map(facts.map((fact, index) => [fact.id, index]));
  return results.sort((a, b) => (place.get(a.fact.id) ?? 0) - (place.get(b.fact.id) ?? 0));
}

const notProbed = (why: string): Verdict => ({ verdict: 'notObservable', why: `only with --expensive: ${why}` });

async function probed(
  fact: Fact,
  run: RunOfFacts,
  shared: Shared,
  probeMs: number,
  signal: AbortSignal | undefined,
): Promise<FactResult> {
  const exchanges: Exchange[] = [];
  const startedAt = performance.now();
  const tooLong = new AbortController();
  const stop = AbortSignal.any([tooLong.signal, ...(signal ? [signal] : [])]);
  const ended = new AbortController();
  const limit = sleep(probeMs, undefined, { signal: AbortSignal.any([ended.signal, stop]) }).then(
    (): Verdict => ({ verdict: 'notObservable', why: `the probe did not end within ${probeMs / 1000} s` }),
    (): Verdict => ({ verdict: 'notObservable', why: 'the run was stopped' }),
  );
  const context = factContext(run, shared, exchanges, stop);
  // The probe is called in a function of its own, so that one that throws before its first wait rejects too.
  const asked = (async () => fact.probe(context))().catch(
    (error: unknown): Verdict => ({ verdict: 'notObservable', why: reasonOf(error) }),
  );
  const verdict = await Promise.race([asked, limit]);
  ended.abort();
  tooLong.abort();
  return { fact, verdict, exchanges, ms: Math.round(performance.now() - startedAt) };
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
