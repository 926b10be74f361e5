import { RE2JS } from '@bufbuild/re2';

/** Regular expressions are Go's (RE2), as on the server: other syntax than JavaScript's, and linear time. */

const compiled = new Map<string, (text: string) => boolean>();

/** Whether a text has a match of the pattern in it. Throws on a pattern that RE2 refuses. */
export function compilePattern(pattern: string): (text: string) => boolean {
  let test = compiled.get(pattern);
  if (!test) {
    const expression = RE2JS.compile(pattern);
    test = text => expression.test(text);
    // A CEL rule may compute its pattern from the object, so the cache must not grow for ever.
    if (compiled.size >= 1000) compiled.clear();
    compiled.set(pattern, test);
  }
  return test;
}

/** Why a pattern is no regular expression; undefined if it is one. */
export function patternError(pattern: string): string | undefined {
  try {
    compilePattern(pattern);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
