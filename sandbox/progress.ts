/** A step that failed for a reason that can be told in a sentence or two, the next thing to do among them. */
export class Failure extends Error {}

/** Runs one step and, when it has happened, says so with the time it took; `told` words what came of it. */
export type Step = <T>(told: string | ((result: T) => string), act: () => Promise<T>) => Promise<T>;

/** Prints each step to `print`: `✓ what happened (0.3 s)`. A step that throws prints nothing: its failure goes on. */
export function createProgress(print: (line: string) => void): Step {
  return async (told, act) => {
    const startedAt = performance.now();
    const result = await act();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    print(`  ✓ ${typeof told === 'string' ? told : told(result)} (${seconds} s)`);
    return result;
  };
}

/** Calls `probe` until it answers something; throws `late()` after `ms` milliseconds. */
export async function poll<T>(probe: () => Promise<T | undefined>, ms: number, late: () => Error): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw late();
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}
