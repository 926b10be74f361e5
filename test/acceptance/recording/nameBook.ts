/**
 * The stable names that take the place of sensitive values in a recording. One value has one name in one file, so that relations are
 * kept: whoever has `number-1` in two answers knows that both had the same number.
 */

/** What a value is, which is also the word that its name begins with. */
export const KINDS = [
  'project',
  'number',
  'user',
  'domain',
  'account',
  'uniqueid',
  'hash',
  'uuid',
  'etag',
  'page',
  'token',
  'payload',
  'ip',
  'billing',
  'principal',
  'text',
  'opaque',
] as const;

type Kind = (typeof KINDS)[number];

/** A name anywhere in a text, such as `project-1`. */
export const NAMES = new RegExp(`(?<![A-Za-z])(?:${KINDS.join('|')})-\\d+(?!\\d)`, 'g');

const ONE_NAME = new RegExp(`^(?:${KINDS.join('|')})-\\d+$`);

/** These are replaced only as whole words, because they may be short words of any language. */
const WHOLE_WORDS = new Set<Kind>(['user', 'domain', 'account', 'text', 'ip']);

/** Values that are replaced only where a field holds nothing else. Shorter ones would be found by chance in other words. */
const SHORTEST_IN_TEXT = 6;

export interface NameBook {
  /** The value's name, which is made up at the first time. */
  nameOf(kind: Kind, value: string): string;
  /** Gives the value a name that is made of other names, such as `user-1@domain-1.example`. */
  give(kind: Kind, value: string, name: string): void;
  /** The value behind a name. */
  valueOf(name: string): string | undefined;
  /** Replaces every value that has a name by it, upper and lower case alike. */
  replaced(text: string): string;
  /** The number of values that have a name. */
  size(): number;
}

export const isName = (text: string): boolean => ONE_NAME.test(text);

export function createNameBook(): NameBook {
  const names = new Map<string, string>();
  const values = new Map<string, string>();
  const next = new Map<Kind, number>();
  /** The values that are looked for in longer texts, each as the source of a pattern. */
  const sources = new Map<string, string>();
  let pattern: RegExp | undefined;

  function add(kind: Kind, value: string, name: string): void {
    names.set(value.toLowerCase(), name);
    values.set(name, value);
    if (value.length < SHORTEST_IN_TEXT && !WHOLE_WORDS.has(kind)) return;
    const escaped = value.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
    const source = WHOLE_WORDS.has(kind) ? `(?<![A-Za-z0-9])${escaped}(?![A-Za-z0-9])` : escaped;
    sources.set(value.toLowerCase(), source);
    pattern = undefined;
  }

  return {
    give(kind, value, name) {
      if (!names.has(value.toLowerCase())) add(kind, value, name);
    },
    nameOf(kind, value) {
      if (isName(value)) return value;
      const known = names.get(value.toLowerCase());
      if (known !== undefined) return known;
      const number = (next.get(kind) ?? 0) + 1;
      next.set(kind, number);
      // `.example` can be nobody's (RFC 2606), and an address with it is still an address.
      const name = kind === 'domain' ? `domain-${number}.example` : `${kind}-${number}`;
      add(kind, value, name);
      return name;
    },
    valueOf: name => values.get(name),
    replaced(text) {
      if (sources.size === 0) return text;
      // The longest first: a value may be a part of another one.
      pattern ??= new RegExp(
        [...sources]
          .sort(([a], [b]) => b.length - a.length)
          .map(([, source]) => source)
          .join('|'),
        'gi',
      );
      return text.replace(pattern, found => names.get(found.toLowerCase()) ?? found);
    },
    size: () => names.size,
  };
}
