import { Session } from 'node:inspector';

interface Range {
  startOffset: number;
  endOffset: number;
  count: number;
}
interface Taken {
  result: { scriptId: string; url: string; functions: { ranges: Range[] }[] }[];
}

/** For each function that ran, by its place: 1 for each character of its source that was reached. */
export type Reached = Map<string, Uint8Array>;

/**
 * Tells what runs, as V8 counts it, from now until the process ends. V8 counts blocks only in functions that it compiles
 * after this, and forgets them for good when it is told to stop: so once, and before what is watched runs. Source: Chrome
 * DevTools protocol, Profiler.takePreciseCoverage. `watched`: whether the script of that URL counts.
 */
export function startCoverage(watched: (url: string) => boolean): (run: () => void) => Reached {
  const session = new Session();
  session.connect();
  const post = <T>(method: string, params: object = {}): T | undefined => {
    let answer: T | undefined;
    // Within the process the callback runs before `post` returns.
    session.post(method, params, (error: Error | null, result: unknown) => {
      if (error) throw error;
      answer = result as T;
    });
    return answer;
  };
  const take = () => post<Taken>('Profiler.takePreciseCoverage')?.result ?? [];
  post('Profiler.enable');
  post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

  return run => {
    take();
    run();
    const reached: Reached = new Map();
    for (const { scriptId, url, functions } of take()) {
      if (!watched(url)) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (!whole || whole.count === 0) continue;
        const source = new Uint8Array(whole.endOffset - whole.startOffset);
        // The inner ranges come after the outer ones. Neighbours of one count are one range: only characters compare.
        for (const { startOffset, endOffset, count } of ranges) {
          source.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
        }
        reached.set(`${scriptId}:${whole.startOffset}`, source);
      }
    }
    return reached;
  };
}

/** Adds what was reached to what is known; whether any of it is new. */
export function addTo(known: Reached, reached: Reached): boolean {
  let news = false;
  for (const [place, source] of reached) {
    const before = known.get(place) ?? new Uint8Array(source.length);
    for (let at = 0; at < source.length; at++) {
      if (source[at] === 0 || before[at] === 1) continue;
      before[at] = 1;
      news = true;
    }
    known.set(place, before);
  }
  return news;
}

/** How much of the functions that were entered was reached, in characters of source. */
export function measure(known: Reached): { reached: number; of: number } {
  const sources = [...known.values()];
  return {
    reached: sources.reduce((sum, source) => sum + source.filter(Boolean).length, 0),
    of: sources.reduce((sum, source) => sum + source.length, 0),
  };
}
