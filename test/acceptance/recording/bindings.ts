import { KINDS } from './nameBook.ts';

/**
 * Values that differ from run to run: times, etags, unique ids, the endings of revisions' names. They are matched by their kind and bound:
 * a recorded value stands for one present value from the first answer on that has it, in every later answer and request.
 */

type VolatileKind = 'time' | 'address' | 'revision' | 'version' | (typeof KINDS)[number];

export interface Volatile {
  kind: VolatileKind;
  value: string;
}

const NAME = `(?<name>(?<![A-Za-z])(?:${KINDS.join('|')})-\\d+(?!\\d))`;
const TIME = '(?<time>\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?:Z|[+-]\\d\\d:\\d\\d))';
/** Accounts are no volatile values: their names are made of the run's. */
const ADDRESS = '(?<address>[\\w.+-]+@(?![\\w.-]*gserviceaccount\\.com)(?:[\\w-]+\\.)+[a-z]+)';
const REVISION = '(?<revision>[a-z0-9][a-z0-9-]*-\\d{5}-[a-z0-9]{3}(?![a-z0-9-]))';
/** The version of a service, as the text about a stale etag has it: microseconds since the epoch. */
const VERSION = '(?<version>(?<!\\d)1\\d{15}(?!\\d))';
const VOLATILE = new RegExp([TIME, ADDRESS, REVISION, VERSION, NAME].join('|'), 'g');

/** The text with a mark for each volatile value, and the values in their order. */
export function volatilesIn(text: string): { form: string; volatiles: Volatile[] } {
  const volatiles: Volatile[] = [];
  const form = text.replace(VOLATILE, (value, ...rest) => {
    const groups = rest.at(-1) as Record<string, string | undefined>;
    if (groups.time !== undefined) {
      volatiles.push({ kind: 'time', value });
      return '<time>';
    }
    if (groups.revision !== undefined) {
      volatiles.push({ kind: 'revision', value });
      // The service and the number of the revision are no matter of chance.
      return `${value.slice(0, -3)}<ending>`;
    }
    const known = (['address', 'version'] as const).find(one => groups[one] !== undefined);
    const kind = known ?? (value.replace(/-\d+$/, '') as VolatileKind);
    volatiles.push({ kind, value });
    return `<${kind}>`;
  });
  return { form, volatiles };
}

export interface Bindings {
  /**
   * Binds the two values, and answers whether that fits with what they are bound to already. `scope` is the resource that they are of:
   * etags of different resources may be equal by chance.
   */
  bind(recorded: Volatile, present: Volatile, scope: string): boolean;
  /** The present value for a recorded one. */
  presentOf(recorded: string): string | undefined;
  copy(): Bindings;
}

export function createBindings(
  present: Map<string, string> = new Map(),
  recorded: Map<string, string> = new Map(),
): Bindings {
  return {
    bind(one, other, scope) {
      if (one.kind !== other.kind) return false;
      // Times that are equal once need not be equal again.
      if (one.kind === 'time') return true;
      const within = one.kind === 'etag' ? `${scope} ` : '';
      const known = present.get(within + one.value);
      if (known !== undefined) return known === other.value;
      if (recorded.has(within + other.value)) return false;
      present.set(within + one.value, other.value);
      present.set(one.value, other.value);
      recorded.set(within + other.value, one.value);
      return true;
    },
    presentOf: value => present.get(value),
    copy: () => createBindings(new Map(present), new Map(recorded)),
  };
}
