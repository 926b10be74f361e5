import type { Runtime } from '../../../ports/runtime.ts';
import type { Target } from '../resources/resource.ts';
import type { Store } from '../store.ts';
import { type ListOptions, list } from './list.ts';
import { type OpenWatch, type WatchOptions, type WatchSink, watch } from './watch.ts';

export type Reads = ReturnType<typeof createReads>;

/** `list` and `watch` over the store. `watchDelayMs`: milliseconds between a write and its watch event, asked for each batch. */
export function createReads(store: Store, runtime: Runtime, watchDelayMs: () => number) {
  const watches = new Set<OpenWatch>();
  return {
    list: (target: Target, options: ListOptions) => list(store, target, options),
    watch: (target: Target, options: WatchOptions, sink: WatchSink) =>
      watch({ store, runtime, watchDelayMs, watches }, target, options, sink),
    watches: () => [...watches],
  };
}
