import assert from 'node:assert';

/** `edit`: a user changed something. `retry`: the last attempt failed or is in progress. `resync`: the periodic check. */
export const PRIORITIES = ['edit', 'retry', 'resync'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** The name of an outer lane and of an inner lane within it. The outer lanes take turns, and within each one its inner lanes. */
export type Lane = readonly [outer: string, inner: string];

export interface Queueable<P extends string> {
  lane: Lane;
  /** Undefined: not queued. */
  queued: P | undefined;
}

export interface FairQueue<T, P> {
  /** Queues `item`. If it is queued already, its priority is raised to `priority`, but never lowered. */
  push(item: T, priority: P): void;
  /**
   * The next item among those that `allowed` admits; it stays queued. `isFirst`: no other priority comes before the item's priority in
   * this turn, so the item need not leave a reserve for another one.
   */
  peek(allowed?: (priority: P, outer: string) => boolean): { item: T; priority: P; isFirst: boolean } | undefined;
  /** Removes the item from the queue and charges `cost` to its lanes, which ends their turn. */
  take(item: T, cost: number): void;
  /** Removes the item from the queue without charging its lanes. */
  remove(item: T): void;
  /** Charges `cost` to lanes that used something without being queued. */
  charge(priority: P, lane: Lane, cost: number): void;
  depth(priority: P): number;
  clear(): void;
}

/**
 * A queue in which higher priorities come first, the lanes within a priority take turns, and the items within a lane are served in the
 * order in which they were queued. The last three of `priorities` are for edits, retries and resyncs. Of sixteen turns, one begins with
 * retries and one with resyncs, so that drift is corrected even while edits never cease.
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

/** The orders of priorities for sixteen turns. Priorities before the last three are urgent and come first in every turn. */
function ordersOf<P>(priorities: readonly P[]): (readonly P[])[] {
  const urgent = priorities.slice(0, -3);
  const [edit, retry, resync] = priorities.slice(-3) as [P, P, P];
  return Array.from({ length: 16 }, (_, turn) => {
    if (turn === 7) return [...urgent, retry, edit, resync];
    if (turn === 15) return [...urgent, resync, edit, retry];
    return priorities;
  });
}

/** The items of one priority: outer lanes hold inner lanes, and inner lanes hold items. */
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

/** Each time the number of lanes reaches a multiple of this, empty lanes whose use is paid off (`turn <= now`) are dropped. */
const PURGED_EVERY = 256;

/**
 * Lanes that take turns according to their use (start-time fair queueing, Goyal et al. 1996). Each lane has a virtual time, `turn`; the
 * lane with the earliest one is next, and the cost of its use is added to it. A lane that was empty starts at the current virtual time,
 * so that it cannot save up turns. A lane that has just used much keeps its later time, even if it was empty in between.
 */
function createLanes<L>(make: () => L) {
  const lanes = new Map<string, { turn: number; size: number; value: L }>();
  /** The current virtual time: the greatest `turn` that a charged lane had before its charge. */
  let now = 0;
  /** The number of items in all lanes. */
  let items = 0;

  function purge(): void {
    for (const [name, { size, turn }] of lanes) if (size === 0 && turn <= now) lanes.delete(name);
  }

  /** When no lane has items, all lanes are dropped except the last one used: only its use still counts. */
  function dropIdle(last: string): void {
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
    /** Answers with the lane of that name, and changes its number of items by `change`. */
    lane(name: string, change: -1 | 0 | 1): L {
      const lane = laneOf(name);
      if (lane.size === 0 && change > 0) lane.turn = Math.max(lane.turn, now);
      lane.size += change;
      assert(lane.size >= 0, `lane ${name} has fewer items than none`);
      items += change;
      if (change < 0) dropIdle(name);
      return lane.value;
    },
    /** The next lane among those that `isOpen` admits and that have items. */
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
      // The virtual time advances to that of the charged lane. An empty lane does not advance it while others wait: it had no turn.
      if (lane.size > 0 || items === 0) now = Math.max(now, lane.turn);
      lane.turn = Math.max(lane.turn, now) + cost;
      // The lane moves to the end of the map, so that lanes with equal times are served in the order of their last turns.
      lanes.delete(name);
      lanes.set(name, lane);
      dropIdle(name);
    },
    all: (): L[] => [...lanes.values()].map(({ value }) => value),
  };
}
