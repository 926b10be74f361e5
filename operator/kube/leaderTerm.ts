import type { Runtime } from '../../ports/runtime.ts';

export type LeaderTerm = ReturnType<typeof createLeaderTerm>;

/**
 * The term of this process as the leader: it begins with a renewal of the lease and ends by itself unless it is renewed in time.
 * `onElected`: a term begins; its signal aborts when it ends, for whatever reason. `onLost`: it has ended, but not by `end`.
 */
export function createLeaderTerm(
  runtime: Runtime,
  renewDeadlineMs: number,
  onElected: (term: AbortSignal) => void,
  onLost: (why: string) => void,
) {
  /** Undefined: this process does not lead. `until` is monotonic. */
  let term: { ends: AbortController; until: number; cancelTimer: () => void } | undefined;

  const isLeader = (): boolean => term !== undefined && runtime.monotonic() < term.until;

  function end(): boolean {
    const ending = term;
    term = undefined;
    ending?.cancelTimer();
    ending?.ends.abort();
    return ending !== undefined;
  }

  function lose(why: string): void {
    if (end()) onLost(why);
  }

  return {
    isLeader,
    end,
    lose,
    /** To be called when the lease was renewed. `askedAt`: when the request was sent (monotonic), which is before the server's write. */
    renew(askedAt: number): void {
      // A renewal that comes too late must not revive a term that isLeader() has already denied.
      if (term && !isLeader()) lose('not renewed in time');
      const until = askedAt + renewDeadlineMs;
      const left = until - runtime.monotonic();
      if (left <= 0) return;
      const isFirst = term === undefined;
      term?.cancelTimer();
      const ends = term?.ends ?? new AbortController();
      term = { ends, until, cancelTimer: runtime.after(left, () => lose('not renewed in time')) };
      if (isFirst) onElected(ends.signal);
    },
  };
}
