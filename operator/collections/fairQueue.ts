/** `edit`: a user changed something. `retry`: the last attempt failed or is in progress. `resync`: the periodic check. */
export const PRIORITIES = ['edit', 'retry', 'resync'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** Two lanes, one within the other: first the outer lanes take turns, and in each of them the inner ones. */
type Lane = readonly [outer: string, inner: string];

export interface Queueable<P extends string> {
  lane: Lane;
  /** Undefined: not queued. */
  queued: P | undefined;
}

export interface FairQueue<T, P> {
  /** Queues `item`, or raises it; never lowers it. */
  push(item: T, priority: P): void;
  /**
   * The item whose turn it is among those that `allowed` admits; it stays queued. `isFirst`: its priority has the turn, so
   * that none of a higher one comes before it.
   */
  peek(allowed?: (priority: P, outer: string) => boolean): { item: T; priority: P; isFirst: boolean } | undefined;
  /** Takes the item out, and its lanes have had their turn at this cost. */
  take(item: T, cost: number): void;
  /** Takes the item out without a turn. */
  remove(item: T): void;
  /** The lanes have had a turn without having queued. */
  charge(priority: P, lane: Lane, cost: number): void;
  depth(priority: P): number;
  clear(): void;
}

/**
 * Higher priorities first, lanes in turns within one, first come first served within a lane. The last three of `priorities`
 * are for edits, retries and resyncs: two turns in sixteen are a lower one's, so that no flood of edits hides drift for ever.
 */
export function createFairQueue<T extends Queueable<P>, P extends string>(priorities: readonly P[]): FairQueue<T, P> {
  const tiers = new Map(priorities.map(priority => [priority, createTier<T>()]));
  const orders = ordersOf(priorities);
  const rank = (priority: P) => priorities.indexOf(priority);
  let turn = 0;

  function remove(item: T): void {
    if (item.queued !== undefined) tiers.get(item.queued)?.remove(item);
    item.queued = undefined;
  }

  return {
    push(item, priority) {
      if (item.queued !== undefined && rank(item.queued) <= rank(priority)) return;
      remove(item);
      item.queued = priority;
      tiers.get(priority)?.push(item);
    },
    peek(allowed = () => true) {
      const order = orders[turn % orders.length] ?? priorities;
      for (const priority of order) {
        const item = tiers.get(priority)?.peek(outer => allowed(priority, outer));
        if (item) return { item, priority, isFirst: order.indexOf(priority) <= priorities.length - 3 };
      }
      return undefined;
    },
    take(item, cost) {
      turn++;
      if (item.queued !== undefined) tiers.get(item.queued)?.charge(item.lane, cost);
      remove(item);
    },
    remove,
    charge: (priority, lane, cost) => tiers.get(priority)?.charge(lane, cost),
    depth: priority => tiers.get(priority)?.depth() ?? 0,
    clear() {
      for (const tier of tiers.values()) for (const item of tier.clear()) item.queued = undefined;
    },
  };
}

/** Of sixteen turns, one begins with the last but one priority and one with the last; what is urgent always comes first. */
function ordersOf<P>(priorities: readonly P[]): (readonly P[])[] {
  const urgent = priorities.slice(0, -3);
  const [edit, retry, resync] = priorities.slice(-3) as [P, P, P];
  return Array.from({ length: 16 }, (_, turn) => {
    if (turn === 7) return [...urgent, retry, edit, resync];
    if (turn === 15) return [...urgent, resync, edit, retry];
    return priorities;
  });
}

/** The items of one priority: outer lanes of inner lanes of items. */
function createTier<T extends { lane: Lane }>() {
  let outer = createLanes(() => createLanes(() => new Set<T>()));
  let depth = 0;

  function itemsOf({ lane }: T, change: -1 | 0 | 1): Set<T> {
    return outer.lane(lane[0], change).lane(lane[1], change);
  }

  return {
    push(item: T): void {
      depth++;
      itemsOf(item, 1).add(item);
    },
    peek: (isOpen: (outer: string) => boolean): T | undefined =>
      depth === 0 ? undefined : outer.next(isOpen)?.next()?.values().next().value,
    remove(item: T): void {
      if (!itemsOf(item, 0).delete(item)) return;
      itemsOf(item, -1);
      depth--;
    },
    charge(lane: Lane, cost: number): void {
      outer.lane(lane[0], 0).charge(lane[1], cost);
      outer.charge(lane[0], cost);
    },
    depth: () => depth,
    clear(): T[] {
      const all = outer.all().flatMap(inner => inner.all().flatMap(items => [...items]));
      outer = createLanes(() => createLanes(() => new Set<T>()));
      depth = 0;
      return all;
    },
  };
}

/** Lanes without items and without debt are dropped whenever a new one would be the next of so many. */
const PURGED_EVERY = 256;

/**
 * Lanes that take turns by what they have used: the next turn is that of the lane whose use began at the earliest virtual
 * time, and its cost moves the lane on (start-time fair queueing, Goyal et al. 1996). A lane that was empty begins where the
 * others are, so that nothing is saved up; a lane that has just used much comes after them also if it was empty meanwhile.
 */
function createLanes<L>(make: () => L) {
  const lanes = new Map<string, { turn: number; size: number; value: L }>();
  let now = 0;
  let items = 0;

  function purge(): void {
    for (const [name, { size, turn }] of lanes) if (size === 0 && turn <= now) lanes.delete(name);
  }

  /** Nobody waits any more: only the last use counts against a lane. */
  function rest(last: string): void {
    if (items > 0) return;
    for (const name of lanes.keys()) if (name !== last) lanes.delete(name);
  }

  function laneOf(name: string) {
    let lane = lanes.get(name);
    if (!lane) {
      if (lanes.size % PURGED_EVERY === PURGED_EVERY - 1) purge();
      lane = { turn: now, size: 0, value: make() };
      lanes.set(name, lane);
    }
    return lane;
  }

  return {
    /** The lane of that name, whose number of items changes by `change`. */
    lane(name: string, change: -1 | 0 | 1): L {
      const lane = laneOf(name);
      if (lane.size === 0 && change > 0) lane.turn = Math.max(lane.turn, now);
      lane.size += change;
      items += change;
      if (change < 0) rest(name);
      return lane.value;
    },
    /** Of those that are open and have items, the lane whose turn it is. */
    next(isOpen: (name: string) => boolean = () => true): L | undefined {
      let best: { turn: number; value: L } | undefined;
      for (const [name, lane] of lanes) {
        if (lane.size === 0 || !isOpen(name)) continue;
        if (lane.turn <= now) return lane.value;
        if (!best || lane.turn < best.turn) best = lane;
      }
      return best?.value;
    },
    charge(name: string, cost: number): void {
      const lane = laneOf(name);
      // While nobody waits, time goes on with whoever uses it.
      if (lane.size > 0 || items === 0) now = Math.max(now, lane.turn);
      lane.turn = Math.max(lane.turn, now) + cost;
      // To the end, so that lanes of one turn come in the order in which they had their last.
      lanes.delete(name);
      lanes.set(name, lane);
      rest(name);
    },
    all: (): L[] => [...lanes.values()].map(({ value }) => value),
  };
}
