/**
 * `JSON.parse` makes a new string for each value of more than ten characters, so ten thousand cached objects contain ten thousand copies of
 * `INGRESS_TRAFFIC_ALL`. These copies are half of the memory that a tenant needs. `shareStrings` replaces a copy by an equal string that an
 * earlier answer contained.
 *
 * Names and ids are in few answers, so the strings are in two generations: when the younger one is full, it becomes the older one, and the
 * strings of the older one that no answer has contained since then are dropped.
 */

/** The most strings of one generation. Between two uses of a common string there are far fewer new ones. */
const MOST = 2_000;
/** Longer strings are seldom equal. */
const LONGEST = 128;

let younger = new Map<string, string>();
let older: ReadonlyMap<string, string> = new Map();

function shared(text: string): string {
  if (text.length > LONGEST) return text;
  const known = younger.get(text);
  if (known !== undefined) return known;
  const common = older.get(text) ?? text;
  if (younger.size >= MOST) {
    older = younger;
    younger = new Map();
  }
  younger.set(common, common);
  return common;
}

/** Shares the strings of a value that `JSON.parse` has just made, and returns the value. The value is changed in place. */
export function shareStrings<T>(value: T): T {
  if (typeof value === 'string') return shared(value) as T;
  // Without recursion: an answer may be nested deeper than the stack.
  const rest: Record<string, unknown>[] = isNested(value) ? [value] : [];
  for (let next = rest.pop(); next; next = rest.pop()) {
    for (const key of Object.keys(next)) {
      const item = next[key];
      if (typeof item === 'string') next[key] = shared(item);
      else if (isNested(item)) rest.push(item);
    }
  }
  return value;
}

const isNested = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
