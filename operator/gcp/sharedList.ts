import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../ports/runtime.ts';
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
   * An answer that is at most `maxAgeMs` old; `get` reads this one alone. `onChanged`: of a reader who reads again every
   * `2 * maxAgeMs`. It is called once, if the next list differs from an answer that was older than its question.
   */
  read(key: string, maxAgeMs: number, get: () => Promise<Read<T>>, onChanged?: () => void): Promise<Read<T>>;
  /** A call of ours that may have changed it has ended: answers of calls begun before that no longer count. */
  wrote(key: string, succeeded: boolean): void;
  /** Keys of what was there when last read, however long ago. */
  keysOf(is: (value: T) => boolean): string[];
  /** How much was there when last read. */
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

interface Answer<T> {
  read: Read<T>;
  begun: Begun;
}

/** The last list that succeeded, and what has become of it. */
interface LastList<T> {
  begun: Begun;
  partial: boolean;
  /** Calls that it cost, and those that were made one by one since. */
  price: number;
  alone: number;
  /** The least `maxAgeMs` of the regular readers for whom it was made: twice that later the next list is made. */
  renewedMs: number;
  /** Regular readers whose question was newer than the list that answered it. */
  older: { key: string; answer: Answer<T>; onChanged: () => void }[];
}

const NO_LIST = { partial: false, price: 1, alone: 0, renewedMs: Number.POSITIVE_INFINITY };
const NEVER = Number.NEGATIVE_INFINITY;

/**
 * Readers who need something newer than is known wait for one list that all share: at most one runs, and one more waits for
 * it to end. Where a list costs many calls, the first few readers read alone until that has cost as much as a list: never
 * more than twice the least, whatever comes (the ski rental problem).
 *
 * No regular reader learns of a change later than by reading alone each time: it takes an answer only from a list that was
 * made for a reader who returns at least as often; that one makes the next list, which tells all whose answers have changed.
 * A list that failed for a moment answers all who need one until its backoff is over: in an outage a thousand readers ask
 * once. `absentMs`: for how long it is believed that something is not there.
 */
