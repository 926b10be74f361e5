import assert from 'node:assert';
import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../ports/runtime.ts';
import type { Failure, Read } from '../tenant/types.ts';

/**
 * The list of all resources of one type in one parent, shared by all readers. A reader is one reconcile that reads one resource.
 *
 * Each answer carries the turn and the time at which its call began. A turn is a number from one counter; the beginning of each call
 * and the end of each of the operator's own writes take the next number. So turns show which of two events came first.
 *
 * 1. A reader names the greatest age of the answer (`maxAgeMs`). A cached answer is used if it is not older, and if its call began
 *    after the operator's last write of that resource had ended.
 * 2. Otherwise the reader waits for a list. At most one list runs at a time. Readers for whom the running list began too early
 *    share the next list, which starts when the running one has ended.
 * 3. A list of many pages costs many calls. So readers first read their resource alone, with one GET, until these GETs have cost as
 *    many calls as a list. The total is then never more than twice the smallest possible number of calls, however many readers
 *    follow (the ski rental problem).
 * 4. A regular reader is one that passes `onChanged`. It takes a cached answer only from a list that was made for a reader with the same
 *    or a shorter interval. That other reader causes the next list, and the next list calls `onChanged` of all regular readers
 *    whose answers have changed. So a regular reader learns of a change at least as early as if it read alone each time.
 * 5. If a list fails temporarily, its failure is the answer to all readers that need a list until its backoff is over. So in an outage
 *    a thousand readers make one call. If a list is refused, it is not requested again for 5 min, and each reader reads alone.
 * 6. A resource is doubted if it has disappeared from the list, or if a write of it has failed. It is then read alone once.
 */
export interface SharedList<T> {
  /**
   * Answers with the resource `key`, at most `maxAgeMs` old. `get` reads this resource alone. `onChanged` is for a reader that reads
   * again every `2 * maxAgeMs`. It is called once, if this answer came from the cache and the next list differs from it.
   */
  read(key: string, maxAgeMs: number, get: () => Promise<Read<T>>, onChanged?: () => void): Promise<Read<T>>;
  /** To be called when a write of the resource has ended. Answers of calls that began before are then no longer used. */
  wrote(key: string, succeeded: boolean): void;
  /** The keys of cached resources that exist and for which `is` is true, however old the answers are. */
  keysOf(is: (value: T) => boolean): string[];
  /** How many resources are cached. */
  size(): number;
}

interface Listing<T> {
  items: Map<string, T>;
  pages: number;
  /** True if an item could not be parsed or a region could not be reached: a resource may then exist although the list lacks it. */
  partial: boolean;
}

/** `passes`: the failure is temporary, so the list may succeed soon. */
export type Listed<T> = { ok: true; listing: Listing<T> } | { ok: false; failure: Failure; passes: boolean };

/** How long a refused list is not requested again. */
const REFUSED_MS = 300_000;
/** The backoff after a temporary failure of the list. It is short, because edits wait for it. */
const FAILED_MS = { base: 1_000, max: 15_000 };
/** Each hundred items of a list are counted as one call, because they take about as long. */
const ITEMS_A_CALL = 100;

/** When a call began: its turn, and the time in monotonic milliseconds. */
interface Begun {
  turn: number;
  at: number;
}

interface Answer<T> {
  read: Read<T>;
  begun: Begun;
}

interface LastList<T> {
  begun: Begun;
  partial: boolean;
  /** How many calls this list cost. */
  price: number;
  /** How many resources were read alone since this list. */
  alone: number;
  /** The smallest `maxAgeMs` of the regular readers for which this list was made. The next list follows after twice that time. */
  renewedMs: number;
  /** Regular readers that got an answer from this list later than it began. The next list calls `onChanged` of those it contradicts. */
  older: { key: string; answer: Answer<T>; onChanged: () => void }[];
}

const NEVER = Number.NEGATIVE_INFINITY;

