import type { Runtime } from '../../ports/runtime.ts';

export type Sight = 'visible' | 'missing' | 'denied';

/**
 * Returns a function that says what the next read of a new object finds. Creation is eventually consistent: until `visibleMs()`
 * milliseconds have passed, reads alternate between absent and visible, as they do with replicas that lag. Every second absence
 * is `denied`, because IAM sometimes answers PERMISSION_DENIED for a new account. Other APIs treat `denied` as `missing`.
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
