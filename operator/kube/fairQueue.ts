/** What a person waits for; what failed or is under way; what is only looked at because its time has come. */
export const PRIORITIES = ['edit', 'retry', 'resync'] as const;
export type Priority = (typeof PRIORITIES)[number];

export interface Queueable {
  /** Who takes turns: all of one lane's items together get as many as all of another's. */
  lane: string;
  /** Undefined: not queued. */
  queued: Priority | undefined;
}

export interface FairQueue<T extends Queueable> {
  /** Queues `item`, or raises it; never lowers it. */
  push(item: T, priority: Priority): void;
  /** The next one of the priorities that `allowed` admits. */
  pop(allowed: (priority: Priority) => boolean): { item: T; priority: Priority } | undefined;
  depth(priority: Priority): number;
  clear(): void;
}

/** Whose turn comes first: two in sixteen are a lower priority's, so that no flood of edits hides drift for ever. */
const ORDERS: readonly (readonly Priority[])[] = Array.from({ length: 16 }, (_, turn) => {
  if (turn === 7) return ['retry', 'edit', 'resync'];
  if (turn === 15) return ['resync', 'edit', 'retry'];
  return PRIORITIES;
});

/** Higher priorities first, lanes in turns within one, first come first served within a lane; all of it O(1). */
export function createFairQueue<T extends Queueable>(): FairQueue<T> {
  const tiers = { edit: createTier<T>('edit'), retry: createTier<T>('retry'), resync: createTier<T>('resync') };
  let turn = 0;

  return {
    push(item, priority) {
      if (item.queued !== undefined) {
        if (PRIORITIES.indexOf(item.queued) <= PRIORITIES.indexOf(priority)) return;
        tiers[item.queued].abandon();
      }
      item.queued = priority;
      tiers[priority].push(item);
    },
    pop(allowed) {
      for (const priority of ORDERS[turn % ORDERS.length] ?? PRIORITIES) {
        const item = allowed(priority) ? tiers[priority].shift() : undefined;
        if (!item) continue;
        turn++;
        item.queued = undefined;
        return { item, priority };
      }
      return undefined;
    },
    depth: priority => tiers[priority].depth,
    clear() {
      for (const priority of PRIORITIES) {
        for (let item = tiers[priority].shift(); item; item = tiers[priority].shift()) item.queued = undefined;
      }
    },
  };
}

interface Tier<T> {
  push(item: T): void;
  /** One of the items is no longer of this priority. Its place stays, to be skipped when its turn comes. */
  abandon(): void;
  shift(): T | undefined;
  readonly depth: number;
}

function createTier<T extends Queueable>(priority: Priority): Tier<T> {
  const lanes = new Map<string, Fifo<T>>();
  const turns = createFifo<string>();
  let depth = 0;
  return {
    push(item) {
      depth++;
      const lane = lanes.get(item.lane);
      if (lane) return lane.push(item);
      const fresh = createFifo<T>();
      fresh.push(item);
      lanes.set(item.lane, fresh);
      turns.push(item.lane);
    },
    abandon() {
      depth--;
    },
    shift() {
      for (let name = turns.shift(); name !== undefined; name = turns.shift()) {
        const lane = lanes.get(name);
        let item = lane?.shift();
        while (item && item.queued !== priority) item = lane?.shift();
        if (lane && lane.size > 0) turns.push(name);
        else lanes.delete(name);
        if (item) {
          depth--;
          return item;
        }
      }
      return undefined;
    },
    get depth() {
      return depth;
    },
  };
}

interface Fifo<T> {
  push(item: T): void;
  shift(): T | undefined;
  readonly size: number;
}

/** An array's own shift moves all the others. */
function createFifo<T>(): Fifo<T> {
  let items: (T | undefined)[] = [];
  let head = 0;
  return {
    push(item) {
      items.push(item);
    },
    shift() {
      if (head === items.length) return undefined;
      const item = items[head];
      items[head++] = undefined;
      if (head > 64 && head * 2 > items.length) {
        items = items.slice(head);
        head = 0;
      }
      return item;
    },
    get size() {
      return items.length - head;
    },
  };
}
