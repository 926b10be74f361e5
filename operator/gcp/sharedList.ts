import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../ports.ts';
import type { Failure, Read } from '../tenant/types.ts';

/** A list of everything of one kind in one place, as one round of pages. */
export interface Listing<T> {
  items: Map<string, T>;
  pages: number;
  /** Something in it could not be understood or reached: what is not in it may be there all the same. */
  partial: boolean;
}

/** `passes`: it may well be given later. */
export type Listed<T> = { ok: true; listing: Listing<T> } | { ok: false; failure: Failure; passes: boolean };

/** One kind in one project (and region), answered from lists that all readers share. */
export interface SharedList<T> {
  /**
   * `get` reads this one alone. `tell`: of one who looks again every `2 * maxAgeMs`; it is called once, if what they were
   * answered was older than their question and the next list says otherwise.
   */
  read(key: string, maxAgeMs: number, get: () => Promise<Read<T>>, tell?: () => void): Promise<Read<T>>;
  /** A call of ours that may have changed it has ended: answers of calls begun before that no longer count. */
  wrote(key: string, succeeded: boolean): void;
  /** Keys of what was there when last looked at, however long ago. */
  keysOf(is: (value: T) => boolean): string[];
  /** How much was there when last looked at. */
  size(): number;
}

/** A list that is refused is asked for again after this; until then each is read alone. */
const REFUSED_MS = 300_000;
/** The backoff of a list that failed for a moment; short, because edits wait for it. */
const FAILED_MS = { base: 1_000, max: 15_000 };
/** So many items of a list take about as long as one more call. */
const ITEMS_A_CALL = 100;

/** When a call began: its place in the order of calls and writes here, and monotonic milliseconds. */
interface Begun {
  turn: number;
  at: number;
}

const NEVER: Begun = { turn: -1, at: Number.NEGATIVE_INFINITY };

interface Entry<T> {
  read: Read<T>;
  begun: Begun;
}

/** Somebody who was answered from a list that is older than their question. */
interface Reliant<T> {
  key: string;
  entry: Entry<T>;
  tell: () => void;
}

/**
 * Who needs something fresher than is known waits for one list that all share: at most one runs, and one more is waiting
 * for it to end. Where a list is dear (many pages), the first few read alone, until that has cost as much as a list would
 * have: never more than twice the least, whatever comes (the ski rental problem). Where the last list answered as many
 * as that, those who can do with a somewhat older answer take it that so will the next, and list at once.
 *
 * Nobody who looks regularly learns of a change later than if they had looked for themselves each time: they rely only
 * on a list whose reader comes back at least as often, who then makes the next one, and that tells whom it proves wrong.
 * A list that failed for a moment answers everybody who needs one until its backoff is over: in an outage, a thousand
 * readers ask once. `absentMs`: for how long it is believed that something is not there.
 */
