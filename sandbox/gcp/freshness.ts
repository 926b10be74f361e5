import type { Runtime } from '../../ports/runtime.ts';

export type Sight = 'visible' | 'missing' | 'denied';

/**
 * How a new object looks to one read after another: creation is eventually consistent, so until `visibleMs()` milliseconds have
 * passed it is absent and there in turns, as replicas that lag make it. Every second absence of a service account reads
 * as a denial; who has no such answer takes `denied` for `missing`.
 */
export function freshness(runtime: Runtime, visibleMs: () => number): () => Sight {
  const created = runtime.monotonic();
  const turns: Sight[] = ['missing', 'visible', 'denied', 'visible'];
  let turn = 0;
  let settled = false;
  return () => {
    settled ||= runtime.monotonic() - created >= visibleMs();
    return settled ? 'visible' : (turns[turn++ % turns.length] ?? 'visible');
  };
}