function lastList<T>(begun: Begun, { partial = false, price = 1 } = {}): LastList<T> {
  return { begun, partial, price, alone: 0, renewedMs: Number.POSITIVE_INFINITY, older: [] };
}

/** `list` makes the list. `absentMs`: how long "not found" is trusted, milliseconds. */
export function createSharedList<T>(runtime: Runtime, list: () => Promise<Listed<T>>, absentMs: number): SharedList<T> {
  const cache = createCache<T>(runtime);
  const lister = createLister(runtime, list, cache);

  async function alone(key: string, get: () => Promise<Read<T>>): Promise<Read<T>> {
    const begun = cache.begin();
    cache.last().alone++;
    const read = await get();
    if (read.state !== 'failed') cache.put(key, { read, begun });
    return read;
  }

  return {
    async read(key, maxAgeMs, get, onChanged) {
      const now = runtime.monotonic();
      const known = cache.answerTo(key);
      const isAbsent = known.read.state === 'absent' && known.begun.at !== NEVER;
      const ageMs = isAbsent ? Math.min(maxAgeMs, absentMs) : maxAgeMs;
      const after = ageMs > 0 ? cache.writtenAt(key) : cache.turn();
      const isEnough = ({ turn, at }: Begun): boolean => turn > after && (ageMs === 0 || at >= now - ageMs);
      const answered = (answer: Answer<T>): Read<T> => {
        const { begun, older } = cache.last();
        if (onChanged && answer.begun === begun && begun.at < now) older.push({ key, answer, onChanged });
        return answer.read;
      };

      const last = cache.last();
      const isRenewed = onChanged === undefined || (known.begun === last.begun && last.renewedMs <= maxAgeMs);
      if (isRenewed && isEnough(known.begun) && cache.isSure(key)) return answered(known);
      const joins = lister.isRunningFor(isEnough);
      const isAwaited = onChanged !== undefined && last.older.length > 0 && !isEnough(last.begun);
      const pays = last.alone + 1 >= last.price;
      if (lister.isRefused() || cache.isDoubted(key) || !(joins || isAwaited || pays)) return alone(key, get);
      const failure = (joins ? undefined : lister.failing()) ?? (await lister.listFor(isEnough));
      if (failure) return { state: 'failed', failure };
      if (lister.isRefused() || !cache.isSure(key)) return alone(key, get);
      if (onChanged) cache.last().renewedMs = Math.min(cache.last().renewedMs, maxAgeMs);
      return answered(cache.answerTo(key));
    },
    wrote: cache.wrote,
    size: cache.size,
    keysOf: cache.keysOf,
  };
}