export function createSharedList<T>(runtime: Runtime, list: () => Promise<Listed<T>>, absentMs: number): SharedList<T> {
  let answers = new Map<string, Answer<T>>();
  let last: LastList<T> = { ...NO_LIST, begun: { turn: -1, at: NEVER }, older: [] };
  /** Lists that failed in a row, and the last failure, which answers until `until`. */
  let failed: { count: number; failure: Failure; until: number } | undefined;
  let refusedUntil = NEVER;
  let turns = 0;
  /** The turn at which a call of ours that may have changed it ended. */
  const written = new Map<string, number>();
  /** What the last list lacks and the one before had, and what a write of ours was refused for: its own GET decides. */
  const doubted = new Map<string, number>();
  let running: { begun: Begun; ended: Promise<Failure | undefined> } | undefined;
  let next: Promise<Failure | undefined> | undefined;

  const begin = (): Begun => ({ turn: ++turns, at: runtime.monotonic() });
  const answerTo = (key: string): Answer<T> => answers.get(key) ?? { read: { state: 'absent' }, begun: last.begun };
  /** What the last list failed with, while that answers for the next one, too. */
  const failing = () => (failed && runtime.monotonic() < failed.until ? failed.failure : undefined);

  /** Only what is newer than the list that began then is kept. */
  function forgetBefore({ turn }: Begun): void {
    for (const [key, { begun }] of answers) if (begun.turn < turn) answers.delete(key);
    for (const map of [written, doubted]) for (const [key, at] of map) if (at < turn) map.delete(key);
  }

  async function refresh(begun: Begun): Promise<Failure | undefined> {
    const result = await list();
    if (!result.ok && result.passes) {
      const count = (failed?.count ?? 0) + 1;
      const until = runtime.monotonic() + Math.min(FAILED_MS.max, FAILED_MS.base * 2 ** (count - 1));
      failed = { count, failure: result.failure, until };
      return result.failure;
    }
    if (!result.ok) {
      refusedUntil = runtime.monotonic() + REFUSED_MS;
      forgetBefore(begun);
      last = { ...NO_LIST, begun: { turn: begun.turn, at: NEVER }, older: [] };
      return undefined;
    }
    failed = undefined;
    const { items, pages, partial } = result.listing;
    const before = answers;
    const { older } = last;
    const price = Math.max(pages, Math.ceil(items.size / ITEMS_A_CALL));
    last = { ...NO_LIST, begun, partial, price, older: [] };
    const changed = older.filter(({ key, answer }) => (written.get(key) ?? -1) < answer.begun.turn);
    answers = new Map(before);
    forgetBefore(begun);
    for (const [key, { read }] of before) {
      if (!answers.has(key) && read.state === 'present' && !items.has(key)) doubted.set(key, begun.turn);
    }
    for (const [key, value] of items) {
      if (!answers.has(key)) answers.set(key, { read: { state: 'present', value }, begun });
    }
    for (const { key, answer, onChanged } of changed) {
      if (!isDeepStrictEqual(answer.read, answerTo(key).read)) onChanged();
    }
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
  function listFor(isEnough: (begun: Begun) => boolean): Promise<Failure | undefined> {
    if (!running) return start();
    if (isEnough(running.begun)) return running.ended;
    next ??= running.ended.then(() => {
      next = undefined;
      return failing() ?? running?.ended ?? start();
    });
    return next;
  }

  async function alone(key: string, get: () => Promise<Read<T>>): Promise<Read<T>> {
    const begun = begin();
    last.alone++;
    const read = await get();
    if (read.state === 'failed') return read;
    doubted.delete(key);
    if (begun.turn > answerTo(key).begun.turn) answers.set(key, { read, begun });
    return read;
  }

  return {
    async read(key, maxAgeMs, get, onChanged) {
      const now = runtime.monotonic();
      const known = answerTo(key);
      const isAbsent = known.read.state === 'absent' && known.begun.at !== NEVER;
      const ageMs = isAbsent ? Math.min(maxAgeMs, absentMs) : maxAgeMs;
      const after = ageMs > 0 ? (written.get(key) ?? -1) : turns;
      const isEnough = ({ turn, at }: Begun): boolean => turn > after && (ageMs === 0 || at >= now - ageMs);
      const isSure = ({ read, begun }: Answer<T>) =>
        !doubted.has(key) && (read.state === 'present' || begun.turn > last.begun.turn || !last.partial);
      const given = (answer: Answer<T>): Read<T> => {
        if (onChanged && answer.begun === last.begun && answer.begun.at < now)
          last.older.push({ key, answer, onChanged });
        return answer.read;
      };

      const isRenewed = onChanged === undefined || (known.begun === last.begun && last.renewedMs <= maxAgeMs);
      if (isRenewed && isEnough(known.begun) && isSure(known)) return given(known);
      const joins = running !== undefined && isEnough(running.begun);
      const isAwaited = onChanged !== undefined && last.older.length > 0 && !isEnough(last.begun);
      const pays = last.alone + 1 >= last.price;
      if (now < refusedUntil || doubted.has(key) || !(joins || isAwaited || pays)) return alone(key, get);
      const failure = (joins ? undefined : failing()) ?? (await listFor(isEnough));
      if (failure) return { state: 'failed', failure };
      const found = answerTo(key);
      if (runtime.monotonic() < refusedUntil || !isSure(found)) return alone(key, get);
      if (onChanged) last.renewedMs = Math.min(last.renewedMs, maxAgeMs);
      return given(found);
    },
    wrote(key, succeeded) {
      written.set(key, ++turns);
      if (!succeeded) doubted.set(key, turns);
    },
    size: () => answers.size,
    keysOf(is) {
      return [...answers].flatMap(([key, { read }]) => (read.state === 'present' && is(read.value) ? [key] : []));
    },
  };
}
