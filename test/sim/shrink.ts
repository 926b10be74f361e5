import { type RunResult, run } from './run.ts';
import type { Script } from './script.ts';

/** What kind of failure it is, names and numbers aside. */
export const kindOf = (result: RunResult): string | undefined =>
  result.problems[0]
    ?.replace(/\S*[\d/@]\S*/g, '·')
    .replace(/"[^"]*"/g, '·')
    .slice(0, 60);

/**
 * The smallest script found that fails in the same way: first whole handfuls of faults and steps are dropped, then single
 * ones, then the world is made plainer. `most`: how many runs it may take.
 */
export async function shrink(failed: RunResult, most = 400): Promise<RunResult> {
  const kind = kindOf(failed);
  let best = failed;
  let runs = 0;
  const attempt = async (script: Script): Promise<boolean> => {
    if (runs++ >= most) return false;
    const result = await run(script);
    if (kindOf(result) !== kind) return false;
    best = result;
    return true;
  };
  for (let before = Number.POSITIVE_INFINITY; size(best.script) < before && runs < most; ) {
    before = size(best.script);
    await dropSome('faults', () => best.script, attempt);
    await dropSome('steps', () => best.script, attempt);
    for (const simpler of plainer(best.script)) await attempt(simpler(best.script));
  }
  return best;
}

const size = ({ steps, faults, replicas }: Script): number => steps.length + faults.length + replicas.length;

async function dropSome(
  what: 'steps' | 'faults',
  current: () => Script,
  attempt: (script: Script) => Promise<boolean>,
): Promise<void> {
  for (let chunk = current()[what].length; chunk >= 1; chunk = Math.floor(chunk / 2)) {
    for (let from = 0; from < current()[what].length; ) {
      const script = current();
      const rest = script[what].filter((_, index) => index < from || index >= from + chunk);
      if (!(await attempt({ ...script, [what]: rest }))) from += chunk;
    }
  }
}

function plainer(script: Script): ((script: Script) => Script)[] {
  const all: ((script: Script) => Script)[] = [
    s => ({ ...s, latencyMs: 20 }),
    s => ({ ...s, watchLagMs: 0 }),
    s => ({ ...s, cloud: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 300 } }),
  ];
  if (script.replicas.length > 1) all.unshift(s => ({ ...s, replicas: s.replicas.slice(0, 1) }));
  if ((script.replicas[0] ?? 1) > 1) all.unshift(s => ({ ...s, replicas: [1, ...s.replicas.slice(1)] }));
  return all;
}