/** The answers by key, and what is known about their age. */
function createCache<T>(runtime: Runtime) {
  let answers = new Map<string, Answer<T>>();
  let last = lastList<T>({ turn: -1, at: NEVER });
  let turns = 0;
  /** The turn at which the operator's last write of a resource ended. */
  const written = new Map<string, number>();
  /** By key: the turn since which a resource is doubted. */
  const doubted = new Map<string, number>();

  const answerTo = (key: string): Answer<T> => answers.get(key) ?? { read: { state: 'absent' }, begun: last.begun };
  const writtenAt = (key: string): number => written.get(key) ?? -1;

  /** Drops the answers and marks that are older than a list that began at this turn. */
  function forgetBefore({ turn }: Begun): void {
    for (const [key, { begun }] of answers) if (begun.turn < turn) answers.delete(key);
    for (const map of [written, doubted]) for (const [key, at] of map) if (at < turn) map.delete(key);
  }

  return {
    begin: (): Begun => ({ turn: ++turns, at: runtime.monotonic() }),
    turn: () => turns,
    last: () => last,
    answerTo,
    writtenAt,
    isDoubted: (key: string) => doubted.has(key),
    /** False for a doubted resource, and for one that is missing only from a partial list. */
    isSure(key: string): boolean {
      const { read, begun } = answerTo(key);
      return !doubted.has(key) && (read.state === 'present' || begun.turn > last.begun.turn || !last.partial);
    },
    put(key: string, answer: Answer<T>): void {
      doubted.delete(key);
      if (answer.begun.turn > answerTo(key).begun.turn) answers.set(key, answer);
    },
    /** Replaces the answers by those of a list that succeeded, and calls `onChanged` of the regular readers whose answers it changes. */
    replace({ items, pages, partial }: Listing<T>, begun: Begun): void {
      assert(begun.turn > last.begun.turn, 'lists end in the order in which they began');
      const before = answers;
      const readers = last.older.filter(({ key, answer }) => writtenAt(key) < answer.begun.turn);
      last = lastList(begun, { partial, price: Math.max(pages, Math.ceil(items.size / ITEMS_A_CALL)) });
      answers = new Map(before);
      forgetBefore(begun);
      for (const [key, { read }] of before) {
        if (!answers.has(key) && read.state === 'present' && !items.has(key)) doubted.set(key, begun.turn);
      }
      for (const [key, value] of items) {
        if (!answers.has(key)) answers.set(key, { read: { state: 'present', value }, begun });
      }
      for (const { key, answer, onChanged } of readers) {
        if (!isDeepStrictEqual(answer.read, answerTo(key).read)) onChanged();
      }
    },
    /** After a refused list: keeps only the answers that were read alone after it began. */
    withoutList(begun: Begun): void {
      forgetBefore(begun);
      last = lastList({ turn: begun.turn, at: NEVER });
    },
    wrote(key: string, succeeded: boolean): void {
      written.set(key, ++turns);
      if (!succeeded) doubted.set(key, turns);
    },
    size: () => answers.size,
    keysOf: (is: (value: T) => boolean): string[] =>
      [...answers].flatMap(([key, { read }]) => (read.state === 'present' && is(read.value) ? [key] : [])),
  };
}

/** Makes the lists, one at a time. */
function createLister<T>(runtime: Runtime, list: () => Promise<Listed<T>>, cache: ReturnType<typeof createCache<T>>) {
  /** The number of temporary failures in a row, and the last failure, which is the answer until `until` (monotonic milliseconds). */
  let failed: { count: number; failure: Failure; until: number } | undefined;
  let refusedUntil = NEVER;
  let running: { begun: Begun; ended: Promise<Failure | undefined> } | undefined;
  let next: Promise<Failure | undefined> | undefined;

  /** The failure of the last list while its backoff lasts; undefined otherwise. */
  const failing = () => (failed && runtime.monotonic() < failed.until ? failed.failure : undefined);

  async function refresh(begun: Begun): Promise<Failure | undefined> {
    const result = await list();
    if (result.ok) {
      failed = undefined;
      cache.replace(result.listing, begun);
      return undefined;
    }
    if (!result.passes) {
      refusedUntil = runtime.monotonic() + REFUSED_MS;
      cache.withoutList(begun);
      return undefined;
    }
    const count = (failed?.count ?? 0) + 1;
    const until = runtime.monotonic() + Math.min(FAILED_MS.max, FAILED_MS.base * 2 ** (count - 1));
    failed = { count, failure: result.failure, until };
    return result.failure;
  }

  function start(): Promise<Failure | undefined> {
    assert(!running, 'at most one list runs');
    const begun = cache.begin();
    const ended = refresh(begun).finally(() => {
      running = undefined;
    });
    running = { begun, ended };
    return ended;
  }

  return {
    failing,
    isRefused: () => runtime.monotonic() < refusedUntil,
    /** True if a list is running that began late enough for the reader. */
    isRunningFor: (isEnough: (begun: Begun) => boolean) => running !== undefined && isEnough(running.begun),
    /** Waits for that list, or else for one that begins after this call. Resolves to its failure, or to undefined once it is in the cache. */
    listFor(isEnough: (begun: Begun) => boolean): Promise<Failure | undefined> {
      if (!running) return start();
      if (isEnough(running.begun)) return running.ended;
      next ??= running.ended.then(() => {
        next = undefined;
        return failing() ?? running?.ended ?? start();
      });
      return next;
    },
  };
}
