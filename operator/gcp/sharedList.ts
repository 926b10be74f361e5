import assert from 'node:assert';
import { isDeepStrictEqual } from 'node:util';
import type { Runtime } from '../../ports/runtime.ts';
import type { Failure, Read } from '../tenant/types.ts';

/**
 * The list of all resources of one type below one parent, shared by all readers.
 *
 * Every answer carries the turn and the time at which its call began. Calls and the operator's own writes draw their turns from
 * one counter, so turns show what began before what.
 *
 * 1. A reader asks for an answer that is at most so old. A cached one will do if it is new enough, and if its call began after
 *    the operator's last write of that resource had ended.
 * 2. Otherwise the reader waits for a list. At most one list runs. Readers for whom it began too early share the next one, which
 *    starts when it has ended.
 * 3. A list of many pages costs many calls. The first readers then read their one resource alone, until that has cost as much
 *    as a list: never more than twice the least possible, whatever comes (the ski rental problem).
 * 4. A regular reader, one with `onChanged`, takes an answer only from a list that was made for a reader who returns at least as
 *    often. That reader makes the next list, which calls `onChanged` of all whose answers have changed. So no regular
 *    reader learns of a change later than by reading alone each time.
 * 5. A list that fails for a moment answers all who need one until its backoff is over: in an outage a thousand readers make one
 *    call. A list that is refused is not asked for again for 5 min; until then each reader reads alone.
 * 6. A resource is doubted, and read alone once, if it has left the list, or if a write of it has failed.
 */
export interface SharedList<T> {
  /**
   * An answer that is at most `maxAgeMs` old. `get` reads this resource alone. `onChanged` is for a reader who reads again every
   * `2 * maxAgeMs`: it is called once, if the next list differs from an answer that was older than its question.
   */
  read(key: string, maxAgeMs: number, get: () => Promise<Read<T>>, onChanged?: () => void): Promise<Read<T>>;
  /** To be called when a write of the resource has ended: answers of calls that began before count no more. */
  wrote(key: string, succeeded: boolean): void;
  /** Keys of resources that were there when last read, however long ago. */
  keysOf(is: (value: T) => boolean): string[];
  /** How many resources are cached. */
  size(): number;
}

interface Listing<T> {
  items: Map<string, T>;
  pages: number;
  /** Something in it could not be understood or reached, so a resource may exist although it is not in the list. */
  partial: boolean;
}

/** `passes`: the list failed for now and may succeed later. */
export type Listed<T> = { ok: true; listing: Listing<T> } | { ok: false; failure: Failure; passes: boolean };

const REFUSED_MS = 300_000;
/** The backoff of a list that failed for a moment; short, because edits wait for it. */
const FAILED_MS = { base: 1_000, max: 15_000 };
/** A list of so many items takes about as long as one more call. */
const ITEMS_A_CALL = 100;

/** When a call began: its turn, and monotonic milliseconds. */
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
  /** Calls that it cost, and those that were made one by one since. */
  price: number;
  alone: number;
  /** The least `maxAgeMs` of the regular readers for whom it was made: twice that later the next list is made. */
  renewedMs: number;
  /** Regular readers whose question was newer than the list that answered it. */
  older: { key: string; answer: Answer<T>; onChanged: () => void }[];
}

const NEVER = Number.NEGATIVE_INFINITY;

function lastList<T>(begun: Begun, { partial = false, price = 1 } = {}): LastList<T> {
  return { begun, partial, price, alone: 0, renewedMs: Number.POSITIVE_INFINITY, older: [] };
}

/** `absentMs`: how long "not found" is trusted. */
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
      const given = (answer: Answer<T>): Read<T> => {
        const { begun, older } = cache.last();
        if (onChanged && answer.begun === begun && begun.at < now) older.push({ key, answer, onChanged });
        return answer.read;
      };

      const last = cache.last();
      const isRenewed = onChanged === undefined || (known.begun === last.begun && last.renewedMs <= maxAgeMs);
      if (isRenewed && isEnough(known.begun) && cache.isSure(key)) return given(known);
      const joins = lister.willDo(isEnough);
      const isAwaited = onChanged !== undefined && last.older.length > 0 && !isEnough(last.begun);
      const pays = last.alone + 1 >= last.price;
      if (lister.isRefused() || cache.isDoubted(key) || !(joins || isAwaited || pays)) return alone(key, get);
      const failure = (joins ? undefined : lister.failing()) ?? (await lister.listFor(isEnough));
      if (failure) return { state: 'failed', failure };
      if (lister.isRefused() || !cache.isSure(key)) return alone(key, get);
      if (onChanged) cache.last().renewedMs = Math.min(cache.last().renewedMs, maxAgeMs);
      return given(cache.answerTo(key));
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
  const doubted = new Map<string, number>();

  const answerTo = (key: string): Answer<T> => answers.get(key) ?? { read: { state: 'absent' }, begun: last.begun };
  const writtenAt = (key: string): number => written.get(key) ?? -1;

  /** Keeps what is newer than the list that began then. */
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
    /** False for a doubted resource, and for one that a partial list lacks. */
    isSure(key: string): boolean {
      const { read, begun } = answerTo(key);
      return !doubted.has(key) && (read.state === 'present' || begun.turn > last.begun.turn || !last.partial);
    },
    put(key: string, answer: Answer<T>): void {
      doubted.delete(key);
      if (answer.begun.turn > answerTo(key).begun.turn) answers.set(key, answer);
    },
    /** Takes over a list that succeeded, and tells the regular readers whose answers it changes. */
    replace({ items, pages, partial }: Listing<T>, begun: Begun): void {
      assert(begun.turn > last.begun.turn, 'lists end in the order in which they began');
      const before = answers;
      const told = last.older.filter(({ key, answer }) => writtenAt(key) < answer.begun.turn);
      last = lastList(begun, { partial, price: Math.max(pages, Math.ceil(items.size / ITEMS_A_CALL)) });
      answers = new Map(before);
      forgetBefore(begun);
      for (const [key, { read }] of before) {
        if (!answers.has(key) && read.state === 'present' && !items.has(key)) doubted.set(key, begun.turn);
      }
      for (const [key, value] of items) {
        if (!answers.has(key)) answers.set(key, { read: { state: 'present', value }, begun });
      }
      for (const { key, answer, onChanged } of told) {
        if (!isDeepStrictEqual(answer.read, answerTo(key).read)) onChanged();
      }
    },
    /** There is no list: only what was read alone since then is kept. */
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

/** Runs the lists, one at a time. */
function createLister<T>(runtime: Runtime, list: () => Promise<Listed<T>>, cache: ReturnType<typeof createCache<T>>) {
  /** Lists that failed in a row, and the last failure, which answers until `until`. */
  let failed: { count: number; failure: Failure; until: number } | undefined;
  let refusedUntil = NEVER;
  let running: { begun: Begun; ended: Promise<Failure | undefined> } | undefined;
  let next: Promise<Failure | undefined> | undefined;

  /** The failure of the last list, while that answers for the next one too. */
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
    /** True if the list that runs began late enough. */
    willDo: (isEnough: (begun: Begun) => boolean) => running !== undefined && isEnough(running.begun),
    /** That list, or one that begins from now on; undefined once it is in the cache. */
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
