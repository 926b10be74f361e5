/** How often each thing has happened: a fault that never strikes and an actor that never acts prove nothing. */
export function createTally() {
  const struck: Record<string, number> = {};
  return {
    struck,
    count(what: string): void {
      struck[what] = (struck[what] ?? 0) + 1;
    },
  };
}

export type Count = (what: string) => void;

export function sumOf(tallies: Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const tally of tallies) for (const [what, times] of Object.entries(tally)) sum[what] = (sum[what] ?? 0) + times;
  return sum;
}

/** What the tally says of calls that Google Cloud's quotas refused. */
export const RATE_LIMITED = 'rate limited';
