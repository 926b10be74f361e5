import { setTimeout as sleep } from 'node:timers/promises';
import { type Check, type Life, type LifeStep, StepFailed, type StepResult, StepSkipped } from './life.ts';
import { idsOf } from './rules.ts';

/** What the runner adds to a life: the parts that belong to one step. */
type Given = Omit<Life, 'check' | 'until' | 'skip'>;

/**
 * Makes the steps one after the other. A step that fails does not stop the others, unless all of them build on it. Nothing that a step
 * throws ends the run.
 */
export async function runLife(
  steps: readonly LifeStep[],
  given: Given,
  options: { signal: AbortSignal; onResult: (result: StepResult) => void },
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  let broken: string | undefined;
  for (const step of steps) {
    if (options.signal.aborted) break;
    const result: StepResult =
      broken === undefined
        ? await performed(step, given, options.signal)
        : { step, outcome: 'skipped', why: `builds on ${broken}, which failed`, checks: [], ms: 0 };
    if (options.signal.aborted) break;
    if (step.isBase && result.outcome === 'failed') broken = step.id;
    results.push(result);
    options.onResult(result);
  }
  return results;
}

async function performed(step: LifeStep, given: Given, signal: AbortSignal): Promise<StepResult> {
  const checks: Check[] = [];
  const startedAt = performance.now();
  const life: Life = {
    ...given,
    check(rule, holds, found) {
      checks.push({ rule, holds, ...(!holds && { found: shown(found) }) });
    },
    async until(what, condition) {
      const deadline = performance.now() + given.waitMs;
      let last: unknown;
      for (;;) {
        signal.throwIfAborted();
        // A read may fail for a moment: a quota, a fresh account, a lost connection.
        const value = await condition().catch((error: unknown) => {
          last = error;
          return undefined;
        });
        if (value !== undefined) return value;
        if (performance.now() > deadline) {
          const why = last instanceof Error ? `; the last error was: ${last.message}` : '';
          throw new StepFailed(`Waited ${given.waitMs / 1000} s in vain for this: ${what}${why}`);
        }
        await sleep(given.pollMs);
      }
    },
    skip(why) {
      throw new StepSkipped(why);
    },
  };
  const result = (outcome: StepResult['outcome'], why?: string): StepResult => ({
    step,
    outcome,
    ...(why !== undefined && { why }),
    checks,
    ms: Math.round(performance.now() - startedAt),
  });
  try {
    await step.run(life);
    return result(checks.every(({ holds }) => holds) ? 'passed' : 'failed');
  } catch (error) {
    if (error instanceof StepSkipped) return result('skipped', error.message);
    return result('failed', `${error instanceof Error ? error.message : String(error)}${await statusOf(given)}`);
  } finally {
    await given.pinger.stop();
  }
}

/** What the tenant's own status says, as a hint. */
async function statusOf(given: Given): Promise<string> {
  const view = await given.operator.tenant(idsOf(given).tenant);
  return view ? `\n    The status of the AiTenant says ${view.reason}: ${view.message}` : '';
}

const shown = (found: unknown): string => {
  const text = typeof found === 'string' ? found : (JSON.stringify(found) ?? 'nothing');
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
};
