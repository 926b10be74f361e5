import assert from 'node:assert';
import type { Runtime } from '../../ports/runtime.ts';

/** An item with a timer. The heap sets both fields; `slot` is -1 while the item has no timer. */
export interface Timed {
  /** Monotonic milliseconds. */
  at: number;
  slot: number;
}

export interface TimerHeap<T extends Timed> {
  /** Sets the item's timer, or moves it to another time (monotonic milliseconds). */
  set(item: T, at: number): void;
  remove(item: T): void;
  clear(): void;
  readonly size: number;
}

/**
 * Runs any number of timers with one timer of the runtime. The items are in a binary heap in an array: the parent of slot n is in slot (n - 1) / 2 and is
 * never due later, so slot 0 is due next, and the runtime's timer is set to its time. Each change takes O(log n). `onDue` gets
 * the items in the order of their times.
 */
export function createTimerHeap<T extends Timed>(runtime: Runtime, onDue: (item: T) => void): TimerHeap<T> {
  const heap: T[] = [];
  /** The runtime's timer. */
  let armed: { at: number; cancel: () => void } | undefined;

  function remove(item: T) {
    const { slot } = item;
    if (slot < 0) return;
    assert(heap[slot] === item, 'an item of another timer heap, or one that was set twice');
    item.slot = -1;
    const last = heap.pop();
    if (!last || last === item) return;
    place(heap, last, slot);
    sink(heap, last);
    rise(heap, last);
  }

  function arm() {
    const first = heap[0];
    if (armed && armed.at === first?.at) return;
    armed?.cancel();
    armed = undefined;
    // A Node.js timer waits for at most 2 ** 31 - 1 ms. If that is too early, the timer is set again.
    if (first) {
      const ms = Math.min(Math.max(Math.ceil(first.at - runtime.monotonic()), 0), 2 ** 31 - 1);
      armed = { at: first.at, cancel: runtime.after(ms, fire) };
    }
  }

  function fire() {
    armed = undefined;
    const now = runtime.monotonic();
    for (let first = heap[0]; first && first.at <= now; first = heap[0]) {
      remove(first);
      onDue(first);
    }
    arm();
  }

  return {
    set(item, at) {
      assert(!Number.isNaN(at), 'a timer without a time');
      item.at = at;
      if (item.slot < 0) place(heap, item, heap.length);
      sink(heap, item);
      rise(heap, item);
      arm();
    },
    remove(item) {
      remove(item);
      arm();
    },
    clear() {
      while (heap[0]) remove(heap[0]);
      arm();
    },
    get size() {
      return heap.length;
    },
  };
}

function place<T extends Timed>(heap: T[], item: T, slot: number): void {
  heap[slot] = item;
  item.slot = slot;
}

/** Moves an item up while its parent is due later. */
function rise<T extends Timed>(heap: T[], item: T): void {
  let slot = item.slot;
  while (slot > 0) {
    const parent = (slot - 1) >> 1;
    const above = heap[parent];
    if (!above || above.at <= item.at) break;
    place(heap, above, slot);
    slot = parent;
  }
  place(heap, item, slot);
}

/** Moves an item down while a child is due earlier. */
function sink<T extends Timed>(heap: T[], item: T): void {
  let slot = item.slot;
  for (;;) {
    const left = heap[2 * slot + 1];
    const right = heap[2 * slot + 2];
    const child = left && right && right.at < left.at ? right : left;
    if (!child || child.at >= item.at) break;
    const below = child.slot;
    place(heap, child, slot);
    slot = below;
  }
  place(heap, item, slot);
}