export function createSharedList<T>(runtime: Runtime, list: () => Promise<Listed<T>>, absentMs: number): SharedList<T> {
  let entries = new Map<string, Entry<T>>();
  let listed = NEVER;
  let partial = false;
  /** Calls that a list costs, and those that were made one by one since the last. */
  let price = 1;
  let spent = 0;
  /** How many of those who can do with an older answer came since the last list, and between that and the one before. */
  let shared = 0;
  let sharedBefore = 0;
  let reliant: Reliant<T>[] = [];
  /** The least `maxAgeMs` of the regular readers who waited for the last list. */
  let keeperMs = Number.POSITIVE_INFINITY;
  /** Lists that failed in a row, what the last of them failed with, and until when that answers all who need a list. */
  let failures = 0;
  let failure: Failure | undefined;
  let failedUntil = Number.NEGATIVE_INFINITY;
  let refusedUntil = Number.NEGATIVE_INFINITY;
  let turns = 0;
  /** The turn at which a call of ours that may have changed it ended. */
  const written = new Map<string, number>();
  /** In the list before the last and not in the last; and what a write of ours was refused for: its own GET decides. */
  let vanished = new Set<string>();
  const refused = new Set<string>();
  let running: { begun: Begun; ended: Promise<Failure | undefined> } | undefined;
  let next: Promise<Failure | undefined> | undefined;

  /** What the last list failed with, while that answers for the next one, too. */
  const failing = () => (runtime.monotonic() < failedUntil ? failure : undefined);
  const begin = (): Begun => ({ turn: ++turns, at: runtime.monotonic() });
  const lookUp = (key: string): Entry<T> => entries.get(key) ?? { read: { state: 'absent' }, begun: listed };

  async function refresh(begun: Begun): Promise<Failure | undefined> {
    const result = await list();
    if (!result.ok) {
      if (result.passes) {
        failure = result.failure;
        failedUntil = runtime.monotonic() + Math.min(FAILED_MS.max, FAILED_MS.base * 2 ** failures++);
        return failure;
      }
      refusedUntil = runtime.monotonic() + REFUSED_MS;
      reliant = [];
      return undefined;
    }
    failures = 0;
    failure = undefined;
    const { items, pages } = result.listing;
    const fresh = new Map<string, Entry<T>>();
    for (const [key, value] of items) fresh.set(key, { read: { state: 'present', value }, begun });
    vanished = new Set();
    for (const [key, entry] of entries) {
      if (entry.begun.turn > begun.turn) fresh.set(key, entry);
      else if (entry.read.state === 'present' && !items.has(key)) vanished.add(key);
    }
    const wrong = reliant.filter(
      ({ key, entry }) =>
        (written.get(key) ?? -1) < entry.begun.turn &&
        !isDeepStrictEqual(entry.read, fresh.get(key)?.read ?? { state: 'absent' }),
    );
    for (const [key, turn] of written) if (turn < begun.turn) written.delete(key);
    entries = fresh;
    listed = begun;
    reliant = [];
    keeperMs = Number.POSITIVE_INFINITY;
    partial = result.listing.partial;
    price = Math.max(pages, Math.ceil(items.size / ITEMS_A_CALL));
    sharedBefore = shared;
    spent = shared = 0;
    for (const { tell } of wrong) tell();
    return undefined;
  }

  function start(): Promise<Failure | undefined> {
    const begun = begin();
    const ended = refresh(begun).finally(() => {
      running = undefined;
    });
    running = { begun, ended };
    return ended;
  }

  /** The list that runs if it will do, or one that begins from now on. */
  function listFor(enough: (begun: Begun) => boolean): Promise<Failure | undefined> {
    if (!running) return start();
    if (enough(running.begun)) return running.ended;
    next ??= running.ended.then(() => {
      next = undefined;
      return failing() ?? running?.ended ?? start();
    });
    return next;
  }

  async function alone(key: string, get: () => Promise<Read<T>>): Promise<Read<T>> {
    const begun = begin();
    spent++;
    const read = await get();
    if (read.state === 'failed') return read;
    vanished.delete(key);
    refused.delete(key);
    if (begun.turn > lookUp(key).begun.turn) entries.set(key, { read, begun });
    return read;
  }

  /** Somebody who asked at `askedAt` is answered so. */
  function rely(key: string, entry: Entry<T>, askedAt: number, tell: (() => void) | undefined): Read<T> {
    if (tell && entry.begun === listed && listed.at < askedAt) reliant.push({ key, entry, tell });
    return entry.read;
  }

  return {
    async read(key, maxAgeMs, get, tell) {
      const now = runtime.monotonic();
      const known = lookUp(key);
      const isAbsent = known.read.state === 'absent' && known.begun !== NEVER;
      const ageMs = isAbsent ? Math.min(maxAgeMs, absentMs) : maxAgeMs;
      const after = ageMs > 0 ? (written.get(key) ?? -1) : turns;
      const enough = ({ turn, at }: Begun): boolean => turn > after && (ageMs === 0 || at >= now - ageMs);
      const doubted = () => vanished.has(key) || refused.has(key);
      const sure = ({ read, begun }: Entry<T>) =>
        !doubted() && (read.state === 'present' || begun.turn > listed.turn || !partial);

      if (maxAgeMs > 0) shared++;
      const kept = tell === undefined || (known.begun === listed && keeperMs <= maxAgeMs);
      if (kept && enough(known.begun) && sure(known)) return rely(key, known, now, tell);
      const owed = tell !== undefined && reliant.length > 0 && !enough(listed);
      const pays = owed || spent + 1 >= price || (maxAgeMs > 0 && shared + sharedBefore > price);
      const joins = running !== undefined && enough(running.begun);
      if (now < refusedUntil || doubted() || (!joins && !pays)) return alone(key, get);
      const failed = (joins ? undefined : failing()) ?? (await listFor(enough));
      if (failed) return { state: 'failed', failure: failed };
      const found = lookUp(key);
      if (runtime.monotonic() < refusedUntil || !sure(found)) return alone(key, get);
      if (tell) keeperMs = Math.min(keeperMs, maxAgeMs);
      return rely(key, found, now, tell);
    },
    wrote(key, succeeded) {
      written.set(key, ++turns);
      if (!succeeded) refused.add(key);
    },
    size: () => entries.size,
    keysOf(is) {
      return [...entries].flatMap(([key, { read }]) => (read.state === 'present' && is(read.value) ? [key] : []));
    },
  };
}
