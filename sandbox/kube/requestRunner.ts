import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { type FaultRule, type Faults, faultError, type RequestInfo } from './faults.ts';
import { isStatusError, type StatusError } from './status.ts';

export type Outcome<T> = { kind: 'ok'; value: T } | { kind: 'refused'; error: StatusError } | { kind: 'lost' };

const READS = new Set(['get', 'list', 'watch']);

/** Runs one request: ordered faults first, then the request itself, then what the cluster does of its own accord. */
export function createRunner(runtime: Runtime, faults: Faults, settle: () => void) {
  return async function run<T>(info: RequestInfo, act: () => T): Promise<Outcome<T>> {
    const rule = faults.take(info);
    if (rule?.delayMs) await sleep(runtime, rule.delayMs);
    const spoiled = rule?.status && spoil(rule.status);
    let outcome: Outcome<T>;
    if (spoiled && !rule?.applied) outcome = spoiled;
    else {
      outcome = attempt(act);
      if (!READS.has(info.verb)) settle();
      if (spoiled) outcome = spoiled;
    }
    faults.record(info, outcome.kind === 'refused' ? outcome.error.status.code : outcome.kind === 'ok' ? 200 : 0);
    return outcome;
  };
}

export type Runner = ReturnType<typeof createRunner>;

function spoil(status: NonNullable<FaultRule['status']>): { kind: 'lost' } | { kind: 'refused'; error: StatusError } {
  return status.code === 0 ? { kind: 'lost' } : { kind: 'refused', error: faultError(status) };
}

function attempt<T>(act: () => T): Outcome<T> {
  try {
    return { kind: 'ok', value: act() };
  } catch (error) {
    if (isStatusError(error)) return { kind: 'refused', error };
    throw error;
  }
}
