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

/** Only A to Z: a small form of another letter may be longer, and places in the two texts would differ. */
const lowered = (text: string): string => text.replace(/[A-Z]+/g, letters => letters.toLowerCase());

const isLetter = (char: string | undefined): boolean => char !== undefined && /[a-z0-9]/i.test(char);

export function createNameBook(): NameBook {
  const names = new Map<string, string>();
  const values = new Map<string, string>();
  const next = new Map<Kind, number>();
  /** The values of that length and more, by how they begin: a text is compared with some of them, not with hundreds. */
  const wholeWords = new Set<string>();
  const byStart = new Map<string, string[]>();
  /** The shorter ones, which are whole words, each as the source of a pattern. */
  const short: string[] = [];

  function add(kind: Kind, value: string, name: string): void {
    names.set(lowered(value), name);
    values.set(name, value);
    const lower = lowered(value);
    if (value.length >= SHORTEST_IN_TEXT) {
      const start = lower.slice(0, SHORTEST_IN_TEXT);
      // The longest first: a value may be a part of another one.
      byStart.set(
        start,
        [...(byStart.get(start) ?? []), lower].sort((a, b) => b.length - a.length),
      );
      if (WHOLE_WORDS.has(kind)) wholeWords.add(lower);
    } else if (WHOLE_WORDS.has(kind)) {
      short.push(`(?<![A-Za-z0-9])${lower.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')}(?![A-Za-z0-9])`);
    }
  }

  /** The value that stands at this place, in lower case. */
  function at(text: string, place: number): string | undefined {
    const candidates = byStart.get(text.slice(place, place + SHORTEST_IN_TEXT));
    return candidates?.find(
      value =>
        text.startsWith(value, place) &&
        !(wholeWords.has(value) && (isLetter(text[place - 1]) || isLetter(text[place + value.length]))),
    );
  }

  function replacedLong(text: string): string {
    const lower = lowered(text);
    let out = '';
    let from = 0;
    for (let place = 0; place <= lower.length - SHORTEST_IN_TEXT; place++) {
      const value = at(lower, place);
      if (value === undefined) continue;
      out += text.slice(from, place) + names.get(value);
      from = place + value.length;
      place = from - 1;
    }
    return from === 0 ? text : out + text.slice(from);
  }

  return {
    give(kind, value, name) {
      if (!names.has(lowered(value))) add(kind, value, name);
    },
    nameOf(kind, value) {
      if (isName(value)) return value;
      const known = names.get(lowered(value));
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
      const out = replacedLong(text);
      if (short.length === 0) return out;
      return out.replace(new RegExp(short.join('|'), 'gi'), found => names.get(lowered(found)) ?? found);
    },
    size: () => names.size,
  };
}
