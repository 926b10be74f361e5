/** A failure that the user can mend. Its message says in one or two sentences what failed and what to do. */
export class Failure extends Error {}

/** Runs one step and prints its result and duration. `told` is the text to print, or makes it from the result. */
export type Step = <T>(told: string | ((result: T) => string), act: () => Promise<T>) => Promise<T>;

/** Prints each finished step: `✓ TEXT (0.3 s)`. For a step that throws it prints nothing and passes the error on. */
export function createProgress(print: (line: string) => void): Step {
  return async (told, act) => {
    const startedAt = performance.now();
    const result = await act();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    print(`  ✓ ${typeof told === 'string' ? told : told(result)} (${seconds} s)`);
    return result;
  };
}

/** Calls `probe` every 100 ms until it returns a value. Throws `late()` after `ms` milliseconds. */
export async function poll<T>(probe: () => Promise<T | undefined>, ms: number, late: () => Error): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw late();
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}
